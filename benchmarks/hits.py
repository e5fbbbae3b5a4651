"""A hit costs at most 5 % more than the same SDK call over a transport that has the bytes in a dict.

The SDK is openai, the client its own default; only what answers below it differs. Without streaming the natural
transport gives `Response(content=…)`, with it `Response(stream=…)` over the list of chunks; the ratio is to that
one, and the other stands beside it, as does the floor: a dict in place of the connection pool, which is where
askonce answers, with the client library's own transport above it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx2
import openai

import askonce
from benchmarks import calls, canned, stores
from benchmarks.figures import Check, Plot, Result, Scale, Spread, Table, number, ratios
from benchmarks.race import Run, Timed, cpu, race

TARGET = 1.05
MILLION = 1_000_000
STREAMS = 4_000  # of the million; a stream's bytes take a while to make, and no run asks for more


@dataclass(frozen=True, slots=True)
class Case:
    """What is asked of which store: each question once (`once`), all of a few in turn (`cycled`), or one."""

    store: stores.Made
    pattern: str
    stream: bool
    is_async: bool

    @property
    def name(self) -> str:
        kind = "stream" if self.stream else "plain"
        return f"{kind}, {'async' if self.is_async else 'sync'}, {self.store.entries:,} entries, {self.pattern}"

    def rounds(self, count: int, batch: int) -> list[list[int]]:
        """Return the numbers to ask for, with one round more to warm up."""
        known = range(self.store.streams if self.stream else self.store.plain)
        needed = (count + 1) * batch
        if self.pattern == "once":
            draw = random.Random(2 * self.stream + self.is_async)
            numbers = draw.sample(known, needed)
        elif self.pattern == "one":
            numbers = [known[-1]] * needed
        else:
            few = known[:20] if self.stream else known
            numbers = [few[i % len(few)] for i in range(needed)]
        return [numbers[i : i + batch] for i in range(0, needed, batch)]


def run(scale: Scale) -> Result:
    """Race every case."""
    small = [stores.make(plain=100, streams=0), stores.make(plain=0, streams=100)]
    big = stores.make(plain=scale.of(MILLION, 5_000) - scale.of(STREAMS, 200), streams=scale.of(STREAMS, 200))
    checks: list[Check] = []
    rows: list[list[str]] = []
    points: list[list[float]] = []
    for stream in (False, True):
        for is_async in (False, True):
            for store, pattern in ((small[stream], "cycled"), (big, "once"), (big, "one")):
                case = Case(store, pattern, stream, is_async)
                found = _race(case, scale)
                natural = found["dict, stream=" if stream else "dict, content="]
                over = Spread.of(ratios(found["askonce"], natural))
                checks.append(Check(f"hit: {case.name}", over, TARGET, "×"))
                points.append([len(points), over.median, over.low, over.high])
                rows.append(_row(case, found, natural, over))
    table = Table(
        "One hit through the openai SDK, beside the same call answered from a dict",
        [
            "call", "dict, content= (µs)", "dict, stream= (µs)", "dict at the pool (µs)", "askonce (µs)",
            "askonce.transport (µs)", "ratio to the natural dict", "added (µs)", "of that: the pool's floor (µs)",
        ],
        rows,
        "CPU time of the calling thread, medians. `once`: each question for the first time in this process, so "
        "that neither the request nor the answer is in memory; `cycled` and `one`: both are.",
    )  # fmt: skip
    plot = Plot(
        "hits",
        "A hit, as a multiple of the same SDK call answered from a dict",
        "",
        "times the dict",
        {"askonce": points},
        limit=TARGET,
        marks=[check.what.removeprefix("hit: ") for check in checks],
    )
    return Result("hits", _claim(), checks, [table], [plot])


def _claim() -> str:
    return str(__doc__).partition("\n")[0]


def _row(case: Case, found: dict[str, list[float]], natural: list[float], over: Spread) -> list[str]:
    def added(name: str) -> str:
        pairs = zip(found[name], natural, strict=True)
        return number(Spread.of([value - floor for value, floor in pairs]).median * 1e6)

    names = ("dict, content=", "dict, stream=", "dict at the pool", "askonce", "askonce.transport")
    medians = [number(Spread.of(found[name]).median * 1e6) for name in names]
    return [case.name, *medians, over.show(4), added("askonce"), added("dict at the pool")]


def _race(case: Case, scale: Scale) -> dict[str, list[float]]:
    rounds = case.rounds(*(scale.of((20, 4), (3, 2)) if case.stream else scale.of((12, 130), (4, 10))))
    shelf = canned.Shelf(iter({n for numbers in rounds for n in numbers}), stream=case.stream)
    contest = _contest_async if case.is_async else _contest
    askonce.enable(case.store.path)
    try:
        contestants, close = contest(case, shelf)
        if case.pattern != "once":  # what is asked again and again is asked before the race too
            for name in ("askonce", "askonce.transport"):
                contestants[name](sorted({n for numbers in rounds for n in numbers}))
        before = askonce.stats()
        found = race(contestants, rounds, piece=1 if case.stream else 5)
        after = askonce.stats()
        assert after.hits - before.hits == sum(map(len, rounds)), f"every call was to be a hit: {after}"
        close()
    finally:
        askonce.disable()
    return found


def _contest(case: Case, shelf: canned.Shelf) -> tuple[dict[str, Timed], Callable[[], None]]:
    def client(transport: httpx2.BaseTransport | None = None) -> openai.OpenAI:
        http = openai.DefaultHttpxClient(transport=transport)
        return openai.OpenAI(api_key=calls.KEY, max_retries=0, http_client=http)

    clients = {
        "dict, content=": client(canned.Transport(shelf, chunked=False)),
        "dict, stream=": client(canned.Transport(shelf, chunked=True)),
        "dict at the pool": client(canned.pooled(shelf)),
        "askonce": client(),
        "askonce.transport": client(askonce.transport(canned.Transport(shelf, chunked=True), case.store.path)),
    }

    def asks(client: openai.OpenAI) -> Run:
        def ask_all(numbers: Sequence[int]) -> None:
            for n in numbers:
                calls.ask(client, n, stream=case.stream)

        return ask_all

    def close() -> None:
        for one in clients.values():
            one.close()

    sample = next(iter(shelf))[2]
    said = {calls.ask(one, calls.number_in(sample), stream=case.stream) for one in clients.values()}
    assert len(said) == 1, "all give the same answer"
    return {name: cpu(asks(one)) for name, one in clients.items()}, close


def _contest_async(case: Case, shelf: canned.Shelf) -> tuple[dict[str, Timed], Callable[[], None]]:
    runner = asyncio.Runner()

    def client(transport: httpx2.AsyncBaseTransport | None = None) -> openai.AsyncOpenAI:
        http = openai.DefaultAsyncHttpxClient(transport=transport)
        return openai.AsyncOpenAI(api_key=calls.KEY, max_retries=0, http_client=http)

    clients = {
        "dict, content=": client(canned.AsyncTransport(shelf, chunked=False)),
        "dict, stream=": client(canned.AsyncTransport(shelf, chunked=True)),
        "dict at the pool": client(canned.pooled_async(shelf)),
        "askonce": client(),
        "askonce.transport": client(
            askonce.transport(canned.AsyncTransport(shelf, chunked=True), case.store.path)
        ),
    }

    def asks(client: openai.AsyncOpenAI) -> Run:
        async def ask_all(numbers: Sequence[int]) -> None:
            for n in numbers:
                await calls.ask_async(client, n, stream=case.stream)

        return lambda numbers: runner.run(ask_all(numbers))

    def close() -> None:
        for one in clients.values():
            runner.run(one.close())
        runner.close()

    wanted = calls.number_in(next(iter(shelf))[2])
    said = {runner.run(calls.ask_async(one, wanted, stream=case.stream)) for one in clients.values()}
    assert len(said) == 1, "all give the same answer"
    return {name: cpu(asks(one)) for name, one in clients.items()}, close
