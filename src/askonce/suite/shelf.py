"""The store of one test: the recordings of its module, a cassette behind them, and what the test used of both."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from askonce._core.coding import plain_body
from askonce._core.entry import Entry, Key, Question, Take
from askonce._core.leaks import Leak, find_leak
from askonce._core.transcript import answered, plain, words
from askonce.storage import Filter, Totals
from askonce.storage.jsonl import JSONLStorage, Name
from askonce.storage.protocol import ModelTotals
from askonce.suite.redaction import Redaction

Cassette = Mapping[Key, tuple[Question, tuple[Take, ...]]]
"""What was recorded by vcrpy: read, never written."""


class Shelf:
    """A Storage that notes what is used of it, and writes nothing that should not be in a repository."""

    wants_plain = True
    is_marked = True
    """So that hits are noted in every mode."""

    def __init__(self, recordings: JSONLStorage, redaction: Redaction, cassette: Cassette | None = None) -> None:
        self.recordings = recordings
        self.redaction = redaction
        self.url = recordings.url
        self.used: set[Name] = set()
        self.recorded = 0
        self.leaks: list[tuple[Question, Leak]] = []
        """What looked like a key, and kept the answer to a question from being written."""
        self._cassette: Cassette = cassette or {}

    def takes(self, key: Key) -> Sequence[Take]:
        own = self.recordings.takes(key)
        played = self._cassette.get(key)
        if played is None:
            return own
        names = {(take.seed, take.slot) for take in own}
        return (*own, *(take for take in played[1] if (take.seed, take.slot) not in names))

    def add(self, question: Question, take: Take, *, replace: bool = False) -> bool:
        written, kept = self.redaction.question(question), self.redaction.take(take)
        leak = _find_leak(written, kept)
        if leak is not None:
            self.leaks.append((question, leak))
            return False
        self.used.add((question.key, take.seed, take.slot))
        added = self.recordings.add(written, kept, replace=replace)
        self.recorded += added
        return added

    def count_hit(self, key: Key, take: Take, now: float, times: int = 1) -> None:
        self.used.add((key, take.seed, take.slot))

    def similar(self, question: Question, limit: int) -> Sequence[Question]:
        return [*self.recordings.similar(question, limit), *(played for played, _ in self._cassette.values())]

    def mark(self) -> float | None:
        """Return the moment since which it is noted what is used: always."""
        return 0.0

    def set_mark(self, moment: float | None) -> None:
        """Do nothing: a test's store notes what is used in any case."""

    def entries(self, where: Filter = Filter()) -> Iterator[Entry]:
        return self.recordings.entries(where)

    def remove(self, keys: Iterable[Key]) -> int:
        return self.recordings.remove(keys)

    def prune(self, now: float) -> int:
        return self.recordings.prune(now)

    def totals(self) -> Totals:
        return self.recordings.totals()

    def by_model(self) -> Sequence[ModelTotals]:
        return self.recordings.by_model()

    def close(self) -> None:
        self.recordings.close()


def _find_leak(question: Question, take: Take) -> Leak | None:
    """Look for keys in all that would be written, and in what a stream says when its pieces are put together."""
    try:
        body = plain_body(take.answer)
    except zlib.error:
        body = take.answer.body
    headers = b"\n".join(value for _, value in take.answer.head.headers)
    texts = [data.decode("utf-8", "replace") for data in (question.head, question.body, body, headers)]
    texts += [words(question), plain(answered(take.answer))]
    return next((leak for leak in map(find_leak, texts) if leak is not None), None)
