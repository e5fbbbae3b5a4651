"""Hear from a server which entries were changed, on a connection of its own: what is the same for every server."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from askonce._core.entry import Key
from askonce.forks import renew_in_children

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0  # seconds between attempts to connect
_REFUSED_PAUSE = 60.0  # the same where the server cannot tell of changes, or does not allow it
_LOOK = 0.25  # seconds between looks at whether it is to go on


class RefusedError(Exception):
    """The server does not tell of changes."""


class Changes(ABC):
    """Call `changed` with the key of each entry that changes; with None where any may have.

    What was changed is heard of within `bound` seconds, or `is_heard` is false.
    """

    def __init__(self, bound: float, changed: Callable[[Key | None], None]) -> None:
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
                connection = self.connect(self._bound / 2)
                self.subscribe(connection)
                self._changed(None)  # what happened before, nobody has told
                pause = _FIRST_PAUSE
                self._listen(connection, stopping)
            except RefusedError:
                pause = _REFUSED_PAUSE
            except Exception:  # whatever it is, who asks goes by the clock until all is well again
                pause = min(2 * pause, _LONGEST_PAUSE)
            if stopping is self._stopping:
                self._known_at = 0.0
            if connection is not None:
                with suppress(Exception):
                    self.disconnect(connection)
            stopping.wait(pause)

    def _listen(self, connection: Any, stopping: threading.Event) -> None:
        while not stopping.is_set():
            asked_at = time.monotonic()
            self.catch_up(connection)
            if not stopping.is_set():
                self._known_at = asked_at
            again_at = asked_at + self._bound / 3
            while not stopping.is_set() and (left := again_at - time.monotonic()) > 0:
                self.hear(connection, min(left, _LOOK))

    # --- What each server does its own way ----------------------------------------------------------------

    @abstractmethod
    def connect(self, seconds: float) -> Any:
        """Return a new connection, made within so many seconds."""

    @abstractmethod
    def disconnect(self, connection: Any) -> None:
        """Close it."""

    @abstractmethod
    def subscribe(self, connection: Any) -> None:
        """Ask to be told; raises RefusedError where the server does not tell."""

    @abstractmethod
    def catch_up(self, connection: Any) -> None:
        """Hear all that was to be told before now."""

    @abstractmethod
    def hear(self, connection: Any, seconds: float) -> None:
        """Hear what comes, waiting at the most so long for something."""
