"""A memory tier in front of a storage on another machine.

What is in memory is handed out while changes are heard of from there, and otherwise for so many seconds after it
was read. Nothing that was changed or removed, on whatever machine, is handed out for longer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, runtime_checkable

from askonce._core.entry import Entry, Key, Question, Take
from askonce.forks import renew_in_children
from askonce.storage.lru import LRU
from askonce.storage.protocol import Claims, Filter, ModelTotals, Patient, Remote, Storage, Totals


class Shared(Storage, Claims, Remote, Patient, Protocol):
    """What a storage on another machine is."""


@runtime_checkable
class _Asking(Protocol):
    def is_claimed(self, name: bytes) -> bool: ...


class Nearby:
    """Answer from memory, up to `memory` bytes, what `storage` was asked for lately; `seconds` is the bound."""

    def __init__(
        self, storage: Shared, *, memory: int = 32 << 20, seconds: float = 5.0, patience: float = 0.05
    ) -> None:
        self.storage = storage
        self.url = storage.url
        self.seconds = seconds
        self.patience = patience
        """How long a call waits for the storage at the most, in seconds."""
        self._near: LRU[Key, tuple[Sequence[Take], float]] = LRU(memory)
        self._is_heard = storage.watch(self._forget)
        self.renew()
        renew_in_children(self)

    def renew(self) -> None:
        """Begin with nothing in memory in a forked child, where nobody has listened meanwhile."""
        self._near = LRU(self._near.limit)
        self._expected: dict[Key, list[tuple[Take, bool]]] = {}
        self._lock = threading.RLock()  # the garbage collector may end a call in here, and keep its answer

    def be_patient(self) -> None:
        """Wait long for the storage: what is done with it serves no call."""
        self.storage.be_patient()

    @property
    def is_far(self) -> bool:
        """Whether looking something up may take long."""
        return True

    def _forget(self, key: Key | None) -> None:
        if key is None:
            self._near.clear()
        else:
            self._near.pop(key)

    # --- Looking up ---------------------------------------------------------------------------------------

    def peek(self, key: Key) -> Sequence[Take] | None:
        """Return the takes of a question if they are in memory, and known to be those of the storage."""
        item = self._near.get(key)
        if item is None:
            return None
        if not self._is_heard() and time.monotonic() - item[1] >= self.seconds:
            return None
        return self._with_expected(key, item[0]) if self._expected else item[0]

    def meanwhile(self, key: Key) -> Sequence[Take]:
        """Return what this process is about to keep: nothing else is known."""
        return self._with_expected(key, ())

    def takes(self, key: Key) -> Sequence[Take]:
        found = self.peek(key)
        if found is not None:
            return found
        generation, asked_at = self._near.generation, time.monotonic()
        found = self.storage.takes(key)
        if found:
            size = sum([take.footprint for take in found])
            self._near.put(key, (found, asked_at), size, generation)
        return self._with_expected(key, found) if self._expected else found

    def _with_expected(self, key: Key, found: Sequence[Take]) -> Sequence[Take]:
        """Add the takes that this process is about to keep: who asks again at once is answered with them."""
        takes = found
        with self._lock:
            for take, replace in self._expected.get(key, ()):
                same = [old for old in takes if (old.seed, old.slot) == (take.seed, take.slot)]
                if replace or not same:
                    takes = (*(old for old in takes if old not in same), take)
        return takes

    def expect(self, question: Question, take: Take, *, replace: bool) -> None:
        """Hand out a take that is about to be added, until `unexpect`: it may wait, and others ask meanwhile."""
        with self._lock:
            self._expected.setdefault(question.key, []).append((take, replace))

    def unexpect(self, question: Question, take: Take) -> None:
        """Undo `expect`."""
        with self._lock:
            left = [pair for pair in self._expected.get(question.key, ()) if pair[0] is not take]
            if left:
                self._expected[question.key] = left
            else:
                self._expected.pop(question.key, None)

    # --- Changing -----------------------------------------------------------------------------------------

    def add(self, question: Question, take: Take, *, replace: bool = False) -> bool:
        try:
            return self.storage.add(question, take, replace=replace)
        finally:
            self._near.pop(question.key)

    def remove(self, keys: Iterable[Key]) -> int:
        meant = list(keys)
        try:
            return self.storage.remove(meant)
        finally:
            for key in meant:
                self._near.pop(key)

    def prune(self, now: float) -> int:
        try:
            return self.storage.prune(now)
        finally:
            self._near.clear()

    # --- As the storage does ------------------------------------------------------------------------------

    def count_hit(self, key: Key, take: Take, now: float, times: int = 1) -> None:
        self.storage.count_hit(key, take, now, times)

    def similar(self, question: Question, limit: int) -> Sequence[Question]:
        return self.storage.similar(question, limit)

    def entries(self, where: Filter = Filter()) -> Iterator[Entry]:
        return self.storage.entries(where)

    def totals(self) -> Totals:
        return self.storage.totals()

    def by_model(self) -> Sequence[ModelTotals]:
        return self.storage.by_model()

    def claim(self, name: bytes) -> bool:
        return self.storage.claim(name)

    def release(self, name: bytes) -> None:
        self.storage.release(name)

    def is_claimed(self, name: bytes) -> bool:
        """Tell whether another process has a claim; where that cannot be asked, by having it for a moment."""
        if isinstance(self.storage, _Asking):
            return self.storage.is_claimed(name)
        if not self.storage.claim(name):
            return True
        self.storage.release(name)
        return False

    def close(self) -> None:
        """Close the storage, and forget what is in memory."""
        self._near.clear()
        self.storage.close()
