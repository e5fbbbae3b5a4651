"""Streamed bodies as lists of events: legible where they can be, the same bytes always."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import pytest

from askonce._core.content import read_content, write_content
from tests.core.building import SSE
from tests.core.streams import AMAZON, NDJSON, STREAMS, Stream


@pytest.mark.parametrize("stream", STREAMS, ids=str)
def test_every_wire_format(stream: Stream) -> None:
    """The stream of every provider comes back from its events, byte for byte, one piece an event."""
    form = write_content(stream.body, stream.content_type)
    assert "events" in form
    assert form == json.loads(json.dumps(form))
    assert stream.body == b"".join(read_content(form))


@pytest.mark.parametrize(
    ("body", "form"),
    [
        (
            b'data: {"a":1}\n\ndata: [DONE]\n\n',
            {"events": [{"a": 1}, "data: [DONE]\n\n"], "as": "data: {json}\n\n"},
        ),
        (b'data:{"a":1}\r\n\r\n', {"events": [{"a": 1}], "as": "data:{json}\r\n\r\n"}),
        (
            b'event: stop\ndata: {"type": "stop"}\n\nevent: odd\ndata: {"type": "stop"}\n\n',
            {
                "events": [{"type": "stop"}, 'event: odd\ndata: {"type": "stop"}\n\n'],
                "as": "event: {type}\ndata: {json}\n\n",
                "spelled": "spaced",
            },
        ),
        (
            b'data: {"type":"a","n":1}\n\ndata: {"type":"b"     }\n\n: ping\n\n',
            {"events": [{"type": "a", "n": 1}, [{"type": "b"}, 5], ": ping\n\n"], "as": "data: {json}\n\n"},
        ),
        (
            b'data: {"t":"\\u003c"}\n\ndata: {"t":"x"}\n\ndata: {"t":"<"}\n\n',
            {
                "events": [{"t": "<"}, {"t": "x"}, 'data: {"t":"<"}\n\n'],
                "as": "data: {json}\n\n",
                "spelled": "escaped <",
            },
        ),
        (b'data: {"a":1}\n\ndata: {"a":', {"events": [{"a": 1}, 'data: {"a":'], "as": "data: {json}\n\n"}),
        (b"data: plain words\n\n", {"text": "data: plain words\n\n"}),
        (b"data: \xff\n\n", {"base64": "ZGF0YTog/woK"}),
        (b"", {"text": ""}),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_forms(body: bytes, form: dict[str, Any]) -> None:
    """Events are values in the stream's common form; what is unlike the others stands as it came."""
    assert form == write_content(body, SSE)
    assert body == b"".join(read_content(form))


def test_lines() -> None:
    """Newline-delimited JSON is events too, with or without an end of its last line."""
    body = b'{"a":1}\n{"a":"\xc3\xa9"}\n{"b":2}'
    form = write_content(body, NDJSON)
    assert {"events": [{"a": 1}, {"a": "é"}, '{"b":2}'], "as": "{json}\n"} == form
    assert [b'{"a":1}\n', b'{"a":"\xc3\xa9"}\n', b'{"b":2}'] == read_content(form)


def amazon(payload: Any, **headers: str) -> bytes:
    """Return a frame as Amazon sends it, with checksums."""
    raw = b"".join(
        bytes([len(name) + 1])
        + f":{name.replace('_', '-')}".encode()
        + b"\x07"
        + len(value).to_bytes(2)
        + value.encode()
        for name, value in headers.items()
    )
    content = raw + json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()
    start = (len(content) + 16).to_bytes(4) + len(raw).to_bytes(4)
    frame = start + zlib.crc32(start).to_bytes(4) + content
    return frame + zlib.crc32(frame).to_bytes(4)


def test_amazon_frames() -> None:
    """Amazon's frames are their headers and payload, the model's own event inside it unwrapped."""
    inner = base64.b64encode(b'{"type":"message_stop"}').decode()
    frames = [
        amazon({"delta": {"text": "Café"}, "p": "abc"}, event_type="contentBlockDelta", message_type="event"),
        amazon({"bytes": inner}, event_type="chunk"),
    ]
    form = write_content(b"".join(frames), AMAZON)
    assert [
        {
            "headers": {":event-type": "contentBlockDelta", ":message-type": "event"},
            "json": {"delta": {"text": "Café"}, "p": "abc"},
        },
        {"headers": {":event-type": "chunk"}, "json": {"bytes": {"type": "message_stop"}}},
    ] == form["events"]
    assert frames == read_content(form)


@pytest.mark.parametrize("change", [-1, 9, 13, 40])
def test_odd_amazon_frames(change: int) -> None:
    """A frame whose checksum, header or payload is unlike the usual is kept as base64."""
    frame = bytearray(amazon({"a": [1, 2, 3, 4]}, event_type="contentBlockDelta"))
    frame[change] ^= 0x55
    form = write_content(bytes(frame), AMAZON)
    assert {"events": [base64.b64encode(frame).decode()], "as": "amazon frames"} == form
    assert bytes(frame) == b"".join(read_content(form))
