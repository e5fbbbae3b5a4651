"""An HTTP exchange that another program recorded, as the question and the take it would have become here."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from contextvars import Context
from typing import NamedTuple
from urllib.parse import urlsplit

from askonce._core.coding import CODINGS, coding_of
from askonce._core.controls import Mode
from askonce._core.entry import Key, Take
from askonce._core.messages import Answer, Headers, Request
from askonce._core.tape import Tape
from askonce._engine.cache import Cache
from askonce._engine.call import Match
from askonce.exchange.finding import Finding, Recorded, Skipped
from askonce.settings import Settings
from askonce.storage.memory import MemoryStorage

_LARGEST = 256 << 20  # bytes that a compressed body may have when it is expanded
_USER = re.compile(r"//[^/]*@")
_CODED = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})


class Asked(NamedTuple):
    """A request as it was recorded; `url` is absolute."""

    method: str
    url: str
    headers: Headers
    body: bytes

    @property
    def title(self) -> str:
        """The method and the URL, without a query or a user: they may hold a key."""
        return f"{self.method} {_USER.sub('//', self.url.partition('?')[0], count=1)}"


class Reader:
    """Read recorded exchanges as the settings' own cache would: domains, partition and all else."""

    def __init__(self, settings: Settings) -> None:
        settings = settings._replace(store="memory:", mode=Mode.RECORD, ttl=None, delays=0.0, debug=False)
        self._cache = Cache(settings, MemoryStorage())

    def look(self, place: str, asked: Asked) -> Skipped | None:
        """Return why a request is none of ours; None when it is."""
        try:
            request = _request(asked)
        except ValueError:
            return Skipped(place, asked.title, "not a URL")
        return None if self._match(request) else Skipped(place, asked.title, "not generation")

    def read(self, place: str, asked: Asked, answered: Answer, recorded: float) -> Finding:
        """Return what an exchange becomes; `recorded` is in Unix seconds."""
        request = _request(asked)
        match = self._match(request)
        if match is None:
            return Skipped(place, asked.title, "not generation")
        if not asked.body:  # every question has one; a program may leave it out of what it saves
            return Skipped(place, asked.title, "the request's body is not in the file")
        # In a context of its own: whoever imports may be inside `options(...)` or `bypass()`.
        call = Context().run(self._cache.begin, request, match)
        if isinstance(call, Answer):
            return Skipped(place, asked.title, "its x-askonce controls are malformed")
        if call.controls.mode is Mode.OFF:
            return Skipped(place, asked.title, "its answer depends on state at the provider")
        answer = whole(answered)
        if isinstance(answer, str):
            return Skipped(place, asked.title, answer)
        return Recorded(place, call.question, Take(answer, recorded, call.controls.seed, call.controls.ttl))

    def _match(self, request: Request) -> Match | None:
        origin = (request.method, request.scheme, request.host, request.port, request.target)
        return self._cache.match(*origin)


class Turns:
    """Give the answers to one question, in the order in which a file has them, their slots."""

    def __init__(self) -> None:
        self._count: Counter[tuple[Key, str | None]] = Counter()

    def place(self, found: Finding) -> Finding:
        if isinstance(found, Skipped):
            return found
        name = (found.question.key, found.take.seed)
        self._count[name] += 1
        return found._replace(take=found.take._replace(slot=self._count[name] - 1))


def _request(asked: Asked) -> Request:
    parts = urlsplit(asked.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(asked.url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Request(asked.method, parts.scheme, parts.hostname, parts.port, target, asked.headers, asked.body)


def whole(answered: Answer) -> Answer | str:
    """Return an answer as it is kept, or why it is not: an error, or not all of it."""
    head, chunks = answered.head, answered.chunks
    coding = coding_of(head.headers)
    if coding:
        body = answered.body
        size = _expanded_size(body) if coding in CODINGS else None
        if size is not None and size > _LARGEST:
            return f"expands to more than {_LARGEST >> 20} MB"
        if size is None and _is_text(body):  # the recorder has undone the coding, and left the header
            head = head._replace(headers=head.headers.without(_CODED))
    # The file says where the body ends, as HTTP/2 does; the version that was spoken need not.
    tape = Tape(head._replace(http_version=b"HTTP/2"), answered.head_at)
    for chunk in chunks:
        tape.feed(*chunk)
    answer = tape.finish()
    if isinstance(answer, str):
        return answer
    return answer._replace(head=answer.head._replace(http_version=head.http_version))


def _expanded_size(body: bytes) -> int | None:
    """Return what compressed content expands to (no further than needed), None when it is not compressed."""
    for window in (47, -zlib.MAX_WBITS):  # gzip or zlib by their first bytes; deflate without a wrapper
        size, rest = 0, body
        try:
            while rest and size <= _LARGEST:
                inflate = zlib.decompressobj(window)
                size += len(inflate.decompress(rest, _LARGEST + 1))
                rest = inflate.unused_data
        except zlib.error:
            continue
        return size
    return None


def _is_text(body: bytes) -> bool:
    """Tell whether this is UTF-8; compressed content of any length is not."""
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True
