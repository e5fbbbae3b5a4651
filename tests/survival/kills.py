"""Programs that are killed while they record."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path
from threading import Timer

from tests.survival.looking import lost, seconds_until_kept
from tests.survival.oracle import Oracle
from tests.survival.toll import Scenario, Toll
from tests.survival.worker import Plan, read, started


def of_recorders(name: str, folder: Path, kills: int, *, stream: bool) -> Toll:
    """Kill recorders one after the other, at a random moment after the first answer."""
    store, chance, toll, confirmed = folder / name, random.Random(7), Toll(), list[int]()
    with Oracle() as oracle:
        for run in range(kills):
            plan = Plan(oracle.url, str(store), run * 100_000, 50_000, threads=4, stream=stream)
            with started(plan) as process:
                assert process.stdout is not None
                first = process.stdout.readline()
                timer = Timer(chance.uniform(0, 0.4), process.send_signal, [signal.SIGKILL])
                timer.start()
                one, numbers, is_done = read(process.stdout)
                timer.cancel()
                assert not is_done
                assert process.wait() == -signal.SIGKILL
            assert first.startswith("right"), first
            toll = toll.plus(one).plus(Toll(calls=1, right=1))
            confirmed += [int(first.split()[1]), *numbers]
        return toll._replace(
            confirmed=len(confirmed),
            lost=lost(store, oracle.url, confirmed, stream=stream),
            recovery=seconds_until_kept(store, oracle.url, kills * 100_000),
        )


def of_writers_side_by_side(folder: Path, kills: int) -> Toll:
    """Four processes record into one store; each is killed, and another begins."""
    store, chance, toll, confirmed = folder / "cache.db", random.Random(11), Toll(), list[int]()
    with Oracle() as oracle:
        plans = [Plan(oracle.url, str(store), run * 100_000, 50_000) for run in range(kills)]
        for four in (plans[start : start + 4] for start in range(0, kills, 4)):
            running = [started(plan) for plan in four]
            processes = [one.__enter__() for one in running]
            firsts = [process.stdout.readline() for process in processes if process.stdout is not None]
            for process in processes:
                time.sleep(chance.uniform(0, 0.2))
                process.kill()
            for process, first, one in zip(processes, firsts, running, strict=True):
                counted, numbers, _ = read(process.stdout)
                toll = toll.plus(counted).plus(Toll(calls=1, right=1))
                confirmed += [int(first.split()[1]), *numbers]
                one.__exit__(None, None, None)
        return toll._replace(
            confirmed=len(confirmed),
            lost=lost(store, oracle.url, confirmed),
            recovery=seconds_until_kept(store, oracle.url, kills * 100_000),
        )


_PROMISE = "What a caller has read whole is in the store, and whole"

SCENARIOS = [
    Scenario(
        "recorder killed, SQLite",
        _PROMISE,
        "`kill -9` at a random moment, four threads recording",
        lambda folder, kills: of_recorders("cache.db", folder, kills, stream=False),
        2,
        60,
    ),
    Scenario(
        "recorder of streams killed, SQLite",
        _PROMISE,
        "`kill -9` at a random moment, four threads recording",
        lambda folder, kills: of_recorders("cache.db", folder, kills, stream=True),
        1,
        40,
    ),
    Scenario(
        "recorder killed, text store",
        _PROMISE,
        "`kill -9` at a random moment, four threads recording",
        lambda folder, kills: of_recorders("cache.jsonl", folder, kills, stream=False),
        2,
        40,
    ),
    Scenario(
        "four recorders on one store killed",
        _PROMISE,
        "`kill -9` of each, one after the other",
        of_writers_side_by_side,
        4,
        40,
    ),
]
