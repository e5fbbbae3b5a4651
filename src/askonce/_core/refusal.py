"""An error answer of our own, in the shape of the provider it stands in for.

An exception raised below an SDK is swallowed and retried by some; a response with `x-should-retry: false` and
the provider's own error body reaches the user at once, with our words.
"""

from __future__ import annotations

import json
from typing import Any

from askonce._core.domains import Dialect
from askonce._core.messages import Answer, Chunk, Head, Headers

NO_KEY = "askonce-has-no-key"
"""What a client of the drop-in has for a key that has none. It is sent to nobody."""

_NAMES = {
    400: ("invalid_request_error", "INVALID_ARGUMENT"),
    401: ("authentication_error", "UNAUTHENTICATED"),
    403: ("permission_error", "PERMISSION_DENIED"),
    404: ("not_found_error", "NOT_FOUND"),
    413: ("request_too_large", "INVALID_ARGUMENT"),
    502: ("api_error", "UNAVAILABLE"),
    504: ("api_error", "DEADLINE_EXCEEDED"),
}
_REASONS = {
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    413: b"Content Too Large",
    502: b"Bad Gateway",
    504: b"Gateway Timeout",
}


def refusal(dialect: Dialect, status: int, message: str) -> Answer:
    """Return an error answer with this message and a status that is listed above; one from 500 may be retried."""
    body = json.dumps(_body(dialect, status, message), ensure_ascii=False).encode()
    headers = Headers(
        (
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"x-should-retry", b"true" if status >= 500 else b"false"),
        )
    )
    return Answer(Head(status, headers, _REASONS[status]), 0.0, (Chunk(body, 0.0),))


def is_keyless(headers: Headers) -> bool:
    """Say whether a request comes from a client without a key, which the drop-in lets ask nobody."""
    given = headers.get(b"api-key") or (headers.get(b"authorization") or "").removeprefix("Bearer").strip()
    return given == NO_KEY


def _body(dialect: Dialect, status: int, message: str) -> dict[str, Any]:
    kind, code = _NAMES[status]
    match dialect:
        case Dialect.ANTHROPIC:
            return {"type": "error", "error": {"type": kind, "message": message}}
        case Dialect.GEMINI:
            return {"error": {"code": status, "message": message, "status": code}}
        case Dialect.OLLAMA:
            return {"error": message}
        case Dialect.COHERE | Dialect.BEDROCK:
            return {"message": message}
        case Dialect.OPENAI:
            return {"error": {"message": message, "type": kind, "param": None, "code": "askonce_" + code.lower()}}
