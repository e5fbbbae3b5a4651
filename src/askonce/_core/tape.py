"""A tape collects an answer's chunks while they pass, and knows when the answer is complete.

Complete is: the body ended where its framing says it ends, what it holds is whole and is no error, and a stream
has said its last word. Whatever is not shown to be complete is not kept.
"""

from __future__ import annotations

import json
import zlib
from enum import Enum

from askonce._core.coding import CODINGS, Decoder, coding_of
from askonce._core.events import Event, Splitter, splitter_for
from askonce._core.marks import Mark, Progress, has_failed
from askonce._core.messages import Answer, Chunk, Head, Headers, Usage
from askonce._core.usage import read_usage

_UNFINISHED = frozenset({"queued", "in_progress", "starting", "processing", "running", "cancelled", "canceled"})

# Personal, momentary, or about the connection: a replay does not need them and a store must not hold them.
_DROPPED = frozenset(
    b"""
    set-cookie set-cookie2 www-authenticate proxy-authenticate authentication-info alt-svc nel report-to
    retry-after retry-after-ms strict-transport-security x-should-retry
    openai-organization openai-project anthropic-organization-id
    """.split()
)
_DROPPED_PREFIXES = (b"x-ratelimit-", b"ratelimit", b"x-rate-limit-", b"anthropic-ratelimit-", b"x-amz-security-")


class Left(Enum):
    """What a reader leaves behind when it stops before the end of the body."""

    COMPLETE = "all that matters has come"
    REST = "only the tail is missing; it is worth fetching"
    FRAGMENT = "the answer is cut off"


def keepable_headers(headers: Headers) -> Headers:
    """Return an answer's headers less those that a store must not hold."""
    return Headers(
        tuple(
            pair
            for pair in headers
            if (name := pair[0].lower()) not in _DROPPED and not name.startswith(_DROPPED_PREFIXES)
        )
    )


class Tape:
    """Record one answer."""

    __slots__ = (
        "_broken",
        "_chunks",
        "_decoder",
        "_expected",
        "_head",
        "_head_at",
        "_media_type",
        "_plain",
        "_progress",
        "_received",
        "_seen",
        "_splitter",
        "_usage",
    )

    def __init__(self, head: Head, head_at: float) -> None:
        self._head = head
        self._head_at = head_at
        self._chunks: list[Chunk] = []
        self._received = 0
        self._usage = Usage()
        self._progress = Progress()
        self._seen = False
        self._media_type = (head.headers.get(b"content-type") or "").partition(";")[0].strip().lower()
        self._splitter = splitter_for(self._media_type)
        self._plain: list[bytes] = []
        self._expected = _content_length(head.headers)
        coding = coding_of(head.headers)
        self._decoder = Decoder(coding) if coding in CODINGS else None
        self._broken = self._why_not(head, coding)

    def _why_not(self, head: Head, coding: str) -> str:
        if not 200 <= head.status < 300:
            return f"status {head.status}"
        if head.status in (202, 204, 205, 206):
            return f"status {head.status} is not a whole answer"
        if self._media_type in ("text/html", "application/xhtml+xml"):
            return "a web page, not an answer"
        if coding and self._decoder is None:
            return f"content-encoding {coding} cannot be checked"
        return ""

    @property
    def chunks(self) -> list[Chunk]:
        """All that has come; it grows while the answer is recorded."""
        return self._chunks

    @property
    def worthless(self) -> str:
        """Why this answer cannot be kept, already known now; empty while it may be."""
        return self._broken

    @property
    def is_one_piece(self) -> bool:
        """Whether nobody can do anything with a part of this answer."""
        return self._splitter is None and self._is_json()

    def feed(self, data: bytes, at: float) -> None:
        """Record one more chunk."""
        self._chunks.append(Chunk(data, at))
        self._received += len(data)
        if self._broken:
            return
        try:
            self._understand(data if self._decoder is None else self._decoder.feed(data))
        except zlib.error as error:
            self._broken = f"damaged content-encoding ({error})"
        except Exception as error:  # whoever reads the answer must not suffer for what we make of it
            self._broken = f"not understood ({error!r})"

    def _understand(self, data: bytes) -> None:
        if self._splitter is None:
            self._plain.append(data)
        else:
            for event in self._splitter.feed(data):
                self._see(event)

    def _see(self, event: Event) -> None:
        self._seen = True
        self._progress.see(event)
        self._usage = read_usage(event, self._usage)
        if self._progress.mark is Mark.FAILED:
            self._broken = "an error inside the stream"

    def left(self) -> Left:
        """Tell what is lost if the reader stops here."""
        if self._broken:
            return Left.FRAGMENT
        if self._expected is not None and self._received >= self._expected:
            return Left.COMPLETE
        if self._progress.mark is Mark.ENDED and self._expected is None:
            return Left.COMPLETE
        return Left.REST if self._progress.mark >= Mark.ENDING else Left.FRAGMENT

    def finish(self) -> Answer | str:
        """Return the complete answer, or why it is not to be kept.

        Call it at the end of the body, or after `left` said COMPLETE.
        """
        reason = self._broken or self._find_fault()
        if reason:
            return reason
        head = Head(
            self._head.status, keepable_headers(self._head.headers), self._head.reason, self._head.http_version
        )
        return Answer(head, self._head_at, tuple(self._chunks), self._usage)

    def _find_fault(self) -> str:
        if self._received == 0:
            return "empty"
        if self._expected is not None and self._received != self._expected:
            return f"{self._received} of {self._expected} bytes"
        if self._splitter is not None:
            return self._find_fault_in_stream(self._splitter)
        if self._decoder is not None and not self._decoder.is_over:
            return "the content-encoding is cut off"
        if self._is_json():
            return self._find_fault_in_json()
        if self._expected is None and not self._is_framed():
            return "nothing tells where it ends"
        return "a web page, not an answer" if _looks_like_html(self._plain) else ""

    def _find_fault_in_stream(self, splitter: Splitter) -> str:
        rest = splitter.rest
        for event in splitter.end():
            self._see(event)
        mark = self._progress.mark
        if mark in (Mark.ENDING, Mark.ENDED):
            return ""
        if mark is Mark.BEGUN:
            return "the stream ended before its last event"
        if self._broken:
            return self._broken
        if rest:
            return "the stream ended inside an event"
        if not self._seen:
            return "a stream without an event"
        return "" if self._is_framed() else "nothing tells where it ends"

    def _find_fault_in_json(self) -> str:
        try:
            value = json.loads(b"".join(self._plain))
        except (ValueError, RecursionError):
            return "not the JSON it says it is"
        if not value and value != 0:
            return "empty"
        for part in value if isinstance(value, list) else (value,):
            if isinstance(part, dict):
                choices = part.get("choices")
                if part.get("error") or part.get("object") == "error" or "__type" in part or has_failed(part):
                    return "an error with status 200"
                if isinstance(choices, list) and any(isinstance(one, dict) and has_failed(one) for one in choices):
                    return "an error with status 200"
                status = part.get("status")
                if isinstance(status, str) and status in _UNFINISHED:
                    return f"not finished: {status}"
                self._usage = read_usage(part, self._usage)
        return ""

    def _is_json(self) -> bool:
        return self._media_type == "application/json" or self._media_type.endswith("+json")

    def _is_framed(self) -> bool:
        if self._expected is not None or self._head.http_version not in (b"HTTP/1.0", b"HTTP/1.1"):
            return True
        return "chunked" in (self._head.headers.get(b"transfer-encoding") or "").lower()


def _content_length(headers: Headers) -> int | None:
    length = headers.get(b"content-length") or ""
    return int(length) if length.isdecimal() and len(length) < 20 else None


def _looks_like_html(pieces: list[bytes]) -> bool:
    start = b"".join(pieces[:4])[:64].lstrip().lower()
    return start.startswith((b"<!doctype html", b"<html"))
