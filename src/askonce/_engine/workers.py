"""Threads in which event loops have done what takes long: looking something up in a storage far away."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from askonce.forks import renew_in_children

_MOST = 8  # of which each asks thousands of times a second


class Workers:
    """A pool of threads, made when it is first needed."""

    def __init__(self) -> None:
        self.renew()
        renew_in_children(self)

    def renew(self) -> None:
        """Begin without threads, in a forked child too."""
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()

    @property
    def pool(self) -> ThreadPoolExecutor:
        pool = self._pool
        if pool is None:
            with self._lock:
                pool = self._pool = self._pool or ThreadPoolExecutor(_MOST, "askonce-store")
        return pool

    def close(self) -> None:
        """Let the threads end when they have done what they are at; using it again makes others."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False)
