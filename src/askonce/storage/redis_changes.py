"""Hear from Redis which entries were changed: client-side tracking in broadcast mode, on a connection of its own.

The server tells of every key with a prefix, whoever changed it and however: written, removed, expired, evicted,
flushed. A message on a channel would tell only of what askonce itself did.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from askonce._core.entry import Key
from askonce.storage.changes import Changes, RefusedError
from askonce.storage.redis_server import Server


class RedisChanges(Changes):
    """Hear of the keys behind a prefix."""

    def __init__(self, server: Server, prefix: bytes, bound: float, changed: Callable[[Key | None], None]) -> None:
        super().__init__(bound, changed)
        self._server = server
        self._prefix = prefix

    def connect(self, seconds: float) -> Any:
        try:
            return self._server.listen(seconds)
        except self._server.redis.ResponseError as error:  # one that speaks no RESP3, say
            raise RefusedError from error

    def disconnect(self, connection: Any) -> None:
        connection.disconnect()

    def subscribe(self, connection: Any) -> None:
        connection._parser.set_invalidation_push_handler(self._tell)  # noqa: SLF001 (its own cache does the same)
        connection.send_command("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", self._prefix, check_health=False)
        try:
            connection.read_response()
        except self._server.redis.ResponseError as error:
            raise RefusedError from error

    def catch_up(self, connection: Any) -> None:
        connection.send_command("PING", check_health=False)
        connection.read_response()  # after all that was to be told before it

    def hear(self, connection: Any, seconds: float) -> None:
        if connection.can_read(timeout=seconds):
            connection.read_response(push_request=True)

    def _tell(self, message: Any) -> None:
        names = message[1]
        for name in names if names is not None else (None,):
            key = None
            if name is not None:
                with suppress(ValueError):
                    key = base64.urlsafe_b64decode(name[len(self._prefix) : -1] + b"=")
            self._changed(key)
