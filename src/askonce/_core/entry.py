"""What the store holds under one key: the question, and its takes."""

from __future__ import annotations

import json
from typing import NamedTuple

from askonce._core.messages import Answer

Key = bytes
"""The 32 bytes of a SHA-256. Compared whole, never a prefix."""

CACHY = "cachy"
"""Stands for the provider's name in entries imported from cachy, which does not say whom it asked, or what."""

MARK_KEY: Key = b"askonce: imported from elsewhere"
"""Is the key of an entry in those stores that hold imported answers: one look-up tells."""


class Question(NamedTuple):
    """What was asked. `head` and `body` are the canonical form that `key` identifies; no secret is in them.

    `tags` are what whoever recorded the latest answer called it; they identify nothing.
    """

    key: Key
    head: bytes
    body: bytes
    provider: str
    kind: str
    model: str
    partition: str
    tags: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """The URL that was asked, without secrets."""
        return str(json.loads(self.head)["url"])


class Take(NamedTuple):
    """One recorded answer. `seed` and `slot` name it among the takes of one question; times are Unix seconds."""

    answer: Answer
    recorded: float
    seed: str | None = None
    ttl: float | None = None
    slot: int = 0

    @property
    def footprint(self) -> int:
        """About how many bytes of memory it takes: CPython's objects weigh more than what is in them."""
        head = sum([170 + len(name) + len(value) for name, value in self.answer.head.headers])
        return 800 + head + 140 * len(self.answer.chunks) + self.answer.size

    def age(self, now: float) -> float:
        """Return the seconds since recording; a clock that went backwards makes nothing old."""
        return max(0.0, now - self.recorded)

    def fresh_until(self, ttl: float | None) -> float | None:
        """Return until when (Unix seconds) `fresh` is true for a reader with this time to live; None for ever."""
        ends = [self.recorded + seconds for seconds in (self.ttl, ttl) if seconds is not None]
        return min(ends) if ends else None

    def fresh(self, now: float, ttl: float | None) -> bool:
        """Tell whether neither the recorder's nor the reader's time to live (seconds) has passed."""
        if self.ttl is None and ttl is None:
            return True
        age = self.age(now)
        return (self.ttl is None or age < self.ttl) and (ttl is None or age < ttl)


class Entry(NamedTuple):
    """Everything known under one key, as listings see it. `used` is when it last answered, in Unix seconds."""

    question: Question
    takes: tuple[Take, ...]
    hits: int = 0
    used: float = 0.0

    @property
    def recorded(self) -> float:
        """When its latest take was recorded, in Unix seconds."""
        return max((take.recorded for take in self.takes), default=0.0)
