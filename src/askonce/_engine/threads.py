"""Threads, as places where callers run: what may be waited for there, and for how long."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

from askonce._engine.flight import Flight, Host, Phase
from askonce._engine.upstream import BODY_SILENCE, HEAD_SILENCE, PATIENCE


def replies(host: Host) -> bool:
    """Tell whether a caller there still makes progress."""
    replied = threading.Event()
    return host.ping(replied.set) and replied.wait(HEAD_SILENCE)


def wait(flight: Flight, have: int, patience: float | None) -> bool:
    """Wait until there are more than `have` chunks (-1: until there is a head), or will be no more.

    False when nothing came for `patience` seconds, or nothing moves any more where the flight is led.
    """
    came, replied = threading.Event(), threading.Event()
    if not flight.watch(have, came.set):
        return True
    vigil = Vigil(flight, patience)
    while True:
        replied.clear()
        if not flight.leader.ping(replied.set):
            return False
        if came.wait(vigil.step):
            return True
        if vigil.is_hopeless(replied=replied.is_set()):
            return False


class Vigil:
    """How long one call has waited for another."""

    def __init__(self, flight: Flight, patience: float | None) -> None:
        self._flight = flight
        self._left = math.inf if patience is None else patience
        self._quiet = 0.0

    @property
    def step(self) -> float:
        """Seconds to wait before the next look."""
        return min(PATIENCE, self._left)

    def is_hopeless(self, *, replied: bool) -> bool:
        """Tell whether to give up, when nothing came in the last step; `replied`: where the flight is led."""
        step = self.step
        self._left -= step
        self._quiet = 0.0 if replied else self._quiet + step
        can_still_ask = self._flight.phase is Phase.WAITING or self._flight.is_awaited_whole
        return self._left <= 0 or self._quiet >= (HEAD_SILENCE if can_still_ask else BODY_SILENCE)


class Thread:
    """A sync caller."""

    shares = True
    may_wait = True

    def __init__(self) -> None:
        self._ident = threading.get_ident()

    def can_follow(self, flight: Flight) -> bool:
        """Anyone, but for a caller that this very call keeps from going on."""
        return not flight.leader.is_here() or (isinstance(flight.leader, Thread) and flight.phase is Phase.FLOWING)

    def is_here(self) -> bool:
        return self._ident == threading.get_ident()

    def ping(self, reply: Callable[[], None]) -> bool:
        """A thread that asks is bounded by its own timeouts."""
        reply()
        return True
