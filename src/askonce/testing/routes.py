"""Which wire format a request speaks, and the answer to it."""

from __future__ import annotations

import re

from . import anthropic, bedrock, cohere, gemini, mistral, ollama, openai, replicate
from .exchange import Answer, Ask, Json, Received, Shelf, Unreadable, Wire, read_fields, read_path, reply

WRONG_KEY = "wrong-key"
# A cache's own settings: the real providers refuse them, so a cache must not let them through.
FOREIGN_FIELDS = frozenset(("cache_enabled", "cache_ttl", "cache_options", "customer_identifier"))
_MOUNTS = re.compile(r"/openai/deployments/(?P<deployment>[^/]+)|/openai/v1|/inference/v1|/v1")
_MISTRAL_MODEL = re.compile(r"(?:open-)?(?:mi[nsx]tral|ministral|codestral|pixtral|magistral|devstral|voxtral)")
_PATHS = (
    (re.compile(r"/model/.+/(?:converse|converse-stream|invoke|invoke-with-response-stream)"), bedrock.WIRE),
    (re.compile(r"/api/.*"), ollama.WIRE),
    (re.compile(anthropic.VERTEX), anthropic.WIRE),
    (re.compile(r"/v1(?:beta|alpha)\d*/.*|.*/models/[^/]+:\w+"), gemini.WIRE),
    (re.compile(r"/v2/.*|/v1/(?:chat|embed|rerank)"), cohere.WIRE),
    (re.compile(r"/v1/messages(?:/.*)?"), anthropic.WIRE),
    (re.compile(r"/v1/(?:ocr|fim/completions)"), mistral.WIRE),
    (re.compile(r"/v1/(?:models/[^/]+/[^/]+/)?predictions(?:/.*)?"), replicate.WIRE),
)


def wire_for(path: str, headers: dict[str, str], model: str) -> Wire:
    """Tell the format: by path, and where two share a path by header or model name."""
    for pattern, wire in _PATHS:
        if pattern.fullmatch(path):
            return wire
    if "anthropic-version" in headers:
        return anthropic.WIRE
    if path.startswith("/v1/") and (
        _MISTRAL_MODEL.match(model) or headers.get("user-agent", "").startswith("mistral-client")
    ):
        return mistral.WIRE
    return openai.WIRE


def read(received: Received, number: int, origin: str, shelf: Shelf) -> tuple[Ask, Wire, Answer | None]:
    """Read a request; the answer is there already if it must be refused."""
    path, query = read_path(received.path)
    headers = {name.lower(): value for name, value in received.headers}
    trouble = None
    fields: Json = {}
    files: dict[str, bytes] = {}
    try:
        fields, files = read_fields(received)
    except Unreadable as unreadable:
        trouble = str(unreadable)
    wire = wire_for(path, headers, str(fields.get("model", "")))
    if wire is openai.WIRE and (mount := _MOUNTS.match(path)):
        path = path[mount.end() :]
        if mount["deployment"]:
            fields.setdefault("model", mount["deployment"])
    ask = Ask(number, received.method, path, query, headers, fields, files, origin, shelf)
    if wire.keyed and not path.startswith("/files/images/") and _credential(ask) in ("", WRONG_KEY):
        return ask, wire, reply(wire.error(401, "Incorrect API key provided"), 401)
    foreign = sorted(FOREIGN_FIELDS & fields.keys())
    foreign += [name for name in headers if name.startswith("x-askonce-") or name == "cache-control"]
    if foreign:
        trouble = f"Unrecognized request argument supplied: {', '.join(foreign)}"
    return ask, wire, None if trouble is None else reply(wire.error(400, trouble), 400)


def _credential(ask: Ask) -> str:
    for name in ("x-api-key", "api-key", "x-goog-api-key"):
        if name in ask.headers:
            return ask.headers[name]
    return ask.headers.get("authorization", ask.query.get("key", "")).removeprefix("Bearer").strip()


def answer(ask: Ask, wire: Wire) -> Answer:
    """Answer a request that was not refused."""
    made = wire.find(ask.method, ask.path)
    if made is None:
        return reply(wire.error(404, f"Invalid URL ({ask.method} {ask.path})"), 404)
    try:
        return made(ask)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        return reply(wire.error(400, f"The request has not the shape that this endpoint expects: {error!r}"), 400)
