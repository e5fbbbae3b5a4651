"""How long one call waits for a storage far away, before it does without."""

from __future__ import annotations

import time


class Patience:
    """Add up what a call waits; entered while it does."""

    __slots__ = ("_since", "_spent", "limit")

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._spent = 0.0
        self._since = 0.0

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

    def __enter__(self) -> None:
        self._since = time.monotonic()

    def __exit__(self, *trouble: object) -> None:
        self._spent += time.monotonic() - self._since
