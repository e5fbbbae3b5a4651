"""The course of one call, for sync and async callers alike: a generator that yields what it needs of a driver.

`Ask` needs the request sent and its answer's head; `Wait` needs to know whether another call's answer is one to
follow. What the generator returns tells the driver what to give the caller.
"""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import Any, NamedTuple

from askonce._core.decide import Forward, Refuse, Replay
from askonce._core.messages import Answer, Request
from askonce._engine.cache import Cache, Call, Match
from askonce._engine.flight import Flight, Host, Phase
from askonce.notices import warn_once


class Ask(NamedTuple):
    """Send this request; be sent back the upstream answer."""

    request: Request


class Wait(NamedTuple):
    """Wait until this flight has an answer to follow; be sent back whether it has."""

    flight: Flight


class Played(NamedTuple):
    """Give the caller this answer, in a rhythm scaled by `scale`."""

    answer: Answer
    scale: float
    outcome: str


class Passed(NamedTuple):
    """Give the caller the upstream answer as it came."""

    upstream: Any


class Leading(NamedTuple):
    """Give the caller the upstream answer while recording it in this flight."""

    flight: Flight
    upstream: Any


class Following(NamedTuple):
    """Give the caller what this flight records."""

    flight: Flight


Outcome = Played | Passed | Leading | Following


def course(cache: Cache, request: Request, match: Match, host: Host) -> Generator[Ask | Wait, Any, Outcome]:
    """Run one call; `host` is where the caller runs."""
    try:
        call = cache.begin(request, match)
        if isinstance(call, Answer):
            return Played(call, 0.0, "refused")
        verdict = cache.settle(call)
    except Exception as error:  # a fault of ours must not become the program's
        warn_once(f"a request could not be understood and goes to the provider unrecorded: {error!r}")
        return Passed((yield Ask(request)))
    failures = 0
    while True:
        if isinstance(verdict, Replay):
            return Played(cache.replay(call, verdict.take), call.controls.delays or 0.0, "hit")
        if isinstance(verdict, Refuse):
            return Played(cache.refuse(call, verdict), 0.0, "refused")
        if not verdict.keep:
            cache.asked(call, verdict)
            return Passed((yield Ask(call.outgoing())))
        # Whoever has waited twice for an answer that did not come does not wait a third time.
        flight = cache.flights.join(call.name, host, alone=failures > 1)
        outcome: Leading | Following | None
        if flight.leader is host:
            outcome = yield from _lead(cache, call, verdict, flight)
        else:
            outcome = yield from _follow(cache, call, flight)
            # An answer that still comes, but not to this caller or not in time, is not waited for again.
            failures += 2 if flight.phase in (Phase.WAITING, Phase.FLOWING) else 1
        if outcome is not None:
            return outcome
        verdict = cache.settle(call)


def _lead(
    cache: Cache, call: Call, verdict: Forward, flight: Flight
) -> Generator[Ask | Wait, Any, Leading | None]:
    """Ask the provider; None when the answer turns out to be recorded by now."""
    with flight.aborted_on_error():
        if not verdict.replace and isinstance(cache.settle(call), Replay):
            flight.abort()
            return None
        cache.asked(call, verdict)
        flight.finish = partial(cache.keep, call, verdict)
        return Leading(flight, (yield Ask(call.outgoing())))


def _follow(cache: Cache, call: Call, flight: Flight) -> Generator[Ask | Wait, Any, Following | None]:
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
