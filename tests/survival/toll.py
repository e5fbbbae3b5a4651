"""What the worst days cost: a scenario states a promise, breaks something, and counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Toll(NamedTuple):
    """What became of calls and entries.

    `failed`: calls that failed and would not have without us. `confirmed`: entries that a caller could count
    on, `lost`: those of them that are gone or changed. `recovery` is in seconds, from the cure to the first
    entry kept.
    """

    calls: int = 0
    right: int = 0
    wrong: int = 0
    failed: int = 0
    confirmed: int = 0
    lost: int = 0
    recovery: float | None = None

    def plus(self, other: Toll) -> Toll:
        """Add up two tolls; the longer recovery counts."""
        counts = [one + more for one, more in zip(self[:6], other[:6], strict=True)]
        recoveries = [one.recovery for one in (self, other) if one.recovery is not None]
        return Toll(*counts, recovery=max(recoveries, default=None))

    @property
    def is_clean(self) -> bool:
        """Whether something was called, each call has the right answer, and all that was confirmed is there."""
        return self.calls > 0 and self.calls == self.right and self[2:4] == (0, 0) and self.lost == 0


class Scenario(NamedTuple):
    """One bad day. `run` gets an empty folder and how often: `small` in the tests, `full` for `make survival`."""

    name: str
    promise: str
    injected: str
    run: Callable[[Path, int], Toll]
    small: int
    full: int
    lacks: Callable[[], str | None] = lambda: None
    """Say what this machine lacks for it, if anything."""
