"""How long one call waits for a storage far away, before it does without."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Patience:
    """Add up what a call waits."""

    __slots__ = ("_spent", "limit")

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._spent = 0.0

    @property
    def is_over(self) -> bool:
        """Whether one more question, which may take half of the time by itself, is one too many."""
        return self._spent >= self.limit / 2

    @property
    def left(self) -> float:
        """Seconds that the call may still wait."""
        return max(0.0, self.limit - self._spent)

    def renew(self) -> None:
        """Begin anew, when the call has waited for something else."""
        self._spent = 0.0

    def while_doing(self, action: Callable[[], T]) -> Callable[[], T]:
        """Return what does the same and counts the time from now until it is done.

        That its result is then not looked at at once, since an event loop is busy, is not the storage's fault.
        """
        since = time.monotonic()

        def timed() -> T:
            try:
                return action()
            finally:
                self._spent += time.monotonic() - since

        return timed
