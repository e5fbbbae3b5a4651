"""Hear from Redis which entries were changed: client-side tracking in broadcast mode, on a connection of its own.

The server tells of every key with a prefix, whoever changed it and however: written, removed, expired, evicted,
flushed. A message on a channel would tell only of what askonce itself did.
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from askonce._core.entry import Key
from askonce.forks import renew_in_children
from askonce.storage.redis_server import Server

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0  # seconds between attempts to connect
_LOOK = 0.25  # between looks at whether it is to go on
_REFUSED_PAUSE = 60.0  # the same where the server knows no tracking, or does not allow it


class Changes:
    """Call `changed` with the key of each entry that changes behind a prefix; with None where any may have.

    What was changed is heard of within `bound` seconds, or `is_heard` is false.
    """

    def __init__(self, server: Server, prefix: bytes, bound: float, changed: Callable[[Key | None], None]) -> None:
        self._server = server
        self._prefix = prefix
        self._bound = bound
        self._changed = changed
        self.renew()
        renew_in_children(self)

    def renew(self) -> None:
        """Begin with nothing heard, in a forked child too: who listens stayed in the parent."""
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._known_at = 0.0
        """All that was changed before has been heard of, if this is not 0.0."""

    def is_heard(self) -> bool:
        """Tell whether all is heard of that was changed, but for what `bound` seconds ago was not yet."""
        if self._thread is None:
            self._start()
        known_at = self._known_at
        return known_at > 0.0 and time.monotonic() - known_at < self._bound

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._stopping = threading.Event()
                arguments = (self._stopping,)
                thread = threading.Thread(target=self._run, args=arguments, name="askonce-changes", daemon=True)
                with suppress(RuntimeError):  # no more threads
                    thread.start()
                    self._thread = thread

    def close(self) -> None:
        """Stop listening, soon; `is_heard` begins anew."""
        with self._lock:
            self._stopping.set()
            self._thread = None
            self._known_at = 0.0

    def _run(self, stopping: threading.Event) -> None:
        pause = _FIRST_PAUSE
        while not stopping.is_set():
            connection: Any = None
            try:
                connection = self._server.listen(self._bound / 2)
                self._track(connection)
                pause = _FIRST_PAUSE
                self._listen(connection, stopping)
            except self._server.redis.ResponseError:
                pause = _REFUSED_PAUSE
            except Exception:  # whatever it is, who asks goes by the clock until all is well again
                pause = min(2 * pause, _LONGEST_PAUSE)
            if stopping is self._stopping:
                self._known_at = 0.0
            if connection is not None:
                with suppress(Exception):
                    connection.disconnect()
            stopping.wait(pause)

    def _track(self, connection: Any) -> None:
        connection._parser.set_invalidation_push_handler(self._tell)  # noqa: SLF001 (its own cache does the same)
        connection.send_command("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", self._prefix, check_health=False)
        connection.read_response()
        self._changed(None)  # what happened before, nobody has told

    def _listen(self, connection: Any, stopping: threading.Event) -> None:
        while not stopping.is_set():
            asked_at = time.monotonic()
            connection.send_command("PING", check_health=False)
            connection.read_response()  # after all that was to be told before it
            if not stopping.is_set():
                self._known_at = asked_at
            again_at = asked_at + self._bound / 3
            while not stopping.is_set() and (left := again_at - time.monotonic()) > 0:
                if connection.can_read(timeout=min(left, _LOOK)):
                    connection.read_response(push_request=True)

    def _tell(self, message: Any) -> None:
        names = message[1]
        for name in names if names is not None else (None,):
            key = None
            if name is not None:
                with suppress(ValueError):
                    key = base64.urlsafe_b64decode(name[len(self._prefix) : -1] + b"=")
            self._changed(key)
