"""The layout of a bundle, and reading it piece by piece: nothing is loaded whole, nothing in it can run code.

    header    magic, format version, length of the whole, place, length and SHA-256 of the manifest
    blocks    records, compressed with zlib, about 32 KB of them in each
    table     for each block its place, its length packed and unpacked, what is in it, and its SHA-256
    fanout    for each bucket of keys its first line in the index, and the CRC-32 of its lines
    index     for each key its first 8 bytes, the block and the place in it of its record; sorted
    manifest  JSON: what the bundle holds, and where the sections are, with their digests

The manifest is vouched for by the header, a block by the table. A record holds its key in full, and is taken for
nothing else's. Numbers are big-endian.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from askonce.errors import DamagedStoreError, NewerStoreError, StorageError
from askonce.storage.lru import LRU

MAGIC = b"\x89ASKONCE\r\n\x1a\n"  # as PNG's: no text, and changed by whatever takes it for one
FORMAT = 1
HEADER = struct.Struct(">12sIQQI32s")
ROW = struct.Struct(">QIIB3x32s")
BUCKET = struct.Struct(">II")
LINE = struct.Struct(">8sII")
ANSWERS, QUESTIONS = 0, 1
BLOCK = 32 << 10  # bytes of records, about, in one block
PER_BUCKET = 16  # lines, about
LARGEST = 1 << 30  # bytes that a block may claim to unpack to

_CACHED = 1 << 20  # bytes of unpacked blocks that are held


class Source(Protocol):
    """Where the bytes of a bundle come from."""

    name: str

    def size(self) -> int: ...

    def read(self, place: int, length: int) -> bytes: ...

    def close(self) -> None: ...

    def again(self) -> Source:
        """Return another that reads the same."""
        ...


class FileSource:
    """A bundle in a file; opened when it is first read, and read by several threads at once."""

    def __init__(self, path: Path, start: int = 0) -> None:
        self.name = str(path)
        self.path = path
        self._start = start
        self._lock = threading.Lock()
        self._file: int | None = None

    def _open(self) -> int:
        with self._lock:
            if self._file is None:
                self._file = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            return self._file

    def again(self) -> FileSource:
        return FileSource(self.path, self._start)

    def size(self) -> int:
        return os.fstat(self._open()).st_size - self._start

    def read(self, place: int, length: int) -> bytes:
        file = self._open()
        if hasattr(os, "pread"):
            return os.pread(file, length, self._start + place)
        with self._lock:  # Windows has one position for all threads
            os.lseek(file, self._start + place, os.SEEK_SET)
            return os.read(file, length)

    def close(self) -> None:
        with self._lock:
            file, self._file = self._file, None
        if file is not None:
            os.close(file)


class Base64Source:
    """A bundle inside a text file: one line of base64 between `start` and `end`."""

    def __init__(self, path: Path, start: int, end: int) -> None:
        self.name = str(path)
        self._span = (path, start, end)
        self._text = FileSource(path, start)
        self._length = end - start

    def again(self) -> Base64Source:
        return Base64Source(*self._span)

    def size(self) -> int:
        padding = self._text.read(self._length - 2, 2).count(b"=")
        return self._length // 4 * 3 - padding

    def read(self, place: int, length: int) -> bytes:
        first, last = place // 3, (place + length + 2) // 3
        text = self._text.read(first * 4, min(last * 4, self._length) - first * 4)
        try:
            plain = base64.b64decode(text, validate=True)
        except ValueError as error:
            raise DamagedStoreError(f"{self.name} is damaged: its data is not base64 ({error})") from None
        return plain[place - first * 3 :][:length]

    def close(self) -> None:
        self._text.close()


class Section(NamedTuple):
    """Where a table of the bundle is, how many rows it has, and its digest."""

    place: int
    rows: int
    sha256: str


class Blocks:
    """Find and read records in a bundle. Every method raises StorageError when it is not what was written."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._manifest: dict[str, Any] | None = None
        self._unpacked: LRU[int, bytes] = LRU(_CACHED)

    @property
    def manifest(self) -> dict[str, Any]:
        """What the bundle says of itself."""
        if self._manifest is None:
            self._manifest = self._read_manifest()
        return self._manifest

    def find(self, key: bytes) -> Iterator[tuple[int, int]]:
        """Yield the block and the place of each record whose key begins as this one does."""
        bits = self._section("fanout").rows.bit_length() - 1
        bucket = int.from_bytes(key[:4]) >> (32 - bits)
        row = self._exactly(self._section("fanout").place + bucket * BUCKET.size, 2 * BUCKET.size)
        start, checksum = BUCKET.unpack_from(row)
        end = BUCKET.unpack_from(row, BUCKET.size)[0]
        lines = self._section("index")
        if not start <= end <= lines.rows:
            raise self.damaged("its index leads nowhere")
        data = self._exactly(lines.place + start * LINE.size, (end - start) * LINE.size)
        if zlib.crc32(data) != checksum:
            raise self.damaged("its index is not what was written")
        for prefix, block, place in LINE.iter_unpack(data):
            if prefix == key[:8]:
                yield block, place

    def count(self) -> int:
        """Return how many blocks there are."""
        return self._section("table").rows

    def kind(self, number: int) -> int:
        """Return whether ANSWERS or QUESTIONS are in a block."""
        kind: int = self._row(number)[3]
        return kind

    def block(self, number: int, *, keep: bool = True) -> bytes:
        """Return the records of a block; `keep` holds it for the next one who asks."""
        found = self._unpacked.get(number)
        if found is None:
            place, packed, length, _, digest = self._row(number)
            if length > LARGEST:
                raise self.damaged(f"block {number} claims {length:,} bytes")
            data = self._exactly(place, packed)
            if hashlib.sha256(data).digest() != digest:
                raise self.damaged(f"block {number} is not what was written")
            expander = zlib.decompressobj()
            try:
                found = expander.decompress(data, length)
            except zlib.error as error:
                raise self.damaged(f"block {number} cannot be expanded ({error})") from None
            if len(found) != length:
                raise self.damaged(f"block {number} expands to {len(found):,} bytes, not {length:,}")
            if keep:
                self._unpacked.put(number, found, length)
        return found

    def verify(self) -> None:
        """Read all of it, and compare it with its digests."""
        for name, width in (("table", ROW.size), ("fanout", BUCKET.size), ("index", LINE.size)):
            section = self._section(name)
            rows = section.rows + (name == "fanout")
            state = hashlib.sha256()
            for place in range(0, rows * width, 1 << 20):
                state.update(self._exactly(section.place + place, min(1 << 20, rows * width - place)))
            if state.hexdigest() != section.sha256:
                raise self.damaged(f"its {name} is not what was written")
        for number in range(self.count()):
            self.block(number, keep=False)

    def close(self) -> None:
        """Let go of the file and of what is held; reading opens it again."""
        self._manifest = None
        self._unpacked.clear()
        self.source.close()

    def damaged(self, why: str) -> DamagedStoreError:
        """Return the error that says what is wrong, and what to do."""
        return DamagedStoreError(f"{self.source.name} is damaged: {why}. Get it again where you had it from.")

    def _read_manifest(self) -> dict[str, Any]:
        try:
            header = self.source.read(0, HEADER.size)
            size = self.source.size()
        except FileNotFoundError:
            raise StorageError(f"There is no bundle at {self.source.name}.") from None
        except OSError as error:
            raise StorageError(f"{self.source.name} cannot be read ({error}).") from error
        if header[: len(MAGIC)] != MAGIC:
            raise DamagedStoreError(
                f"{self.source.name} is no bundle of askonce's: it begins with {header[:16]!r}. If it was "
                "downloaded, the server may have sent a page instead; `askonce fetch` tells."
            )
        if len(header) < HEADER.size:
            raise self.damaged(f"it ends after {len(header)} bytes")
        _, version, length, place, described, digest = HEADER.unpack(header)
        if version > FORMAT:
            raise NewerStoreError(
                f"{self.source.name} has format {version}, and this askonce reads up to {FORMAT}. "
                "Update it: pip install --upgrade askonce"
            )
        if size != length:
            raise self.damaged(f"it has {size:,} bytes of {length:,}")
        if described > LARGEST:
            raise self.damaged(f"its manifest claims {described:,} bytes")
        data = self._exactly(place, described)
        if hashlib.sha256(data).digest() != digest:
            raise self.damaged("its manifest is not what was written")
        try:
            manifest: dict[str, Any] = json.loads(data)
            for section in ("table", "fanout", "index"):
                place, count, vouched = manifest["sections"][section]
                if not (type(place) is type(count) is int and 0 <= place <= length and 0 <= count <= length):
                    raise ValueError(f"no {section}")  # noqa: TRY301
                Section(place, count, str(vouched))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise self.damaged(f"its manifest cannot be read ({error!r})") from None
        return manifest

    def _section(self, name: str) -> Section:
        return Section(*self.manifest["sections"][name])

    def _row(self, number: int) -> tuple[Any, ...]:
        table = self._section("table")
        if number >= table.rows:
            raise self.damaged(f"there is no block {number}")
        return ROW.unpack(self._exactly(table.place + number * ROW.size, ROW.size))

    def _exactly(self, place: int, length: int) -> bytes:
        try:
            data = self.source.read(place, length)
            while len(data) < length and (more := self.source.read(place + len(data), length - len(data))):
                data += more
        except OSError as error:
            raise StorageError(f"{self.source.name} cannot be read ({error}).") from error
        except (OverflowError, ValueError, MemoryError) as error:
            raise self.damaged(f"it leads to nowhere ({error})") from None
        if len(data) != length:
            raise self.damaged(f"it ends where {length - len(data):,} bytes more should be")
        return data
