"""What passed through the gateway: calls are noted in memory, and written by a thread, in batches.

No request waits for it. What cannot be written is kept, up to a bound, and written when that is possible again.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from askonce.errors import StorageError
from askonce.gateway.calls import Again, Call
from askonce.gateway.ledger import Batch, CallFilter, HourSum, open_ledger
from askonce.gateway.lines import Line
from askonce.notices import warn_once

_BATCH_SECONDS = 0.2
_PAUSE_SECONDS = 1.0
_MOST_PENDING = 50_000
_TIDY_SECONDS = 60.0

T = TypeVar("T")


class _Way:
    """Something that may fail; it is then left alone for a moment, so that nobody waits for it again and again."""

    def __init__(self) -> None:
        self.trouble = ""
        self._again = 0.0

    def go(self, work: Callable[[], object]) -> bool:
        """Try, unless it failed a moment ago; tell whether it was done."""
        if time.monotonic() < self._again:
            return False
        try:
            work()
        except StorageError as error:
            self.trouble = str(error)
            self._again = time.monotonic() + _PAUSE_SECONDS
            warn_once(f"the journal cannot be used: {error} Until then what passes is kept in memory.")
            return False
        self.trouble = ""
        return True


class Journal:
    """Write calls, and read them again. `keep` is in seconds, `most` in bytes."""

    def __init__(self, place: Path | str | None, *, keep: float, most: int) -> None:
        self.ledger = open_ledger(place)
        self.lost = 0
        """Calls that could not be written."""
        self._keep = keep
        self._most = most
        self._pending: deque[Call | Again] = deque()
        self._unwritten: deque[Batch] = deque()
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()
        self._due = threading.Event()
        self._is_closing = False
        self._writing = _Way()
        self._reading = _Way()
        self._tidied = 0.0
        self._writer: threading.Thread | None = None

    @property
    def trouble(self) -> str:
        """Why the ledger could not be used the last time, if it could not."""
        return self._writing.trouble or self._reading.trouble

    @property
    def is_blind(self) -> bool:
        """Whether what was last asked for could not be read, so that nothing was found."""
        return bool(self._reading.trouble)

    # --- Writing ------------------------------------------------------------------------------------------

    def note(self, call: Call | Again) -> None:
        """Have a call written soon."""
        if len(self._pending) >= _MOST_PENDING:
            self.lost += 1
            return
        self._pending.append(call)
        if self._writer is None:
            self._writer = threading.Thread(target=self._write_on, name="askonce-journal", daemon=True)
            self._writer.start()
        if not self._due.is_set():
            self._due.set()

    def _write_on(self) -> None:
        while not self._is_closing:
            self._due.wait(_PAUSE_SECONDS if self._unwritten else None)
            if not self._is_closing:
                time.sleep(_BATCH_SECONDS)
            self._due.clear()
            self.flush()

    def flush(self) -> None:
        """Write what is pending."""
        with self._lock:
            calls = [self._pending.popleft() for _ in range(len(self._pending))]
            if calls:  # as rows, which hold no answers
                self._unwritten.append(Batch.of(next(self._numbers), calls))
            while self._unwritten and self._writing.go(self._write_first):
                self._unwritten.popleft()
                self._reading = _Way()
                self._tidy()
            while sum(batch.calls for batch in self._unwritten) > _MOST_PENDING:
                self.lost += self._unwritten.popleft().calls

    def _write_first(self) -> None:
        try:
            self.ledger.write(self._unwritten[0])
        except (ValueError, OverflowError) as error:  # else it would be in the way of all that follow
            self.lost += self._unwritten[0].calls
            warn_once(f"some calls are not in the journal, which does not take what is in them: {error}")

    def _tidy(self) -> None:
        if time.monotonic() - self._tidied > _TIDY_SECONDS:
            self._tidied = time.monotonic()
            self._writing.go(lambda: self.ledger.tidy(self._keep, self._most))

    def close(self) -> None:
        """Write what is pending and close the ledger."""
        self._is_closing = True
        self._due.set()
        if self._writer is not None:
            self._writer.join(5)
        with self._lock, self.ledger.closing():
            self._writing = _Way()
            self.flush()
            self.lost += sum(batch.calls for batch in self._unwritten)
            self._unwritten.clear()

    # --- Reading ------------------------------------------------------------------------------------------

    def _read(self, read: Callable[[], T], otherwise: T) -> T:
        self.flush()
        found = [otherwise]
        with self._lock:
            self._reading.go(lambda: found.append(read()))
        return found[-1]

    def lines(
        self,
        where: CallFilter = CallFilter(),  # noqa: B008 (immutable)
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int = 50,
    ) -> list[Line]:
        """Return calls, the latest first; `before` and `after` are ids between which they lie."""
        return self._read(lambda: self.ledger.lines(where, before, after, limit), [])

    def line(self, number: int) -> Line | None:
        """Return one call."""
        return self._read(lambda: self.ledger.line(number), None)

    def hours(self, since: float = 0.0) -> list[HourSum]:
        """Return the sums of the hours since then, in order of time."""
        return self._read(lambda: self.ledger.hours(since), [])

    def latencies(self, since: float = 0.0) -> list[tuple[int, str, int, int]]:
        """Return hour, outcome, class and count of latencies since then."""
        return self._read(lambda: self.ledger.latencies(since), [])

    def totals(self) -> list[HourSum]:
        """Return the sums of all calls that this gateway ever had, by their outcome; `hour` is 0."""
        return self._read(self.ledger.totals, [])

    def classes(self) -> list[tuple[str, int, int]]:
        """Return outcome, class and count of all latencies that this gateway ever had."""
        return self._read(self.ledger.classes, [])

    def names(self, column: str, most: int = 100) -> list[str]:
        """Return the values of `provider`, `model` or `customer` that there are."""
        return self._read(lambda: self.ledger.names(column, most), [])
