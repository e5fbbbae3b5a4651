"""Measure several ways of doing one thing in turns, so that noise falls on all of them alike."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Mapping, Sequence

Run = Callable[[Sequence[int]], object]
"""Does the operation once for each number."""

Timed = Callable[[Sequence[int]], float]
"""The same, and returns the seconds that one operation took."""


def cpu(run: Run) -> Timed:
    """Time a way of doing it by the CPU time of this thread."""

    def timed(numbers: Sequence[int]) -> float:
        start = time.thread_time_ns()
        run(numbers)
        return (time.thread_time_ns() - start) / len(numbers) / 1e9

    return timed


def wall(run: Run) -> Timed:
    """Time a way of doing it by the clock on the wall."""

    def timed(numbers: Sequence[int]) -> float:
        start = time.perf_counter_ns()
        run(numbers)
        return (time.perf_counter_ns() - start) / len(numbers) / 1e9

    return timed


def race(
    contestants: Mapping[str, Timed], rounds: Sequence[Sequence[int]], piece: int | None = None
) -> dict[str, list[float]]:
    """Return each contestant's seconds per operation, round by round; the first round only warms up.

    In each round all get the same numbers, `piece` of them at a turn (by default all at once), and at each turn in
    an order that is drawn anew. A round's figure is the mean: what is costly once in a while belongs to it.
    """
    draw = random.Random(len(rounds))
    names = list(contestants)
    found: dict[str, list[float]] = {name: [] for name in names}
    gc.collect()
    gc.freeze()  # a collection then looks at what the calls leave, not at the modules of every SDK
    try:
        for place, numbers in enumerate(rounds):
            spent = dict.fromkeys(names, 0.0)
            gc.collect()
            for start in range(0, len(numbers), piece or len(numbers)):
                part = numbers[start : start + (piece or len(numbers))]
                draw.shuffle(names)
                for name in names:
                    spent[name] += contestants[name](part) * len(part)
            if place:
                for name in names:
                    found[name].append(spent[name] / len(numbers))
    finally:
        gc.unfreeze()
    return found
