"""Looking afterwards: what a store answers with the provider out of reach, and what it answers rightly."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable
from pathlib import Path

import httpx2

import askonce
from tests.survival.oracle import answer
from tests.survival.toll import Toll
from tests.survival.worker import Plan, ask


def lost(store: str | Path, url: str, numbers: Iterable[int], *, stream: bool = False) -> int:
    """Count the questions that a store does not answer, or not rightly."""
    plan = Plan(url, str(store), 0, 0, stream=stream)
    with (
        warnings.catch_warnings(action="ignore"),
        askonce.caching(store, mode="offline", domains=[url]),
        httpx2.Client(verify=False) as client,
    ):
        return sum(not ask(client, plan, number).startswith("right") for number in sorted(set(numbers)))


def asked_through(store: str | Path, url: str, numbers: Iterable[int], *, stream: bool = False) -> Toll:
    """Ask in this process, with a store in whatever state it is."""
    plan = Plan(url, str(store), 0, 0, stream=stream)
    toll = Toll()
    with (
        warnings.catch_warnings(action="ignore"),
        askonce.caching(store, domains=[url]),
        httpx2.Client(verify=False, timeout=30) as client,
    ):
        for number in numbers:
            outcome = ask(client, plan, number).split()[0]
            toll = toll.plus(Toll(calls=1, **{outcome: 1}))
    return toll


def seconds_until_kept(store: str | Path, url: str, number: int, patience: float = 60) -> float:
    """Ask a new question until its answer is kept; return how long that took."""
    started = time.monotonic()
    with (
        warnings.catch_warnings(action="ignore"),
        askonce.caching(store, domains=[url]) as cache,
        httpx2.Client(verify=False, timeout=30) as client,
    ):
        plan = Plan(url, str(store), 0, 0)
        while time.monotonic() - started < patience:
            ask(client, plan, number)
            if cache.stats.recorded:
                return time.monotonic() - started
            time.sleep(0.02)
    raise AssertionError(f"nothing was kept for {patience} s; the answer has {len(answer(number))} bytes")
