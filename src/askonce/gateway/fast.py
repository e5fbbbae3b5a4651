"""The fast path: a connection that answers hits where their bytes arrive.

A request whose bytes are those of one that was answered before needs no parser and no task. What is not a whole
request of known bytes, with nothing before it unanswered and nothing after it, goes to uvicorn as it came.
"""

from __future__ import annotations

from typing import Any

from askonce.gateway.connections import Connection
from askonce.gateway.shortcuts import Arrived, Shortcuts

_END = b"\r\n\r\n"


class FastConnection(Connection):
    """A connection with shortcuts. It holds a known head back until the body has come."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._shortcuts: Shortcuts | None = getattr(self.app, "shortcuts", None)
        self._held = bytearray()
        self._wanted = 0
        self._is_open = False  # whether the parser is in the midst of a message
        self._arrived = b""
        self._active_at = 0.0

    def data_received(self, data: bytes) -> None:
        shortcuts = self._shortcuts
        if shortcuts is None or self._is_open or not (self.cycle is None or self.cycle.response_complete):
            super().data_received(data)
            return
        if self._held:
            if len(self._held) + len(data) < self._wanted:
                self._held += data
                self._size += len(data)  # which is since it was last looked at, not in all
                return
            data = bytes(self._held) + data
        end = data.find(_END) + len(_END)
        if end < len(_END):
            self._pass_on(data, b"")
            return
        head = data[:end]
        known = shortcuts.body_of(head)
        if known is None or self.flow.write_paused or self.transport.is_closing():
            # A parser skips empty lines before a request; they would pass for a head, one without a credential.
            self._pass_on(data, head if head.startswith(b"POST ") else b"")
            return
        head, length = known
        if len(data) - end < length:
            self._hold(data, end + length)
            return
        answer = shortcuts.answer(head, data[end:]) if len(data) - end == length else None
        if answer is None:
            self._pass_on(data, head)
            return
        self.transport.write(answer)
        self.server_state.total_requests += 1
        if self._held:
            self._held = bytearray()
        self._part, self._size = "", 0
        self._active_at = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _hold(self, data: bytes, wanted: int) -> None:
        self._part, self._since = "body", None
        self._held, self._wanted, self._size = bytearray(data), wanted, len(data)

    def _pass_on(self, data: bytes, head: bytes) -> None:
        if self._held:
            self._held, self._part, self._size = bytearray(), "head", 0
        self._arrived = head
        super().data_received(data)

    def on_message_begin(self) -> None:
        self._is_open = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        head, self._arrived = self._arrived, b""
        if head and self._shortcuts is not None:
            self.scope["askonce"] = Arrived(head, self._shortcuts)  # type: ignore[typeddict-unknown-key]
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._is_open = False
        super().on_message_complete()

    def timeout_keep_alive_handler(self) -> None:
        # One timer for many answers: to set one anew for each would cost as much as the answer.
        left = self._active_at + self.timeout_keep_alive - self.loop.time()
        if left > 0 or self._held:
            wait = left if left > 0 else self.timeout_keep_alive
            self.timeout_keep_alive_task = self.loop.call_later(wait, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def shutdown(self) -> None:
        if self._held:  # a request that has begun is answered
            self._pass_on(bytes(self._held), b"")
        super().shutdown()
