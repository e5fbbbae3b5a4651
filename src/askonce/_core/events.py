"""The events inside a streamed body, whatever the pieces they arrive in.

A splitter is fed bytes and returns the events that they complete: JSON objects as dicts, OpenAI's `[DONE]` as
`DONE`. What is not JSON is no event of any provider and is passed over.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any, Final, Protocol

DONE: Final[dict[str, Any]] = {"askonce": "[DONE]"}
"""Stands for the line `data: [DONE]`; told by identity."""

Event = dict[str, Any]


class Splitter(Protocol):
    """Cut a body into events."""

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that `data` completes."""
        ...

    def end(self) -> list[Event]:
        """Return the events that were complete but for the end of their line."""
        ...

    @property
    def rest(self) -> bytes:
        """What has come of an event that is not complete."""
        ...


def splitter_for(media_type: str) -> Splitter | None:
    """Return the splitter for a streaming media type, or None for a body that is one piece."""
    match media_type:
        case "text/event-stream":
            return Lines(is_sse=True)
        case "application/x-ndjson" | "application/jsonl" | "application/x-jsonlines" | "application/stream+json":
            return Lines(is_sse=False)
        case "application/vnd.amazon.eventstream":
            return AmazonFrames()
        case _:
            return None


class Lines:
    """Server-sent events (WHATWG HTML, 9.2.6: lines end in CR, LF or CRLF) and newline-delimited JSON."""

    __slots__ = ("_begun", "_data", "_failed", "_is_sse")

    _END = re.compile(rb"\r\n|\n|\r")

    def __init__(self, *, is_sse: bool) -> None:
        self._is_sse = is_sse
        self._begun: list[bytes] = []  # the pieces of a line; joined once, for a picture has many
        self._data: list[bytes] = []
        self._failed = False

    @property
    def rest(self) -> bytes:
        return b"".join(self._begun).strip() or b"".join(self._data)

    def feed(self, data: bytes) -> list[Event]:
        if b"\n" not in data and b"\r" not in data and not (self._begun and self._begun[-1].endswith(b"\r")):
            self._begun.append(data)
            return []
        text = b"".join((*self._begun, data))
        if text.endswith(b"\r"):  # it may be the first half of CRLF
            text, held = text[:-1], b"\r"
        else:
            held = b""
        if b"\r" in text:
            *lines, rest = self._END.split(text)
        else:
            *lines, rest = text.split(b"\n")
        self._begun = [rest + held]
        return [event for line in lines if (event := self._take(line)) is not None]

    def end(self) -> list[Event]:
        return self.feed(b"\n\n")

    def _take(self, line: bytes) -> Event | None:
        if not self._is_sse:
            return _object(line)
        if line.startswith(b"data:"):
            data = line[5:].strip()
            # Some clients read up to this line and no further, not even to the empty one that ends the event.
            if data == b"[DONE]":
                self._data.clear()
                return DONE
            self._data.append(data)
        elif line.startswith(b"event:"):
            self._failed = line[6:].strip() == b"error"
        elif not line:
            data, self._data = b"\n".join(self._data), []
            failed, self._failed = self._failed, False
            if failed:
                return {"error": data.decode("utf-8", "replace") or "error", **(_object(data) or {})}
            return _object(data) if data else None
        return None


class AmazonFrames:
    """Amazon's binary event stream (AWS SDK developer guide, "Event stream encoding")."""

    __slots__ = ("_rest",)

    _HEADER = re.compile(rb"(:message-type|:event-type|:exception-type)\x07(..)", re.DOTALL)

    def __init__(self) -> None:
        self._rest = b""

    @property
    def rest(self) -> bytes:
        return self._rest

    def feed(self, data: bytes) -> list[Event]:
        text = self._rest + data
        events = []
        at = 0
        while len(text) - at >= 12:
            total = int.from_bytes(text[at : at + 4])
            if total < 16 or len(text) - at < total:
                break
            events.append(self._read(text[at : at + total]))
            at += total
        self._rest = text[at:]
        return events

    def end(self) -> list[Event]:
        return []

    def _read(self, frame: bytes) -> Event:
        end_of_headers = 12 + int.from_bytes(frame[4:8])
        headers = {}
        raw = frame[12:end_of_headers]
        for match in self._HEADER.finditer(raw):
            start = match.end()
            headers[match[1]] = raw[start : start + int.from_bytes(match[2])].decode("latin-1")
        payload = _object(frame[end_of_headers:-4]) or {}
        if headers.get(b":message-type", "event") != "event":
            return {"error": payload or headers.get(b":exception-type", "exception")}
        inner = payload.get("bytes")
        if isinstance(inner, str):  # invoke-with-response-stream wraps the model's own event
            try:
                payload = _object(base64.b64decode(inner)) or {}
            except ValueError:
                payload = {}
        return {"type": headers.get(b":event-type", ""), **payload}


def _object(data: bytes) -> Event | None:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
