"""Clocks that go backwards, stand still, and leap."""

from __future__ import annotations

from pathlib import Path

from tests.survival.looking import lost
from tests.survival.oracle import Oracle
from tests.survival.toll import Scenario, Toll
from tests.survival.worker import Plan, finished

_LEAPS = """
import random, time
real, chance, shift = time.time, random.Random(3), [0.0]

def leaping():
    if chance.random() < 0.2:
        shift[0] = chance.choice((0, -86400, 86400 * 400, -86400 * 9000, 0.5, -0.5))
    return real() + shift[0]

time.time = leaping
"""


def leap(folder: Path, rounds: int) -> Toll:
    """Ask forty questions over and over while the clock leaps by years; then look with a clock that is right."""
    with Oracle() as oracle:
        plan = Plan(oracle.url, str(folder / "cache.db"), 0, 40, threads=4, rounds=rounds, prelude=_LEAPS)
        toll = finished(plan, ASKONCE_TTL="30d")
        stale = finished(plan._replace(prelude="", rounds=1))
        return toll.plus(stale)._replace(confirmed=40, lost=lost(folder / "cache.db", oracle.url, range(40)))


SCENARIOS = [
    Scenario(
        "a clock that leaps",
        "A time to live that cannot be trusted costs a call, never a wrong answer",
        "`time.time` leaps by a day, a year, 25 years, forwards and back, while entries live 30 days",
        leap,
        5,
        200,
    )
]
