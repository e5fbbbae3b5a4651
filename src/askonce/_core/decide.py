"""What to do with one call. A generator without I/O: it yields what it needs, is sent it, and returns a verdict.

Run it with a driver that answers `Find` with the takes under a key and `Recent` with the questions to compare
with; the same generator serves sync and async callers, in process and at the gateway.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, NamedTuple, Protocol

from askonce._core.controls import Controls, Mode
from askonce._core.entry import CACHY, Key, Question, Take
from askonce._core.messages import Answer
from askonce._core.nearest import describe_miss
from askonce._core.rotation import Repeat, choose, free_slots


class Imported(Protocol):
    """Answers from elsewhere that may be given to this call: the keys to look under, and whether one fits."""

    @property
    def keys(self) -> Sequence[Key]: ...

    def fits(self, answer: Answer) -> bool: ...


class Find(NamedTuple):
    """Needs the takes under this key."""

    key: Key


class Recent(NamedTuple):
    """Needs recorded questions that could be near this one."""

    question: Question


class Replay(NamedTuple):
    """Answer from the store; `imported` is the key of an imported take that stands in for one of our own."""

    take: Take
    imported: Key | None = None


class Forward(NamedTuple):
    """Ask the provider; `keep` the answer in one of `slots`, and let it `replace` what is there.

    `why` is for people.
    """

    keep: bool
    replace: bool
    why: str
    slots: tuple[int, ...] = (0,)


class Refuse(NamedTuple):
    """Answer with an error that says `message`."""

    message: str


Need = Find | Recent
Verdict = Replay | Forward | Refuse


def decide(
    question: Question, controls: Controls, now: float, turn: int = 0, imported: Imported | None = None
) -> Generator[Need, Any, Verdict]:
    """Decide on one call. `controls` are complete: its mode is set; `now` is in Unix seconds.

    `turn` is the how-manieth call like it this is, or the how-manieth to be answered from the store (`rotate`).
    What was `imported` answers where nothing of our own does.
    """
    mode = controls.mode
    repeat = controls.repeat or Repeat.SAME
    slot = turn if repeat is Repeat.SEQUENCE else 0
    if mode is Mode.OFF:
        return Forward(keep=False, replace=False, why="the cache is off for this call")
    if mode is Mode.REFRESH:
        return Forward(keep=True, replace=True, why="a fresh answer was asked for", slots=(slot,))
    takes: Sequence[Take] = yield Find(question.key)
    fresh = [one for one in takes if one.fresh(now, reader_ttl(controls))]
    samples = controls.samples or 1
    if samples > 1 and mode is Mode.RECORD and repeat is not Repeat.SEQUENCE:
        slots = free_slots(fresh, controls.seed, samples)
        if slots:
            why = f"{samples - len(slots)} of {samples} answers are recorded"
            return Forward(keep=True, replace=len(fresh) < len(takes), why=why, slots=slots)
    take = choose(fresh, controls.seed, repeat, turn)
    if take is not None:
        return Replay(take)
    stale = choose(takes, controls.seed, repeat, turn)
    if stale is None and slot == 0 and imported is not None:
        for key in imported.keys:
            for other in (yield Find(key)):
                if other.fresh(now, reader_ttl(controls)) and imported.fits(other.answer):
                    return Replay(other, key)
    if mode is Mode.OFFLINE:
        if stale is not None:
            return Refuse(
                f"This question was recorded {stale.age(now):,.0f} s ago, which is past its time to live "
                f"({_least(stale.ttl, reader_ttl(controls)):,.0f} s). Ask for it again with mode='record', or "
                "allow older answers with a longer ttl."
            )
        if repeat is Repeat.SEQUENCE and (count := sum(one.seed == controls.seed for one in takes)):
            return Refuse(
                f"askonce is offline, and this is call {turn + 1} of this run that asks just this; {count} "
                f"{'answer is' if count == 1 else 'answers are'} recorded. Record it once with mode='record' "
                "(ASKONCE_MODE=record)."
            )
        recorded: Sequence[Question] = yield Recent(question)
        known = [one for one in recorded if one.provider != CACHY]  # an imported question says nothing
        return Refuse(describe_miss(question, known, controls.seed))
    return Forward(
        keep=mode is Mode.RECORD,
        replace=stale is not None,
        why="not recorded yet" if stale is None else "the recorded answer is too old",
        slots=(slot if stale is None or stale.seed != controls.seed else stale.slot,),
    )


def reader_ttl(controls: Controls) -> float | None:
    """Return the age in seconds beyond which this call takes no answer, None for none."""
    if controls.ttl is None or controls.max_age is None:
        return controls.max_age if controls.ttl is None else controls.ttl
    return min(controls.ttl, controls.max_age)


def _least(one: float | None, other: float | None) -> float:
    return min(value for value in (one, other) if value is not None)
