"""Stores on other machines that are killed, cut off, and slow."""

from __future__ import annotations

import random
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from threading import Event, Thread

import httpx2

import askonce
from tests.servers import PostgresServer, RedisServer, started_postgres, started_redis
from tests.survival.gateways import Gateway, serving
from tests.survival.looking import lost, seconds_until_kept
from tests.survival.oracle import Oracle
from tests.survival.toll import Scenario, Toll
from tests.survival.wire import Wire
from tests.survival.worker import Plan, ask, finished

_DURABLE = ("--appendonly", "yes")
_PAUSE = 2.5  # seconds between two kills: longer than an ill store is left alone at first


def lacks_redis() -> str | None:
    return None if shutil.which("redis-server") else "redis-server"


def lacks_postgres() -> str | None:
    found = shutil.which("initdb") or any(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return None if found else "PostgreSQL"


def record(store: str, url: str, until: Callable[[], bool]) -> tuple[Toll, list[int]]:
    """Ask one question after another until it is enough; return the counts, and what the store says it kept."""
    toll, kept, number = Toll(), list[int](), 0
    plan = Plan(url, store, 0, 0)
    with (
        warnings.catch_warnings(action="ignore"),
        askonce.caching(store, domains=[url]) as cache,
        httpx2.Client(verify=False, timeout=30) as client,
    ):
        while not until():
            before = cache.stats.recorded
            outcome = ask(client, plan, number).split()[0]
            toll = toll.plus(Toll(calls=1, **{outcome: 1}))
            assert cache.guard.writer is not None
            assert cache.guard.writer.flush(30)  # what is written late is this call's, not the next one's
            if cache.stats.recorded > before:
                kept.append(number)
            number += 1
    return toll, kept


@contextmanager
def meanwhile(work: Callable[[], None]) -> Iterator[Event]:
    """Do work in a thread; the event is set at its end."""
    done = Event()

    def run() -> None:
        try:
            work()
        finally:
            done.set()

    thread = Thread(target=run)
    thread.start()
    yield done
    thread.join()


def kill(_: Path, kills: int) -> Toll:
    """Kill a Redis that writes what it is told to a file, and start it again, while a program records into it."""
    with started_redis(*_DURABLE) as server:
        return _kill(server, kills)


def kill_postgres(_: Path, kills: int) -> Toll:
    """Do the same to a PostgreSQL."""
    with started_postgres(is_durable=True) as server:
        lay_out(server)
        return _kill(server, kills)


def lay_out(server: PostgresServer) -> None:
    """Have the tables made, for which no call waits."""
    storage = askonce.open_storage(server.url())
    storage.totals()
    storage.close()


def _kill(server: RedisServer | PostgresServer, kills: int) -> Toll:
    chance = random.Random(23)
    with Oracle() as oracle:
        store = server.url(timeout=0.05, nearby=0.01)

        def work() -> None:
            for _ in range(kills):
                time.sleep(chance.uniform(0.1, _PAUSE))
                server.kill()
                time.sleep(chance.uniform(0, 0.3))
                server.start()

        with meanwhile(work) as done:
            toll, kept = record(store, oracle.url, done.is_set)
        assert kept
        recovery = seconds_until_kept(store, oracle.url, 10**6)
        gone = lost(server.url(timeout=5, nearby=0.01), oracle.url, kept)
        return toll._replace(confirmed=len(kept), lost=gone, recovery=recovery)


def cut(_: Path, rounds: int) -> Toll:
    """Slow down, silence and sever the wire to a Redis, by turns, while a program records into it."""
    with started_redis() as server:
        return _cut(server, rounds)


def cut_postgres(_: Path, rounds: int) -> Toll:
    """Do the same to the wire to a PostgreSQL."""
    with started_postgres() as server:
        lay_out(server)
        return _cut(server, rounds)


def _cut(server: RedisServer | PostgresServer, rounds: int) -> Toll:
    chance = random.Random(29)
    with Oracle() as oracle, Wire(server.port) as wire:
        store = server.url(timeout=0.05, nearby=0.01).replace(f":{server.port}/", f":{wire.port}/")

        def work() -> None:
            for number in range(rounds):
                time.sleep(chance.uniform(0.1, 0.5))
                match number % 3:
                    case 0:
                        wire.pause = 0.2
                    case 1:
                        wire.dead = True
                    case _:
                        wire.sever()
                time.sleep(chance.uniform(0.1, 0.5))
                wire.pause, wire.dead = 0.0, False

        with meanwhile(work) as done:
            toll, kept = record(store, oracle.url, done.is_set)
        assert kept
        recovery = seconds_until_kept(store, oracle.url, 10**6)
        return toll._replace(
            confirmed=len(kept), lost=lost(server.url(nearby=0.01), oracle.url, kept), recovery=recovery
        )


def all_four(folder: Path, kills: int) -> Toll:
    """Kill each of two gateways on one Redis, and the Redis, while clients ask through both, and two programs."""
    with started_redis(*_DURABLE) as server:
        return _all_four(server, folder, kills)


def all_four_postgres(folder: Path, kills: int) -> Toll:
    """Do the same to two gateways on one PostgreSQL."""
    with started_postgres(is_durable=True) as server:
        lay_out(server)
        return _all_four(server, folder, kills)


def _all_four(server: RedisServer | PostgresServer, folder: Path, kills: int) -> Toll:
    chance = random.Random(31)
    with Oracle() as oracle:
        store = server.url(timeout=2)  # a machine that is busy with all this is not an ill store
        (folder / "a").mkdir()
        (folder / "b").mkdir()
        with serving(oracle, store, folder / "a") as one, serving(oracle, store, folder / "b") as other:
            count, tolls = 60 * kills, list[Toll]()
            whole = Plan("", None, 0, count, threads=4, shuffled=True, patient=True)
            ways = [(one.url, None), (other.url, None), (oracle.url, store), (oracle.url, store)]
            plans = [whole._replace(url=url, store=kept) for url, kept in ways]
            asking = [Thread(target=lambda plan=plan: tolls.append(finished(plan))) for plan in plans]
            for thread in asking:
                thread.start()
            things: list[Gateway | RedisServer | PostgresServer] = [one, other, server]
            for number in range(kills):
                time.sleep(chance.uniform(0.2, 0.6))
                things[number % 3].kill()
                things[number % 3].start()
            for thread in asking:
                thread.join()
            toll = reduce(Toll.plus, tolls)
            # An answer that came while the store was away was not kept, and is asked for again.
            asked = -1
            for _ in range(20):
                if asked == (asked := sum(oracle.asked.values())):
                    break
                toll = toll.plus(finished(plans[0]))
            for plan in plans[1:]:  # and what one has kept, all have
                toll = toll.plus(finished(plan))
            return toll._replace(confirmed=count, lost=sum(oracle.asked.values()) - asked, recovery=None)


SCENARIOS = [
    Scenario(
        "Redis killed",
        "Calls go on; what the store said it has kept it has; it is used again by itself",
        "`kill -9` of a Redis with an append-only file, and a new start, while a program records",
        kill,
        2,
        40,
        lacks_redis,
    ),
    Scenario(
        "link to Redis slow, silent, severed",
        "Calls go on; what the store said it has kept it has; it is used again by itself",
        "a wire that takes 0.2 s a piece, then none, then is reset, by turns, while a program records",
        cut,
        3,
        60,
        lacks_redis,
    ),
    Scenario(
        "PostgreSQL killed",
        "Calls go on; what the store said it has kept it has; it is used again by itself",
        "`kill -9` of a PostgreSQL and all its processes, and a new start, while a program records",
        kill_postgres,
        1,
        40,
        lacks_postgres,
    ),
    Scenario(
        "link to PostgreSQL slow, silent, severed",
        "Calls go on; what the store said it has kept it has; it is used again by itself",
        "a wire that takes 0.2 s a piece, then none, then is reset, by turns, while a program records",
        cut_postgres,
        3,
        60,
        lacks_postgres,
    ),
    Scenario(
        "two gateways and two programs on one Redis",
        "A client that tries again has its answer; what was kept through one is answered by all",
        "`kill -9` of one gateway, the other, and the Redis, by turns, and a new start",
        all_four,
        3,
        18,
        lacks_redis,
    ),
    Scenario(
        "two gateways and two programs on one PostgreSQL",
        "A client that tries again has its answer; what was kept through one is answered by all",
        "`kill -9` of one gateway, the other, and the PostgreSQL, by turns, and a new start",
        all_four_postgres,
        3,
        18,
        lacks_postgres,
    ),
]
