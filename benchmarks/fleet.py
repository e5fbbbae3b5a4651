"""A gateway on Redis costs at most 1.25 times one on SQLite; two on one Redis, a hundredth of LiteLLM's proxy.

Hits on what each process has in its memory, as after a minute's work: each server has been asked every question
twice, and the provider is gone. One worker each, on one core, with `wrk` on the other; what the Redis spends
meanwhile counts as theirs who use it. The servers take turns; the two gateways are asked at the same time.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx

from benchmarks import servers
from benchmarks.figures import Check, Result, Scale, Spread, Table, number, ratios
from benchmarks.gateway import Sample, gateway, load
from benchmarks.gateways import lacking, litellm
from benchmarks.serving import Server

_CONNECTIONS = 64
_QUESTIONS = (1, 100, 1000)
_LITELLM_HAS = 200  # answers in its memory
_LIMITS = (
    ("askonce, Redis", "askonce, SQLite", 1 / 0.8),
    ("two askonce, one Redis", "LiteLLM, Redis", 1 / 100),
)
"""What costs at the most so much of what."""


def run(scale: Scale) -> Result:
    """Race gateways that share a Redis, and one that does not."""
    if shutil.which("wrk") is None or shutil.which("redis-server") is None:
        raise SystemExit("The benchmark of gateways that share a store wants wrk and redis-server")
    checks, tables = [], []
    for questions in scale.of(_QUESTIONS, (1, 300)):
        found = _race(scale, questions)
        spent = {name: [sample.cpu for sample in samples] for name, samples in found.items()}
        name = f"{questions:,} question{'s in turn' * (questions > 1)}"
        for one, other, most in _LIMITS:
            if other in spent:
                over = Spread.of(ratios(spent[one], spent[other]))
                checks.append(Check(f"hit, {name}: {one}, beside {other}", over, most, "×"))
        tables.append(_table(name, found))
    return Result("fleet", str(__doc__).partition("\n")[0], checks, tables)


def _race(scale: Scale, questions: int) -> dict[str, list[Sample]]:
    with ExitStack() as stack:
        redis = stack.enter_context(servers.redis())
        store = redis.url(timeout="20")
        started: dict[str, list[Server]] = {}
        for name, starts in (
            ("askonce, SQLite", [gateway()]),
            ("askonce, Redis", [gateway(store=store)]),
            ("two askonce, one Redis", [gateway(store=store)] * 2),
            ("LiteLLM, Redis", [litellm("redis", redis.port)]),
        ):
            if name.startswith("LiteLLM") and questions > _LITELLM_HAS:
                continue
            if name.startswith("LiteLLM") and (need := lacking(name)) is not None:
                print(f"{name} is left out: there is no {need}")
                continue
            folders = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in starts]
            started[name] = [start(stack, folder, False) for start, folder in zip(starts, folders, strict=True)]
            for server in started[name]:
                _warm(server, questions)
        script = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        found: dict[str, list[Sample]] = {name: [] for name in started}
        for place in range(scale.of(5, 1) + 1):
            for name, ours in started.items():
                ask = partial(load, connections=_CONNECTIONS // len(ours), seconds=scale.of(4, 1))
                sample = _together(ours, script, partial(ask, stream=False, questions=questions), redis.cpu)
                if place or scale.quick:
                    found[name].append(sample)
        return found


def _together(
    ours: Sequence[Server], folder: Path, ask: Callable[[Server, Path], Sample], cpu: Callable[[], float]
) -> Sample:
    """Ask some servers at the same time; what the Redis spends is shared out among the requests."""
    before = cpu()
    with ThreadPoolExecutor(len(ours)) as threads:
        samples = list(threads.map(ask, ours, [folder / f"{place}.lua" for place in range(len(ours))]))
    requests = sum(sample.requests for sample in samples)
    spent = sum(sample.cpu * sample.requests for sample in samples) + cpu() - before
    rate, slow = sum(sample.rate for sample in samples), max(sample.slow for sample in samples)
    return replace(samples[0], requests=requests, cpu=spent / requests, rate=rate, slow=slow)


def _warm(server: Server, questions: int) -> None:
    """Ask each question until it is in the memory of the server, and take its provider away."""
    headers = {"content-type": "application/json", **server.headers}
    with httpx.Client(trust_env=False, timeout=30, headers=headers) as client:
        for place in range(3):
            for question in range(questions):
                answer = client.post(server.url, content=server.asked(question, stream=False))
                assert answer.status_code == 200, answer.text
            if place == 1 and server.upstream is not None:
                server.upstream.end()


def _table(name: str, found: dict[str, list[Sample]]) -> Table:
    base = [sample.cpu for sample in found["askonce, SQLite"]]
    rows = []
    for one, samples in found.items():
        spent = [sample.cpu for sample in samples]
        rate = number(statistics.median(sample.rate for sample in samples), 4)
        slow = number(statistics.median(sample.slow for sample in samples))
        cost = Spread.of(spent)
        rows.append([one, cost.times(1e6).show(), Spread.of(ratios(spent, base)).show(), rate, slow])
    columns = ["server", "CPU a hit (µs)", "beside askonce on SQLite", "hits a second", "99th percentile (ms)"]
    return Table(f"A hit through gateways that share a store: {name}, {_CONNECTIONS} connections", columns, rows)
