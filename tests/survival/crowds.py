"""Many at once: threads, forks, entries."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

from askonce._core.entry import Take
from askonce.storage import open_storage
from tests.storage.conftest import ask, take
from tests.survival.looking import lost
from tests.survival.oracle import Oracle
from tests.survival.toll import Scenario, Toll
from tests.survival.worker import ROOT, Plan, finished


def of_threads(folder: Path, threads: int) -> Toll:
    """So many threads ask the same fifty questions, each a few of them, all at once."""
    with Oracle() as oracle:
        plan = Plan(
            oracle.url, str(folder / "cache.db"), 0, 50, threads, rounds=max(threads // 10, 2), shuffled=True
        )
        toll = finished(plan)
        again = sum(count - 1 for count in oracle.asked.values())
        assert 0 == again, f"{again} questions more than once"
        return toll._replace(confirmed=50, lost=lost(folder / "cache.db", oracle.url, range(50)))


_FORKS = """
import os, random, threading, time
import httpx2
from tests.survival.worker import ask, say

def some(seed):
    chance = random.Random(seed)
    with httpx2.Client(timeout=60, verify=False) as client:
        for _ in range(5):
            say(ask(client, plan, chance.randrange(30)))

some(0)  # whoever forks while a module is imported has Python's own lock to fear
busy = [threading.Thread(target=some, args=(n,)) for n in range(8)]
for thread in busy:
    thread.start()
children = []
for n in range({forks}):
    child = os.fork()
    if child == 0:
        try:
            some(1000 + n)
        finally:
            os._exit(0)
    children.append(child)
    if len(children) >= 16:
        os.waitpid(children.pop(0), 0)
for child in children:
    os.waitpid(child, 0)
for thread in busy:
    thread.join()
"""


def of_forks(folder: Path, forks: int) -> Toll:
    """A process that asks in eight threads forks child after child, each of which asks at once."""
    with Oracle() as oracle:
        plan = Plan(oracle.url, str(folder / "cache.db"), 0, 0, prelude=_FORKS.format(forks=forks))
        toll = finished(plan)
        expected = 5 * (1 + 8 + forks)
        toll = toll.plus(Toll(failed=expected - toll.calls))
        return toll._replace(confirmed=len(oracle.asked), lost=lost(folder / "cache.db", oracle.url, oracle.asked))


def of_entries(folder: Path, entries: int) -> Toll:
    """Four processes fill one store; then each entry of a sample is there, and is what was written."""
    path = folder / "cache.db"
    share = entries // 4
    code = "import sys; from tests.survival.crowds import fill; fill(*sys.argv[1:])"
    fillers = [
        subprocess.Popen([sys.executable, "-c", code, str(path), str(part * share), str(share)], cwd=ROOT)
        for part in range(4)
    ]
    assert [0] * 4 == [filler.wait() for filler in fillers]
    storage = open_storage(path, memory=0)
    sample = random.Random(19).sample(range(4 * share), min(4 * share, 20_000))
    right = sum(storage.takes(ask(number).key) == (_take(number),) for number in sample)
    there = storage.totals().entries
    storage.close()
    return Toll(len(sample), right, len(sample) - right, 0, confirmed=4 * share, lost=4 * share - there)


def fill(path: str, first: str, count: str) -> None:
    """Add entries of 2 KB."""
    storage = open_storage(path)
    for number in range(int(first), int(first) + int(count)):
        assert storage.add(ask(number), _take(number))
    storage.close()


def _take(number: int) -> Take:
    return take(random.Random(number).randbytes(2000))


SCENARIOS = [
    Scenario(
        "a thousand threads",
        "Each gets its answer, and each question is asked once",
        "threads asking fifty questions at once, in another order each",
        of_threads,
        100,
        1000,
    ),
    Scenario(
        "a storm of forks",
        "A child has no lock, connection or claim of its parent's: each gets its answer",
        "a process asking in eight threads forks without pause",
        of_forks,
        8,
        300,
    ),
    Scenario(
        "a million entries",
        "Each entry is there and right, however many there are",
        "four processes fill one store with entries of 2 KB; 20,000 of them are read",
        of_entries,
        4_000,
        1_000_000,
    ),
]
