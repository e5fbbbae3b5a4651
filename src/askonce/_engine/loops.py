"""Event loops, as places where callers run: what may be waited for there, and what is to be seen through."""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from askonce._engine.flight import Flight, Host
from askonce._engine.threads import Vigil
from askonce._engine.upstream import HEAD_SILENCE
from askonce._engine.workers import Workers

T = TypeVar("T")


async def wait(flight: Flight, have: int, patience: float | None) -> bool:
    """Do as `threads.wait`, in an event loop."""
    came, replied = Signal(), Signal()
    if not flight.watch(have, came.send):
        return True
    vigil = Vigil(flight, patience)
    while True:
        replied.clear()
        if not flight.leader.ping(replied.send):
            return False
        if await came.wait(vigil.step):
            return True
        if vigil.is_hopeless(replied=replied.has_come):
            return False


async def replies(host: Host) -> bool:
    """Do as `threads.replies`, in an event loop."""
    replied = Signal()
    return host.ping(replied.send) and await replied.wait(HEAD_SILENCE)


class Signal:
    """An event for one task, to be sent from any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        self.clear = self._event.clear

    @property
    def has_come(self) -> bool:
        return self._event.is_set()

    def send(self) -> None:
        with suppress(RuntimeError):  # the loop that waits has been closed
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self, seconds: float) -> bool:
        """Wait at the most so long; tell whether it has come."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
        return self.has_come


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the loop that runs in this thread."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def asyncio_loop() -> asyncio.AbstractEventLoop | None:
    """Return the loop whose task is running; None also in a trio that runs as a guest of asyncio."""
    loop = running_loop()
    return loop if loop is not None and asyncio.current_task(loop) is not None else None


async def sleep(seconds: float) -> None:
    """Sleep in whatever event loop this is."""
    if asyncio_loop() is not None:
        await asyncio.sleep(seconds)
    else:
        await sys.modules["trio"].sleep(seconds)


async def in_thread(action: Callable[[], T], workers: Workers) -> T:
    """Do something in a thread, whatever event loop this is."""
    loop = asyncio_loop()
    if loop is None:
        done: T = await sys.modules["trio"].to_thread.run_sync(action)
        return done
    try:
        future = loop.run_in_executor(workers.pool, action)
    except RuntimeError:  # closed in this moment, or no more threads: at the end of a program none are started
        return action()
    return await future


class Task:
    """An async caller; `loop` is None where there is no asyncio."""

    may_wait = False

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._loop = loop

    @property
    def shares(self) -> bool:
        """Not where there is no asyncio."""
        return self._loop is not None

    def can_follow(self, flight: Flight) -> bool:
        """Anyone; a task keeps nobody from going on."""
        return True

    def is_here(self) -> bool:
        return self._loop is not None and self._loop is running_loop()

    def ping(self, reply: Callable[[], None]) -> bool:
        return self._loop is not None and call_in(self._loop, reply)


def call_in(loop: asyncio.AbstractEventLoop, action: Callable[..., object], *arguments: object) -> bool:
    """Have something called in a loop, from any thread; False when that loop has stopped."""
    if not loop.is_running():
        return False
    try:
        loop.call_soon_threadsafe(action, *arguments)
    except RuntimeError:  # closed in this moment
        return False
    return True


_held: set[asyncio.Task[None]] = set()
"""A loop holds its tasks weakly; these are nobody else's."""


def hold(task: asyncio.Task[None]) -> asyncio.Task[None]:
    """Keep a task of ours until it is done; its errors are nobody else's."""
    _held.add(task)
    task.add_done_callback(_let_go)
    return task


def _let_go(task: asyncio.Task[None]) -> None:
    _held.discard(task)
    if not task.cancelled():
        task.exception()  # if nobody waits for it, it is nobody's error


async def see_through(task: asyncio.Task[None]) -> None:
    """Wait until a task is done, whatever happens to the one who waits."""
    interruption: BaseException | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            interruption = error
    if interruption is not None:
        raise interruption
    if not task.cancelled():
        task.result()


def is_cancelled() -> bool:
    """Tell whether the current task is being cancelled: it is not to be kept waiting."""
    if asyncio_loop() is not None:
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0
    with suppress(KeyError, RuntimeError):
        return bool(sys.modules["trio"].current_effective_deadline() == -math.inf)
    return False
