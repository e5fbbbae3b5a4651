"""Hits that wait to be written, those of one entry together, so that a hit costs a store far away no command."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from askonce._core.entry import Key, Take
from askonce.forks import renew_in_children

_MOST = 4096  # entries
_SECONDS = 5.0


class Counted(NamedTuple):
    """Hits on one entry: how many, when the last was (Unix time), and what they saved."""

    key: Key
    times: int
    used: float
    micros: int
    tokens: int


class Tally:
    """Count hits, until there are enough, or the first has waited long enough."""

    def __init__(self) -> None:
        self.renew()
        renew_in_children(self)

    def renew(self) -> None:
        """Begin anew in a forked child; the hits that were not yet written are the parent's to write."""
        self._hits: dict[Key, tuple[int, float, float, int]] = {}
        self._lock = threading.Lock()
        self._taken = time.monotonic()

    def note(self, key: Key, take: Take, now: float, times: int) -> bool:
        """Count; tell whether it is time to write."""
        answer = take.answer
        with self._lock:
            before, used, seconds, tokens = self._hits.get(key, (0, 0.0, 0.0, 0))
            seconds += times * answer.seconds
            self._hits[key] = before + times, max(used, now), seconds, tokens + times * answer.usage.tokens
            return len(self._hits) >= _MOST or time.monotonic() - self._taken > _SECONDS

    def drain(self) -> Sequence[Counted]:
        """Return all, to be written by the caller."""
        with self._lock:
            hits, self._hits = self._hits, {}
            self._taken = time.monotonic()
        return [
            Counted(key, times, float(used), round(1e6 * seconds), tokens)
            for key, (times, used, seconds, tokens) in hits.items()
        ]
