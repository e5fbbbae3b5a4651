"""Hear from PostgreSQL which entries were changed: LISTEN, on a connection of its own.

Functions that change an entry which somebody may have read tell of it, as part of the change; triggers do where it
is changed by other means. Notifications come in the order of the changes. So a listener asks by notifying itself:
when it hears that, it has heard of all before. Behind a pooler that passes none on, nothing counts as heard.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from askonce._core.entry import Key
from askonce.forks import renew_in_children
from askonce.storage.postgres_server import Link, Server

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0  # seconds between attempts to connect
_LOOK = 0.25  # between looks at whether it is to go on


class Changes:
    """Call `changed` with the key of each entry that changes; with None where any may have.

    What was changed is heard of within `bound` seconds, or `is_heard` is false.
    """

    def __init__(self, server: Server, bound: float, changed: Callable[[Key | None], None]) -> None:
        self._server = server
        self._bound = bound
        self._changed = changed
        self.renew()
        renew_in_children(self)

    def renew(self) -> None:
        """Begin with nothing heard, in a forked child too: who listens stayed in the parent."""
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._own = f"askonce_{os.urandom(8).hex()}"
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
            link: Link | None = None
            try:
                link = self._server.connect(time.monotonic() + self._bound / 2)
                for channel in (f"askonce {self._server.address.schema}", self._own):
                    link.execute(f'LISTEN "{channel}"', (), self._soon())
                self._changed(None)  # what happened before, nobody has told
                pause = _FIRST_PAUSE
                self._listen(link, stopping)
            except Exception:  # whatever it is, who asks goes by the clock until all is well again
                pause = min(2 * pause, _LONGEST_PAUSE)
            if stopping is self._stopping:
                self._known_at = 0.0
            if link is not None:
                link.close()
            stopping.wait(pause)

    def _soon(self) -> float:
        return time.monotonic() + self._bound / 2

    def _listen(self, link: Link, stopping: threading.Event) -> None:
        while not stopping.is_set():
            asked_at = time.monotonic()
            soon = self._soon()
            link.execute(f"SELECT pg_notify('{self._own}', '')", (), soon)
            while not self._tell(link):
                if not link.has_news(max(0.0, soon - time.monotonic())):
                    raise TimeoutError("notifications do not come through")
            if not stopping.is_set():
                self._known_at = asked_at
            again_at = asked_at + self._bound / 3
            while not stopping.is_set() and (left := again_at - time.monotonic()) > 0:
                if link.has_news(min(left, _LOOK)):
                    self._tell(link)

    def _tell(self, link: Link) -> bool:
        """Tell what has come of changes; return whether what was asked has come as well."""
        is_answered = False
        while (notice := link.pg.notifies()) is not None:
            if notice.relname.decode() == self._own:
                is_answered = True
                continue
            key = None
            with suppress(ValueError):
                key = bytes.fromhex(notice.extra.decode()) or None
            self._changed(key)
        return is_answered
