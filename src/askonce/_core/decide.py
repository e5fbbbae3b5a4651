"""What to do with one call. A generator without I/O: it yields what it needs, is sent it, and returns a verdict.

Run it with a driver that answers `Find` with the takes under a key and `Recent` with the questions to compare
with; the same generator serves sync and async callers, in process and at the gateway.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, NamedTuple

from askonce._core.controls import Controls, Mode
from askonce._core.entry import Key, Question, Take
from askonce._core.nearest import describe_miss
from askonce._core.rotation import choose


class Find(NamedTuple):
    """Needs the takes under this key."""

    key: Key


class Recent(NamedTuple):
    """Needs recorded questions that could be near this one."""

    question: Question


class Replay(NamedTuple):
    """Answer from the store."""

    take: Take


class Forward(NamedTuple):
    """Ask the provider; `keep` the answer, and let it `replace` what is there. `why` is for people."""

    keep: bool
    replace: bool
    why: str


class Refuse(NamedTuple):
    """Answer with an error that says `message`."""

    message: str


Need = Find | Recent
Verdict = Replay | Forward | Refuse


def decide(question: Question, controls: Controls, now: float) -> Generator[Need, Any, Verdict]:
    """Decide on one call. `controls` are complete: its mode is set; `now` is in Unix seconds."""
    mode = controls.mode
    if mode is Mode.OFF:
        return Forward(keep=False, replace=False, why="the cache is off for this call")
    if mode is Mode.REFRESH:
        return Forward(keep=True, replace=True, why="a fresh answer was asked for")
    takes: Sequence[Take] = yield Find(question.key)
    take = choose(takes, controls.seed)
    stale = take is not None and not take.fresh(now, reader_ttl(controls))
    if take is not None and not stale:
        return Replay(take)
    if mode is Mode.OFFLINE:
        if take is not None:
            return Refuse(
                f"This question was recorded {take.age(now):,.0f} s ago, which is past its time to live "
                f"({_least(take.ttl, reader_ttl(controls)):,.0f} s). Ask for it again with mode='record', or "
                "allow older answers with a longer ttl."
            )
        recorded: Sequence[Question] = yield Recent(question)
        return Refuse(describe_miss(question, recorded, controls.seed))
    return Forward(
        keep=mode is Mode.RECORD,
        replace=stale,
        why="the recorded answer is too old" if stale else "not recorded yet",
    )


def reader_ttl(controls: Controls) -> float | None:
    """Return the age in seconds beyond which this call takes no answer, None for none."""
    if controls.ttl is None or controls.max_age is None:
        return controls.max_age if controls.ttl is None else controls.ttl
    return min(controls.ttl, controls.max_age)


def _least(one: float | None, other: float | None) -> float:
    return min(value for value in (one, other) if value is not None)
