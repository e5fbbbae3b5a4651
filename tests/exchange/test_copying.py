"""Copying entries from one storage to another."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from askonce._core.entry import Key
from askonce.errors import StorageError
from askonce.exchange import Fate, OnConflict
from askonce.exchange.copying import copy, refuse_missing
from askonce.storage import Filter, Storage, open_storage
from tests.servers import PostgresServer, RedisServer
from tests.storage.conftest import ask, take

_names = itertools.count()
KINDS = ["memory", "sqlite", "jsonl", "redis", "postgres"]


def make(kind: str, folder: Path, redis: RedisServer, postgres: PostgresServer) -> Storage:
    name = f"copying-{next(_names)}"
    return open_storage(
        {
            "memory": f"memory:{name}",
            "sqlite": str(folder / f"{name}.db"),
            "jsonl": str(folder / f"{name}.jsonl"),
            "redis": redis.url(prefix=f"{name}:"),
            "postgres": postgres.url(schema=name.replace("-", "_")),
        }[kind]
    )


def fill(storage: Storage) -> None:
    for number in range(9):
        storage.add(ask(number, model=f"m{number % 2}"), take(b"%d" % number, recorded=1000.0 + number))
    storage.add(ask(1, model="m1"), take(b"seeded", "s", recorded=1500.0, slot=2))
    storage.count_hit(ask(1, model="m1").key, take(), 2000.0, 5)
    storage.totals()  # writes the hits


@pytest.mark.parametrize(("one", "other"), [(a, b) for a in KINDS for b in KINDS])
def test_between(
    one: str, other: str, tmp_path: Path, redis_server: RedisServer, postgres_server: PostgresServer
) -> None:
    """Between any two kinds entries, takes, and hits arrive as they were; a second time nothing is copied."""
    source, target = (make(kind, tmp_path, redis_server, postgres_server) for kind in (one, other))
    fill(source)
    copied = copy(source, target)
    assert (9, {Fate.IMPORTED: 10}, 5, 10, []) == (
        *(copied.entries, copied.fates, copied.hits, copied.verified, copied.missing),
    )
    held = [[(e.question, e.takes, e.hits) for e in storage.entries()] for storage in (source, target)]
    assert held[0] == held[1]
    again = copy(source, target)
    assert ({Fate.THERE: 10}, 0, 10) == (again.fates, again.hits, again.verified)
    assert 5 == target.totals().hits
    source.close()
    target.close()


def test_stopped() -> None:
    """What was stopped is whole as far as it went, and another copy brings what is missing, hits too."""
    source, target = open_storage("memory:stopped-from"), open_storage("memory:stopped-to")
    fill(source)
    looks = itertools.count(1)
    copied = copy(source, target, is_stopped=lambda: next(looks) == 4)
    assert (True, 4, 0) == (copied.is_stopped, copied.entries, copied.verified)
    rest = copy(source, target)
    assert (6, 10) == (rest.fates[Fate.IMPORTED], rest.verified)
    assert source.totals() == target.totals()


def test_filter() -> None:
    """Only what matches is copied."""
    source, target = open_storage("memory:filter-from"), open_storage("memory:filter-to")
    fill(source)
    copy(source, target, Filter(model="m1"))
    assert {"m1"} == {entry.question.model for entry in target.entries()}
    assert 4 == target.totals().entries


@pytest.mark.parametrize(
    ("on_conflict", "fate", "left"),
    [(OnConflict.KEEP, Fate.KEPT, b"mine"), (OnConflict.REPLACE, Fate.REPLACED, b"1")],
)
def test_conflict(on_conflict: OnConflict, fate: Fate, left: bytes) -> None:
    """Another answer in the target stays, or gives way; neither is taken for a loss."""
    source, target = open_storage(f"memory:{fate}-from"), open_storage(f"memory:{fate}-to")
    fill(source)
    target.add(ask(1, model="m1"), take(b"mine"))
    copied = copy(source, target, on_conflict=on_conflict)
    assert (1, []) == (copied.fates[fate], copied.missing)
    assert left in [one.answer.body for one in target.takes(ask(1, model="m1").key)]


def test_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A target that does not hold in the end what it took is named, with the key."""
    source, target = open_storage("memory:missing-from"), open_storage("memory:missing-to")
    fill(source)
    lost: Key = ask(4, model="m0").key
    settled = target.totals
    monkeypatch.setattr(target, "totals", lambda: (target.remove([lost]), settled())[1])
    copied = copy(source, target)
    assert [lost.hex()[:12]] == copied.missing
    with pytest.raises(StorageError, match=rf"does not hold what was copied to it: {lost.hex()[:12]}"):
        refuse_missing(copied, target)
