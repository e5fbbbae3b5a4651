"""A look-up in the SQLite store takes as long at a million entries as at a hundred."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

import askonce
from benchmarks import stores
from benchmarks.figures import Plot, Result, Scale, Spread, Table, number
from benchmarks.hits import MILLION, STREAMS
from benchmarks.race import Timed, cpu, race, wall


def run(scale: Scale) -> Result:
    """Race look-ups in three stores, then additions to them; what is added is taken out again."""
    streams = scale.of(STREAMS, 200)
    made = [
        stores.make(plain=100, streams=0),
        stores.make(plain=scale.of(100_000, 1_000), streams=0),
        stores.make(plain=scale.of(MILLION, 5_000) - streams, streams=streams),
    ]
    batch = scale.of(200, 50)
    reads: dict[str, Timed] = {}
    counted: dict[str, Timed] = {}
    for one in made:
        keys = _some_keys(one, scale.of(10_000, 500))
        reads[f"{one.entries} file"] = _look_up(one, keys, memory=0)
        reads[f"{one.entries} memory"] = _look_up(one, keys[:50], memory=32 << 20)
        counted[f"{one.entries} counted"] = _look_up(one, keys, memory=0, count=True)
    found = race(reads, [range(batch)] * (scale.of(40, 3) + 1))
    found |= race(counted, [range(batch)] * (scale.of(40, 3) + 1))  # apart: counting writes, and empties memories
    writes = race({str(one.entries): _add(one) for one in made}, [range(scale.of(50, 5))] * (scale.of(10, 2) + 1))
    rows = []
    line = []
    for one in made:
        spreads = [Spread.of(found[f"{one.entries} {way}"]).times(1e6) for way in ("memory", "file", "counted")]
        spreads.append(Spread.of(writes[str(one.entries)]).times(1e6))
        rows.append([f"{one.entries:,}", *(number(spread.median) for spread in spreads)])
        line.append([one.entries, spreads[1].median, spreads[1].low, spreads[1].high])
    table = Table(
        "The SQLite store on its own: one plain answer of 1.5 KB (µs)",
        ["entries", "read from memory", "read from the file", "the same, hit counted", "add (wall)"],
        rows,
        "CPU time, medians; `add` is one durable transaction, by the clock on the wall.",
    )
    plot = Plot("storage", "One look-up in the SQLite file", "entries", "µs of CPU", {"askonce": line}, log=True)
    return Result("storage", str(__doc__), [], [table], [plot])


def _some_keys(made: stores.Made, most: int) -> list[bytes]:
    draw = random.Random(made.entries)
    numbers = draw.sample(range(made.plain), min(most, made.plain))
    return stores.keys(numbers)


def _look_up(made: stores.Made, keys: list[bytes], *, memory: int, count: bool = False) -> Timed:
    storage = askonce.open_storage(made.path, memory=memory)
    draw = random.Random(7)

    def look_up(numbers: Sequence[int]) -> None:
        now = time.time()
        for key in draw.choices(keys, k=len(numbers)):
            takes = storage.takes(key)
            assert takes, "every key is of an entry"
            if count:
                storage.count_hit(key, takes[0], now)

    return cpu(look_up)


def _add(made: stores.Made) -> Timed:
    storage = askonce.open_storage(made.path)
    question = next(iter(storage.entries())).question
    take = storage.takes(question.key)[0]

    def timed(numbers: Sequence[int]) -> float:
        fresh = [question._replace(key=random.Random(n).randbytes(32)) for n in numbers]

        def add(_: Sequence[int]) -> None:
            for one in fresh:
                storage.add(one, take)

        seconds = wall(add)(numbers)
        assert storage.remove([one.key for one in fresh]) == len(fresh), "every one was added"
        return seconds

    return timed
