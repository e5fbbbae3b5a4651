"""Entries in a bundle: a file made to be handed to others, read-only, looked up without being loaded."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from askonce._core.entry import Entry, Key, Question, Take
from askonce._core.halves import restore
from askonce._core.record import unpack
from askonce.errors import DamagedStoreError, StorageError
from askonce.notices import warn_once
from askonce.storage.blocks import ANSWERS, Blocks, FileSource, Source
from askonce.storage.lru import LRU
from askonce.storage.protocol import Filter, ModelTotals, Totals

SUFFIX = ".askonce"
RECORD = struct.Struct(
    ">32sIIII"
)  # key; length of what follows; block and place of the question; of the description
ASKED = struct.Struct(">II")  # length of a question's head and body
NOWHERE = 0xFFFFFFFF  # the block of a question of which only the digest was handed out

_NEAR = 20_000  # questions, the latest, among which similar ones are looked for


class Manifest(NamedTuple):
    """What a bundle says of itself. `delays` scales the recorded rhythm, None leaves it to the student."""

    made: float
    by: str
    entries: int
    takes: int
    size: int
    title: str = ""
    note: str = ""
    delays: float | None = None
    final: bool = False
    half: bool = False
    models: Sequence[Mapping[str, Any]] = ()

    @property
    def by_model(self) -> list[ModelTotals]:
        """What it holds by provider and model; what a later askonce may count besides is passed over."""
        return [ModelTotals(**{n: row[n] for n in ModelTotals._fields if n in row}) for row in self.models]


class _Record(NamedTuple):
    key: Key
    about: Sequence[str]
    question: tuple[int, int]
    takes: Sequence[tuple[Any, bytes, bytes]]


class BundleStorage:
    """Answer from the bundle at `path`, or in `source`; the latest answers are held in up to `memory` bytes."""

    def __init__(self, path: Path, *, memory: int = 32 << 20, source: Source | None = None) -> None:
        self.path = path
        self.url = str(path)
        self._source = source
        self._memory = memory
        self._blocks = Blocks(source or FileSource(path))
        self._near: LRU[Key, tuple[Take, ...]] = LRU(memory)

    @property
    def manifest(self) -> Manifest:
        """What the bundle says of itself."""
        told = self._blocks.manifest
        try:
            found = Manifest(**{name: told[name] for name in Manifest._fields})
            _ = found.by_model
            if not all(isinstance(count, int) for count in (found.entries, found.takes, found.size)):
                raise TypeError("a count that is none")  # noqa: TRY301
        except (LookupError, TypeError) as error:
            raise self._blocks.damaged(f"its manifest cannot be read ({error})") from None
        return found

    def again(self) -> BundleStorage:
        """Return another that reads the same, and is closed on its own."""
        source = self._source and self._source.again()
        return BundleStorage(self.path, memory=self._memory, source=source)

    def verify(self) -> None:
        """Read all of it, and raise StorageError where it is not what was written."""
        _ = self.manifest
        self._blocks.verify()

    def takes(self, key: Key) -> Sequence[Take]:
        found = self._near.get(key)
        if found is None:
            try:
                record = self._find(key)
                found = () if record is None else self._read_takes(record)
            except DamagedStoreError as error:
                _ = self.manifest  # raises again where nothing of it can be read
                self._leave_out(error)
                return ()
            if found:
                self._near.put(key, found, sum(take.footprint for take in found))
        return found

    def add(self, question: Question, take: Take, *, replace: bool = False) -> bool:
        """Keep nothing: a bundle is finished when it is made."""
        return False

    def count_hit(self, key: Key, take: Take, now: float, times: int = 1) -> None:
        """Count nothing: the file belongs to whoever made it."""

    def similar(self, question: Question, limit: int) -> Sequence[Question]:
        if self.manifest.final:
            return ()
        near: list[Question] = []
        others: list[Question] = []
        for record in self._records(_NEAR):
            if len(others) >= limit and record.about[2] != question.model:
                continue
            recorded = self._read_question(record)
            if recorded is not None:
                is_near = recorded.url == question.url and recorded.model == question.model
                (near if is_near else others).append(recorded)
            if len(near) >= limit:
                break
        alike = [one for one in others if one.url == question.url]
        return near or alike[:limit] or others[:limit]

    def sealed(self) -> Sequence[str]:
        return (self.path.name,) if self.manifest.final else ()

    def entries(self, where: Filter = Filter()) -> Iterator[Entry]:
        for record in self._records():
            provider, _, model, partition = record.about
            if (
                (where.provider is not None and provider != where.provider)
                or (where.partition is not None and partition != where.partition)
                or (where.model is not None and where.model.lower() not in model.lower())
                or (where.key is not None and not record.key.hex().startswith(where.key.lower()))
            ):
                continue
            question = self._read_question(record)
            try:
                takes = self._read_takes(record)
            except DamagedStoreError as error:
                self._leave_out(error)
                continue
            if question is not None and where.matches(entry := Entry(question, takes)):
                yield entry

    def remove(self, keys: Iterable[Key]) -> int:
        raise self._unchangeable()

    def prune(self, now: float) -> int:
        raise self._unchangeable()

    def totals(self) -> Totals:
        told = self.manifest
        return Totals(told.entries, told.takes, told.size)

    def by_model(self) -> Sequence[ModelTotals]:
        return self.manifest.by_model

    def close(self) -> None:
        self._near.clear()
        self._blocks.close()

    def _unchangeable(self) -> StorageError:
        return StorageError(
            f"{self.url} is a bundle, made to be handed out and not to be changed. Change the store that it was "
            "made from, and make it again with `askonce pack`."
        )

    def _leave_out(self, error: DamagedStoreError) -> None:
        warn_once(f"{error} What cannot be read is left out.", cause=f"damaged: {self.url}")

    def _find(self, key: Key) -> _Record | None:
        for block, place in self._blocks.find(key):
            record, _ = self._read_record(self._blocks.block(block), place)
            if record.key == key:
                return record
        return None

    def _records(self, limit: int | None = None) -> Iterator[_Record]:
        """Yield the records, the latest first; a damaged block is left out."""
        count = 0
        for number in range(self._blocks.count()):
            try:
                if self._blocks.kind(number) != ANSWERS:
                    continue
                block = self._blocks.block(number, keep=False)
                place = 0
                while place < len(block) and count != limit:
                    record, place = self._read_record(block, place)
                    yield record
                    count += 1
            except DamagedStoreError as error:
                self._leave_out(error)

    def _read_record(self, block: bytes, place: int) -> tuple[_Record, int]:
        try:
            key, length, *question, described = RECORD.unpack_from(block, place)
            at = place + RECORD.size
            end = at + length
            description = json.loads(block[at : at + described])
            at += described
            provider, kind, model, partition = map(str, description["about"])
            takes = []
            for seed, slot, recorded, ttl, packed, halves in description["takes"]:
                name = (seed, int(slot), float(recorded), None if ttl is None else float(ttl))
                takes.append((name, block[at : at + packed], block[at + packed : at + packed + halves]))
                at += packed + halves
            if at != end or end > len(block):
                raise ValueError("a record of another length")  # noqa: TRY301
            about = (provider, kind, model, partition)
            return _Record(key, about, (question[0], question[1]), takes), end
        except (ValueError, LookupError, TypeError, struct.error, RecursionError) as error:
            raise self._blocks.damaged(f"a record cannot be read ({error!r})") from None

    def _read_takes(self, record: _Record) -> tuple[Take, ...]:
        takes = []
        for (seed, slot, recorded, ttl), packed, halves in record.takes:
            answer = unpack(packed)
            takes.append(Take(restore(answer, halves) if halves else answer, recorded, seed, ttl, slot))
        return tuple(takes)

    def _read_question(self, record: _Record) -> Question | None:
        provider, kind, model, partition = record.about
        number, place = record.question
        if number == NOWHERE:
            return Question(record.key, b'{"headers":[],"url":""}', b"", provider, kind, model, partition)
        try:
            block = self._blocks.block(number)
            head, body = ASKED.unpack_from(block, place)
            place += ASKED.size
            if place + head + body > len(block):
                raise self._blocks.damaged("a question is cut")
        except (DamagedStoreError, struct.error) as error:
            self._leave_out(self._blocks.damaged(f"a question cannot be read ({error})"))
            return None
        asked = block[place : place + head], block[place + head : place + head + body]
        return Question(record.key, *asked, provider, kind, model, partition)
