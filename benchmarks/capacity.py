"""What an entry costs the server that keeps it: its CPU for a look-up and an addition, and its room.

Arithmetic for docs/explanation/scale.md: a server that spends so long on a look-up gives that many a second.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg
import redis
from tests.servers import started_postgres

import askonce
from askonce.gateway.calls import Call
from askonce.gateway.journal import Journal
from askonce.storage.postgres import PostgresStorage
from askonce.storage.postgres_address import read_address
from askonce.storage.redis import RedisStorage
from benchmarks import servers, stores
from benchmarks.figures import Result, Scale, Spread, Table, number
from benchmarks.serving import seconds_of_all


class Kept(NamedTuple):
    """A store on a server, the CPU seconds that the server has used, and the bytes that it has in use."""

    name: str
    storage: RedisStorage | PostgresStorage
    cpu: Callable[[], float]
    size: Callable[[], int]


def run(scale: Scale) -> Result:
    """Fill a Redis and a PostgreSQL, and read from them."""
    made = askonce.open_storage(stores.make(plain=scale.of(100_000, 1_000), streams=0).path)
    rows = []
    for opened in (_redis, _postgres):
        with opened() as kept:
            rows.append(_measure(kept, made, scale))
    made.close()
    table = Table(
        f"What an entry costs its server: {scale.of(100_000, 1_000):,} plain answers of 1.5 KB",
        [
            "server",
            "an addition (µs)",
            "a look-up (µs)",
            "a hit counted (µs)",
            "room an entry (KB)",
            "additions a second",
        ],
        rows,
        "CPU of all the server's processes. Additions are one client's, one by one; PostgreSQL syncs each.",
    )
    return Result("capacity", str(__doc__).partition("\n")[0], [], [table, _journals(scale)])


def _journals(scale: Scale) -> Table:
    """Write calls that are all different, in batches as a busy gateway does."""
    batch, rows = scale.of(2_000, 50), []
    with started_postgres(is_durable=True) as server, tempfile.TemporaryDirectory() as folder:
        for name, place in (("SQLite", Path(folder) / "journal.db"), ("PostgreSQL", server.url())):
            journal = Journal(place, keep=1e9, most=1 << 40)
            spent = []
            for _ in range(scale.of(15, 2) + 1):
                before = time.process_time()  # of all threads: its own may be quicker
                for number in range(batch):
                    journal.note(Call("POST", "/v1/chat/completions", "openai", "miss", 200, f"c{number % 100}"))
                journal.flush()
                spent.append((time.process_time() - before) / batch)
            assert not journal.trouble, journal.trouble
            journal.close()
            rows.append([name, Spread.of(spent[1:]).times(1e6).show()])
    note = f"CPU of the gateway's process, in batches of {batch:,}; hits that are alike share a line."
    return Table("A line of the gateway's journal", ["journal", "a line (µs)"], rows, note)


def _measure(kept: Kept, made: askonce.Storage, scale: Scale) -> list[str]:
    storage, keys = kept.storage, list[bytes]()
    entries, before = made.entries(), kept.size()
    batch = scale.of(100_000, 1_000) // 20

    def add() -> None:
        for _ in range(batch):
            entry = next(entries)
            storage.add(entry.question, entry.takes[0])
            keys.append(entry.question.key)

    started = time.perf_counter()
    added = _each(kept, add, batch, 20)
    rate = len(keys) / (time.perf_counter() - started)
    room = (kept.size() - before) / len(keys) / 1024
    draw = random.Random(3)

    def read() -> None:
        for key in draw.choices(keys, k=batch):
            assert storage.takes(key), "every key is of an entry"

    looked_up = _each(kept, read, batch, 10)
    entry = next(made.entries())

    def count() -> None:
        for key in draw.choices(keys, k=batch):
            storage.count_hit(key, entry.takes[0], time.time())
        storage.totals()  # which has them written

    counted = _each(kept, count, batch, 10)
    storage.close()
    spent = [Spread.of(one).times(1e6).show() for one in (added, looked_up, counted)]
    return [kept.name, *spent, number(room, 2), number(rate)]


def _each(kept: Kept, work: Callable[[], None], batch: int, times: int) -> Sequence[float]:
    found = []
    for _ in range(times):
        before = kept.cpu()
        work()
        found.append((kept.cpu() - before) / batch)
    return found


@contextmanager
def _redis() -> Iterator[Kept]:
    with servers.redis() as server, redis.Redis(port=server.port) as bare:

        def size() -> int:
            return int(bare.info("memory")["used_memory"])

        yield Kept("Redis", RedisStorage(server.url(timeout=10)), server.cpu, size)


@contextmanager
def _postgres() -> Iterator[Kept]:
    with started_postgres(is_durable=True) as server:
        url = server.url(timeout=10)
        with psycopg.connect(**read_address(url).connection, autocommit=True) as bare:

            def size() -> int:
                row = bare.execute("SELECT pg_database_size(current_database())").fetchone()
                assert row is not None
                return int(row[0])

            yield Kept("PostgreSQL", PostgresStorage(url), lambda: seconds_of_all(server.pid), size)
