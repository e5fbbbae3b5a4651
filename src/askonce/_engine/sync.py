"""The driver for sync callers, and the bodies that they read."""

from __future__ import annotations

import atexit
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from askonce._core.coding import CODINGS
from askonce._core.messages import Answer, Head, Request
from askonce._core.playback import head_pause, pieces
from askonce._core.tape import Left
from askonce._engine.cache import Cache
from askonce._engine.call import Match
from askonce._engine.course import Ask, Do, Following, Leading, Nap, Outcome, Passed, Played, Wait, course
from askonce._engine.flight import Flight
from askonce._engine.threads import Thread, replies, wait
from askonce._engine.upstream import DRAIN_SECONDS, Upstream, closed, open_streams, opened
from askonce.errors import UpstreamEnded

STOPPED = "the event loop that this answer was coming through has stopped"


class Answered(NamedTuple):
    """An answer of ours: recorded, refused, or being recorded while it is read."""

    head: Head
    body: ReplayBody | SharedBody
    outcome: str


def ask(
    cache: Cache,
    request: Request,
    match: Match,
    forward: Callable[[Request], Upstream],
    patience: float | None = None,
    codings: frozenset[str] = CODINGS,
) -> Answered | Upstream:
    """Answer one request, from the store or by `forward`; an Upstream goes to the caller as it came.

    `patience` is in seconds: how long the caller would wait for a provider that is silent. `codings` are the
    content codings in which an answer can be recorded.
    """
    outcome = _run(cache, request, match, forward, patience, codings)
    match outcome:
        case Played(answer, scale, name, _):
            if scale:
                time.sleep(head_pause(answer, scale))
            return Answered(answer.head, ReplayBody(answer, scale), name)
        case Leading(flight, upstream, _):
            with flight.aborted_on_error():
                flight.begin(upstream.head, Source(flight, upstream))
            return Answered(upstream.head, SharedBody(flight, leads=True), "miss")
        case Following(flight):
            return Answered(flight.head, SharedBody(flight), "shared")
        case Passed(upstream):
            passed: Upstream = upstream
            return passed


def _run(
    cache: Cache,
    request: Request,
    match: Match,
    forward: Callable[[Request], Upstream],
    patience: float | None,
    codings: frozenset[str],
) -> Outcome:
    steps = course(cache, request, match, Thread(), codings)
    try:
        need = next(steps)
        while True:
            result: Any
            try:
                match need:
                    case Ask(asked):
                        result = forward(asked)
                    case Wait(flight):
                        result = _wait(flight, patience)
                    case Do(action, _):
                        result = action()
                    case Nap(seconds):
                        time.sleep(seconds)
                        result = None
            except BaseException as error:
                need = steps.throw(error)
            else:
                need = steps.send(result)
    except StopIteration as stop:
        outcome: Outcome = stop.value
        return outcome


def _wait(flight: Flight, patience: float | None) -> bool:
    """Wait until a flight has an answer to follow; tell whether it has."""
    if not wait(flight, -1, patience):
        return False
    while flight.is_awaited_whole:
        if not flight.source.advance(len(flight.chunks), patience):
            return False
    return flight.is_worth_following and (flight.is_over or replies(flight.leader))


class ReplayBody:
    """A recorded body, with its rhythm when asked for."""

    def __init__(self, answer: Answer, scale: float) -> None:
        self._answer = answer
        self._scale = scale

    @property
    def at_once(self) -> list[bytes] | None:
        """All that has not to be waited for; None where there is a rhythm to keep."""
        return None if self._scale else [data for data, _ in self._answer.chunks]

    def __iter__(self) -> Iterator[bytes]:
        pieces = self.at_once
        return self._pace() if pieces is None else iter(pieces)

    def _pace(self) -> Iterator[bytes]:
        for pause, data in pieces(self._answer, self._scale):
            time.sleep(pause)
            yield data

    def close(self) -> None:
        """Do nothing; there is nothing to let go of."""


class Source:
    """A provider's stream that any thread can pull from, one at a time."""

    def __init__(self, flight: Flight, upstream: Upstream) -> None:
        self._flight = flight
        self._upstream = upstream
        self._chunks: Iterator[bytes] | None = None
        self._pulling = threading.Lock()
        self._is_cut_short = False
        self._is_closed = False
        self._wanted = 0
        self._helper: threading.Thread | None = None
        self._afterwards: list[Callable[[], Any]] = []
        self.owner = upstream.owner
        _remember(self)

    def advance(self, have: int, patience: float | None = None) -> bool:
        """Pull until there are more than `have` chunks, or there will be no more.

        False when another thread has been at it for longer than `patience`.
        """
        flight = self._flight
        if not self._pulling.acquire(timeout=-1 if patience is None else patience):
            return False
        try:
            if flight.has_more(have):
                return True
            try:
                if self._chunks is None:
                    self._chunks = iter(self._upstream.chunks)
                with flight.claim:
                    data = next(self._chunks)
            except StopIteration:
                if self._is_cut_short:  # it is we who ended it
                    flight.break_off(None, "the tail did not come in time")
                else:
                    flight.end()
                self.release()
            except BaseException as error:
                flight.break_off(error, f"the connection broke ({error!r})")
                self.release()
                if not isinstance(error, Exception):
                    raise
            else:
                flight.feed(data)
        finally:
            self._pulling.release()
        return True

    def want(self, have: int) -> bool:
        """See to it that `advance` is called, for one who must not block; tell whether it will be."""
        with self._flight.lock:
            self._wanted = max(self._wanted, have + 1)
            if self._helper is None:
                self._helper = threading.Thread(target=self._help, name="askonce-pull", daemon=True)
                try:
                    self._helper.start()
                except RuntimeError:  # no more threads
                    self._helper = None
                    return False
        return True

    def _help(self) -> None:
        flight = self._flight
        while True:
            with flight.lock:
                if flight.has_more(self._wanted - 1):
                    self._helper = None
                    return
            with suppress(Exception):  # those who read are told by the flight
                self.advance(len(flight.chunks))

    def close(self, left: Left, *, wait: bool = False) -> None:
        """Let go of the provider's stream, after fetching the rest when it is worth it (and wait for that)."""
        if left is Left.REST:
            worker = self.fetch_rest()
            if wait and worker is not None:
                worker.join(2 * DRAIN_SECONDS)
            return
        self._flight.conclude(left)
        if self._pulling.locked():  # whoever reads a closed socket would not notice
            self._stop_reading()
        self.release()

    def release(self) -> None:
        """Let go of the provider's stream; once is enough."""
        if not self._is_closed:
            self._is_closed = True
            closed(self)
            try:
                self._upstream.close()
            finally:
                for close in self._afterwards:
                    close()

    def outlast(self, close: Callable[[], Any]) -> bool:
        """Do as `OpenStream.outlast` says."""
        with self._flight.lock:
            if not self._flight.is_followed:
                self._flight.seal()
                return False
            self._afterwards.append(close)
            return True

    def fetch_rest(self, *, daemon: bool = False) -> threading.Thread | None:
        """Fetch the tail of an abandoned answer within DRAIN_SECONDS, keep the answer, and close.

        A thread of its own does it, since a read cannot be bounded from outside. It is no daemon, so that what
        was answered is kept although the program ends now; unless there is no way to end its reading.
        """
        daemon = daemon or self._upstream.socket is None
        worker = threading.Thread(target=self._drain, name="askonce-drain", daemon=daemon)
        try:
            worker.start()
        except RuntimeError:  # no more threads; at the end of a program Python 3.12.0 and 3.12.1 start none
            self._depart()
            return None
        return worker

    def is_left(self) -> bool:
        """Tell whether the rest is worth fetching though somebody holds it; then `fetch_rest` must follow."""
        return self._flight.rejoin()

    def _drain(self) -> None:
        flight = self._flight
        deadline = time.monotonic() + DRAIN_SECONDS
        timer = threading.Timer(DRAIN_SECONDS, self._cut_short)
        timer.daemon = True
        with suppress(RuntimeError):
            timer.start()
        with suppress(Exception):  # the caller has gone; it is nobody's error any more
            while not flight.is_over and flight.tape.left() is Left.REST and time.monotonic() < deadline:
                self.advance(len(flight.chunks))
        timer.cancel()
        self._depart()

    def _depart(self) -> None:
        if self._flight.depart(Left.REST):
            with suppress(Exception):
                self.release()

    def _cut_short(self) -> None:
        if self._flight.seal():
            self._is_cut_short = True
            self._stop_reading()

    def _stop_reading(self) -> None:
        """Make reads return what has come, then the end."""
        if self._upstream.socket is not None:
            with suppress(OSError):
                # Not the method of an SSLSocket: that would go on with reading what is still encrypted.
                socket.socket.shutdown(self._upstream.socket, socket.SHUT_RD)


_is_registered = False


def _remember(source: Source) -> None:
    """Note a stream that may be held on to when the program ends.

    The hook is registered late, so that it runs before those that close the stores.
    """
    global _is_registered
    if not _is_registered:
        _is_registered = True
        atexit.register(_fetch_what_is_left)
    opened(source)


def _fetch_what_is_left() -> None:
    workers = [
        source.fetch_rest(daemon=True)
        for source in open_streams()
        if isinstance(source, Source) and source.is_left()
    ]
    for worker in workers:
        if worker is not None:
            worker.join(1.2 * DRAIN_SECONDS)


class SharedBody:
    """A body that is recorded while it is read."""

    def __init__(self, flight: Flight, *, leads: bool = False) -> None:
        self._flight = flight
        self._leads = leads
        self._has_left = False

    def __iter__(self) -> Iterator[bytes]:
        flight = self._flight
        chunks = flight.chunks
        have = 0
        try:
            while True:
                while have < len(chunks):
                    have += 1
                    yield chunks[have - 1].data
                if flight.is_over:
                    if have == len(chunks):
                        break
                elif not flight.source.advance(have):
                    raise UpstreamEnded(STOPPED)
            flight.raise_if_broken()
        except GeneratorExit:
            self._leave(wait=False)
            raise
        finally:
            self._leave(wait=True)

    def close(self) -> None:
        """Stop reading."""
        self._leave(wait=True)

    def __del__(self) -> None:
        with suppress(Exception):
            self._leave(wait=False)

    def _leave(self, *, wait: bool) -> None:
        flight = self._flight
        if sys.is_finalizing():  # threads that will never run again may hold our locks
            if isinstance(flight.source, Source):
                flight.source.release()
            return
        with flight.lock:
            has_left, self._has_left = self._has_left, True
        if not has_left:
            left = flight.leave(leads=self._leads)
            if left is not None:
                flight.source.close(left, wait=wait)
