"""The file of a text store: which line is where, and how lines are added and replaced.

A line is indexed by its beginning alone, and read when it is asked for. Only whoever holds the lock writes: at the
end of the file, or a whole new file that takes the old one's place. Readers need no lock: an unfinished last line
is none yet, and a file that is another or has not merely grown is indexed anew.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from askonce._core.entry import Key
from askonce.forks import Lock
from askonce.storage.disk import explain
from askonce.storage.lines import read_time

_BEGINNING = re.compile(
    rb'\{"key":"([0-9a-f]{64})",(?:"seed":("(?:[^"\\]|\\.)*"),)?(?:"slot":(\d{1,9}),)?'
    rb'(?:"recorded":"([0-9T:.Z+-]{10,40})",)?(?:"ttl":([0-9.e+-]{1,30}),)?'
)
_CONFLICT = re.compile(rb"(?:<{7}|={7}|>{7}|\|{7})(?: |\Z)")
_TAIL = 256  # bytes before the end by which it is told whether a file has merely grown
_PATIENCE = 2.0  # seconds for which a file that another program reads cannot be replaced, on Windows

HAS_PREAD = hasattr(os, "pread")
"""Whether a file may stay open while another takes its place, and be read by many threads at once."""


class Spot(NamedTuple):
    """Where a take's line is (bytes, without its end), and what its beginning says of the take.

    `recorded` sorts as text; `expires` is in Unix seconds.
    """

    at: int
    size: int
    seed: str | None
    slot: int
    recorded: str
    expires: float | None
    is_gone: bool = False
    """Whether it is no take, and says that one is removed."""

    @property
    def name(self) -> tuple[str | None, int]:
        """What tells a take from the others of its question."""
        return self.seed, self.slot


class Flaw(NamedTuple):
    """A line that is no take: its number, counted from 1, and what is wrong with it."""

    number: int
    why: str
    is_conflict: bool = False
    is_foreign: bool = False


def read_beginning(line: bytes, at: int) -> tuple[Key, Spot]:
    """Return the key of a line and the spot that it is.

    Raises:
        ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError: when it is no take's.
    """
    match = _BEGINNING.match(line)
    if match and line.endswith(b"}"):
        key, seed, slot, recorded, ttl = match.groups()
        if not line.startswith((b'"seed":', b'"slot":', b'"recorded":', b'"ttl":'), match.end()):
            when = recorded.decode() if recorded else ""
            return bytes.fromhex(key.decode()), Spot(
                at,
                len(line),
                json.loads(seed) if seed else None,
                int(slot) if slot else 0,
                when,
                read_time(when or 0.0) + float(ttl) if ttl else None,
                line.startswith(b'"gone":', match.end()),
            )
    return _read_by_hand(line, at)


def _read_by_hand(line: bytes, at: int) -> tuple[Key, Spot]:
    """Read a line that does not begin as ours do: somebody has written it, or written it anew."""
    value = json.loads(line)
    seed, recorded, ttl = value.get("seed"), value.get("recorded", ""), value.get("ttl")
    if not isinstance(seed, str | None) or not isinstance(value["asked"], dict):
        raise TypeError("seed is no text, or asked no object")
    key = bytes.fromhex(value["key"])
    if len(key) != 32:
        raise ValueError("key is no SHA-256")
    expires = None if ttl is None else read_time(recorded or 0.0) + float(ttl)
    return key, Spot(at, len(line), seed, int(value.get("slot", 0)), str(recorded), expires)


def is_conflict_marker(line: bytes) -> bool:
    """Tell whether git has left this line where it could not merge."""
    return _CONFLICT.match(line) is not None


class TextFile:
    """The lines of the file at `path`, by key. Its methods are called under `lock`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = Lock()
        self.changes = 0
        """Grows when lines that were known are no longer there; what was read of them must be forgotten."""
        self._file = -1
        self.forget()

    def forget(self) -> None:
        """Have the whole file read again by the next `refresh`."""
        self.spots: dict[Key, list[Spot]] = {}
        self.size = 0
        """Bytes of the takes' lines; those that later lines replace are not counted."""
        self.takes = 0
        self.superseded = 0
        """Bytes of lines that later ones replace."""
        self.flaws: list[Flaw] = []
        self.end = 0
        """Up to where the file is known."""
        self.lines = 0
        self._tail = b""
        self.modified = 0.0
        """When the file was last changed, in Unix seconds."""
        self._known: tuple[int, ...] = ()
        self.changes += 1
        self._close_file()

    def _close_file(self) -> None:
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)

    def refresh(self) -> list[Key]:
        """Take notice of what has changed; return the keys of the lines that were added.

        Raises:
            StorageError: when the file cannot be read.
        """
        try:
            now = os.stat(self.path)  # noqa: PTH116
            if _identify(now) == self._known:
                return []
            with self.path.open("rb") as file:
                if self._known[:2] != _identify(now)[:2] or not self._has_merely_grown(file, now.st_size):
                    self.forget()
                file.seek(self.end)
                added = self._scan(file)
            self._know(now)
        except FileNotFoundError:
            if self._known:
                self.forget()
            return []
        except OSError as error:
            raise explain(error, self.path) from error
        else:
            return added

    def _has_merely_grown(self, file: BinaryIO, size: int) -> bool:
        if size <= self.end:
            return False
        file.seek(self.end - len(self._tail))
        return file.read(len(self._tail)) == self._tail

    def _scan(self, lines: Iterable[bytes]) -> list[Key]:
        """Index the lines from `end` on, but for a last one that is not finished."""
        added = []
        line = b""
        for line in lines:
            if not line.endswith(b"\n") and not _is_whole(line):
                break
            self.lines += 1
            key = self._index(line.rstrip(b"\r\n"), self.end)
            self.end += len(line)
            self._tail = line[-_TAIL:]
            if key is not None:
                added.append(key)
        return added

    def _index(self, line: bytes, at: int) -> Key | None:
        try:
            key, spot = read_beginning(line, at)
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
            self._note_flaw(line, error)
            return None
        self.put(key, spot)
        return key

    def _note_flaw(self, line: bytes, error: Exception) -> None:
        if is_conflict_marker(line):
            self.flaws.append(Flaw(self.lines, "is a conflict marker of git", is_conflict=True))
        elif line.strip():
            why = f"is no JSON ({error})" if isinstance(error, json.JSONDecodeError) else "is no recorded answer"
            self.flaws.append(Flaw(self.lines, why, is_foreign=not line.startswith(b'{"key":"'[: len(line)])))

    def put(self, key: Key, spot: Spot) -> None:
        """Note where a take is; a later line replaces an earlier one of the same take."""
        others = []
        for old in self.spots.get(key, ()):
            if old.name != spot.name:
                others.append(old)
                continue
            self.superseded += old.size + 1
            self.size -= old.size + 1
            self.takes -= 1
        if spot.is_gone:
            self.superseded += spot.size + 1
        else:
            others.append(spot)
            self.takes += 1
            self.size += spot.size + 1
        if others:
            self.spots[key] = others
        else:
            self.spots.pop(key, None)

    def read(self, spot: Spot) -> bytes:
        """Return a line; raises StorageError when the file cannot be read."""
        try:
            if not HAS_PREAD:
                with self.path.open("rb") as file:
                    file.seek(spot.at)
                    return file.read(spot.size)
            if self._file < 0:
                self._file = os.open(self.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
            return os.pread(self._file, spot.size, spot.at)
        except OSError as error:
            raise explain(error, self.path) from error

    def number(self, spot: Spot) -> int:
        """Return the number of a line, counted from 1."""
        with suppress(OSError), self.path.open("rb") as file:
            return 1 + file.read(spot.at).count(b"\n")
        return 0

    def all_lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield where each line is, and the line without its end; also those that are no takes."""
        at = 0
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            for line in file:
                yield at, line.rstrip(b"\r\n")
                at += len(line)

    def append(self, lines: Sequence[bytes]) -> None:
        """Add lines at the end, whole or not at all. Call it after `refresh`, with the file's lock.

        Raises:
            StorageError: when they cannot be written.
        """
        try:
            file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
            try:
                self._write_at_end(file, lines)
            finally:
                os.close(file)
        except OSError as error:
            raise explain(error, self.path) from error

    def _write_at_end(self, file: int, lines: Sequence[bytes]) -> None:
        size = os.fstat(file).st_size
        # A line that somebody did not finish (a killed process, an editor) must not become the beginning of ours.
        is_torn = size > self.end or (size > 0 and not self._tail.endswith(b"\n"))
        data = b"\n" * is_torn + b"\n".join((*lines, b""))
        try:
            written = os.write(file, data)
            while written < len(data):
                written += os.write(file, data[written:])
        except OSError:
            with suppress(OSError):
                os.ftruncate(file, size)
            raise
        if size > self.end:  # what lies before ours has not been looked at yet
            self.refresh()
            return
        at = size + is_torn
        for line in lines:
            self.lines += 1
            self.put(*read_beginning(line, at))
            at += len(line) + 1
        self.end = at
        self._tail = data[-_TAIL:]
        self._know(os.fstat(file))

    def _know(self, status: os.stat_result) -> None:
        self._known = _identify(status)
        self.modified = status.st_mtime

    def replace(self, lines: Iterable[bytes]) -> None:
        """Put a file with these lines in the place of this one. Call it after `refresh`, with the file's lock.

        Raises:
            StorageError: when it cannot be written; the old file is as it was then.
        """
        fresh = self.path.with_name(f".{self.path.name}.{os.getpid()}.new")
        try:
            with fresh.open("wb") as file:
                for line in lines:
                    file.write(line + b"\n")
                file.flush()
                os.fsync(file.fileno())
            with suppress(OSError):
                fresh.chmod(self.path.stat().st_mode & 0o777)
            self._close_file()
            _take_place(fresh, Path(os.path.realpath(self.path)))  # a link stays one
        except OSError as error:
            with suppress(OSError):
                fresh.unlink()
            raise explain(error, self.path) from error
        self.forget()
        self.refresh()

    def close(self) -> None:
        """Let go of the file."""
        self._close_file()


def _is_whole(line: bytes) -> bool:
    """Tell whether a last line without an end is a whole one: an editor may leave the end out."""
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _identify(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _take_place(fresh: Path, path: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            fresh.replace(path)
        except PermissionError:  # Windows: while another program has the old one open
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
