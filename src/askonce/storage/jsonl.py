"""Entries as lines of text: a store that belongs in git. One take a line, found by an index made on opening.

Hits are counted for this process alone, so that reading a store never changes it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from askonce._core.content import FAULTS
from askonce._core.entry import Entry, Key, Question, Take
from askonce._core.sameness import is_same_answer
from askonce.errors import DamagedStoreError, StorageError
from askonce.forks import Lock, renew_in_children
from askonce.notices import warn_once
from askonce.storage.answered import EditedError
from askonce.storage.beside import Beside
from askonce.storage.disk import make_folder
from askonce.storage.filelock import FileLock
from askonce.storage.lines import Reading, read_line, read_time, write_gone, write_line
from askonce.storage.lru import LRU
from askonce.storage.protocol import Filter, ModelTotals, Totals, sum_by_model
from askonce.storage.textfile import Spot, TextFile, read_beginning
from askonce.storage.tidying import Tidied, tidy

_SURE_SECONDS = 0.01  # for which it is not looked whether the file has changed
_SAID = 5  # flaws of a file that are warned of one by one
_NEAR = 20_000  # lines, the latest, among which similar questions are looked for
_LEAVE = 0.9  # of the cap, so that not every addition must make room

_GARBAGE = 1 << 20  # bytes of replaced lines that are always borne, until the store is closed

Name = tuple[Key, str | None, int]
"""What tells a take from all others: its question's key, its seed and its slot."""


class JSONLStorage:
    """Keep entries in the text file at `path`, with the latest in memory up to `memory` bytes.

    With `max_size` (bytes of lines), takes that were used longest ago are forgotten. A `timeless` store holds no
    times but those of answers that expire, and no numbers of requests: the same answers make the same file,
    whenever they are recorded.
    """

    def __init__(
        self, path: Path, *, max_size: int | None = None, memory: int = 32 << 20, timeless: bool = False
    ) -> None:
        self.path = path
        self.url = str(path)
        self.max_size = max_size
        self.timeless = timeless
        self.damaged = 0
        """How many lines were left out because they are not what was recorded."""
        self._file = TextFile(path)
        self._beside = Beside(path.with_suffix(".files"))
        self._writing = FileLock(path.with_name(f"{path.name}.lock"))
        self._counting = Lock()
        self._memory = memory
        self._reset()
        renew_in_children(self)

    def _reset(self) -> None:
        self._near: LRU[Key, tuple[Take, ...]] = LRU(self._memory)
        self._changes = self._file.changes
        self._sure_until = 0.0
        self._untidy = False
        self._confirmed: dict[Name, float] = {}
        self._hits: dict[Key, int] = {}
        self._used: dict[Key, float] = {}
        self._saved = (0, 0.0, 0)
        self._flaws_said = 0

    def renew(self) -> None:
        """Count anew in a forked child, and lose no time over what the parent's threads were doing."""
        self._near = LRU(self._memory)
        self._hits, self._saved = {}, (0, 0.0, 0)

    wants_plain = True
    """Whether answers should come without a content coding: compressed ones cannot be read in a diff."""

    # --- Looking up ---------------------------------------------------------------------------------------

    def takes(self, key: Key) -> Sequence[Take]:
        if time.monotonic() < self._sure_until:
            found = self._near.get(key)
            if found is not None:
                return found
        with self._file.lock:
            self._refresh()
            found = self._near.get(key)
            if found is None:
                generation = self._near.generation
                found = self._read_takes(key)
                if found:
                    self._near.put(key, found, sum(take.footprint for take in found), generation)
        return found

    def _refresh(self) -> None:
        """Take notice of what other processes, or people, have done to the file."""
        for key in self._file.refresh():
            self._near.pop(key)
        if self._file.changes != self._changes:
            self._changes = self._file.changes
            self._near.clear()
            self._flaws_said = 0
        flaws = self._file.flaws
        if len(flaws) > self._flaws_said:
            self._say_flaws()
        if not self._file.takes and any(flaw.is_foreign for flaw in flaws):
            raise StorageError(
                f"{self.path} holds text, but no answer that askonce has recorded; nothing is changed in it. Name "
                "another file with store= or ASKONCE_STORE."
            )
        self._sure_until = time.monotonic() + _SURE_SECONDS

    def _say_flaws(self) -> None:
        flaws, self._flaws_said = self._file.flaws[self._flaws_said :], len(self._file.flaws)
        tidy = f"`askonce tidy {self.path}`"
        if any(flaw.is_conflict for flaw in flaws):
            warn_once(
                f"{self.path} has conflict markers of git. The answers around them are used. Resolve the "
                f"conflict, or run {tidy}.",
                cause=f"conflict: {self.path}",
            )
        mistakes = [flaw for flaw in flaws if not flaw.is_conflict]
        for flaw in mistakes[:_SAID]:
            cure = f"It is left out, the other lines are used. Mend it or delete it, or run {tidy}."
            self._warn(flaw.number, flaw.why, cure)
        if len(mistakes) > _SAID:
            warn_once(
                f"{self.path} has {len(mistakes) - _SAID:,} more such lines; {tidy} lists them.",
                cause=f"flaws: {self.path}",
            )

    def _warn(self, number: int, why: str, cure: str) -> None:
        warn_once(f"{self.path}, line {number}: {why}. {cure}", cause=f"{self.path}:{number}")

    def _read_takes(self, key: Key) -> tuple[Take, ...]:
        lines = self._lines(key)
        if any(key.hex().encode() not in line for _, line in lines):  # replaced just now, or changed in place
            self._file.forget()
            self._refresh()
            lines = self._lines(key)
        return tuple(reading.take for spot, line in lines if (reading := self._read(key, spot, line)) is not None)

    def _lines(self, key: Key) -> list[tuple[Spot, bytes]]:
        return [(spot, self._file.read(spot)) for spot in self._file.spots.get(key, ())]

    def _read(self, key: Key, spot: Spot, line: bytes) -> Reading | None:
        """Return what a line says, or None when it is not what was recorded."""
        try:
            question, take, is_sealed = read_line(line, self._beside.fetch)
            if question.key != key:
                raise DamagedStoreError("it holds the answer to another question")  # noqa: TRY301
        except EditedError as error:
            why = str(error)
            cure = (
                'It is left out. If the change is meant, delete "seal" from the line, or run `askonce tidy '
                f"--accept {self.path}`; if not, restore the line."
            )
        except DamagedStoreError as error:
            why, cure = str(error), "It is left out, and asked for again. Mend the line or delete it."
        else:
            if not spot.recorded:
                take = take._replace(recorded=self._file.modified)
            confirmed = self._confirmed.get((key, *spot.name))
            if confirmed is not None:
                take = take._replace(recorded=confirmed)
            return Reading(question, take, is_sealed)
        self.damaged += 1
        self._warn(self._file.number(spot), why, cure)
        return None

    # --- Keeping ------------------------------------------------------------------------------------------

    def add(self, question: Question, take: Take, *, replace: bool = False) -> bool:
        line = write_line(question, take, beside=self.max_size is None, timeless=self.timeless)
        if self.max_size is not None and len(line.text) >= self.max_size:
            return False
        with self._changing():
            if not self._has_room(question.key, take, replace=replace):
                return False
            if self._is_there(question, take):
                return True
            self._beside.keep(line.files)
            before = self._file.superseded
            self._file.append([line.text])
            self._untidy = self._untidy or self._file.superseded > before
            self._confirmed.pop((question.key, take.seed, take.slot), None)
            self._near.pop(question.key)
            if self.max_size is not None and self._file.end > self.max_size:
                self._evict((question.key, take.seed, take.slot))
            elif self._file.superseded > max(self._file.size, _GARBAGE):
                self._compact()
        return True

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Have the file for oneself, among threads and processes, and know what is in it."""
        if not self.path.parent.is_dir():
            make_folder(self.path.parent)
        with self._writing, self._file.lock:
            self._refresh()
            yield

    def _has_room(self, key: Key, take: Take, *, replace: bool) -> bool:
        """Tell whether a take's place is free, may be taken, or holds what is damaged."""
        return replace or self._find(key, take) is None

    def _find(self, key: Key, take: Take) -> Reading | None:
        for spot in self._file.spots.get(key, ()):
            if spot.name == (take.seed, take.slot):
                return self._read(key, spot, self._file.read(spot))
        return None

    def _is_there(self, question: Question, take: Take) -> bool:
        """Tell whether a take that is to be replaced says the same already; then its line stays as it is."""
        key = question.key
        there = self._find(key, take)
        if (
            there is None
            or there.question.tags != question.tags
            or take.ttl is not None
            or there.take.ttl is not None
        ):
            return False
        if not is_same_answer(there.take.answer, take.answer):
            return False
        self._confirmed[key, take.seed, take.slot] = take.recorded
        self._near.pop(key)
        return True

    def _evict(self, newest: Name) -> None:
        """Make room: forget those takes that were not used for longest."""
        assert self.max_size is not None
        spots = [(key, spot) for key, spots in self._file.spots.items() for spot in spots]
        spots.sort(key=lambda one: (self._last_use(*one), one[1].at))
        size, going = self._file.size, set()
        for key, spot in spots:
            if size <= self.max_size * _LEAVE:
                break
            if (key, *spot.name) != newest:
                going.add(spot.at)
                size -= spot.size + 1
        self._rewrite(going)

    def _last_use(self, key: Key, spot: Spot) -> float:
        recorded = 0.0
        with suppress(ValueError):
            recorded = read_time(spot.recorded or 0.0)
        return max(recorded, self._used.get(key, 0.0))

    def _rewrite(self, without: set[int]) -> None:
        """Write the file anew, without the lines that are at these places, and without those that were replaced.

        A line that replaces another takes its place, so that a diff shows what has changed.
        """
        self._file.replace(self._lines_left(without))
        self._untidy = False
        self._near.clear()

    def _lines_left(self, without: set[int]) -> Iterator[bytes]:
        written: set[int] = set()
        for at, line in self._file.all_lines():
            try:
                key, spot = read_beginning(line, at)
            except FAULTS:
                if line.strip():
                    yield line  # not ours to throw away; `askonce tidy` does
                continue
            latest = next((one for one in self._file.spots.get(key, ()) if one.name == spot.name), None)
            if latest is not None and latest.at not in without and latest.at not in written:
                written.add(latest.at)
                yield self._file.read(latest)

    def _compact(self) -> None:
        self._rewrite(set())
        self._sweep()

    def _sweep(self) -> None:
        self._beside.sweep(line for _, line in self._file.all_lines())

    # --- Counting -----------------------------------------------------------------------------------------

    def count_hit(self, key: Key, take: Take, now: float, times: int = 1) -> None:
        with self._counting:
            self._hits[key] = self._hits.get(key, 0) + times
            self._used[key] = max(now, self._used.get(key, 0.0))
            hits, seconds, tokens = self._saved
            answer = take.answer
            self._saved = (hits + times, seconds + times * answer.seconds, tokens + times * answer.usage.tokens)

    def totals(self) -> Totals:
        with self._file.lock:
            self._refresh()
            return Totals(len(self._file.spots), self._file.takes, self._file.size, *self._saved)

    def by_model(self) -> Sequence[ModelTotals]:
        sizes: dict[tuple[str, str], int] = {}
        entries = []
        for spots, entry in self._entries():
            entries.append(entry)
            model = (entry.question.provider, entry.question.model)
            sizes[model] = sizes.get(model, 0) + sum(spot.size + 1 for spot in spots)
        return [row._replace(size=sizes[row.provider, row.model]) for row in sum_by_model(entries)]

    # --- Listing and removing -----------------------------------------------------------------------------

    def similar(self, question: Question, limit: int) -> Sequence[Question]:
        with self._file.lock:
            self._refresh()
            latest = sorted((spots[-1] for spots in self._file.spots.values()), key=lambda spot: -spot.at)[:_NEAR]
            url, model = (
                b'"%s":%s' % (n, _quoted(v)) for n, v in ((b"url", question.url), (b"model", question.model))
            )
            provider = b'"provider":%s' % _quoted(question.provider)
            likes: tuple[list[bytes], ...] = ([], [], [], [])
            for spot in latest:
                line = self._file.read(spot)
                rank = 0 if url in line and model in line else 1 if url in line else 2 if provider in line else 3
                if len(likes[rank]) < limit:
                    likes[rank].append(line)
                if len(likes[0]) == limit:
                    break
        lines = next((like for like in (likes[0], [*likes[0], *likes[1]], likes[2], likes[3]) if like), [])
        found = []
        for line in lines[:limit]:
            with suppress(DamagedStoreError):
                found.append(read_line(line, self._beside.fetch).question)
        return found

    def entries(self, where: Filter = Filter()) -> Iterator[Entry]:
        return (entry for _, entry in self._entries(where.key) if where.matches(entry))

    def _entries(self, prefix: str | None = None) -> Iterator[tuple[list[Spot], Entry]]:
        """Yield what is held, the latest first."""
        with self._file.lock:
            self._refresh()
            order = [
                (max(spot.recorded for spot in spots), spots[-1].at, key)
                for key, spots in self._file.spots.items()
            ]
        order.sort(reverse=True)
        for _, _, key in order:
            if prefix is not None and not key.hex().startswith(prefix.lower()):
                continue
            with self._file.lock:
                spots = self._file.spots.get(key, [])
                readings = [self._read(key, spot, self._file.read(spot)) for spot in spots]
            whole = [reading for reading in readings if reading is not None]
            if whole:
                takes = tuple(reading.take for reading in whole)
                yield spots, Entry(whole[-1].question, takes, self._hits.get(key, 0), self._used.get(key, 0.0))

    def names(self) -> list[Name]:
        """Return the names of all takes."""
        with self._file.lock:
            self._refresh()
            return [(key, *spot.name) for key, spots in self._file.spots.items() for spot in spots]

    def remove(self, keys: Iterable[Key]) -> int:
        return len({name[0] for name in self._drop((key, None) for key in dict.fromkeys(keys))})

    def discard(self, names: Iterable[Name]) -> int:
        """Remove single takes; return how many there were."""
        return len(self._drop((key, (seed, slot)) for key, seed, slot in dict.fromkeys(names)))

    def _drop(self, wanted: Iterable[tuple[Key, tuple[str | None, int] | None]]) -> list[Name]:
        if not self.path.exists():
            return []
        with self._changing():
            going = [
                (key, *spot.name)
                for key, name in wanted
                for spot in self._file.spots.get(key, ())
                if name in (None, spot.name)
            ]
            if going:
                self._file.append([write_gone(*name) for name in going])
                self._untidy = True
                for key, _, _ in going:
                    self._near.pop(key)
        return going

    def prune(self, now: float) -> int:
        if not self.path.exists():
            return 0
        with self._changing():
            going = {
                spot.at
                for spots in self._file.spots.values()
                for spot in spots
                if spot.expires is not None and spot.expires <= now
            }
            if going:
                self._rewrite(going)
                self._sweep()
        return len(going)

    def tidy(self, *, accept: bool = False, drop: bool = False) -> Tidied:
        """Write the file anew: sorted, without what was replaced, and without git's conflict markers.

        With `accept`, lines that were changed by hand are sealed as they are; with `drop`, lines that cannot be
        read go, which otherwise stand at the end.
        """
        with self._changing():
            tidied = tidy(self._file, self._beside, accept=accept, drop=drop, timeless=self.timeless)
            self._untidy = False
            self._near.clear()
            self._sweep()
            return tidied

    def close(self) -> None:
        """Take out what this process has replaced or removed, and let go of the file; using it opens it again."""
        if self._untidy:
            with self._changing():
                self._compact()
        with self._file.lock:
            self._file.close()
            self._near.clear()
        self._writing.close()


def _quoted(text: str) -> bytes:
    return json.dumps(text, ensure_ascii=False).encode("utf-8", "replace")
