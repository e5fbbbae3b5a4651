"""Connections under uvicorn, and their limits: how many there are, how large a head is, how slow a client may be.

What the hot path does here is to add and to compare; clocks are read by one look a second at all connections.
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from askonce.notices import warn_once

_LOOK_SECONDS = 1.0
_SLOWEST = 1024  # bytes a second that a client has to send or read, so that nobody holds a connection for nothing
_OWN_DESCRIPTORS = 64  # for the store, the journal, standard streams, the loop
_HEAD = b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"


class Limits(NamedTuple):
    """How many connections a process has, how many bytes a head; `idle` is the seconds that a client may take."""

    connections: int
    head: int
    idle: float

    def within(self, descriptors: int) -> Limits:
        """Return the limits that so many descriptors allow: each connection may need one to a provider."""
        return self._replace(connections=max(1, min(self.connections, (descriptors - _OWN_DESCRIPTORS) // 2)))


class Watch:
    """The open connections of a process."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.connections: set[Connection] = set()
        self._is_looking = False

    def enter(self, connection: Connection) -> bool:
        """Note a connection; False when there are too many."""
        if len(self.connections) >= self.limits.connections:
            warn_once(
                f"there are more connections than the {self.limits.connections:,} that this process may have; "
                "those beyond are answered with 503. See max_connections, and `ulimit -n`.",
                cause="connections",
            )
            return False
        self.connections.add(connection)
        if not self._is_looking:
            self._is_looking = True
            self._look_later(connection.loop)
        return True

    def _look_later(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_later(min(_LOOK_SECONDS, max(self.limits.idle / 4, 0.05)), self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection in tuple(self.connections):
            connection.look(now)
        self._is_looking = bool(self.connections)
        if self._is_looking:
            self._look_later(loop)


class Connection(HttpToolsProtocol):
    """One connection, which is closed when its client is too slow or its request's head too large."""

    def __init__(self, *, watch: Watch, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._watch = watch
        self._part = "head"  # of a request that is still to come: its head, its body, or none
        self._since: float | None = None  # when the part, or a stretch of it, was first looked at
        self._size = 0  # of what has come since
        self._unread = 0  # bytes of answers that waited for the client at that time
        self._unread_since = 0.0
        self._trouble: tuple[int, bytes] | None = None

    # --- What comes ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if not self._watch.enter(self):
            self._end(503, b"askonce: this gateway has as many connections as it may. Try again in a moment.")

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch.connections.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._size += len(data)
        super().data_received(data)
        if self._part == "head" and self._size > self._watch.limits.head and not self.transport.is_closing():
            self._end(*self._too_large())

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._part, self._since = "head", None

    def on_headers_complete(self) -> None:
        if self._size > self._watch.limits.head:  # perhaps with some of the body: count exactly
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > self._watch.limits.head:
                self._trouble = self._too_large()
                raise ValueError(self._trouble)
        super().on_headers_complete()
        self.headers = []  # trailers, which must not be taken for what the head says (RFC 9110, 6.5.1)
        self._part, self._since = "body", None

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._part, self._size = "", 0

    def _too_large(self) -> tuple[int, bytes]:
        return 431, b"askonce: a request's head is at the most %d bytes." % self._watch.limits.head

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: the application refuses with a sentence, and no library is missing."""

    # --- What does not come -------------------------------------------------------------------------------

    def look(self, now: float) -> None:
        """End the connection if the client has sent or read too little for too long."""
        idle = self._watch.limits.idle
        unread = self.transport.get_write_buffer_size()
        if not unread or unread > self._unread:
            self._unread, self._unread_since = unread, now
        elif now - self._unread_since >= idle:
            if self._unread - unread < _SLOWEST * idle:
                self.transport.abort()
                return
            self._unread, self._unread_since = unread, now
        if not self._part or self.transport.is_closing():
            return
        if self._since is None or (self.flow.read_paused and not self.cycle.response_complete):
            self._since, self._size = now, self._size if self._part == "head" else 0
        elif now - self._since >= idle:
            is_answered = self.cycle is not None and self.cycle.response_complete
            if self._part == "head" or is_answered or self._size < _SLOWEST * idle:
                has_begun = self._part == "body" or self._size
                self._end(408, b"askonce: this request has not come in time." if has_begun else b"")
            else:
                self._since, self._size = now, 0

    # --- The end ------------------------------------------------------------------------------------------

    def send_400_response(self, msg: str) -> None:
        self._end(*(self._trouble or (400, f"askonce: {msg}".encode())))

    def _end(self, status: int, text: bytes) -> None:
        """Close the connection; with an answer, where it could not be taken for another's, nor for its rest."""
        cycle = self.cycle
        is_ours = cycle is None or cycle.response_complete or (cycle.more_body and not cycle.response_started)
        if text and is_ours:
            self.transport.write(STATUS_LINE[status] + _HEAD % len(text) + text)
        self.transport.close()
