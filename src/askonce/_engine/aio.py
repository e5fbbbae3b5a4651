"""The driver for async callers, and the bodies that they read.

The bodies are no generators: event loops look after those, close them in any order, complain of forgotten ones.

Under asyncio a pull from the provider is a task of its own, so that the cancellation of one reader does not
break the stream of the others. Under any other event loop (trio) calls are recorded and replayed, but those in
flight are not shared.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import suppress
from typing import Any, NamedTuple

from askonce._core.coding import CODINGS
from askonce._core.decide import Forward
from askonce._core.entry import Take
from askonce._core.messages import Answer, Head, Request
from askonce._core.playback import head_pause, pieces
from askonce._core.tape import Left
from askonce._engine.cache import Cache
from askonce._engine.call import Call, Match
from askonce._engine.course import (
    Ask,
    Do,
    Following,
    Leading,
    Nap,
    Need,
    Outcome,
    Passed,
    Played,
    Wait,
    course,
    run,
)
from askonce._engine.flight import Flight
from askonce._engine.loops import (
    Signal,
    Task,
    asyncio_loop,
    call_in,
    hold,
    in_thread,
    is_cancelled,
    replies,
    running_loop,
    see_through,
    sleep,
    wait,
)
from askonce._engine.sync import STOPPED
from askonce._engine.threads import wait as wait_in_thread
from askonce._engine.upstream import DRAIN_SECONDS, AsyncUpstream, closed, opened
from askonce.errors import UpstreamEnded


class AsyncAnswered(NamedTuple):
    """An answer of ours: recorded, refused, or being recorded while it is read.

    `take` is where a recorded one is from; `flight` records the others, the first of its readers by `verdict`.
    """

    head: Head
    body: AsyncReplayBody | AsyncSharedBody
    outcome: str
    take: Take | None = None
    flight: Flight | None = None
    verdict: Forward | None = None


async def ask_async(
    cache: Cache,
    request: Request,
    match: Match,
    forward: Callable[[Request], Awaitable[AsyncUpstream]],
    patience: float | None = None,
    codings: frozenset[str] = CODINGS,
) -> AsyncAnswered | AsyncUpstream:
    """Answer one request, from the store or by `forward`; an AsyncUpstream goes to the caller as it came.

    `patience` is in seconds: how long the caller would wait for a provider that is silent. `codings` are the
    content codings in which an answer can be recorded.
    """
    host = Task(asyncio_loop())
    return await _run(course(cache, request, match, host, codings), forward, patience)


async def answer_call(
    cache: Cache,
    call: Call,
    forward: Callable[[Request], Awaitable[AsyncUpstream]],
    patience: float | None = None,
    *,
    alone: bool = False,
) -> AsyncAnswered | AsyncUpstream:
    """Do as `ask_async` with a request that has been read; `alone` shares nothing with calls in flight."""
    host = Task(None if alone else asyncio_loop())
    return await _run(run(cache, call, host), forward, patience)


async def _run(
    steps: Generator[Need, Any, Outcome],
    forward: Callable[[Request], Awaitable[AsyncUpstream]],
    patience: float | None,
) -> AsyncAnswered | AsyncUpstream:
    outcome = await _drive(steps, forward, patience)
    match outcome:
        case Played(answer, scale, name, take):
            if scale:
                await sleep(head_pause(answer, scale))
            return AsyncAnswered(answer.head, AsyncReplayBody(answer, scale), name, take)
        case Leading(flight, upstream, verdict):
            with flight.aborted_on_error():
                flight.begin(upstream.head, AsyncSource(flight, upstream, asyncio_loop()))
            body = AsyncSharedBody(flight, leads=True)
            return AsyncAnswered(upstream.head, body, "miss", None, flight, verdict)
        case Following(flight):
            return AsyncAnswered(flight.head, AsyncSharedBody(flight), "shared", None, flight)
        case Passed(upstream):
            passed: AsyncUpstream = upstream
            return passed


async def _drive(
    steps: Generator[Need, Any, Outcome],
    forward: Callable[[Request], Awaitable[AsyncUpstream]],
    patience: float | None,
) -> Outcome:
    try:
        need = next(steps)
        while True:
            result: Any
            try:
                match need:
                    case Ask(asked):
                        result = await forward(asked)
                    case Wait(flight):
                        result = await _wait(flight, patience)
                    case Do(action, workers):
                        result = await in_thread(action, workers)
                    case Nap(seconds):
                        await sleep(seconds)
                        result = None
            except BaseException as error:
                need = steps.throw(error)
            else:
                need = steps.send(result)
    except StopIteration as stop:
        outcome: Outcome = stop.value
        return outcome


async def _wait(flight: Flight, patience: float | None) -> bool:
    """Wait until a flight has an answer to follow; tell whether it has."""
    if not await wait(flight, -1, patience):
        return False
    while flight.is_awaited_whole:
        if not await _advance(flight, len(flight.chunks), patience):
            return False
    return flight.is_worth_following and (flight.is_over or await replies(flight.leader))


class AsyncReplayBody:
    """A recorded body, with its rhythm when asked for."""

    def __init__(self, answer: Answer, scale: float) -> None:
        self._answer = answer
        self._scale = scale
        self._pieces = pieces(answer, scale)

    @property
    def at_once(self) -> list[bytes] | None:
        """All that has not to be waited for; None where there is a rhythm to keep."""
        return None if self._scale else [data for data, _ in self._answer.chunks]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        for pause, data in self._pieces:
            if pause:
                await sleep(pause)
            return data
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Do nothing; there is nothing to let go of."""

    def close(self) -> None:
        """Do the same."""


class AsyncSource:
    """A provider's stream that lives in one event loop; callers elsewhere reach it through that loop."""

    def __init__(self, flight: Flight, upstream: AsyncUpstream, loop: asyncio.AbstractEventLoop | None) -> None:
        self.loop = loop
        self._flight = flight
        self._upstream = upstream
        self._chunks: AsyncIterator[bytes] | None = None
        self._pull: asyncio.Task[None] | None = None
        self._keepers: dict[float | None, asyncio.Task[None]] = {}
        self._released: asyncio.Future[None] | None = None
        self._is_fetching = False
        self._is_closed = False
        self._afterwards: list[Callable[[], Awaitable[Any]]] = []
        self.owner = upstream.owner
        opened(self)

    # --- In the loop --------------------------------------------------------------------------------------

    async def pull(self, have: int) -> None:
        """Pull until there are more than `have` chunks, or there will be no more."""
        while not self._flight.has_more(have):
            if self.loop is None:
                await self._pull_one()
            else:
                await asyncio.wait({self._start_pull(self.loop)})

    def _start_pull(self, loop: asyncio.AbstractEventLoop) -> asyncio.Task[None]:
        if self._pull is None or self._pull.done():
            self._pull = loop.create_task(self._pull_one())
        return self._pull

    async def _pull_one(self) -> None:
        flight = self._flight
        try:
            with flight.claim:
                data = await anext(self._iterator())
        except StopAsyncIteration:
            flight.end()
            await self._release()
        except BaseException as error:
            flight.break_off(error, f"the connection broke ({error!r})")
            await self._release()
            if not isinstance(error, Exception):
                raise
        else:
            flight.feed(data)
            if self.loop is not None and flight.tape.left() is Left.REST:
                self._appoint(self.loop, DRAIN_SECONDS)

    def _iterator(self) -> AsyncIterator[bytes]:
        if self._chunks is None:
            self._chunks = aiter(self._upstream.chunks)
        elif getattr(self._chunks, "ag_frame", self) is None:
            raise UpstreamEnded(STOPPED)  # closed with the loop: its end is not the body's
        return self._chunks

    def _appoint(self, loop: asyncio.AbstractEventLoop, seconds: float | None) -> None:
        """Have a task look after the stream for so long: where the loop ends, tasks are told first."""
        if seconds not in self._keepers and not self._is_closed:
            self._released = self._released or loop.create_future()
            self._keepers[seconds] = hold(loop.create_task(self._keep(self._released, seconds)))

    async def _keep(self, released: asyncio.Future[None], seconds: float | None) -> None:
        """Fetch the tail that its reader has not fetched in so many seconds, or before the loop ends."""
        try:
            await asyncio.wait({released}, timeout=seconds)
            await self._fetch_for_others()
        except asyncio.CancelledError:
            await self._fetch_for_others()
            self._flight.break_off(None, STOPPED)  # whoever reads on elsewhere would wait for ever
            await self._release()
            raise

    async def _fetch_for_others(self) -> None:
        if not self._is_fetching and self._flight.rejoin():
            await self._close(Left.REST)

    async def _release(self) -> None:
        """Let go of the provider's stream."""
        if self._is_closed:
            return
        self._is_closed = True
        closed(self)
        if self._released is not None and not self._released.done():
            self._released.set_result(None)
        pull = self._pull
        if pull is not None and not pull.done() and pull is not asyncio.current_task():
            pull.cancel()
            await asyncio.wait({pull})
        try:
            close_generator = getattr(self._chunks, "aclose", None)
            if close_generator is not None:  # or the garbage collector would, in a task of its own
                await close_generator()
            await self._upstream.aclose()
        finally:
            for close in self._afterwards:
                await close()
        await self._await_written()

    async def _await_written(self) -> None:
        """Wait until the answer is kept far away, as long as the call may: what was given is then there."""
        job = self._flight.written
        if job is not None and self.loop is not None:
            signal = Signal()
            if job.watch(signal.send) and not await signal.wait(self._flight.patience.left):
                job.writer.missed(job)

    def outlast(self, close: Callable[[], Awaitable[Any]]) -> bool:
        """Do as `OpenStream.outlast` says."""
        with self._flight.lock:
            if not self._flight.is_followed:
                self._flight.seal()
                return False
            self._afterwards.append(close)
            return True

    async def aclose(self, left: Left) -> None:
        """Let go of the provider's stream, after fetching the rest when it is worth it."""
        if self.loop is not None:
            await see_through(self._start_closing(self.loop, left))
        else:
            with sys.modules["trio"].CancelScope(shield=True):
                await self._close(left)

    def _start_closing(self, loop: asyncio.AbstractEventLoop, left: Left) -> asyncio.Task[None]:
        return hold(loop.create_task(self._close(left)))

    async def _close(self, left: Left) -> None:
        flight = self._flight
        try:
            if left is Left.REST:
                await self._fetch_rest()
        finally:  # also when it is cancelled, as at the end of asyncio.run
            if flight.depart(left):
                await self._release()

    async def _fetch_rest(self) -> None:
        """Fetch the tail of an abandoned answer within DRAIN_SECONDS."""
        flight = self._flight
        self._is_fetching = True

        async def fetch() -> None:
            while not flight.is_over and flight.tape.left() is Left.REST:
                await self.pull(len(flight.chunks))

        if self.loop is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_SECONDS):
                    await fetch()
        else:
            with sys.modules["trio"].move_on_after(DRAIN_SECONDS):
                await fetch()

    # --- From anywhere ------------------------------------------------------------------------------------

    def want(self, have: int) -> bool:
        """See to it that more than `have` chunks are pulled; False when the loop has stopped."""
        return self.loop is not None and call_in(self.loop, self._pull_if_wanted, have)

    def _pull_if_wanted(self, have: int) -> None:
        if self.loop is not None and not self._flight.has_more(have):
            self._appoint(self.loop, None)
            self._start_pull(self.loop)

    def advance(self, have: int, patience: float | None = None) -> bool:
        """Do as `pull`, in a thread that is not the loop's; False when that makes no progress."""
        if self.loop is running_loop() or not self.want(have):
            return False
        return wait_in_thread(self._flight, have, patience)

    def close(self, left: Left, *, wait: bool = False) -> None:
        """Do as `aclose`; another loop is not waited for."""
        if self.loop is None or not self.loop.is_running():
            self._flight.conclude(left)
        if self.loop is not None:
            with suppress(RuntimeError):  # it has been closed, and its connections with it
                self.loop.call_soon_threadsafe(self._start_closing, self.loop, left)


async def _advance(flight: Flight, have: int, patience: float | None = None) -> bool:
    """Do as `Source.advance`, without blocking."""
    source = flight.source
    if isinstance(source, AsyncSource) and source.loop is asyncio_loop():
        if patience is None:
            await source.pull(have)
        else:
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await source.pull(have)
        return flight.has_more(have)
    return source.want(have) and await wait(flight, have, patience)


class AsyncSharedBody:
    """A body that is recorded while it is read."""

    def __init__(self, flight: Flight, *, leads: bool = False) -> None:
        self._flight = flight
        self._leads = leads
        self._have = 0
        self._has_left = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        flight = self._flight
        chunks = flight.chunks
        if self._have == len(chunks):
            try:
                await self._await_more()
            except BaseException:
                await self.aclose()
                raise
        if self._have < len(chunks):
            self._have += 1
            return chunks[self._have - 1].data
        await self.aclose()
        raise StopAsyncIteration

    async def _await_more(self) -> None:
        flight = self._flight
        while not flight.is_over and self._have == len(flight.chunks):
            if not await _advance(flight, self._have):
                raise UpstreamEnded(STOPPED)
        if self._have == len(flight.chunks):
            flight.raise_if_broken()

    async def aclose(self) -> None:
        """Stop reading."""
        left = self._leave(drained=is_cancelled())
        if left is None:
            return
        source = self._flight.source
        if isinstance(source, AsyncSource) and source.loop is asyncio_loop():
            await source.aclose(left)
        else:
            source.close(left)

    def close(self) -> None:
        """Stop reading, where nothing can be awaited."""
        left = self._leave(drained=False)
        if left is not None:
            self._flight.source.close(left)

    def __del__(self) -> None:
        with suppress(Exception):
            if not sys.is_finalizing():
                self.close()

    def _leave(self, *, drained: bool) -> Left | None:
        flight = self._flight
        with flight.lock:
            has_left, self._has_left = self._has_left, True
        return None if has_left else flight.leave(drained=drained, leads=self._leads)
