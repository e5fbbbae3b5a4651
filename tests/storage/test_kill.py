"""`kill -9` while recording: what was confirmed is there, and nothing is half."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from askonce._core.entry import Entry
from askonce.storage import open_storage
from askonce.storage.jsonl import JSONLStorage
from askonce.storage.sqlite import SQLiteStorage
from tests.storage.conftest import ask, take

pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork"), reason="a child must begin at once to be killed a hundred times"
)


def body(number: int) -> bytes:
    """Return an answer of up to 40 KB that is this number's alone."""
    return random.Random(number).randbytes(number * 997 % 40_000)


def record(path: Path, first: int, confirmed: int) -> None:
    """Record one answer after the other, and confirm each."""
    storage = open_storage(path)
    for number in range(first, first + 100_000):
        storage.add(ask(number), take(body(number)))
        os.write(confirmed, b"%d\n" % number)


def run_and_kill(
    path: Path, first: int, seconds: float, work: Callable[[Path, int], None] | None = None
) -> list[int]:
    """Record, or do other work, in a child; kill it after so many seconds; return what it confirmed."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            work(path, writer) if work else record(path, first, writer)
        finally:
            os._exit(1)
    os.close(writer)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    with os.fdopen(reader, "rb") as pipe:
        lines = pipe.read().decode().split("\n")
    _, status = os.waitpid(child, 0)
    assert signal.SIGKILL == os.WTERMSIG(status)
    return [int(line) for line in lines[:-1]]


def test_kill(store: Path) -> None:
    """Of a hundred runs that are killed at random moments, every confirmed answer is there, whole and right."""
    chance = random.Random()
    confirmed: set[int] = set()
    for run in range(100):
        confirmed.update(run_and_kill(store, run * 100_000, chance.uniform(0.002, 0.06)))
    assert len(confirmed) > 100
    storage = SQLiteStorage(store, memory=0)
    wrong = [number for number in confirmed if (take(body(number)),) != storage.takes(ask(number).key)]
    assert [] == wrong
    # At most one more a run: recorded, and killed before it could be confirmed. It is whole as well.
    rest = [entry for entry in storage.entries() if number_of(entry) not in confirmed]
    assert len(rest) <= 100
    for entry in rest:
        assert (take(body(number_of(entry))),) == entry.takes
    totals = storage.totals()
    assert len(confirmed) + len(rest) == totals.entries == totals.takes
    assert 0 == storage.damaged
    storage.close()
    with closing(sqlite3.connect(store)) as db:
        assert [("ok",)] == db.execute("PRAGMA integrity_check").fetchall()


def test_kill_at_birth(tmp_path: Path) -> None:
    """A run that is killed while it makes a new store leaves one that is used as it is."""
    chance = random.Random()
    for run in range(30):
        path = tmp_path / f"{run}.db"
        confirmed = run_and_kill(path, 0, chance.uniform(0, 0.012))
        storage = SQLiteStorage(path)
        assert [(take(body(number)),) for number in confirmed] == [storage.takes(ask(n).key) for n in confirmed]
        assert storage.add(ask(-1), take())
        assert (take(),) == storage.takes(ask(-1).key)
        storage.close()


def rewrite(path: Path, confirmed: int) -> None:
    """Replace one answer after the other, and write the file anew each time."""
    while True:
        for number in range(3):
            storage = JSONLStorage(path)
            storage.add(ask(number), take(random.randbytes(3000)), replace=True)
            storage.close()
            os.write(confirmed, b"%d\n" % number)


def test_kill_of_a_text_store(tmp_path: Path) -> None:
    """Of runs that are killed while they add lines, every confirmed answer is there, whole and right."""
    path = tmp_path / "cache.jsonl"
    chance = random.Random()
    confirmed: set[int] = set()
    for run in range(30):
        confirmed.update(run_and_kill(path, run * 100_000, chance.uniform(0.002, 0.04)))
    assert len(confirmed) > 30
    storage = JSONLStorage(path, memory=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a torn line may be there, and is told
        assert [] == [n for n in confirmed if [body(n)] != [one.answer.body for one in storage.takes(ask(n).key)]]
        rest = [entry for entry in storage.entries() if number_of(entry) not in confirmed]
    assert len(rest) <= 30
    assert all(body(number_of(entry)) == entry.takes[0].answer.body for entry in rest)
    storage.close()


def test_kill_while_a_text_store_is_written_anew(tmp_path: Path) -> None:
    """A file is the old one or the new one, whenever its writer is killed."""
    path = tmp_path / "cache.jsonl"
    storage = JSONLStorage(path)
    for number in range(3, 30):
        storage.add(ask(number), take(body(number)))
    chance = random.Random()
    for _ in range(20):
        run_and_kill(path, 0, chance.uniform(0.002, 0.03), rewrite)
        assert 27 <= storage.totals().takes <= 30
        assert all((take(body(n)),) == storage.takes(ask(n).key) for n in range(3, 30))
    storage.close()


def number_of(entry: Entry) -> int:
    return int(entry.question.body.split()[-1].strip(b'"}'))
