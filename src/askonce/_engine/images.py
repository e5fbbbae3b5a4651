"""Images behind the addresses in answers: fetched when an answer is recorded, files when it is replayed."""

from __future__ import annotations

import os
import ssl
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit

from askonce._core.entry import Key
from askonce._core.media import addresses, as_url, media_type, pictures, with_urls
from askonce._core.messages import Answer
from askonce.forks import renew_in_children
from askonce.notices import warn_once

_LARGEST = 64 << 20  # bytes of one image
_PATIENCE = 30.0  # seconds that a server of images may be silent
_DEADLINE = 120.0  # seconds for all images of an answer


class Images:
    """The images of one cache's answers; their files are made in `folder`."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.renew()
        renew_in_children(self)

    def renew(self) -> None:
        """Begin with nothing on its way, in a forked child too: what is stays with the parent."""
        self._fetching: Counter[Key] = Counter()
        self._changed = threading.Condition()

    def is_fetching(self, key: Key) -> bool:
        """Tell whether images of an answer to this question are on their way to the store."""
        return key in self._fetching

    def keep(self, key: Key, answer: Answer, keep: Callable[[Answer | str], object]) -> None:
        """Call `keep` with an answer that has its images in it, or with why there is none.

        Where there is something to fetch it is done in another thread, and the caller has its answer meanwhile.
        The thread is no daemon, so that what was paid for is kept although the program ends now.
        """
        if not addresses(answer):
            keep(answer)
            return
        with self._changed:
            self._fetching[key] += 1

        def work() -> None:
            try:
                keep(_embedded(answer))
            except Exception as error:  # nobody else would hear of it
                warn_once(f"an answer with images could not be kept: {error!r}")
            finally:
                with self._changed:
                    self._fetching -= Counter((key,))  # what comes to nothing is no longer in it
                    self._changed.notify_all()

        try:
            threading.Thread(target=work, name="askonce-images").start()
        except RuntimeError:  # no more threads; at the end of a program none are started
            work()

    def settle(self) -> None:
        """Wait until all that is on its way is kept or given up."""
        with self._changed:
            self._changed.wait_for(lambda: not self._fetching, _DEADLINE)

    def show(self, answer: Answer) -> Answer:
        """Return an answer whose images are files, and its URLs those of the files."""
        found = pictures(answer)
        if not found:
            return answer
        folder = Path(self.folder).absolute()
        urls = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for picture in found:
                path = folder / picture.name
                if not _holds(path, picture.content):
                    _write(path, picture.content)
                urls[picture.url] = path.as_uri()
        except OSError as error:
            warn_once(
                f"images cannot be written to {folder} ({error.strerror or error}), so their URLs are data: URLs. "
                "Name another folder with images= or ASKONCE_IMAGES."
            )
        return with_urls(answer, urls) if urls else answer


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.stat().st_size == len(content) and path.read_bytes() == content
    except OSError:
        return False


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; what has its name, even a link to elsewhere, is replaced."""
    handle, made = tempfile.mkstemp(prefix=".", suffix=path.suffix, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(made).chmod(0o644)
        Path(made).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(made).unlink()
        raise


def _embedded(answer: Answer) -> Answer | str:
    """Return an answer with its images in it, or why that cannot be."""
    urls = addresses(answer)
    results: dict[str, str | Exception] = {}
    deadline = time.monotonic() + _DEADLINE

    def fetch(url: str) -> None:
        try:
            results[url] = _fetch(url, deadline)
        except HTTPError as error:
            error.close()  # it holds the connection
            results[url] = ValueError(f"status {error.code}")
        except Exception as error:
            results[url] = error

    for worker in _start(fetch, urls):
        worker.join()
    for url in urls:
        error = results[url]
        if isinstance(error, Exception):
            why = f"an image of it could not be fetched from {urlsplit(url).hostname} ({_reason(error)})"
            warn_once(f"an answer was not recorded: {why}. Ask again to try again.")
            return why
    return with_urls(answer, {url: str(result) for url, result in results.items()})


def _start(fetch: Callable[[str], None], urls: Sequence[str]) -> list[threading.Thread]:
    workers = []
    for url in urls:
        worker = threading.Thread(target=fetch, args=(url,), name="askonce-image")
        try:
            worker.start()
        except RuntimeError:
            fetch(url)
        else:
            workers.append(worker)
    return workers


def _fetch(url: str, deadline: float) -> str:
    """Return an image as a `data:` URL."""
    request = urllib.request.Request(url, headers={"accept": "image/*", "user-agent": "askonce"})  # noqa: S310
    content = bytearray()
    with _opener().open(request, timeout=_PATIENCE) as response:
        while data := response.read(1 << 16):
            content += data
            if len(content) > _LARGEST:
                raise ValueError(f"it is larger than {_LARGEST >> 20} MB")
            if time.monotonic() > deadline:
                raise TimeoutError("it took too long")
        said = response.headers.get("content-type") or ""
        length = response.headers.get("content-length")
    if length is not None and int(length) != len(content):
        raise ValueError("it broke off")
    kind = media_type(bytes(content), said)
    if kind is None:
        raise ValueError(f"it is no image but {said or 'unknown content'}")
    return as_url(bytes(content), kind)


def _opener() -> urllib.request.OpenerDirector:
    """Return what opens http and https alone, also after a redirect."""
    certificates = sys.modules.get("certifi")  # what the HTTP library of the program trusts
    context = ssl.create_default_context(cafile=certificates.where() if certificates else None)
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=context),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return str(reason) or repr(reason)
