"""Entries in this process's memory: gone when it ends."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from askonce._core.entry import Entry, Key, Question, Take
from askonce.forks import renew_in_children
from askonce.storage.protocol import Filter, ModelTotals, Totals, sum_by_model

_shared: dict[str, MemoryStorage] = {}
_shared_lock = threading.Lock()


def shared_memory(name: str, max_size: int | None) -> MemoryStorage:
    """Return this process's memory storage of that name."""
    with _shared_lock:
        storage = _shared.setdefault(name, MemoryStorage(name))
        storage.max_size = max_size
        return storage


@dataclass(slots=True)
class _Kept:
    question: Question
    takes: list[Take] = field(default_factory=list)
    hits: int = 0
    used: float = 0.0

    @property
    def size(self) -> int:
        return len(self.question.head) + len(self.question.body) + sum(_size(take) for take in self.takes)


def _name(take: Take) -> tuple[str | None, int]:
    return take.seed, take.slot


def _size(take: Take) -> int:
    return sum(len(chunk.data) for chunk in take.answer.chunks)


class MemoryStorage:
    """Keep entries in a dict; with `max_size` (bytes), those used longest ago are forgotten."""

    def __init__(self, name: str = "", max_size: int | None = None) -> None:
        self.url = f"memory:{name}"
        self.max_size = max_size
        self._mark: float | None = None
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()
        self._totals = Totals()
        self._lock = threading.Lock()
        renew_in_children(self)

    def renew(self) -> None:
        """Keep what is there, in a forked child, but not a lock that another thread of the parent held."""
        self._lock = threading.Lock()

    def takes(self, key: Key) -> Sequence[Take]:
        with self._lock:
            kept = self._kept.get(key)
            return tuple(kept.takes) if kept else ()

    def add(self, question: Question, take: Take, *, replace: bool = False) -> bool:
        with self._lock:
            kept = self._kept.get(question.key) or _Kept(question)
            same = [old for old in kept.takes if _name(old) == _name(take)]
            if same and not replace:
                return False
            if self.max_size is not None and _Kept(question, [take]).size > self.max_size:
                return False
            self._forget(question.key)
            kept.takes = [old for old in kept.takes if _name(old) != _name(take)]
            kept.takes.append(take)
            kept.question = kept.question._replace(tags=question.tags)
            self._kept[question.key] = kept
            self._account(kept, 1)
            self._evict(kept)
            return True

    def _evict(self, newest: _Kept) -> None:
        while self.max_size is not None and self._totals.size > self.max_size:
            oldest = next(iter(self._kept))
            self._forget(oldest)
            if oldest == newest.question.key and len(newest.takes) > 1:  # it is the only one left
                del newest.takes[0]
                self._kept[oldest] = newest
                self._account(newest, 1)

    def count_hit(self, key: Key, take: Take, now: float, times: int = 1) -> None:
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                kept.hits += times
                kept.used = max(kept.used, now)
                self._kept.move_to_end(key)
            self._totals = Totals(
                self._totals.entries,
                self._totals.takes,
                self._totals.size,
                self._totals.hits + times,
                self._totals.seconds_saved + times * take.answer.seconds,
                self._totals.tokens_saved + times * take.answer.usage.tokens,
            )

    def similar(self, question: Question, limit: int) -> Sequence[Question]:
        with self._lock:
            questions = [kept.question for kept in reversed(self._kept.values())]
        return [q for q in questions if q.url == question.url][:limit] or questions[:limit]

    def entries(self, where: Filter = Filter()) -> Iterator[Entry]:
        with self._lock:
            found = [Entry(kept.question, tuple(kept.takes), kept.hits, kept.used) for kept in self._kept.values()]
        found.sort(key=lambda entry: entry.recorded, reverse=True)
        return (entry for entry in found if where.matches(entry))

    def remove(self, keys: Iterable[Key]) -> int:
        with self._lock:
            return sum(self._forget(key) for key in keys)

    def prune(self, now: float) -> int:
        with self._lock:
            removed = 0
            for key, kept in list(self._kept.items()):
                alive = [take for take in kept.takes if take.fresh(now, None)]
                if len(alive) < len(kept.takes):
                    removed += len(kept.takes) - len(alive)
                    self._account(kept, -1)
                    kept.takes = alive
                    self._account(kept, 1)
                    if not alive:
                        self._forget(key)
            return removed

    def totals(self) -> Totals:
        return self._totals

    def by_model(self) -> Sequence[ModelTotals]:
        return sum_by_model(self.entries())

    @property
    def is_marked(self) -> bool:
        return self._mark is not None

    def mark(self) -> float | None:
        return self._mark

    def set_mark(self, moment: float | None) -> None:
        self._mark = moment

    def close(self) -> None:
        """Do nothing: what is in memory stays for the process."""

    def _forget(self, key: Key) -> bool:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._account(kept, -1)
        return kept is not None

    def _account(self, kept: _Kept, sign: int) -> None:
        before = self._totals
        self._totals = Totals(
            before.entries + sign,
            before.takes + sign * len(kept.takes),
            before.size + sign * kept.size,
            before.hits,
            before.seconds_saved,
            before.tokens_saved,
        )
