"""Claims among machines: a lease runs out unless it is renewed, and has a number that tells who came later.

The number (a fencing token) grows with every lease of a name. Who keeps an answer shows it: where the answer of a
later lease is kept already, that of an earlier one, which its process took for its own still, does not replace it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from askonce.errors import StorageError
from askonce.forks import renew_in_children

_IDLE_SECONDS = 30.0  # after which the thread that renews ends, if nothing is left to renew


class Keeper(Protocol):
    """What a server does with leases. Every method raises StorageError."""

    def claim(self, name: bytes, holder: str, milliseconds: int) -> int:
        """Return the number of the lease; 0 while another holder has it."""
        ...

    def is_claimed(self, name: bytes, holder: str) -> bool:
        """Tell whether another holder has a lease."""
        ...

    def release(self, name: bytes, token: int) -> None: ...

    def renew_all(self, held: Sequence[tuple[bytes, int]], milliseconds: int) -> None: ...

    def release_all(self, held: Sequence[tuple[bytes, int]]) -> None: ...


class _Held:
    __slots__ = ("times", "token")

    def __init__(self) -> None:
        self.token = 0
        self.times = 0


class Leases:
    """Claim names of a server for this process."""

    def __init__(self, keeper: Keeper, seconds: float) -> None:
        self._keeper = keeper
        self._milliseconds = max(1, round(1000 * seconds))
        self.renew()
        renew_in_children(self)

    def renew(self) -> None:
        """Begin without leases in a forked child: they stayed with the parent."""
        self._holder = os.urandom(12).hex()
        self._held: dict[bytes, _Held] = {}
        self._lock = threading.RLock()  # the garbage collector may release other claims meanwhile
        self._stopping: threading.Event | None = None  # of the thread that renews

    def claim(self, name: bytes) -> bool:
        """Claim a name; False while another process has it."""
        with self._lock:
            held = self._held.get(name)
            if held is not None and held.token:
                held.times += 1
                return True
        token = self._keeper.claim(name, self._holder, self._milliseconds)
        if token == 0:
            return False
        with self._lock:
            held = self._held.setdefault(name, _Held())
            held.token = max(held.token, token)
            held.times += 1
            self._start()
        return True

    def release(self, name: bytes) -> None:
        """Give up a claim, as often as it was had."""
        with self._lock:
            held = self._held.get(name)
            if held is None:
                return
            held.times -= 1
            if held.times > 0:
                return
            del self._held[name]
        self._keeper.release(name, held.token)

    def is_claimed(self, name: bytes) -> bool:
        """Tell whether another process has a claim."""
        return self._keeper.is_claimed(name, self._holder)

    def token(self, name: bytes) -> int:
        """Return the number of this process's lease of a name, also of one that has run out; 0 for none."""
        held = self._held.get(name)
        return 0 if held is None else held.token

    def close(self) -> None:
        """Give up all there is, without waiting for a server that does not answer."""
        with self._lock:
            held, self._held = self._held, {}
            if self._stopping is not None:
                self._stopping.set()
                self._stopping = None
        if held:
            with suppress(StorageError):
                self._keeper.release_all([(name, one.token) for name, one in held.items()])

    def _start(self) -> None:
        if self._stopping is None:
            stopping = threading.Event()
            with suppress(RuntimeError):  # no more threads: the leases run out
                arguments = (stopping,)
                threading.Thread(
                    target=self._renew_all, args=arguments, name="askonce-leases", daemon=True
                ).start()
                self._stopping = stopping

    def _renew_all(self, stopping: threading.Event) -> None:
        idle_since = time.monotonic()
        while not stopping.wait(self._milliseconds / 3000):
            with self._lock:
                held = {name: one.token for name, one in self._held.items()}
                if held:
                    idle_since = time.monotonic()
                elif stopping is self._stopping and time.monotonic() - idle_since > _IDLE_SECONDS:
                    self._stopping = None
                    return
            if held:
                with suppress(StorageError):  # then they run out, and others may ask
                    self._keeper.renew_all(list(held.items()), self._milliseconds)
