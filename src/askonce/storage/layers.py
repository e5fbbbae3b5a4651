"""Several storages as one: the first is one's own and written to, the others are read where it has nothing.

A question's takes are those of all layers, in the order of recording. Where two have a take of the same seed
and slot, the earlier layer's counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from askonce._core.entry import Entry, Key, Question, Take
from askonce.errors import StorageError
from askonce.notices import warn_once
from askonce.storage.protocol import Claims, Far, Filter, Marks, ModelTotals, Sealed, Storage, Texts, Totals

T = TypeVar("T")


class Layers:
    """Read through `own` and then `others`; write to `own`. An unusable one of the others is left out."""

    def __init__(self, own: Storage, others: Iterable[Storage]) -> None:
        self.own = own
        self.url = own.url
        self._others = list(others)

    @property
    def others(self) -> tuple[Storage, ...]:
        """The layers beneath one's own, the first looked into first."""
        return tuple(self._others)

    @property
    def wants_plain(self) -> bool:
        """Whether one's own storage wants answers without their content coding."""
        return isinstance(self.own, Texts) and self.own.wants_plain

    def takes(self, key: Key) -> Sequence[Take]:
        beneath = self._each(lambda layer: layer.takes(key))
        try:
            found = self.own.takes(key)
        except StorageError as error:
            if not any(beneath) or self.is_far:  # then it is who asks that does without it for a while
                raise
            warn_once(f"the store cannot be read: {error} What was handed out still answers.")
            found = ()
        return _merged(found, beneath)

    @property
    def is_far(self) -> bool:
        """Whether one's own storage is."""
        return isinstance(self.own, Far) and self.own.is_far

    @property
    def patience(self) -> float:
        """How long a call waits for one's own."""
        return self.own.patience if isinstance(self.own, Far) else 0.0

    def peek(self, key: Key) -> Sequence[Take] | None:
        found = self.own.peek(key) if isinstance(self.own, Far) else None
        return None if found is None else _merged(found, self._each(lambda layer: layer.takes(key)))

    def meanwhile(self, key: Key) -> Sequence[Take]:
        found = self.own.meanwhile(key) if isinstance(self.own, Far) else ()
        return _merged(found, self._each(lambda layer: layer.takes(key)))

    def is_claimed(self, name: bytes) -> bool:
        return isinstance(self.own, Far) and self.own.is_claimed(name)

    def expect(self, question: Question, take: Take, *, replace: bool) -> None:
        if isinstance(self.own, Far):
            self.own.expect(question, take, replace=replace)

    def unexpect(self, question: Question, take: Take) -> None:
        if isinstance(self.own, Far):
            self.own.unexpect(question, take)

    def add(self, question: Question, take: Take, *, replace: bool = False) -> bool:
        return self.own.add(question, take, replace=replace)

    def count_hit(self, key: Key, take: Take, now: float, times: int = 1) -> None:
        self.own.count_hit(key, take, now, times)

    def similar(self, question: Question, limit: int) -> Sequence[Question]:
        found = list(self.own.similar(question, limit))
        for others in self._each(lambda layer: layer.similar(question, limit)):
            found += others
        alike = [one for one in found if (one.url, one.model) == (question.url, question.model)]
        return (alike or found)[:limit]

    def sealed(self) -> Sequence[str]:
        own = self.own.sealed() if isinstance(self.own, Sealed) else ()
        others = self._each(lambda layer: layer.sealed() if isinstance(layer, Sealed) else ())
        return list(dict.fromkeys([*own, *(name for names in others for name in names)]))

    def entries(self, where: Filter = Filter()) -> Iterator[Entry]:
        yield from self.own.entries(where)
        for layer in self.others:
            yield from layer.entries(where)

    def remove(self, keys: Iterable[Key]) -> int:
        return self.own.remove(keys)

    def prune(self, now: float) -> int:
        return self.own.prune(now)

    def totals(self) -> Totals:
        totals = [self.own.totals(), *self._each(lambda layer: layer.totals())]
        return Totals(*map(sum, zip(*totals, strict=True)))

    def by_model(self) -> Sequence[ModelTotals]:
        sums: dict[tuple[str, str], ModelTotals] = {}
        for rows in (self.own.by_model(), *self._each(lambda layer: layer.by_model())):
            for row in rows:
                before = sums.get(row[:2], ModelTotals(*row[:2]))
                counts: list[Any] = [one + more for one, more in zip(before[2:], row[2:], strict=True)]
                sums[row[:2]] = ModelTotals(*row[:2], *counts)
        return sorted(sums.values(), key=lambda row: (-row.entries, row.provider, row.model))

    def claim(self, name: bytes) -> bool:
        return not isinstance(self.own, Claims) or self.own.claim(name)

    def release(self, name: bytes) -> None:
        if isinstance(self.own, Claims):
            self.own.release(name)

    @property
    def is_marked(self) -> bool:
        return isinstance(self.own, Marks) and self.own.is_marked

    def mark(self) -> float | None:
        return self.own.mark() if isinstance(self.own, Marks) else None

    def set_mark(self, moment: float | None) -> None:
        if isinstance(self.own, Marks):
            self.own.set_mark(moment)

    def close(self) -> None:
        for layer in (self.own, *self.others):
            layer.close()

    def _each(self, ask: Callable[[Storage], T]) -> list[T]:
        """Ask each of the others; one that cannot answer is told of once and not asked again."""
        answers = []
        for layer in self.others:
            try:
                answers.append(ask(layer))
            except StorageError as error:
                warn_once(f"{error} It is left out.", cause=f"left out: {layer.url}")
                self._others.remove(layer)
        return answers


def _merged(found: Sequence[Take], beneath: Sequence[Sequence[Take]]) -> Sequence[Take]:
    """Return the takes of all layers."""
    if not any(beneath):
        return found
    if not found and sum(map(bool, beneath)) == 1:
        return next(filter(None, beneath))
    takes: dict[tuple[str | None, int], Take] = {}
    for take in (take for layer in (found, *beneath) for take in layer):
        takes.setdefault((take.seed, take.slot), take)
    return sorted(takes.values(), key=lambda take: take.recorded)
