"""Whose turn it is among calls that ask the same: the first, the second, the third."""

from __future__ import annotations

import heapq
from collections.abc import Hashable

from askonce.forks import Lock


class Tickets:
    """Number the calls of one name from 0; a number that is given back is drawn next."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._next: dict[Hashable, int] = {}
        self._returned: dict[Hashable, list[int]] = {}

    def draw(self, name: Hashable) -> int:
        """Return the lowest number that nobody has."""
        with self._lock:
            returned = self._returned.get(name)
            if returned:
                return heapq.heappop(returned)
            number = self._next.get(name, 0)
            self._next[name] = number + 1
            return number

    def give_back(self, name: Hashable, number: int) -> None:
        """Let a number be drawn again: the call that had it came to nothing."""
        with self._lock:
            heapq.heappush(self._returned.setdefault(name, []), number)
