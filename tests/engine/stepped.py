"""A local provider whose progress the test decides, event by event."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from askonce.testing import LocalProvider
from askonce.testing.connection import Hangup


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for a condition that another thread brings about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.002)


class Stepped(LocalProvider):
    """Hold one request; the others go on."""

    def __init__(self) -> None:
        super().__init__()
        self._turn = threading.Condition()
        self._is_holding = False
        self._held: threading.Thread | None = None
        self._permits = 0
        self.is_waiting = False
        """Whether the held request is where it is held."""

    def hold(self, steps: int = 0) -> None:
        """Let the next request go so many steps (the head and the first event are one), and no further."""
        with self._turn:
            self._is_holding = True
            self._held = None
            self._permits = steps

    def step(self, steps: int = 1) -> None:
        """Let the held request go on by so many events."""
        with self._turn:
            self._permits += steps
            self._turn.notify_all()

    def release(self) -> None:
        """Let the held request go on to its end."""
        with self._turn:
            self._is_holding = False
            self._turn.notify_all()

    def _pause(self, seconds: float) -> None:
        with self._turn:
            if self._is_holding:
                self._held = self._held or threading.current_thread()
                while self._is_holding and not self._permits and self._held is threading.current_thread():
                    if self._stopping.is_set():
                        raise Hangup
                    self.is_waiting = True
                    self._turn.wait(0.02)
                self.is_waiting = False
                if self._held is threading.current_thread():
                    self._permits -= 1
        super()._pause(seconds)

    @property
    def open_connections(self) -> int:
        """How many clients are connected."""
        return len(self._serving)
