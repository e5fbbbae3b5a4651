"""What is written to a storage far away, one thing after another, in a thread: no call waits for it.

The garbage collector may end a call anywhere, also in here: nothing is locked that it could find held.
"""

from __future__ import annotations

import heapq
import itertools
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from askonce.forks import renew_in_children

_MOST = 64 << 20  # bytes that may wait to be written


class Job:
    """Something to be done, and whether it has been."""

    __slots__ = ("_is_done", "_wakes", "action", "size", "writer")

    def __init__(self, writer: Writer, action: Callable[[], object], size: int) -> None:
        self.writer = writer
        self.action = action
        self.size = size
        self._is_done = threading.Event()
        self._wakes: deque[Callable[[], object]] = deque()

    def run(self) -> None:
        with suppress(Exception):  # actions tell of their trouble themselves
            self.action()
        self._is_done.set()
        with suppress(IndexError):
            while True:
                self._wakes.popleft()()

    def watch(self, wake: Callable[[], object]) -> bool:
        """Have `wake` called, from another thread, when it is done; False when it is done already."""
        self._wakes.append(wake)
        return not self._is_done.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait until it is done, at the most so long; tell whether it is."""
        return self._is_done.wait(seconds)


class Writer:
    """Do things in the order in which they are given; what would be too much at once is refused."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._starting = threading.RLock()
        self.renew()
        renew_in_children(self)

    def renew(self) -> None:
        """Begin with nothing to do, in a forked child too: what waits is the parent's."""
        self._jobs: queue.SimpleQueue[Job | tuple[float, Callable[[], object]] | None] = queue.SimpleQueue()
        self._starting = threading.RLock()
        self._thread: threading.Thread | None = None
        self._waiting = 0
        self._late: Job | None = None

    @property
    def waiting(self) -> int:
        """How many bytes wait to be written, about."""
        return self._waiting

    def put(self, action: Callable[[], object], size: int = 0) -> Job | None:
        """Have something done; None where so many bytes are too much. What has none is never too much."""
        if size and self._waiting + size > self._most:
            return None
        job = Job(self, action, size)
        self._waiting += size
        self._give(job)
        return job

    @property
    def is_late(self) -> bool:
        """Whether a job that was waited for in vain is still not done: then it is of no use to wait for others."""
        return self._late is not None and not self._late.wait(0.0)

    def missed(self, job: Job) -> None:
        """Note that a job was waited for in vain."""
        self._late = job

    def later(self, seconds: float, action: Callable[[], object]) -> None:
        """Have something done after so long; not at all when nothing else is done any more."""
        self._give((time.monotonic() + seconds, action))

    def flush(self, seconds: float) -> bool:
        """Wait until all that was given is done, at the most so long; tell whether it is."""
        if self._thread is None:
            return True
        job = Job(self, _nothing, 0)
        self._jobs.put(job)
        return job.wait(seconds)

    def close(self, seconds: float) -> bool:
        """Do as `flush`, and end the thread; using it again starts another."""
        is_done = self.flush(seconds)
        with self._starting:
            if self._thread is not None:
                self._jobs.put(None)
                self._thread = None
                self._jobs = queue.SimpleQueue()
        return is_done

    def _give(self, item: Any) -> None:
        with self._starting:
            if self._thread is None:
                thread = threading.Thread(target=self._run, args=(self._jobs,), name="askonce-writer", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # no more threads; at the end of a program none are started
                    if isinstance(item, Job):
                        item.run()
                        self._waiting -= item.size
                    return
                self._thread = thread
            self._jobs.put(item)

    def _run(self, jobs: queue.SimpleQueue[Any]) -> None:
        later: list[tuple[float, int, Callable[[], object]]] = []
        numbers = itertools.count()
        while True:
            item: Any = None
            try:
                item = jobs.get(timeout=max(0.0, later[0][0] - time.monotonic()) if later else None)
                if item is None:
                    return
            except queue.Empty:
                with suppress(Exception):
                    heapq.heappop(later)[2]()
                continue
            if isinstance(item, Job):
                item.run()
                self._waiting -= item.size
            else:
                heapq.heappush(later, (item[0], next(numbers), item[1]))


def _nothing() -> None:
    pass
