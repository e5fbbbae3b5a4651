"""What is found in a file: a question with a take of it, or something that is passed over, and why."""

from __future__ import annotations

from typing import NamedTuple

from askonce._core.entry import Question, Take


class Recorded(NamedTuple):
    """A question and one answer to it. `place` says where in its file, for people."""

    place: str
    question: Question
    take: Take


class Skipped(NamedTuple):
    """Something that is not kept: `what` it is (a method and a URL, mostly), and the `reason`."""

    place: str
    what: str
    reason: str


Finding = Recorded | Skipped
