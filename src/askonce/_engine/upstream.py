"""A provider's answer as a seam hands it to the drivers: its head, and its body still to come."""

from __future__ import annotations

import socket
import weakref
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from functools import partial
from typing import Any, NamedTuple, Protocol

from askonce._core.messages import Head

DRAIN_SECONDS = 1.0
"""How long the tail of an abandoned answer may take to come."""

PATIENCE = 0.5
"""Seconds between looks at whether the one that is waited for still makes progress."""

HEAD_SILENCE = 1.5
"""Seconds after which an event loop that does not turn is no longer waited for: one can still ask oneself."""

BODY_SILENCE = 10.0
"""The same in the middle of an answer, which ends with an error then."""


class Upstream(NamedTuple):
    """`native` is the client library's own response, for calls that nothing is done with.

    `socket` is where it comes from, if nothing else comes from there. `owner` is the client's pool or transport
    that it comes through: while others read along, that one is not closed.
    """

    head: Head
    native: Any
    chunks: Iterable[bytes]
    close: Callable[[], None]
    socket: socket.socket | None = None
    owner: Any = None


class AsyncUpstream(NamedTuple):
    """The same for async callers."""

    head: Head
    native: Any
    chunks: AsyncIterable[bytes]
    aclose: Callable[[], Awaitable[None]]
    owner: Any = None


class OpenStream(Protocol):
    """A provider's stream that is being read."""

    @property
    def owner(self) -> Any:
        """What it comes through."""
        ...

    def outlast(self, close: Callable[[], Any]) -> bool:
        """Have `close` called when others have read it; False, and nobody joins, where only the leader reads."""
        ...


_open: weakref.WeakSet[OpenStream] = weakref.WeakSet()


def opened(stream: OpenStream) -> None:
    """Note a stream that comes through a client."""
    _open.add(stream)


def closed(stream: OpenStream) -> None:
    """Note that a stream has been let go of."""
    _open.discard(stream)


def open_streams() -> list[Any]:
    """Return the streams that are open now."""
    while True:
        try:
            return list(_open)
        except RuntimeError:  # the garbage collector has ended one meanwhile
            continue


def close_client(owner: Any, close: Callable[[], Any]) -> None:
    """Close a client's pool or transport, after other clients' calls have read what they read through it."""
    if not put_off(owner, partial(close_client, owner, close)):
        close()


async def aclose_client(owner: Any, close: Callable[[], Awaitable[Any]]) -> None:
    """Do the same for an async one."""
    if not put_off(owner, partial(aclose_client, owner, close)):
        await close()


def put_off(owner: Any, close: Callable[[], Any]) -> bool:
    """Have a client closed when other clients' calls have read what they read through it; False when none do."""
    return any(stream.outlast(close) for stream in open_streams() if stream.owner is owner)
