"""Store files that are overwritten, cut, and exchanged under us."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from pathlib import Path

import askonce
from tests.survival.looking import asked_through
from tests.survival.oracle import Oracle
from tests.survival.toll import Scenario, Toll

_QUESTIONS = 24


def scratch(name: str, folder: Path, wounds: int) -> Toll:
    """Make a store; wound a copy of its file in one place after the other, and ask all its questions."""
    chance, toll = random.Random(5), Toll()
    with Oracle() as oracle:
        whole = folder / f"whole-{name}"
        assert asked_through(whole, oracle.url, range(_QUESTIONS)).is_clean
        bytes_ = whole.read_bytes()
        for number, wounded in enumerate(_wounds(bytes_, chance, wounds)):
            path = folder / f"{number}-{name}"
            path.write_bytes(wounded)
            toll = toll.plus(asked_through(path, oracle.url, range(_QUESTIONS)))
            for leftover in folder.glob(f"{path.stem}*"):
                leftover.unlink()
        _see_that_some_was_read(oracle, toll)
    return toll


def scratch_bundle(folder: Path, wounds: int) -> Toll:
    """Do the same with a bundle: it is left out, or what of it is whole answers."""
    chance, toll = random.Random(5), Toll()
    with Oracle() as oracle:
        source = folder / "cache.db"
        assert asked_through(source, oracle.url, range(_QUESTIONS)).is_clean
        askonce.materialize(folder / "whole.askonce", store=source)
        bytes_ = (folder / "whole.askonce").read_bytes()
        path = folder / "wounded.askonce"
        for wounded in _wounds(bytes_, chance, wounds):
            path.write_bytes(wounded)
            toll = toll.plus(asked_through(path, oracle.url, range(_QUESTIONS)))
        _see_that_some_was_read(oracle, toll)
    return toll


def _see_that_some_was_read(oracle: Oracle, toll: Toll) -> None:
    """A wounded store that is never read would show nothing."""
    assert sum(oracle.asked.values()) < toll.calls * 0.9


def _wounds(whole: bytes, chance: random.Random, count: int) -> Iterator[bytes]:
    """Yield wounded copies: at the file's head, at each page's head, anywhere, and cut off.

    Of each page of 4 KB the head, the list of cells, the middle and the tail are each a class of places.
    """
    pages = max(len(whole) // 4096, 1)
    for number in range(count):
        kind = number % 8
        page = chance.randrange(pages) * 4096
        start = {
            0: chance.randrange(min(100, len(whole))),
            1: chance.randrange(min(4096, len(whole))),
            2: page + chance.randrange(8),
            3: page + 8 + chance.randrange(64),
            4: page + chance.randrange(4096),
            5: page + 4096 - 1 - chance.randrange(64),
            6: chance.randrange(len(whole)),
            7: chance.randrange(len(whole)),
        }[kind]
        if kind == 7:
            yield whole[:start]
            continue
        noise = chance.choice(
            (
                chance.randbytes(1),
                chance.randbytes(chance.choice((2, 16, 300, 5000))),
                bytes(64),
                struct.pack(">Q", 2**63),
                b"\xff" * 16,
            )
        )
        start = min(start, len(whole) - 1)
        yield (whole[:start] + noise + whole[start + len(noise) :])[: len(whole)]


_PROMISE = "What is damaged is never given as an answer, and never costs a call"
_NOISE = "noise, zeros and cuts at the file's head, page heads, cell lists, contents, tails, and anywhere"

SCENARIOS = [
    Scenario("SQLite file overwritten", _PROMISE, _NOISE, lambda f, n: scratch("cache.db", f, n), 24, 1200),
    Scenario("text store overwritten", _PROMISE, _NOISE, lambda f, n: scratch("cache.jsonl", f, n), 24, 1200),
    Scenario("bundle overwritten", _PROMISE, _NOISE, scratch_bundle, 24, 1200),
]
