"""A text store as it should be: sorted, each take once, without what git or an editor has left in it."""

from __future__ import annotations

from typing import NamedTuple

from askonce._core.content import FAULTS
from askonce.errors import DamagedStoreError
from askonce.storage.answered import EditedError
from askonce.storage.beside import Beside
from askonce.storage.lines import Reading, read_line, write_line
from askonce.storage.textfile import Flaw, TextFile, is_conflict_marker, read_beginning


class Tidied(NamedTuple):
    """What was done: `replaced` lines and conflict `markers` were taken out, what was changed by hand `accepted`.

    `flaws` are the lines that are no takes, or not what was recorded, by the numbers they had before.
    """

    takes: int
    replaced: int
    markers: int
    accepted: int
    flaws: tuple[Flaw, ...]
    is_changed: bool


class _Sorted(NamedTuple):
    """A line and what it is sorted by: takes of one question lie together, in the order of recording."""

    key: bytes
    recorded: str
    slot: int
    seed: str
    line: bytes


def tidy(file: TextFile, beside: Beside, *, accept: bool, drop: bool, timeless: bool) -> Tidied:
    """Write a file anew, if that changes it; called with its lock. See `JSONLStorage.tidy`."""
    kept: list[_Sorted] = []
    before: list[bytes] = []
    rest: list[bytes] = []
    flaws: list[Flaw] = []
    replaced = markers = accepted = 0
    for number, (at, line) in enumerate(file.all_lines(), 1):
        before.append(line)
        if is_conflict_marker(line):
            markers += 1
        elif line.strip():
            try:
                key, spot = read_beginning(line, at)
                if spot not in file.spots.get(key, ()):
                    replaced += 1
                    continue
                reading = _read(line, beside, accept=accept)
            except DamagedStoreError as error:
                flaws.append(Flaw(number, str(error)))
                rest.append(line)
            except FAULTS:
                flaws.append(Flaw(number, "it is no recorded answer"))
                rest.append(line)
            else:
                accepted += not reading.is_sealed
                is_timeless = (
                    timeless or not spot.recorded
                )  # as it is, for a file's date is not when it was recorded
                as_ours = _as_ours(line, reading, beside, timeless=is_timeless)
                kept.append(_Sorted(key, spot.recorded, spot.slot, spot.seed or "", as_ours))
    after = [*(one.line for one in sorted(kept)), *(() if drop else rest)]
    if before != after:
        file.replace(after)
    return Tidied(len(kept), replaced, markers, accepted, tuple(flaws), before != after)


def _read(line: bytes, beside: Beside, *, accept: bool) -> Reading:
    try:
        return read_line(line, beside.fetch)
    except EditedError:
        if not accept:
            raise
        return read_line(line, beside.fetch, accept=True)


def _as_ours(line: bytes, reading: Reading, beside: Beside, *, timeless: bool) -> bytes:
    """Return a line as it was; one that was made or changed by hand as we write it, with a seal."""
    if reading.is_sealed and line.startswith(b'{"key":"'):
        return line
    written = write_line(reading.question, reading.take, timeless=timeless)
    beside.keep(written.files)
    return written.text
