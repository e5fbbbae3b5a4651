"""A file to import, told by its content, and what is found in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from askonce._core.entry import Entry
from askonce.errors import FileFormatError, StorageError
from askonce.exchange.finding import Finding, Recorded
from askonce.exchange.message import Reader, Turns
from askonce.exchange.node import MalformedError, Node
from askonce.exchange.openai_cache import is_openai_cache
from askonce.settings import Settings
from askonce.storage import Filter, Storage, open_storage
from askonce.storage.blocks import MAGIC
from askonce.storage.bundle import BundleStorage

_LARGEST = 512 << 20  # bytes of a file that has to be read as a whole
_HELD = 256 << 20  # bytes of entries that are held in memory to have them in order
_START = 64 << 10
_CURES = "Mend or remove that place, or record anew; nothing of the file was imported."


class Format(StrEnum):
    """What a file can be."""

    STORE = "askonce store"
    CACHY = "cachy's file"
    CASSETTE = "vcrpy cassette"
    HAR = "HAR"
    OPENAI_CACHE = "cached_openai's file"


class Source(NamedTuple):
    """A file whose format is known. `read` yields what is in it, anew each time.

    `is_checked_first` says that a mistake may be found at any point: read all before anything is kept.
    """

    path: Path
    format: Format
    read: Callable[[], Iterator[Finding]]
    is_checked_first: bool = True


def open_source(path: Path, settings: Settings) -> Source:
    """Return what a file is; requests in it are understood as a cache with these settings would.

    Raises:
        FileFormatError: when it is nothing that can be imported.
    """
    try:
        if not path.is_file():
            trouble = "a folder; name the files in it" if path.is_dir() else "not there"
            raise FileFormatError(f"{path} is {trouble}.")
        with path.open("rb") as file:
            start = file.read(_START)
        recorded = path.stat().st_mtime
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read: {error.strerror}.") from None
    reader = Reader(settings)
    if start.startswith(b"SQLite format 3\0"):
        return Source(path, Format.STORE, partial(_read_store, path), is_checked_first=False)
    if start.startswith(MAGIC):
        return Source(path, Format.STORE, partial(_read_store, path), is_checked_first=False)
    if is_openai_cache(start):
        return Source(path, Format.OPENAI_CACHE, partial(_told, path, partial(_read_openai_cache, path, reader)))
    first = start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    line = _first_line(path) if first == b"{" else None
    # By its name only where the first line tells nothing: it is empty, torn, or a mark of a merge conflict.
    if {"key", "response"} <= line.keys() if line else path.name == "cachy.jsonl":
        return Source(path, Format.CACHY, partial(_read_cachy, path, recorded, settings.partition), False)
    if "key" in line and not {"asked", "gone"}.isdisjoint(line) if line else path.suffix == ".jsonl":
        from askonce.storage.jsonl import JSONLStorage  # whatever the file's name ends in

        return Source(path, Format.STORE, partial(_read_store, path, JSONLStorage), is_checked_first=False)
    return _whole_file(path, is_json=first in (b"{", b"["), recorded=recorded, reader=reader)


def _first_line(path: Path) -> dict[str, Any] | None:
    """Return the object that the first line with something on it is, or None."""
    with path.open("rb") as file:
        line = next((line for line in iter(partial(file.readline, _LARGEST), b"") if line.strip()), b"")
    try:
        value = json.loads(line.removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _whole_file(path: Path, *, is_json: bool, recorded: float, reader: Reader) -> Source:
    """Return a HAR or a cassette, read as a whole."""
    value = _value(path, is_json=is_json)
    size = path.stat().st_size
    root = Node(value)
    if isinstance(value, dict) and isinstance(value.get("log"), dict):
        from askonce.exchange.har import read_archive

        return Source(path, Format.HAR, partial(_told, path, partial(read_archive, root, reader)))
    if (isinstance(value, dict) and "interactions" in value) or _is_old_cassette(value):
        from askonce.exchange.cassette import read_interactions

        read = partial(read_interactions, root, size, recorded, reader)
        return Source(path, Format.CASSETTE, partial(_told, path, read))
    raise FileFormatError(
        f"{path} is nothing that can be imported. There are askonce's own stores, cachy.jsonl, openai.cache, "
        "cassettes of vcrpy (YAML or JSON) and HAR."
    )


def _is_old_cassette(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict) and "request" in value[0]


def _value(path: Path, *, is_json: bool) -> Any:
    if path.stat().st_size > _LARGEST:
        raise FileFormatError(f"{path} is larger than {_LARGEST >> 20} MB. Split it, and import the parts.")
    try:
        text = path.read_bytes().decode("utf-8-sig")
        if is_json:
            return json.loads(text)
        from askonce.exchange.plain_yaml import read_yaml

        return read_yaml(text)
    except json.JSONDecodeError as error:
        raise FileFormatError(f"{path}, line {error.lineno}: not JSON ({error.msg}). {_CURES}") from None
    except UnicodeDecodeError:
        raise FileFormatError(f"{path} is neither text in UTF-8 nor an askonce store.") from None
    except (RecursionError, ValueError) as error:
        what = str(error) if isinstance(error, ValueError) else "nested too deep"
        raise FileFormatError(f"{path}: {what}. {_CURES}") from None
    except ImportError:
        raise FileFormatError(f"{path}: reading YAML needs PyYAML. Run pip install 'askonce[import]'.") from None


def _told(path: Path, read: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Read, and name the file in what is said of a mistake."""
    try:
        yield from read()
    except MalformedError as error:
        raise FileFormatError(f"{path}: {error}. {_CURES}") from None


def _read_cachy(path: Path, recorded: float, partition: str) -> Iterator[Finding]:
    """Read the whole file before anything of it is given: it may be larger than what can be held in memory."""
    from askonce.exchange.cachy import read_lines

    for is_checked in (False, True):
        with path.open("rb") as file:
            for finding in _told(path, partial(read_lines, _lines(file), recorded, partition)):
                if is_checked:
                    yield finding


def _read_openai_cache(path: Path, reader: Reader) -> Iterator[Finding]:
    from askonce.exchange.openai_cache import read_cache

    if path.stat().st_size > _LARGEST:
        raise MalformedError(f"it is larger than {_LARGEST >> 20} MB")
    turns = Turns()
    for finding in read_cache(path.read_bytes(), reader):
        yield turns.place(finding)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(_LARGEST):
        if len(line) == _LARGEST:
            raise MalformedError(f"a line of more than {_LARGEST >> 20} MB")
        yield line


def _read_store(path: Path, open_: Callable[[Path], Storage] = open_storage) -> Iterator[Finding]:
    try:
        storage = open_(path)
        try:
            yield from findings_in(storage)
        finally:
            storage.close()
    except StorageError as error:
        raise FileFormatError(f"{path}: {error}") from error


def findings_in(storage: Storage, where: Filter = Filter()) -> Iterator[Recorded]:
    """Yield every take of a storage's entries, in the order of recording."""
    for entry in entries_of(storage, where):
        for take in entry.takes:
            yield Recorded(f"entry {entry.question.key.hex()[:12]}", entry.question, take)


def entries_of(storage: Storage, where: Filter = Filter()) -> Iterable[Entry]:
    """Return a storage's entries as `oldest_first` does; raises StorageError where it has the digests alone."""
    if isinstance(storage, BundleStorage) and storage.manifest.final:
        raise StorageError(
            f"{storage.url} is final: of its questions there are the digests alone. Use it as it is."
        )
    return oldest_first(storage, where)


def oldest_first(storage: Storage, where: Filter = Filter()) -> Iterable[Entry]:
    """Return entries in the order of recording, so that a copy is listed as the original is.

    Beyond what is good to hold in memory they come as the storage has them, the latest first.
    """
    found = storage.entries(where)
    return reversed(list(found)) if storage.totals().size <= _HELD else found
