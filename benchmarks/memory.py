"""Memory does not grow with the store: a process holds what it was told to, however many entries it reads.

A process of its own asks more and more different questions of one store, all of them hits, and reads the size of
its resident memory on the way. What it may hold is `memory=` (32 MB) and the requests it remembers (twice 8 MB).

Run as a program it is that process: `python -m benchmarks.memory STORE plain|stream KNOWN COUNT…`.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from pathlib import Path

import httpx2

import askonce
from benchmarks import calls, stores
from benchmarks.figures import Check, Plot, Result, Scale, Spread, Table, number
from benchmarks.hits import MILLION, STREAMS
from benchmarks.processes import figures

BOUND = (32 << 20) + 2 * (8 << 20)
_MB = 1 << 20


def run(scale: Scale) -> Result:
    """Start one process for each kind of answer and each size of store."""
    streams = scale.of(STREAMS, 200)
    big = stores.make(plain=scale.of(MILLION, 5_000) - streams, streams=streams)
    small = [stores.make(plain=100, streams=0), stores.make(plain=0, streams=100)]
    counts = {
        "plain": scale.of([1, 1_000, 5_000, 10_000, 20_000, 40_000], [1, 500, 2_000]),
        "stream": scale.of([1, 250, 500, 1_000, 2_000, 4_000], [1, 100, 200]),
    }
    checks: list[Check] = []
    lines: dict[str, list[list[float]]] = {}
    rows: list[list[str]] = []
    for kind, store in (("plain", small[0]), ("plain", big), ("stream", small[1]), ("stream", big)):
        known = store.streams if kind == "stream" else store.plain
        held = figures("-m", "benchmarks.memory", str(store.path), kind, str(known), *map(str, counts[kind]))
        name = f"{kind}, {store.entries:,} entries"
        lines[name] = [[count, *[size / _MB] * 3] for count, size in zip(counts[kind], held, strict=True)]
        rows.append(
            [name, *(f"{number(size / _MB)} ({count:,})" for count, size in zip(counts[kind], held, strict=True))]
        )
        grown = (held[-1] - held[0]) / _MB
        what = f"memory: growth over {counts[kind][-1]:,} hits, {name}"
        checks.append(Check(what, Spread(grown, grown, grown), BOUND / _MB, "MB"))
    width = max(len(row) for row in rows)
    table = Table(
        "Resident memory in MB after so many different hits",
        ["store", *[""] * (width - 1)],
        [row + [""] * (width - len(row)) for row in rows],
        f"May be held: {BOUND // _MB} MB. The hits go through a bare httpx2 client.",
    )
    plot = Plot(
        "memory", "Resident memory of a process that reads ever more entries", "different hits", "MB", lines
    )
    return Result("memory", str(__doc__).partition("\n")[0], checks, [table], [plot])


def resident() -> int:
    """Return the bytes of this process's memory that are resident; where /proc is missing, the most there were."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _read(store: str, kind: str, known: int, counts: list[int]) -> list[int]:
    askonce.enable(store, mode="replay")
    client = httpx2.Client(headers={"authorization": f"Bearer {calls.KEY}", "content-type": "application/json"})
    stream = kind == "stream"
    held = []
    done = 0
    for count in counts:
        for turn in range(done, count):
            response = client.post(calls.URL, content=calls.body(turn % known, stream=stream))
            assert response.extensions["askonce"] == "hit", "every call was to be a hit"
        done = count
        gc.collect()
        held.append(resident())
    return held


if __name__ == "__main__":
    _, path, kind, *numbers = sys.argv
    print(json.dumps(_read(path, kind, int(numbers[0]), [int(count) for count in numbers[1:]])))
