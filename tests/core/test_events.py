"""The events inside a streamed body are the same, whatever the pieces they arrive in."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askonce._core.events import DONE, Event, splitter_for
from tests.core.building import SSE
from tests.core.streams import AMAZON, NDJSON, STREAMS, Stream, frame, sse


def split(content_type: str, *pieces: bytes) -> list[Event]:
    splitter = splitter_for(content_type)
    assert splitter is not None
    return [event for piece in pieces for event in splitter.feed(piece)] + splitter.end()


def cut(body: bytes, places: list[int]) -> list[bytes]:
    """Cut a body at these places."""
    edges = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    return [body[start:end] for start, end in pairwise(edges)]


@given(
    st.sampled_from(STREAMS), st.lists(st.integers(0, 5000), max_size=12), st.sampled_from(["\n", "\r\n", "\r"])
)
def test_any_chunking(stream: Stream, places: list[int], end: str) -> None:
    """Any re-chunking, and any of the three ends of a line, yields the same events."""
    body = stream.body.replace(b"\n", end.encode()) if stream.content_type == SSE else stream.body
    assert split(stream.content_type, stream.body) == split(stream.content_type, *cut(body, places))


@pytest.mark.parametrize("stream", STREAMS, ids=str)
def test_byte_by_byte(stream: Stream) -> None:
    """One byte at a time yields the same events too, and each as soon as it is complete."""
    splitter = splitter_for(stream.content_type)
    assert splitter is not None
    events = [event for piece in stream.pieces for byte in piece for event in splitter.feed(bytes([byte]))]
    assert split(stream.content_type, stream.body) == events
    assert splitter.rest == b""


@pytest.mark.parametrize(
    ("body", "events"),
    [
        (b'data: {"a":1}\n\n', [{"a": 1}]),
        (b'data:{"a":1}\n\n', [{"a": 1}]),
        (b'data: {"a":\ndata: 1}\n\n', [{"a": 1}]),
        (b': note\nid: 1\nretry: 5\nevent: x\ndata: {"a":1}\n\n', [{"a": 1}]),
        (b"data: [DONE]", [DONE]),
        (b"data: [DONE]\n", [DONE]),
        (b'data: {"a":1}', [{"a": 1}]),
        (b"data: text\n\ndata: 5\n\ndata: [1]\n\n", []),
        (b"event: error\ndata: went wrong\n\n", [{"error": "went wrong"}]),
        (b'event: error\ndata: {"error":{"code":1}}\n\ndata: {"a":1}\n\n', [{"error": {"code": 1}}, {"a": 1}]),
        (b"event: error\n\n", [{"error": "error"}]),
        (b"\n\n\n", []),
        (b"data: " + b"[" * 100_000 + b"\n\n", []),
    ],
)
def test_server_sent_events(body: bytes, events: list[Any]) -> None:
    """Events are read as the standard says; the last may lack its end."""
    assert events == split(SSE, body)


def test_done_is_told_by_identity() -> None:
    """`[DONE]` is seen when its line has come, before the empty line; nothing else can be mistaken for it."""
    splitter = splitter_for(SSE)
    assert splitter is not None
    assert [DONE] == splitter.feed(b"data: [DONE]\n")
    (imitation,) = split(SSE, sse({"askonce": "[DONE]"}))
    assert imitation is not DONE


@pytest.mark.parametrize("body", [b'{"a":1}\n{"b":2}\n', b'{"a":1}\r\n\r\n{"b":2}', b'{"a":1}\nnoise\n{"b":2}\n'])
def test_lines(body: bytes) -> None:
    """Newline-delimited JSON needs no newline at its end, and noise between is passed over."""
    assert [{"a": 1}, {"b": 2}] == split(NDJSON, body)


@pytest.mark.parametrize(
    ("body", "events"),
    [
        (frame({"bytes": "é"}, event_type="chunk"), [{"type": "chunk"}]),
        (frame({"bytes": "!"}, event_type="chunk"), [{"type": "chunk"}]),
        (frame([], event_type="x"), [{"type": "x"}]),
        (frame({}, message_type="exception", exception_type="throttled"), [{"error": "throttled"}]),
        (frame({"a": 1}, message_type="error"), [{"error": {"a": 1}}]),
        (b"\0" * 40, []),
        (b"\0\0\0\x10\xff\xff\xff\xff" + bytes(8), [{"type": ""}]),
    ],
)
def test_amazon_frames(body: bytes, events: list[Any]) -> None:
    """Amazon's frames are read, errors as errors, and damaged ones do no harm."""
    assert events == split(AMAZON, body)


@given(st.sampled_from([SSE, NDJSON, AMAZON]), st.lists(st.binary(max_size=40), max_size=5))
def test_any_bytes(content_type: str, pieces: list[bytes]) -> None:
    """No bytes at all make a splitter fail."""
    split(content_type, *pieces)


@pytest.mark.parametrize("content_type", ["application/json", "", "audio/mpeg", "text/plain"])
def test_one_piece(content_type: str) -> None:
    """Other media types are no streams of events."""
    assert splitter_for(content_type) is None
