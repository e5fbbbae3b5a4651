"""Fetches a bundle: goes on where it was cut, and keeps what is whole and the one that was meant."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from askonce.errors import DamagedStoreError, FetchError, NewerStoreError
from askonce.storage.blocks import MAGIC
from askonce.storage.bundle import SUFFIX, BundleStorage

_PIECE = 256 << 10
_TIMEOUT = 30.0  # seconds without a byte
_TRIES = 4
_DIGEST = re.compile(r"sha256[=:]([0-9a-fA-F]{64})")
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_GZIP = b"\x1f\x8b"

Progress = Callable[[int, int | None], None]
"""Told how many bytes are there, and of how many, if that is known."""


def name_of(url: str) -> str:
    """Return the name of the file that a URL is fetched into; nothing in it leaves the folder."""
    last = unquote(urlsplit(url).path).replace("\\", "/").rpartition("/")[2].removesuffix(".gz")
    stem = re.sub(r"[^\w.-]+", "-", last.removesuffix(SUFFIX)).strip("-.") or "answers"
    return stem[:100] + SUFFIX


def fetch(
    url: str,
    folder: Path | None = None,
    *,
    sha256: str = "",
    progress: Progress | None = None,
    shown: bool = False,
) -> Path:
    """Fetch a bundle into a folder, by default the working directory; return where it is.

    A `#sha256=…` at the end of the URL says what its digest must be, as `sha256` does. What is there of an earlier
    try is gone on with. `shown` shows a progress bar where there is a terminal to show it on.

    Raises:
        FetchError: when it cannot be fetched, or what came is no bundle, damaged, or another one.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise FetchError(f"{url!r} is no URL to fetch from. It begins with https:// or http://.")
    fragment = _DIGEST.fullmatch(parts.fragment)
    if parts.fragment and not fragment:
        raise FetchError(f"{url}: what follows # is no digest. Write #sha256= and 64 hexadecimal digits.")
    wanted = (sha256 or (fragment[1] if fragment else "")).lower()
    address = parts._replace(fragment="").geturl()
    target = (folder or Path.cwd()) / name_of(url)
    part = target.with_name(f".{target.name}.part")
    try:
        with _bar(target.name, shown=shown and progress is None) as bar:
            _download(address, part, progress or bar)
        _check(part, address, wanted)
        part.replace(target)
        _note(part).unlink(missing_ok=True)
    except OSError as error:
        raise FetchError(f"{target} cannot be written ({error}).") from error
    return target


def _download(url: str, part: Path, progress: Progress) -> None:
    """Bring the file at `url` to `part`, from where an earlier try has left it."""
    before = -1
    for number in range(1, _TRIES + 1):
        try:
            _receive(url, part, progress)
        except (HTTPException, _Cut) as error:
            there = part.stat().st_size if part.exists() else 0
            if number == _TRIES or there == before:
                raise FetchError(
                    f"{url} broke off after {there:,} bytes ({error}). Fetch it again: it goes on from there."
                ) from error
            before = there
        else:
            return


class _Cut(Exception):
    """The connection ended before the file did."""


def _receive(url: str, part: Path, progress: Progress) -> None:
    there, validator = _earlier(url, part)
    headers = {"Accept-Encoding": "identity", "User-Agent": "askonce"}
    if there:
        headers |= {"Range": f"bytes={there}-", "If-Range": validator}
    try:
        with _opened(url, headers) as response:
            start, total = _place(response)
            if start not in (0, there):
                raise FetchError(f"{url}: the server sent another part of the file than was asked for.")
            _remember(part, url, response)
            with part.open("r+b" if start else "wb") as file:
                file.seek(start)
                file.truncate()
                _copy(response, file, start, total, progress)
    except _Over:
        progress(there, there)


class _Over(Exception):
    """All of the file is there already."""


@contextmanager
def _opened(url: str, headers: dict[str, str]) -> Iterator[HTTPResponse]:
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT)  # noqa: S310
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:
            raise _Over from None
        raise FetchError(f"{url} answered {error.code} {error.reason}. {_advice(error.code)}") from None
    except urllib.error.URLError as error:
        raise FetchError(f"{url} cannot be reached ({error.reason}).") from error
    except (TimeoutError, ConnectionError) as error:
        raise FetchError(f"{url} cannot be reached ({error}).") from error
    with response:
        yield response


def _advice(status: int) -> str:
    if status in (401, 403):
        return "It is not open to everybody; ask whoever gave you the URL."
    if status in (404, 410):
        return "There is nothing at this URL; see whether it is written as it was given to you."
    return "Try again later."


def _copy(response: HTTPResponse, file: Any, start: int, total: int | None, progress: Progress) -> None:
    at = start
    while True:
        try:
            piece = response.read1(_PIECE)
        except (TimeoutError, ConnectionError, HTTPException) as error:
            raise _Cut(str(error) or type(error).__name__) from error
        if not piece:
            break
        if at == 0:
            _look(piece, response)
        file.write(piece)
        at += len(piece)
        progress(at, total)
    if total is not None and at < total:
        raise _Cut(f"{total:,} were announced")


def _look(start: bytes, response: HTTPResponse) -> None:
    """Refuse at the first bytes what is no bundle: a page of a login or of a drive, say."""
    if start.startswith((MAGIC[: len(start)], _GZIP)):
        return
    kind = response.headers.get("content-type", "").partition(";")[0] or "unknown content"
    is_page = "html" in kind or start.lstrip()[:1] == b"<"
    what = "a web page" if is_page else kind
    raise FetchError(
        f"{response.url} is {what}, and no bundle of askonce's: it begins with {start[:24]!r}."
        + (" Use the link that downloads the file itself." if is_page else "")
    )


def _place(response: HTTPResponse) -> tuple[int, int | None]:
    """Return where in the file the answer begins, and how long the file is."""
    told = _RANGE.fullmatch(response.headers.get("content-range", ""))
    if response.status == 206 and told:
        return int(told[1]), None if told[2] == "*" else int(told[2])
    length = response.headers.get("content-length")
    return 0, int(length) if length and length.isdigit() else None


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _remember(part: Path, url: str, response: HTTPResponse) -> None:
    """Keep what tells whether the file at the URL is still the same when the rest is fetched."""
    validator = response.headers.get("etag", "")
    if validator.startswith("W/"):
        validator = ""
    validator = validator or response.headers.get("last-modified", "")
    _note(part).write_text(json.dumps({"url": hashlib.sha256(url.encode()).hexdigest(), "validator": validator}))


def _earlier(url: str, part: Path) -> tuple[int, str]:
    """Return how much of the file is there, and what vouches that it is the same; 0 where nothing does."""
    try:
        note = json.loads(_note(part).read_text())
        if note["url"] == hashlib.sha256(url.encode()).hexdigest() and note["validator"]:
            return part.stat().st_size, str(note["validator"])
    except (OSError, ValueError, LookupError, TypeError):
        pass
    return 0, ""


def _check(part: Path, url: str, wanted: str) -> None:
    """Refuse what is not the bundle that was meant, and unpack one that was compressed once more."""
    try:
        _compare(_sha256(part), wanted, url)
        with part.open("rb") as file:
            is_packed = file.read(2) == _GZIP
        if is_packed:
            _unpack(part, url)
        bundle = BundleStorage(part)
        try:
            bundle.verify()
        except (DamagedStoreError, NewerStoreError) as error:
            why = str(error).replace(str(part), url)
            raise FetchError(f"{why} It was not kept.") from None
        finally:
            bundle.close()
    except FetchError:
        part.unlink(missing_ok=True)
        _note(part).unlink(missing_ok=True)
        raise


def _compare(found: str, wanted: str, url: str) -> None:
    if wanted and found != wanted:
        raise FetchError(
            f"{url} is not the file that was meant: its SHA-256 is {found}, not {wanted}. It was not kept."
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unpack(part: Path, url: str) -> None:
    plain = part.with_name(f"{part.name}.plain")
    try:
        with gzip.open(part) as source, plain.open("wb") as target:
            while piece := source.read(_PIECE):
                target.write(piece)
        plain.replace(part)
    except (gzip.BadGzipFile, EOFError, OSError) as error:
        raise FetchError(f"{url} cannot be unpacked ({error}). It was not kept.") from None
    finally:
        plain.unlink(missing_ok=True)


@contextmanager
def _bar(name: str, *, shown: bool) -> Iterator[Progress]:
    """Show how far it is on standard error: in a line that is written over, without any library."""
    if not shown or not _is_terminal():
        yield lambda at, total: None
        return
    written = 0

    def show(at: int, total: int | None) -> None:
        nonlocal written
        of = f" of {total / 1e6:,.1f} MB, {at / total:.0%}" if total else " MB"
        line = f"\rFetching {name}: {at / 1e6:,.1f}{of}"
        sys.stderr.write(line.ljust(written))
        sys.stderr.flush()
        written = len(line)

    try:
        yield show
    finally:
        sys.stderr.write("\r" + " " * written + "\r" if written else "")


def _is_terminal() -> bool:
    try:
        return sys.stderr.isatty() or "ipykernel" in sys.modules
    except (AttributeError, ValueError):
        return False
