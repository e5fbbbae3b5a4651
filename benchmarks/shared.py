"""A hit through a server costs at most 1.5 times the bare client's own read, and an ill one 50 ms.

Both read the same bytes of the same server on this machine, in turns: the bare client as they are, askonce as an
answer that it has checked. Then the server is stopped, so that it takes connections and answers nothing.
"""

from __future__ import annotations

import itertools
import random
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Protocol

import openai
import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from tests.servers import started_postgres

import askonce
from askonce._core.record import pack
from askonce.storage.nearby import Nearby
from askonce.storage.postgres import PostgresStorage
from askonce.storage.postgres_address import read_address
from askonce.storage.redis import RedisStorage
from benchmarks import calls, servers, stores
from benchmarks.figures import Check, Result, Scale, Spread, Table, number, ratios
from benchmarks.processes import provider
from benchmarks.race import Timed, cpu, race, wall

TARGET = 1.5
BOUND = 50.0  # milliseconds


class Hanging(Protocol):
    """A server that can be stopped."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...


def run(scale: Scale) -> Result:
    """Race reads, then ask while the server is stopped."""
    checks: list[Check] = []
    rows, ill = [], []
    with (
        servers.redis() as server,
        redis.Redis(port=server.port, retry=Retry(NoBackoff(), 0), socket_timeout=5) as bare,
    ):
        storage = RedisStorage(server.url(timeout=10))
        rows.append(_read("Redis", storage, bare.set, bare.get, scale, checks))
        ill += _ill("Redis", server, server.url(), scale, checks)
    with started_postgres(is_durable=True) as postgres:
        url = postgres.url(timeout=10)
        with psycopg.connect(**read_address(url).connection, autocommit=True) as connection:
            connection.execute("CREATE TABLE bare (key bytea PRIMARY KEY, data bytea)")

            def put(key: bytes, data: bytes) -> None:
                connection.execute("INSERT INTO bare VALUES (%b, %b)", (key, data))

            def get(key: bytes) -> object:
                sql = "SELECT data FROM bare WHERE key = %b"
                return connection.execute(sql, (key,), prepare=True, binary=True).fetchone()

            rows.append(_read("PostgreSQL", PostgresStorage(url), put, get, scale, checks))
        ill += _ill("PostgreSQL", postgres, postgres.url(timeout="50ms"), scale, checks)
    table = Table(
        "One hit through a server, beside the bare client's own read of the same bytes",
        ["server", "bare client (µs)", "askonce (µs)", "ratio", "askonce, nearby (µs)", "add (µs, wall)"],
        rows,
        "A plain answer of 1.5 KB; CPU time of the client's thread, medians.",
    )
    slow = Table(
        "Ten calls one after another while the server answers nothing, beside the quickest before",
        ["server", "the slowest of ten (ms)", "the median of ten (ms)"],
        ill,
        "Added wall time; each round begins with a store that is well.",
    )
    return Result("shared", str(__doc__), checks, [table, slow])


def _read(
    name: str,
    storage: RedisStorage | PostgresStorage,
    put: Callable[[bytes, bytes], object],
    get: Callable[[bytes], object],
    scale: Scale,
    checks: list[Check],
) -> list[str]:
    made = askonce.open_storage(stores.make(plain=100, streams=0).path)
    entries = list(made.entries())
    nearby = Nearby(storage)
    keys = [entry.question.key for entry in entries]
    for entry in entries:
        storage.add(entry.question, entry.takes[0])
        put(b"bare:" + entry.question.key, pack(entry.takes[0].answer))

    def read(_: Sequence[int]) -> None:
        for key in draw.choices(keys, k=len(_)):
            assert storage.takes(key), "every key is of an entry"

    def read_nearby(_: Sequence[int]) -> None:
        for key in draw.choices(keys, k=len(_)):
            assert nearby.takes(key), "every key is of an entry"

    def read_bare(_: Sequence[int]) -> None:
        for key in draw.choices(keys, k=len(_)):
            assert get(b"bare:" + key), "every key is there"

    draw = random.Random(7)
    found = race(
        {"bare": cpu(read_bare), "askonce": cpu(read), "nearby": cpu(read_nearby)},
        [range(scale.of(300, 30))] * (scale.of(40, 3) + 1),
        piece=30,
    )
    ratio = Spread.of(ratios(found["askonce"], found["bare"]))
    checks.append(Check(f"hit through {name}, of the bare client's own read", ratio, TARGET, "×"))
    added = race({"add": _add(storage, entries[0])}, [range(scale.of(50, 5))] * (scale.of(10, 2) + 1))
    figures = [number(Spread.of(found[name]).median * 1e6) for name in ("bare", "askonce", "nearby")]
    nearby.close()
    return [name, *figures[:2], ratio.show(), figures[2], number(Spread.of(added["add"]).median * 1e6)]


def _add(storage: RedisStorage | PostgresStorage, entry: askonce.Entry) -> Timed:
    draw = random.Random(11)

    def add(numbers: Sequence[int]) -> None:
        for _ in numbers:
            storage.add(entry.question._replace(key=draw.randbytes(32)), entry.takes[0])

    return wall(add)


def _ill(name: str, server: Hanging, store: str, scale: Scale, checks: list[Check]) -> list[list[str]]:
    """Ask with a stopped server: the first call waits for it, those in the pause do not."""
    worst: list[float] = []
    rest: list[float] = []
    fresh = itertools.count()
    with provider() as url, warnings.catch_warnings():
        warnings.simplefilter("ignore", askonce.AskonceWarning)
        client = openai.OpenAI(api_key=calls.KEY, base_url=f"{url}/v1", max_retries=0)
        for _ in range(scale.of(20, 2)):
            with askonce.caching(store, domains=[url]):
                plain = min(_seconds(client, next(fresh)) for _ in range(10))
                server.pause()
                spent = [_seconds(client, next(fresh)) - plain for _ in range(10)]
                server.resume()
            worst.append(max(spent) * 1e3)
            rest.append(sorted(spent)[len(spent) // 2] * 1e3)
    checks.append(Check(f"the slowest call while {name} answers nothing", Spread.of(worst), BOUND, "ms"))
    return [[name, Spread.of(worst).show(), Spread.of(rest).show()]]


def _seconds(client: openai.OpenAI, question: int) -> float:
    start = time.perf_counter()
    calls.ask(client, question, stream=False)
    return time.perf_counter() - start
