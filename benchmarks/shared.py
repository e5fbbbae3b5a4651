"""A hit through a server costs at most 1.5 times the bare client's own read, and an ill one 50 ms.

Both read the same bytes of the same server on this machine, in turns: the bare client as they are, askonce as an
answer that it has checked. Then the server is stopped, so that it takes connections and answers nothing.
"""

from __future__ import annotations

import itertools
import random
import time
import warnings
from collections.abc import Sequence

import openai
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

import askonce
from askonce._core.record import pack
from askonce.storage.redis import RedisStorage
from benchmarks import calls, servers, stores
from benchmarks.figures import Check, Result, Scale, Spread, Table, number, ratios
from benchmarks.processes import provider
from benchmarks.race import Timed, cpu, race, wall

TARGET = 1.5
BOUND = 50.0  # milliseconds


def run(scale: Scale) -> Result:
    """Race reads, then ask while the server is stopped."""
    checks: list[Check] = []
    with servers.redis() as server:
        rows = [_read(server, scale, checks)]
        ill = _ill(server, scale, checks)
    table = Table(
        "One hit through a server, beside the bare client's own read of the same bytes",
        ["server", "bare client (µs)", "askonce (µs)", "ratio", "askonce, nearby (µs)", "add (µs, wall)"],
        rows,
        "A plain answer of 1.5 KB; CPU time of the client's thread, medians.",
    )
    return Result("shared", str(__doc__), checks, [table, ill])


def _read(server: servers.Redis, scale: Scale, checks: list[Check]) -> list[str]:
    made = askonce.open_storage(stores.make(plain=100, streams=0).path)
    entries = list(made.entries())
    storage = RedisStorage(server.url(timeout=10))
    nearby = askonce.open_storage(server.url(timeout=10))
    bare = redis.Redis(port=server.port, retry=Retry(NoBackoff(), 0), socket_timeout=5)
    keys = [entry.question.key for entry in entries]
    for entry in entries:
        storage.add(entry.question, entry.takes[0])
        bare.set(b"bare:" + entry.question.key, pack(entry.takes[0].answer))

    def read(_: Sequence[int]) -> None:
        for key in draw.choices(keys, k=len(_)):
            assert storage.takes(key), "every key is of an entry"

    def read_nearby(_: Sequence[int]) -> None:
        for key in draw.choices(keys, k=len(_)):
            assert nearby.takes(key), "every key is of an entry"

    def read_bare(_: Sequence[int]) -> None:
        for key in draw.choices(keys, k=len(_)):
            assert bare.get(b"bare:" + key), "every key is there"

    draw = random.Random(7)
    found = race(
        {"bare": cpu(read_bare), "askonce": cpu(read), "nearby": cpu(read_nearby)},
        [range(scale.of(300, 30))] * (scale.of(40, 3) + 1),
        piece=30,
    )
    ratio = Spread.of(ratios(found["askonce"], found["bare"]))
    checks.append(Check("hit through Redis, of the bare client's GET", ratio, TARGET, "×"))
    added = race({"add": _add(storage, entries[0])}, [range(scale.of(50, 5))] * (scale.of(10, 2) + 1))
    figures = [number(Spread.of(found[name]).median * 1e6) for name in ("bare", "askonce", "nearby")]
    storage.close()
    nearby.close()
    return ["Redis", *figures[:2], ratio.show(), figures[2], number(Spread.of(added["add"]).median * 1e6)]


def _add(storage: RedisStorage, entry: askonce.Entry) -> Timed:
    draw = random.Random(11)

    def add(numbers: Sequence[int]) -> None:
        for _ in numbers:
            storage.add(entry.question._replace(key=draw.randbytes(32)), entry.takes[0])

    return wall(add)


def _ill(server: servers.Redis, scale: Scale, checks: list[Check]) -> Table:
    """Ask with a stopped server: the first call waits for it, those in the pause do not."""
    worst: list[float] = []
    rest: list[float] = []
    fresh = itertools.count()
    with provider() as url, warnings.catch_warnings():
        warnings.simplefilter("ignore", askonce.AskonceWarning)
        client = openai.OpenAI(api_key=calls.KEY, base_url=f"{url}/v1", max_retries=0)
        for round_ in range(scale.of(20, 2)):
            with askonce.caching(server.url(prefix=f"ill-{round_}:"), domains=[url]):
                plain = min(_seconds(client, next(fresh)) for _ in range(10))
                server.pause()
                spent = [_seconds(client, next(fresh)) - plain for _ in range(10)]
                server.resume()
            worst.append(max(spent) * 1e3)
            rest.append(sorted(spent)[len(spent) // 2] * 1e3)
    checks.append(Check("the slowest call while the server answers nothing", Spread.of(worst), BOUND, "ms"))
    return Table(
        "Ten calls one after another while the server answers nothing, beside the quickest before",
        ["", "added (ms)"],
        [["the slowest of ten", Spread.of(worst).show()], ["the median of ten", Spread.of(rest).show()]],
        "Wall time; each round begins with a store that is well.",
    )


def _seconds(client: openai.OpenAI, question: int) -> float:
    start = time.perf_counter()
    calls.ask(client, question, stream=False)
    return time.perf_counter() - start
