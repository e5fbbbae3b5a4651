"""What the cache has done so far in this process."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

from askonce._core.messages import Answer
from askonce.forks import renew_in_children


class Stats(NamedTuple):
    """Counts of calls, and what the hits among them saved.

    `hits` were answered from the store; `shared` from an identical call in flight; `misses` were asked;
    `recorded` of those were kept; `refused` could not be answered offline; `bypassed` went past the cache.
    """

    hits: int = 0
    shared: int = 0
    misses: int = 0
    recorded: int = 0
    refused: int = 0
    bypassed: int = 0
    bytes_saved: int = 0
    seconds_saved: float = 0.0
    tokens_saved: int = 0

    def __str__(self) -> str:
        calls = self.hits + self.shared + self.misses + self.refused + self.bypassed
        return (
            f"{calls} calls: {self.hits} from the store, {self.shared} shared, {self.misses} asked "
            f"({self.recorded} recorded), {self.refused} refused, {self.bypassed} bypassed; saved "
            f"{self.seconds_saved:,.1f} s, {self.tokens_saved:,} tokens, {self.bytes_saved:,} bytes"
        )


class Meter:
    """Count, from any thread."""

    def __init__(self) -> None:
        self._counts: dict[str, Any] = Stats()._asdict()
        self.renew()
        renew_in_children(self)

    def renew(self) -> None:
        """Begin with a lock of one's own, in a forked child too."""
        self._lock = threading.RLock()  # the garbage collector may end a call, and count it, anywhere

    @property
    def stats(self) -> Stats:
        with self._lock:
            return Stats(**self._counts)

    def count(self, name: str) -> None:
        """Add one to the count of that name."""
        with self._lock:
            self._counts[name] += 1

    def count_saved(self, name: str, answer: Answer) -> None:
        """Add one to the count of that name, and what not asking for this answer saved."""
        counts = self._counts
        with self._lock:
            counts[name] += 1
            counts["bytes_saved"] += answer.size
            counts["seconds_saved"] += answer.seconds
            counts["tokens_saved"] += answer.usage.tokens
