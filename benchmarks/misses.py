"""A miss adds at most 1 ms to the first chunk of a stream.

Every question is a new one, asked of a local provider in another process that sends an event every 5 ms. In each
round some calls are made with askonce turned off and some with it on, recording to an SQLite store.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import openai

import askonce
from benchmarks import calls
from benchmarks.figures import Check, Result, Scale, Spread, Table, number
from benchmarks.processes import provider
from benchmarks.race import Timed, race

TARGET = 1.0
PACE = 0.005


def run(scale: Scale) -> Result:
    """Race calls that miss against calls without a cache."""
    checks: list[Check] = []
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory() as folder, provider(pace=PACE) as url:
        store = Path(folder) / "store.db"
        for what, make, stream in (
            ("first chunk of a stream, sync", _first_chunk, True),
            ("first chunk of a stream, async", _first_chunk_async, True),
            ("whole answer, not streamed, sync", _whole, False),
        ):
            one = make(url)
            batch = 5
            count = scale.of(30, 2) if stream else scale.of(60, 3)
            numbers = _fresh(len(rows) + 1)
            rounds = [[next(numbers) for _ in range(batch)] for _ in range(count + 1)]
            found = race(
                {"without": _without(one), "with askonce": _with(one, store, url)},
                [[2 * n for n in turn] for turn in rounds],
            )
            pairs = zip(found["with askonce"], found["without"], strict=True)
            added = Spread.of([(ours - bare) * 1e3 for ours, bare in pairs])
            medians = [number(Spread.of(found[name]).median * 1e3) for name in ("without", "with askonce")]
            rows.append([what, *medians, added.show()])
            if stream:
                checks.append(Check(f"miss: added to the {what}", added, TARGET, "ms"))
    table = Table(
        "A miss through the openai SDK, beside the same call without a cache",
        ["until", "without (ms)", "with askonce (ms)", "added (ms)"],
        rows,
        f"Wall time, medians; the provider is another process on this machine; it sends an event every "
        f"{PACE * 1e3:.0f} ms.",
    )
    return Result("misses", str(__doc__).partition("\n")[0], checks, [table])


def _fresh(part: int) -> Iterator[int]:
    yield from range(part * 1_000_000, (part + 1) * 1_000_000)


One = Callable[[int], float]
"""Asks one question; returns the seconds until what is waited for."""


def _first_chunk(url: str) -> One:
    client = openai.OpenAI(api_key=calls.KEY, base_url=f"{url}/v1", max_retries=0)

    def ask(number: int) -> float:
        start = time.perf_counter()
        said = client.chat.completions.create(**calls.arguments(number, stream=True))
        chunks = iter(said)
        next(chunks)
        seconds = time.perf_counter() - start
        for _ in chunks:
            pass
        return seconds

    return ask


def _first_chunk_async(url: str) -> One:
    runner = asyncio.Runner()
    client = openai.AsyncOpenAI(api_key=calls.KEY, base_url=f"{url}/v1", max_retries=0)

    async def ask(number: int) -> float:
        start = time.perf_counter()
        said = await client.chat.completions.create(**calls.arguments(number, stream=True))
        chunks = aiter(said)
        await anext(chunks)
        seconds = time.perf_counter() - start
        async for _ in chunks:
            pass
        return seconds

    return lambda number: runner.run(ask(number))


def _whole(url: str) -> One:
    client = openai.OpenAI(api_key=calls.KEY, base_url=f"{url}/v1", max_retries=0)

    def ask(number: int) -> float:
        start = time.perf_counter()
        calls.ask(client, number, stream=False)
        return time.perf_counter() - start

    return ask


def _without(one: One) -> Timed:
    return lambda numbers: statistics.median(one(n) for n in numbers)


def _with(one: One, store: Path, url: str) -> Timed:
    def timed(numbers: Sequence[int]) -> float:
        askonce.enable(store, domains=[url])
        try:
            seconds = statistics.median(one(n + 1) for n in numbers)
            stats = askonce.stats()
            assert stats.recorded == stats.misses == len(numbers), f"every call was to be recorded: {stats}"
        finally:
            askonce.disable()
        return seconds

    return timed
