"""Look for credentials in a store as an attacker would: in its raw bytes, and in all that can be expanded of it.

Every credential that a test uses holds the word SECRET, so that this finds it wherever it has got to.
"""

from __future__ import annotations

import base64
import gzip
import io
import re
import shutil
import sqlite3
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote, quote_plus

from askonce.errors import AskonceError
from askonce.storage.blocks import MAGIC, Blocks, FileSource
from tests.sdks.secrets import MORE_SECRETS, SECRETS

WORD = "SECRET"
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{16,}")
_SQLITE = b"SQLite format 3\0"
_ZIP, _GZIP = b"PK\x03\x04", b"\x1f\x8b"
_CARRIED = re.compile(rb"^# ([A-Za-z0-9+/=]{100,})$", re.MULTILINE)  # a module made to be handed out


def stores_in(folder: Path) -> list[Path]:
    """Return the SQLite files and text stores under a folder, and what is made of them to be handed out."""
    return [path for path in folder.rglob("*") if path.is_file() and (_is_store(path) or _is_text(path))]


def _is_text(path: Path) -> bool:
    # cachy's own file, which tests of importing have pycachy make, does hold secrets: that is a fault of cachy.
    return (path.suffix == ".jsonl" and path.name != "cachy.jsonl") or path.parent.suffix == ".files"


def _is_store(path: Path) -> bool:
    if path.suffix == ".py":
        return b"askonce-data" in path.read_bytes()
    return _begins(path).startswith((_SQLITE, MAGIC, _ZIP, _GZIP))


def _begins(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE))
    except OSError:
        return b""


def contents(store: Path) -> Iterator[bytes]:
    """Yield the raw bytes of a store's files, then each value in it, expanded where it is compressed."""
    for suffix in ("", "-wal", "-shm", "-journal", "-miss"):
        path = store.with_name(store.name + suffix)
        if path.exists():
            yield path.read_bytes()
    if _is_text(store):
        yield from _texts(store)
    elif _begins(store) == _SQLITE:
        yield from values(store)
    else:
        yield from unfolded(store.read_bytes())


def _texts(store: Path) -> Iterator[bytes]:
    """Yield what the base64 in a text store stands for, as it is and expanded; the rest can be read as it is."""
    for text in _BASE64.findall(store.read_bytes()):
        data = base64.b64decode(text[: len(text) // 4 * 4])  # what is no base64 may look like it
        yield data
        yield from expanded(data)
    yield from expanded(store.read_bytes())


def unfolded(data: bytes) -> Iterator[bytes]:
    """Yield what is inside a bundle, a wheel, an sdist or a module made to be handed out, however deep."""
    if data.startswith(MAGIC):
        yield from _blocks(data)
        return
    inner: list[bytes] = []
    try:
        if data.startswith(_ZIP):
            archive = zipfile.ZipFile(io.BytesIO(data))
            inner = [archive.read(name) for name in archive.namelist()]
        elif data.startswith(_GZIP):
            inner = [gzip.decompress(data)]
        elif data[257:262] == b"ustar":
            with tarfile.open(fileobj=io.BytesIO(data)) as files:
                inner = [found.read() for member in files if (found := files.extractfile(member))]
        else:
            inner = [base64.b64decode(text) for text in _CARRIED.findall(data)]
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, tarfile.TarError):
        return  # damaged on purpose
    for one in inner:
        yield one
        yield from unfolded(one)


def _blocks(data: bytes) -> Iterator[bytes]:
    """Yield the blocks of a bundle, and what is in them that was compressed before."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "copy.askonce"
        path.write_bytes(data)
        blocks = Blocks(FileSource(path))
        try:
            for number in range(blocks.count()):
                block = blocks.block(number, keep=False)
                yield block
                yield from expanded(block)
        except AskonceError:  # damaged on purpose
            return
        finally:
            blocks.close()


def values(store: Path) -> Iterator[bytes]:
    """Yield each text and blob in a store, as it is and expanded."""
    with TemporaryDirectory() as folder:  # a copy, so that looking changes nothing
        for suffix in ("", "-wal"):
            if (path := store.with_name(store.name + suffix)).exists():
                shutil.copy(path, Path(folder) / f"copy{suffix}")
        yield from _values(Path(folder) / "copy")


def _values(copy: Path) -> Iterator[bytes]:
    with closing(sqlite3.connect(copy)) as db:
        try:
            tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
            for table in tables:
                for row in db.execute(f'SELECT * FROM "{table}"'):
                    for value in row:
                        if isinstance(value, str | bytes):
                            data = value.encode() if isinstance(value, str) else value
                            yield data
                            yield from expanded(data)
        except sqlite3.DatabaseError:
            return  # a store that a test damaged on purpose: its raw bytes have been yielded


def expanded(data: bytes) -> Iterator[bytes]:
    """Yield what a value is when it is, or holds, zlib or gzip."""
    starts = [0] + [data.find(magic) for magic in (b"\x1f\x8b\x08", b"\x78\x9c", b"\x78\x5e") if magic in data]
    for start in starts:
        try:
            yield zlib.decompressobj(47).decompress(data[start:])
        except zlib.error:
            continue


def forms(secret: str) -> set[bytes]:
    """Return what a secret looks like in the ways that HTTP and JSON write one."""
    found = {secret.encode(), quote(secret, safe="").encode(), quote_plus(secret).encode()}
    for shift in range(3):  # base64 of something that contains it: the characters that depend on it alone
        encoded = base64.b64encode(b"\0" * shift + secret.encode())
        found.add(encoded[(shift * 8 + 5) // 6 : (shift + len(secret)) * 8 // 6])
    return found


_FORMS = {form: secret for secret in (*SECRETS, *MORE_SECRETS, f"-{WORD}-") for form in forms(secret)}


def findings(store: Path) -> list[str]:
    """Return the secrets that are in a store, each with what is around it."""
    found = []
    for data in contents(store):
        for form, secret in _FORMS.items():
            at = data.find(form)
            if at >= 0:
                found.append(f"{store.name} holds {secret}: …{data[max(0, at - 60) : at + 60]!r}…")
    return found
