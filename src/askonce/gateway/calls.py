"""What the journal notes of one request: a value that grows while it passes, and is written at its end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from askonce._core.entry import Question, Take
from askonce._core.messages import Answer


@dataclass(slots=True)
class Call:
    """One request on its way. `outcome` is hit, shared, miss, bypass, refused or error; times are in seconds."""

    method: str
    path: str
    upstream: str = ""
    outcome: str = "bypass"
    status: int = 0
    customer: str = ""
    question: Question | None = None
    take: Take | None = None
    answer: Answer | None = None
    omit: bool = False
    why: str = ""
    trace: Mapping[str, str] = field(default_factory=dict)
    size: int = 0
    at: float = field(default_factory=time.time)
    started: float = field(default_factory=time.perf_counter)
    first: float | None = None
    seconds: float = 0.0

    def anew(self) -> Call:
        """Return the note of another request for the same."""
        fresh = Call(self.method, self.path, self.upstream, customer=self.customer, trace=self.trace)
        fresh.question, fresh.omit = self.question, self.omit
        return fresh

    def began(self, status: int) -> None:
        """The head goes out."""
        self.status = status

    def sent(self, size: int) -> None:
        """A part of the body goes out."""
        if self.first is None:
            self.first = time.perf_counter() - self.started
        self.size += size

    def ended(self) -> None:
        """All is said."""
        self.seconds = time.perf_counter() - self.started


class Again(NamedTuple):
    """A call like one before in all but its time: `at` in Unix seconds, and how many seconds it took."""

    call: Call
    at: float
    seconds: float
