"""Identical calls in flight: one asks the provider, the others read along, each at its own pace.

A flight begins when a call is about to ask (it *leads*) and is over when its answer has been kept or given up.
Whoever joins meanwhile waits for the head, then reads what has come and pulls what has not; the provider's
stream belongs to all its readers, and is let go of when the last one leaves. If the leader fails before there
is an answer worth sharing, one of those who wait goes in its place.

The garbage collector may end a call anywhere, also inside these methods: the locks are reentrant.
"""

from __future__ import annotations

import copy
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import Enum
from functools import partial
from typing import Any, Protocol

from askonce._core.entry import Key
from askonce._core.messages import Answer, Chunk, Head
from askonce._core.tape import Left, Tape, keepable_headers
from askonce._engine.patience import Patience
from askonce._engine.writer import Job
from askonce.errors import UpstreamEnded
from askonce.forks import renew_in_children
from askonce.notices import warn_once

Name = tuple[Key, str | None, int]
"""A question, and the seed and slot of the take that its answer becomes."""


class Host(Protocol):
    """Where a caller runs: a thread, or a task of an event loop. Each call has one of its own."""

    @property
    def shares(self) -> bool:
        """Whether calls from here can be shared at all."""
        ...

    @property
    def may_wait(self) -> bool:
        """Whether the code that runs here may wait for a moment: not in an event loop, where others would too."""
        ...

    def can_follow(self, flight: Flight) -> bool:
        """Tell whether a caller here may wait for that flight."""
        ...

    def is_here(self) -> bool:
        """Tell whether this caller cannot go on before the code that runs in this thread now returns."""
        ...

    def ping(self, reply: Callable[[], None]) -> bool:
        """Have `reply` called from where this caller runs; False when nothing runs there any more."""
        ...


class Phase(Enum):
    """How far a flight is."""

    WAITING = "for the head"
    FLOWING = "chunks come"
    PRIVATE = "chunks come for those who read them, and nobody else is to: the answer is not worth it"
    OVER = "the body has ended"
    BROKEN = "the provider's stream broke off, or nobody reads it any more"
    ABORTED = "there is no answer"


_OPEN = (Phase.FLOWING, Phase.PRIVATE)
_JOINABLE = (Phase.WAITING, Phase.FLOWING)
_FINAL = (Phase.OVER, Phase.BROKEN, Phase.ABORTED)


class Flight:
    """One question on its way to the provider and back. `lock` guards phase and readers; chunks only grow."""

    def __init__(self, leader: Host) -> None:
        self.leader = leader
        self.lock = threading.RLock()
        self.phase = Phase.WAITING
        self.readers = 1
        self.leader_reads = True
        self.source: Any = None
        """Where chunks are pulled from: the driver's own."""
        self.finish: Callable[[Answer | str], Job | None] = _nothing
        """Called once with the complete answer, or with why there is none; returns what has still to be done."""
        self.written: Job | None = None
        """What keeps the answer, where that is not at once; who leads may wait for it."""
        self.patience = Patience(0.0)
        """How long that may take."""
        self.outcome: Answer | str | None = None
        self.claim: AbstractContextManager[None] = nullcontext()
        """To be entered while the provider is waited for."""
        self._afterwards: list[Callable[[Flight], None]] = []
        self._head: Head | None = None
        self._tape: Tape | None = None
        self._error: BaseException | None = None
        self._ending = threading.RLock()
        self._watchers: list[Callable[[], None]] = []
        self._shared: list[Callable[[Answer | str], None]] = []
        self._started = time.monotonic()
        self._pid = os.getpid()

    def afterwards(self, retire: Callable[[Flight], None]) -> None:
        """Have `retire` called once nobody can join any more: after its answer was kept, if it was."""
        with self.lock:
            if self.phase in _JOINABLE:
                self._afterwards.append(retire)
                return
        retire(self)

    # --- What the leader's driver says ---------------------------------------------------------------------

    @contextmanager
    def aborted_on_error(self) -> Iterator[None]:
        """Let nobody wait for a flight that does not get off the ground."""
        try:
            yield
        except BaseException:
            self.abort()
            raise

    def begin(self, head: Head, source: Any) -> None:
        """The head has come, and chunks can be pulled from `source`."""
        self._tape = Tape(head, self._elapsed())
        # What is the leader's own, such as its cookies, is no more for followers than it is for the store.
        self._head = Head(head.status, keepable_headers(head.headers), head.reason, head.http_version)
        self.source = source
        self._enter(Phase.PRIVATE if self._tape.worthless else Phase.FLOWING)

    def feed(self, data: bytes) -> None:
        """A chunk has come."""
        self.tape.feed(data, self._elapsed())
        if self.tape.worthless:
            self._enter(Phase.PRIVATE)
        else:
            self._wake()

    def end(self) -> None:
        """The body has ended, or all that matters of it has come: keep the answer if it is complete."""
        with self._ending:
            if self.phase in _OPEN:
                try:
                    outcome = self.tape.finish()
                except Exception as error:  # a fault of ours must not become the reader's
                    outcome = f"not understood ({error!r})"
                self._conclude(outcome)
                self._enter(Phase.OVER)

    def break_off(self, error: BaseException | None, why: str) -> None:
        """No more will come, and the end is missing."""
        with self._ending:
            if self.phase in _OPEN:
                self._error = error
                self._conclude(self.tape.worthless or why)
                self._enter(Phase.BROKEN)

    def abort(self) -> None:
        """There will be no answer; whoever waits goes on by itself."""
        self._enter(Phase.ABORTED)

    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def _conclude(self, outcome: Answer | str) -> None:
        try:
            self.written = self.finish(outcome)
        except Exception as error:  # the caller who reads must not suffer for what keeping ran into
            warn_once(f"an answer could not be kept: {error!r}")
        if self.written is not None and self.leader.may_wait and not self.written.wait(self.patience.left):
            self.written.writer.missed(self.written)
        with self.lock:
            self.outcome = outcome
            shared, self._shared = self._shared, []
        for tell in shared:
            tell(outcome)

    def _enter(self, phase: Phase) -> None:
        with self.lock:
            if self.phase not in _FINAL:
                self.phase = phase
            afterwards: list[Callable[[Flight], None]] = []
            if phase not in _JOINABLE:
                afterwards, self._afterwards = self._afterwards, afterwards
        for retire in afterwards:
            retire(self)
        self._wake()

    def _wake(self) -> None:
        with self.lock:
            watchers, self._watchers = self._watchers, []
        for wake in watchers:
            wake()

    # --- What readers ask ----------------------------------------------------------------------------------

    @property
    def head(self) -> Head:
        """The head, as followers get it."""
        assert self._head is not None, "the head has not come"
        return self._head

    @property
    def tape(self) -> Tape:
        assert self._tape is not None, "the head has not come"
        return self._tape

    @property
    def chunks(self) -> list[Chunk]:
        """What has come of the body so far."""
        return self.tape.chunks

    @property
    def is_over(self) -> bool:
        """Whether no more chunks will come."""
        return self.phase in (Phase.OVER, Phase.BROKEN)

    @property
    def is_joinable(self) -> bool:
        """Whether one more may follow."""
        return self.phase in _JOINABLE and self.readers > 0

    @property
    def is_worth_following(self) -> bool:
        """Whether, now that the head has come, this may become the answer of a call that has read nothing yet."""
        return self.phase is Phase.FLOWING or (self.phase is Phase.OVER and isinstance(self.outcome, Answer))

    @property
    def is_awaited_whole(self) -> bool:
        """Whether followers wait for the end: a part is of no use to them, and they can still go themselves."""
        return self.phase is Phase.FLOWING and self.tape.is_one_piece

    def has_more(self, have: int) -> bool:
        """Tell whether there are more than `have` chunks (-1: whether the head is there), or will be no more."""
        if self.phase is Phase.WAITING:
            return False
        return have < 0 or self.phase not in _OPEN or len(self.chunks) > have

    def watch(self, have: int, wake: Callable[[], None]) -> bool:
        """Have `wake` called, from any thread, when something has come; False when `has_more` is true already."""
        with self.lock:
            if self.has_more(have):
                return False
            self._watchers.append(wake)
            return True

    def raise_if_broken(self) -> None:
        """Raise what broke the provider's stream: the error itself, but for the second and further readers."""
        if self.phase is not Phase.BROKEN:
            return
        with self.lock:
            error, self._error = self._error, _copy(self._error)
        try:
            if isinstance(error, Exception):
                raise error
            raise UpstreamEnded(f"the answer this call was sharing ended early: {self.outcome}")
        finally:
            del error  # its traceback refers to this frame

    def share(self, tell: Callable[[Answer | str], None]) -> None:
        """Have `tell` called with the outcome, for one who follows."""
        with self.lock:
            if self.outcome is None:
                self._shared.append(tell)
                return
        tell(self.outcome)

    # --- Leaving -------------------------------------------------------------------------------------------

    @property
    def is_followed(self) -> bool:
        """Whether more is to come, and somebody other than the leader reads it."""
        return self.phase in _OPEN and self.readers > self.leader_reads

    def leave(self, *, drained: bool = False, leads: bool = False) -> Left | None:
        """One reader stops, the leader if it `leads`; return what the last one leaves while more could come.

        REST and COMPLETE leave its place taken, so that others can still join: for whoever fetches the rest
        (and leaves `drained`), or concludes. A process that was forked off leaves the rest to its parent.
        """
        with self.lock:
            self.leader_reads = self.leader_reads and not leads
            if self.readers > 1 or self.phase not in _OPEN:
                self.readers -= 1
                self._error = self._error if self.readers else None
                return None
            left = self.tape.left()
            if (drained and left is Left.REST) or self._pid != os.getpid():
                left = Left.FRAGMENT
            if left is Left.FRAGMENT:
                self.readers = 0
            return left

    def rejoin(self) -> bool:
        """Read on for one who still holds the answer but reads no more; False when there is nothing to fetch."""
        with self.lock:
            if self.phase not in _OPEN or self._pid != os.getpid() or self.tape.left() is Left.FRAGMENT:
                return False
            self.readers += 1
            return True

    def seal(self) -> bool:
        """Let nobody join any more, unless somebody has joined the one reader there is; tell whether it is so."""
        with self.lock:
            if self.readers > 1 or self.phase not in _OPEN:
                return False
            self.phase = Phase.PRIVATE
        self._enter(Phase.PRIVATE)
        return True

    def conclude(self, left: Left) -> None:
        """End what the last reader left."""
        if left is Left.COMPLETE:
            self.end()
        elif left is Left.REST:
            self.break_off(None, "the tail did not come in time")
        else:
            self.break_off(None, "the caller stopped reading")

    def depart(self, left: Left) -> bool:
        """Do the last of leaving, after the rest, if there was one, has been fetched or not.

        Tell whether the provider's stream is to be let go of; not so when others read on.
        """
        if left is not Left.REST:
            self.conclude(left)
        elif self.phase in _OPEN and self.tape.left() is Left.COMPLETE:
            self.end()  # for others too: nothing that matters can follow
        elif self.leave(drained=True) is not None:
            self.conclude(left)
        return self.is_over

    def give_up(self) -> None:
        """One that waited for the head no longer does."""
        left = self.leave(drained=True)
        if left is not None:
            self.source.close(left)


def _nothing(_: Answer | str) -> None:
    return None


def _copy(error: BaseException | None) -> BaseException | None:
    """Return an equal error that another thread can raise: a traceback belongs to one."""
    try:
        again = copy.copy(error)
    except Exception:  # an error that cannot be made from its arguments
        return None
    if again is not None:
        again.__cause__ = error
    return again


class Flights:
    """What is in flight in this process."""

    def __init__(self) -> None:
        self.renew()
        renew_in_children(self)

    def renew(self) -> None:
        """Begin with nothing, in a forked child too: the leaders stayed in the parent."""
        self._flights: dict[Name, Flight] = {}
        self._retired: deque[tuple[Name, Flight]] = deque()
        self._lock = threading.RLock()

    def has(self, name: Name) -> bool:
        """Tell whether a flight of that name can be joined."""
        flight = self._flights.get(name)
        return flight is not None and flight.is_joinable

    def __len__(self) -> int:
        self._tidy()
        return len(self._flights)

    def join(self, name: Name, host: Host, *, alone: bool) -> Flight:
        """Return the flight of that name to follow, or a new one whose leader is `host`.

        One that is `alone`, or cannot follow where the flight is led, gets a flight that nobody joins.
        """
        if alone or not host.shares:
            return Flight(host)
        with self._lock:
            flight = self._flights.get(name)
            if flight is not None:
                with flight.lock:
                    if flight.is_joinable:
                        if not host.can_follow(flight):
                            return Flight(host)
                        flight.readers += 1
                        return flight
            flight = self._flights[name] = Flight(host)
            flight.afterwards(partial(self._retire, name))
            return flight

    def _retire(self, name: Name, flight: Flight) -> None:
        """Let go of a flight that nobody can join, without waiting: another flight's lock may be held."""
        self._retired.append((name, flight))
        self._tidy()

    def _tidy(self) -> None:
        if self._lock.acquire(blocking=False):
            try:
                while self._retired:
                    name, flight = self._retired.popleft()
                    if self._flights.get(name) is flight:
                        del self._flights[name]
            finally:
                self._lock.release()
