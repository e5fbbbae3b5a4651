"""An answer that this process asks for, as the other processes that share its store see it."""

from __future__ import annotations

import threading
import time

from askonce._core.body import canonical_json
from askonce._engine.flight import Name
from askonce._engine.guard import Guard
from askonce._engine.writer import Writer

_AGAIN = 0.25  # seconds until that is tried again
_LINGER = 0.5  # seconds for which a claim far away says that it is being read after it was


class Claim:
    """Whether some process asks for an answer, and whether it is reading just now.

    Entered while this process waits for the provider: who holds a claim and reads no more is not waited for.
    """

    def __init__(self, guard: Guard, name: Name) -> None:
        key, seed, slot = name
        self._guard = guard
        self._name = key + canonical_json([seed, slot]).encode()
        self._reading = self._name + b" reading"
        self._far = _FarReading(guard, guard.writer, self._reading) if guard.writer is not None else None

    def take(self) -> bool:
        """Claim the answer for this process; False while another has it."""
        return self._guard.claim(self._name)

    def release(self) -> None:
        """Let others ask."""
        if self._far is not None:
            self._far.end()
        self._guard.release(self._name)

    def is_free(self) -> bool:
        """Tell whether no other process has it."""
        return not self._guard.is_claimed(self._name)

    def is_being_read(self) -> bool:
        """Tell whether the process that has it waits for the provider at this moment."""
        return self._guard.is_claimed(self._reading)

    def __enter__(self) -> None:
        if self._far is not None:
            self._far.begin()
        else:
            self._guard.claim(self._reading)

    def __exit__(self, *trouble: object) -> None:
        if self._far is not None:
            self._far.pause()
        else:
            self._guard.release(self._reading)


class _FarReading:
    """That an answer is being read, told far away: not at each piece, and without waiting for it."""

    def __init__(self, guard: Guard, writer: Writer, name: bytes) -> None:
        self._guard = guard
        self._writer = writer
        self._name = name
        self._lock = threading.RLock()
        self._inside = 0
        self._left_at = 0.0
        self._is_told = False
        self._is_watched = False

    def begin(self) -> None:
        """Say that the provider is waited for."""
        with self._lock:
            self._inside += 1
            if not self._is_told:
                self._is_told = True
                self._writer.put(self._tell)

    def _tell(self) -> None:
        if self._is_told and not self._guard.claim(self._name):  # one who had it before has died with it
            self._writer.later(_AGAIN, self._tell)

    def pause(self) -> None:
        """Say, unless it goes on soon, that nobody waits any more."""
        with self._lock:
            self._inside -= 1
            self._left_at = time.monotonic()
            if not self._is_watched:
                self._is_watched = True
                self._writer.later(_LINGER, self._look)

    def _look(self) -> None:
        with self._lock:
            self._is_watched = False
            if self._inside or not self._is_told:
                return
            if time.monotonic() - self._left_at < _LINGER:
                self._is_watched = True
                self._writer.later(_LINGER, self._look)
                return
        self.end()

    def end(self) -> None:
        """Say that nobody waits."""
        with self._lock:
            is_told, self._is_told = self._is_told, False
        if is_told:
            self._guard.release(self._name)
