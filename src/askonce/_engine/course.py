"""The course of one call, for sync and async callers alike: a generator that yields what it needs of a driver.

`Ask` needs the request sent and its answer's head; `Wait` needs to know whether another call's answer is one to
follow; `Nap` needs time to pass; `Do` needs something done that may take long. What the generator returns tells
the driver what to give the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import Any, NamedTuple, TypeVar

from askonce._core.coding import CODINGS
from askonce._core.controls import Mode
from askonce._core.decide import Forward, Refuse, Replay, Verdict
from askonce._core.entry import Take
from askonce._core.messages import Answer, Request
from askonce._engine.cache import Cache
from askonce._engine.call import Call, Match
from askonce._engine.flight import Flight, Host, Phase
from askonce._engine.patience import Patience
from askonce._engine.upstream import HEAD_SILENCE
from askonce._engine.workers import Workers
from askonce.notices import warn_once

T = TypeVar("T")


class Ask(NamedTuple):
    """Send this request; be sent back the upstream answer."""

    request: Request


class Wait(NamedTuple):
    """Wait until this flight has an answer to follow; be sent back whether it has."""

    flight: Flight


class Nap(NamedTuple):
    """Let so much time pass: another process asks the same."""

    seconds: float


class Do(NamedTuple):
    """Do this, which may wait for a storage far away; be sent back what it returns."""

    action: Callable[[], Any]
    workers: Workers


class Played(NamedTuple):
    """Give the caller this answer, in a rhythm scaled by `scale`; `take` is where it is from, if recorded."""

    answer: Answer
    scale: float
    outcome: str
    take: Take | None = None


class Passed(NamedTuple):
    """Give the caller the upstream answer as it came."""

    upstream: Any


class Leading(NamedTuple):
    """Give the caller the upstream answer while recording it in this flight, as the verdict says."""

    flight: Flight
    upstream: Any
    verdict: Forward


class Following(NamedTuple):
    """Give the caller what this flight records."""

    flight: Flight


Need = Ask | Wait | Nap | Do
Outcome = Played | Passed | Leading | Following

_ELSEWHERE_SECONDS = 120.0  # for which another process's answer is waited for, if that goes on reading it
_SHORTEST_NAP, _LONGEST_NAP = 0.002, 0.05


def course(
    cache: Cache, request: Request, match: Match, host: Host, codings: frozenset[str] = CODINGS
) -> Generator[Need, Any, Outcome]:
    """Run one call; `host` is where the caller runs, `codings` are those in which an answer can be recorded."""
    try:
        call = cache.begin(request, match)
        if isinstance(call, Answer):
            return Played(call, 0.0, "refused")
    except Exception as error:  # a fault of ours must not become the program's
        warn_once(f"a request could not be understood and goes to the provider unrecorded: {error!r}")
        return Passed((yield Ask(request)))
    return (yield from run(cache, call, host, codings))


def run(cache: Cache, call: Call, host: Host, codings: frozenset[str] = CODINGS) -> Generator[Need, Any, Outcome]:
    """Run one call that has been read."""
    patience = Patience(cache.guard.patience)
    try:
        turn = cache.turn(call)
        while cache.is_fetching(call):
            yield Nap(_LONGEST_NAP)
        verdict = yield from _settle(cache, call, turn, patience)
    except Exception as error:
        warn_once(f"a request could not be decided on and goes to the provider unrecorded: {error!r}")
        return Passed((yield Ask(call.outgoing())))
    failures = 0
    while isinstance(verdict, Forward) and verdict.keep:
        # Whoever has waited twice for an answer that did not come does not wait a third time.
        is_patient = failures < 2
        slot = verdict.slots[0]
        if is_patient and len(verdict.slots) > 1:
            pick = partial(cache.pick_slot, call, verdict)
            slot = yield from _far(cache, patience, pick, partial(max, verdict.slots))
        flight = cache.flights.join(call.name(slot), host, alone=not is_patient)
        if flight.leader is host:
            steps = _lead(cache, call, turn, slot, flight, codings, patience, is_patient=is_patient)
            outcome = yield from steps
            if isinstance(outcome, Leading):
                return outcome
            verdict = outcome
        else:
            following = yield from _follow(cache, call, flight)
            if following is not None:
                return following
            # An answer that still comes, but not to this caller or not in time, is not waited for again.
            failures += 2 if flight.phase in (Phase.WAITING, Phase.FLOWING) else 1
            patience.renew()
            verdict = yield from _settle(cache, call, turn, patience)
    if isinstance(verdict, Replay):
        return Played(cache.replay(call, *verdict), call.controls.delays or 0.0, "hit", verdict.take)
    if isinstance(verdict, Refuse):
        return Played(cache.refuse(call, verdict), 0.0, "refused")
    cache.asked(call, verdict)
    return Passed((yield Ask(call.outgoing())))


def _settle(cache: Cache, call: Call, turn: int, patience: Patience) -> Generator[Need, Any, Verdict]:
    """Decide with what the storage holds, or without."""
    verdict = cache.settle_at_once(call, turn)
    if verdict is None:
        settle, without = partial(cache.settle, call, turn), partial(cache.settle_without, call, turn)
        verdict = yield from _far(cache, patience, settle, without)
    return verdict


def _far(
    cache: Cache, patience: Patience, action: Callable[[], T], otherwise: Callable[[], T]
) -> Generator[Need, Any, T]:
    """Do something with the storage; if that is far away, only as long as the call has patience."""
    workers = cache.guard.workers
    if workers is None:
        return action()
    if patience.is_over:
        return otherwise()
    result: T = yield Do(patience.while_doing(action), workers)
    return result


def _lead(
    cache: Cache,
    call: Call,
    turn: int,
    slot: int,
    flight: Flight,
    codings: frozenset[str],
    patience: Patience,
    *,
    is_patient: bool,
) -> Generator[Need, Any, Leading | Verdict]:
    """Ask the provider, unless another process does; return another verdict when there is one by now."""
    with flight.aborted_on_error():
        claim = cache.claim(call, slot)

        def attempt() -> tuple[bool, Verdict]:
            if is_ours := claim.take():
                flight.claim = claim
                flight.afterwards(lambda _: claim.release())
            return is_ours, cache.settle(call, turn)  # after claiming: what another process has kept is there now

        def give_up() -> tuple[bool, Verdict]:
            return True, cache.settle_without(call, turn)

        waited = quiet = 0.0
        while True:
            is_ours, verdict = yield from _far(cache, patience, attempt, give_up)
            if not isinstance(verdict, Forward) or slot not in verdict.slots:
                flight.abort()
                return verdict
            if is_ours or not is_patient or call.controls.mode is Mode.REFRESH:
                break
            if waited >= _ELSEWHERE_SECONDS or quiet >= HEAD_SILENCE:
                break
            seconds = min(_SHORTEST_NAP + waited / 8, _LONGEST_NAP)
            is_read = yield from _far(cache, patience, claim.is_being_read, lambda: True)
            quiet = 0.0 if is_read else quiet + seconds
            waited += seconds
            yield Nap(seconds)
            patience.renew()
        cache.asked(call, verdict)
        cache.take_place(call, turn, flight)
        flight.finish = partial(cache.keep, call, verdict, slot)
        flight.patience = patience
        with flight.claim:
            upstream = yield Ask(call.outgoing(codings))
        return Leading(flight, upstream, verdict)


def _follow(cache: Cache, call: Call, flight: Flight) -> Generator[Need, Any, Following | None]:
    """Wait for another call's answer; None when it is none to follow."""
    try:
        if (yield Wait(flight)) and call.accepts(flight.head):
            flight.share(partial(cache.shared, call))
            return Following(flight)
    except BaseException:
        flight.give_up()
        raise
    flight.give_up()
    return None
