"""Short ways to the core's values: requests as programs write them, answers as providers send them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

from askonce._core.body import read_body
from askonce._core.domains import Domains, Route
from askonce._core.entry import Question, Take
from askonce._core.key import identify
from askonce._core.messages import Answer, Chunk, Head, Headers, Request, Usage
from askonce._core.tape import Tape

CHAT = "https://api.openai.com/v1/chat/completions"
JSON = "application/json"
SSE = "text/event-stream"

Fields = dict[str, str] | Sequence[tuple[str, str]]


def headers(fields: Fields) -> Headers:
    """Return headers."""
    pairs: Iterable[tuple[str, str]] = fields.items() if isinstance(fields, dict) else fields
    return Headers((name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs)


def request(body: Any = None, url: str = CHAT, fields: Fields = (), content_type: str = JSON) -> Request:
    """Return a POST; a `body` that is not bytes is sent as JSON."""
    parts = urlsplit(url)
    raw = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
    sent = headers([("content-type", content_type), *headers_list(fields)])
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    return Request("POST", parts.scheme, parts.hostname or "", parts.port, target, sent, raw)


def headers_list(fields: Fields) -> list[tuple[str, str]]:
    """Return header fields as pairs."""
    return list(fields.items()) if isinstance(fields, dict) else list(fields)


def route(url: str, method: str = "POST", domains: Domains | None = None) -> tuple[str, Route] | None:
    """Return the provider and the generation route that a URL is."""
    parts = urlsplit(url)
    found = (domains or Domains()).find(parts.scheme, parts.hostname or "", parts.port)
    for domain in found:
        if (one := domain.route(method, parts.path)) is not None:
            return domain.provider, one
    return None


def question(
    body: Any = None,
    url: str = CHAT,
    fields: Fields = (),
    content_type: str = JSON,
    partition: str = "",
    method: str = "POST",
) -> Question:
    """Return the question that a request is, be its URL a known provider's or not."""
    asked = request(body, url, fields, content_type)
    domain = Domains().find(asked.scheme, asked.host, asked.port) or Domains().find(
        "https", "api.openai.com", None
    )
    chosen = next((r for d in domain if (r := d.route("POST", asked.path))), domain[0].routes[0])
    asked = Request(method, asked.scheme, asked.host, asked.port, asked.target, asked.headers, asked.body)
    return identify(asked, read_body(content_type, asked.body), domain[0], chosen, partition)


def answer(body: bytes = b'{"ok":1}', content_type: str = JSON, at: float = 0.5) -> Answer:
    """Return an answer in one chunk."""
    return Answer(Head(200, headers({"content-type": content_type})), 0.25, (Chunk(body, at),), Usage(3, 4))


def take(
    body: bytes = b'{"ok":1}',
    seed: str | None = None,
    recorded: float = 1000.0,
    ttl: float | None = None,
    slot: int = 0,
) -> Take:
    """Return a take."""
    return Take(answer(body), recorded, seed, ttl, slot)


def record(
    pieces: Iterable[bytes],
    content_type: str = SSE,
    status: int = 200,
    fields: Fields = (),
    http: bytes = b"HTTP/2",
) -> Tape:
    """Return a tape that these pieces have passed."""
    tape = Tape(Head(status, headers([("content-type", content_type), *headers_list(fields)]), b"", http), 0.1)
    for number, piece in enumerate(pieces, 1):
        tape.feed(piece, 0.1 + number / 100)
    return tape


def kept(pieces: Iterable[bytes], content_type: str = SSE, **more: Any) -> bool:
    """Tell whether a body that ends after these pieces is kept."""
    return isinstance(record(pieces, content_type, **more).finish(), Answer)
