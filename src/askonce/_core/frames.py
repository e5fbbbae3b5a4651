"""Amazon's binary event stream as values, and back to the same bytes.

A frame is lengths, a checksum, headers, a payload and a checksum (AWS SDK developer guide, "Event stream
encoding"). As a value it is `{"headers": {…}, "json": …}`; the checksums follow from the rest.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from typing import Any

_TEXT = 7  # the type of a header whose value is text; the only one that models' streams use


def read_frames(body: bytes) -> list[Any] | None:
    """Return a stream's frames as values, those that are unlike the usual as base64; None when it is none."""
    events: list[Any] = []
    at = 0
    while at < len(body):
        size = int.from_bytes(body[at : at + 4])
        if size < 16 or at + size > len(body):
            return None
        events.append(_read(body[at : at + size]))
        at += size
    return events


def _read(frame: bytes) -> Any:
    try:
        end = 12 + int.from_bytes(frame[4:8])
        payload = json.loads(frame[end:-4])
        inner = payload.get("bytes")
        if isinstance(inner, str):  # invoke-with-response-stream wraps the model's own event
            payload["bytes"] = json.loads(base64.b64decode(inner, validate=True))
        event = {"headers": _read_headers(frame[12:end]), "json": payload}
        if write_frame(event) == frame:
            return event
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError, binascii.Error):
        pass
    return base64.b64encode(frame).decode()


def _read_headers(data: bytes) -> dict[str, str]:
    headers = {}
    at = 0
    while at < len(data):
        name_end = at + 1 + data[at]
        if data[name_end] != _TEXT:
            raise ValueError("a header that is no text")
        value_start = name_end + 3
        value_end = value_start + int.from_bytes(data[name_end + 1 : value_start])
        headers[data[at + 1 : name_end].decode()] = data[value_start:value_end].decode()
        at = value_end
    return headers


def write_frame(event: Any) -> bytes:
    """Return the frame that a value stands for."""
    if isinstance(event, str):
        return base64.b64decode(event, validate=True)
    payload = event["json"]
    if isinstance(payload.get("bytes"), dict):
        payload = {**payload, "bytes": base64.b64encode(_compact(payload["bytes"])).decode()}
    headers = b"".join(_write_header(name.encode(), value.encode()) for name, value in event["headers"].items())
    content = headers + _compact(payload)
    start = (len(content) + 16).to_bytes(4) + len(headers).to_bytes(4)
    frame = start + zlib.crc32(start).to_bytes(4) + content
    return frame + zlib.crc32(frame).to_bytes(4)


def _write_header(name: bytes, value: bytes) -> bytes:
    return b"".join((bytes((len(name),)), name, bytes((_TEXT,)), len(value).to_bytes(2), value))


def _compact(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
