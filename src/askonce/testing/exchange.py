"""What passes between the connection and the wire formats. Nothing here knows a provider or a socket."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any
from urllib.parse import parse_qsl, unquote

Json = dict[str, Any]
Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it arrived: `path` with its query, `at` in seconds of `time.monotonic()`."""

    method: str
    path: str
    headers: Headers
    body: bytes
    at: float

    def header(self, name: str) -> str | None:
        """Return the first header of this name, whatever its case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


@dataclass(slots=True)
class Shelf:
    """What the provider remembers from one request to the next."""

    files: dict[str, tuple[Json, bytes]] = field(default_factory=dict)
    polls: dict[str, int] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def poll(self, name: str) -> int:
        """Count one look at `name`; return how many came before."""
        with self.lock:
            before = self.polls.get(name, 0)
            self.polls[name] = before + 1
            return before


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, read: `number` is its place in the order of arrival, `path` lacks mount point and query."""

    number: int
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    fields: Json
    files: dict[str, bytes]
    origin: str
    shelf: Shelf

    @property
    def model(self) -> str:
        return str(self.fields.get("model") or "local-model")


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: `chunks`, if given, are sent as they are, one by one, in place of `body`.

    `mishap` is the chunk by which this stream would report an error half-way.
    """

    status: int
    headers: Headers
    body: bytes = b""
    chunks: tuple[bytes, ...] | None = None
    mishap: bytes = b""


@dataclass(frozen=True, slots=True)
class Wire:
    """One provider's format: what it answers, what its errors look like, which headers it always sends."""

    name: str
    routes: tuple[tuple[str, str, Callable[[Ask], Answer]], ...]  # method, pattern of the whole path, answer
    headers: Callable[[Ask], Headers]
    error: Callable[[int, str], Json]
    keyed: bool = True

    def find(self, method: str, path: str) -> Callable[[Ask], Answer] | None:
        """Return what answers this method and path, if anything does."""
        for verb, pattern, answer in self.routes:
            if verb == method and re.fullmatch(pattern, path):
                return answer
        return None


class Unreadable(ValueError):
    """A body that is neither a JSON object nor a form."""


def read_fields(received: Received) -> tuple[Json, dict[str, bytes]]:
    """Return the body's top-level fields and uploaded files; raise `Unreadable`."""
    if not received.body:
        return {}, {}
    content_type = received.header("content-type") or ""
    if content_type.startswith("multipart/form-data"):
        return _read_form(content_type, received.body)
    try:
        fields = json.loads(received.body)
    except ValueError as error:
        raise Unreadable(f"We could not parse the JSON body of your request: {error}") from error
    if not isinstance(fields, dict):
        raise Unreadable("The body of your request is not a JSON object")
    return fields, {}


def _read_form(content_type: str, body: bytes) -> tuple[Json, dict[str, bytes]]:
    boundary = re.search(r'boundary="?([^";]+)', content_type)
    if not boundary:
        raise Unreadable("Could not find the boundary of the multipart form")
    fields: Json = {}
    files: dict[str, bytes] = {}
    for part in body.split(b"--" + boundary[1].encode("latin-1"))[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        name = re.search(rb'[ ;]name="([^"]*)"', head)
        if not name:
            raise Unreadable("A part of the multipart form has no name")
        key, content = name[1].decode(), content.removesuffix(b"\r\n")
        if b"filename=" in head:
            files[key] = content
        else:
            fields[key] = content.decode("utf-8", "replace")
    return fields, files


def read_path(target: str) -> tuple[str, dict[str, str]]:
    """Split a request target into its path and its query's last values."""
    path, _, query = target.partition("?")
    return unquote(path), dict(parse_qsl(query, keep_blank_values=True))


def dump(value: object) -> bytes:
    """Encode as compact JSON in UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def reply(value: object, status: int = 200) -> Answer:
    """Answer with JSON."""
    return Answer(status, (("content-type", "application/json"),), dump(value))


def event(value: object, name: str | None = None) -> bytes:
    """Encode one server-sent event."""
    return (f"event: {name}\n".encode() if name else b"") + b"data: " + dump(value) + b"\n\n"


def stream(chunks: list[bytes], mishap: bytes, content_type: str = "text/event-stream; charset=utf-8") -> Answer:
    """Answer with a stream, a chunk at a time."""
    headers = (("content-type", content_type), ("cache-control", "no-cache"))
    return Answer(200, headers, chunks=tuple(chunks), mishap=mishap)
