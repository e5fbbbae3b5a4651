"""A provider's answer as a seam hands it to the drivers: its head, and its body still to come."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from typing import Any, NamedTuple

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

    `socket` is where it comes from, if nothing else comes from there.
    """

    head: Head
    native: Any
    chunks: Iterable[bytes]
    close: Callable[[], None]
    socket: socket.socket | None = None


class AsyncUpstream(NamedTuple):
    """The same for async callers."""

    head: Head
    native: Any
    chunks: AsyncIterable[bytes]
    aclose: Callable[[], Awaitable[None]]
