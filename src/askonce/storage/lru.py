"""A map bounded by bytes that forgets what was used longest ago. Safe with threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LRU(Generic[K, V]):
    """Hold values up to `limit` bytes; a value alone above an eighth of it is not held."""

    __slots__ = ("_items", "_lock", "_size", "generation", "limit")

    def __init__(self, limit: int) -> None:
        self._items: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self.limit = limit
        self._size = 0
        self._lock = threading.Lock()
        self.generation = 0
        """Grows with every `clear`; a value read before one must not be put after it."""

    def get(self, key: K) -> V | None:
        """Return the value, now the latest used, or None."""
        item = self._items.get(key)
        if item is None:
            return None
        try:
            self._items.move_to_end(key)
        except KeyError:  # another thread has just forgotten it
            pass
        return item[0]

    def put(self, key: K, value: V, size: int, generation: int | None = None) -> None:
        """Hold a value of `size` bytes, unless there was a `clear` since `generation`."""
        with self._lock:
            if generation is not None and generation != self.generation:
                return
            before = self._items.pop(key, None)
            if before is not None:
                self._size -= before[1]
            if size > self.limit // 8:
                return
            self._items[key] = (value, size)
            self._size += size
            while self._size > self.limit:
                _, (_, forgotten) = self._items.popitem(last=False)
                self._size -= forgotten

    def pop(self, key: K) -> None:
        """Forget one value; one that is being read just now is not put afterwards."""
        with self._lock:
            self.generation += 1
            item = self._items.pop(key, None)
            if item is not None:
                self._size -= item[1]

    def clear(self) -> None:
        """Forget all values."""
        with self._lock:
            self.generation += 1
            self._items.clear()
            self._size = 0

    def __len__(self) -> int:
        return len(self._items)
