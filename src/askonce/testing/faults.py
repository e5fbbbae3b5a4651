"""The ways in which one answer goes wrong: what is said is spoiled here, how it is sent in `connection`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .exchange import Answer, Wire, reply

_RETRY_AT_ONCE = (("retry-after", "0"), ("retry-after-ms", "1"))
_HALF = b'{"object":"list","data":[{"te'
_PAGE = b"<!doctype html><html><body><h1>Please sign in to this network</h1></body></html>"


@dataclass(frozen=True, slots=True)
class Status:
    """An error with this status, in the provider's shape."""

    code: int


@dataclass(frozen=True, slots=True)
class Html:
    """Status 200 and a page of HTML, as captive portals and misconfigured proxies send."""


@dataclass(frozen=True, slots=True)
class Empty:
    """Status 200 and no body."""


@dataclass(frozen=True, slots=True)
class NotJson:
    """Status 200, half of the JSON, and a Content-Length that agrees with the half."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection closes in the middle of the body; a plain body is cut in half."""

    after_chunks: int = 2


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    """The stream reports an error and ends; a plain answer is an error body under status 200."""

    after_chunks: int = 2


@dataclass(frozen=True, slots=True)
class EofEarly:
    """The stream ends as HTTP wants it, but without its last events; a plain body is `NotJson`."""

    after_chunks: int = 2


@dataclass(frozen=True, slots=True)
class Stall:
    """The body pauses for so many seconds, then goes on; a plain body pauses at half."""

    after_chunks: int = 2
    seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class Gzip:
    """The body is compressed, event streams chunk by chunk, if the request accepts gzip."""


@dataclass(frozen=True, slots=True)
class Raw:
    """These bytes are sent in place of an answer, head and all, and the connection closes."""

    data: bytes


AnyFault = Status | Html | Empty | NotJson | Cut | ErrorEvent | EofEarly | Stall | Gzip | Raw


class Fault:
    """The faults by name, for `LocalProvider.fail_next`."""

    STATUS: Final = Status
    HTML: Final = Html()
    EMPTY: Final = Empty()
    NOT_JSON: Final = NotJson()
    CUT: Final = Cut
    ERROR_EVENT: Final = ErrorEvent
    EOF_EARLY: Final = EofEarly
    STALL: Final = Stall
    GZIP: Final = Gzip()
    RAW: Final = Raw


def spoil(answer: Answer, fault: AnyFault | None, wire: Wire) -> Answer:
    """Return what is said in place of this answer."""
    chunks = answer.chunks
    match fault:
        case Status(code):
            said = reply(wire.error(code, f"A fault was queued: status {code}"), code)
            # OpenAI's SDK takes `retry-after: 0` for none and waits half a second; the second header is its own.
            more = _RETRY_AT_ONCE if code in (408, 409, 429) or code >= 500 else ()
            return Answer(code, said.headers + more, said.body)
        case Html():
            return Answer(200, (("content-type", "text/html; charset=utf-8"),), _PAGE)
        case Empty():
            return Answer(200, answer.headers)
        case NotJson():
            half = answer.body[: len(answer.body) // 2] if chunks is None else _HALF
            return Answer(200, (("content-type", "application/json"),), half)
        case ErrorEvent(after) if chunks and answer.mishap:
            return Answer(200, answer.headers, chunks=(*chunks[: min(after, len(chunks) - 1)], answer.mishap))
        case ErrorEvent():
            return reply(wire.error(500, "A fault was queued: an error under status 200"))
        case EofEarly(after) if chunks:
            return Answer(200, answer.headers, chunks=chunks[: min(after, len(chunks) - 1)])
        case EofEarly():
            return Answer(200, answer.headers, answer.body[: len(answer.body) // 2])
        case Cut() | Stall() | Gzip() | Raw() | None:
            return answer
