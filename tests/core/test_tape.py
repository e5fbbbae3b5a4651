"""A tape keeps an answer only when it is whole, and no error."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from askonce._core.messages import Answer, Chunk, Usage
from askonce._core.tape import Left, keepable_headers
from tests.core.building import JSON, SSE, headers, kept, record
from tests.core.streams import NDJSON, STREAMS, Stream, choice, sse
from tests.core.test_events import cut

GZIP = {"content-encoding": "gzip"}
CHUNKED = {"transfer-encoding": "chunked"}
H1 = b"HTTP/1.1"
SILENT = (
    "two choices", "openrouter", "responses incomplete", "text completions", "gemini blocked",
    "gemini interactions",
    "cohere v1", "llama.cpp", "hugging face", "vllm", "transcription", "image",
)  # fmt: skip
"""The streams that say nothing of usage."""


@pytest.mark.parametrize("stream", STREAMS, ids=str)
def test_complete_streams_are_kept(stream: Stream) -> None:
    """A complete stream is kept, chunk by chunk as it came, with its times and its usage."""
    answer = record(stream.pieces, stream.content_type).finish()
    assert isinstance(answer, Answer)
    expected = tuple(Chunk(piece, 0.1 + number / 100) for number, piece in enumerate(stream.pieces, 1))
    assert expected == answer.chunks
    assert (Usage() if stream.name in SILENT else Usage(3, 4)) == answer.usage


@pytest.mark.parametrize("stream", STREAMS, ids=str)
def test_prefixes_are_not_kept(stream: Stream) -> None:
    """No beginning of a stream is kept that lacks its last word, cut at any byte, even when it ends cleanly."""
    body = b"".join(stream.pieces[: stream.complete - 1]) + stream.pieces[stream.complete - 1].rstrip()
    found = [end for end in range(len(body)) if kept([body[:end]], stream.content_type)]
    assert [] == found


@pytest.mark.parametrize("fields", [{}, CHUNKED, {"content-length": "5"}], ids=str)
@pytest.mark.parametrize("stream", STREAMS, ids=str)
def test_errors_inside_streams(stream: Stream, fields: dict[str, str]) -> None:
    """An error event inside a 200 is never kept, wherever in the stream it comes."""
    for at in range(len(stream.pieces) + 1):
        pieces = [*stream.pieces[:at], stream.error, *stream.pieces[at:]]
        assert not kept(pieces, stream.content_type, fields=fields)
        assert record(pieces, stream.content_type).left() is Left.FRAGMENT


@given(
    st.sampled_from(STREAMS),
    st.lists(st.integers(0, 5000), max_size=9),
    st.sampled_from(["", "gzip", "deflate", "raw"]),
)
def test_any_chunking_is_complete(stream: Stream, places: list[int], coding: str) -> None:
    """Any re-chunking of a stream, compressed or not, is recognised as complete, with the same usage."""
    squeeze = zlib.compressobj(wbits=-15)
    body = {
        "": stream.body,
        "gzip": gzip.compress(stream.body[:50]) + gzip.compress(stream.body[50:]),  # of two members
        "deflate": zlib.compress(stream.body),
        "raw": squeeze.compress(stream.body) + squeeze.flush(),
    }[coding]
    fields = {"content-encoding": coding.replace("raw", "deflate")} if coding else {}
    whole = record([stream.body], stream.content_type).finish()
    answer = record(cut(body, places), stream.content_type, fields=fields).finish()
    assert isinstance(whole, Answer)
    assert isinstance(answer, Answer)
    assert (body, whole.usage) == (answer.body, answer.usage)


@pytest.mark.parametrize("stream", STREAMS, ids=str)
def test_left_behind(stream: Stream) -> None:
    """A reader who stops before the end has a fragment; at the model's last word, the rest is worth fetching."""
    for count in range(len(stream.pieces) + 1):
        left = record(stream.pieces[:count], stream.content_type).left()
        assert (left is Left.FRAGMENT) == (count < stream.complete)
        if left is Left.COMPLETE:
            assert kept(stream.pieces[:count], stream.content_type)


def test_openai_stops_reading_at_done() -> None:
    """The line `[DONE]` completes a stream, without the empty line behind it and without the end of the body."""
    tape = record([sse(choice("a")), sse(choice("", "stop")), b"data: [DONE]\n"], http=H1, fields=CHUNKED)
    assert tape.left() is Left.COMPLETE
    assert isinstance(tape.finish(), Answer)


def test_done_before_the_promised_length() -> None:
    """A body with a length is not complete before it, or a replay would promise more than it has."""
    pieces = [sse(choice("", "stop")), b"data: [DONE]\n", b"\n"]
    fields = {"content-length": str(len(b"".join(pieces)))}
    assert record(pieces[:2], fields=fields).left() is Left.REST
    assert record(pieces, fields=fields).left() is Left.COMPLETE
    assert kept(pieces, fields=fields)
    assert not kept(pieces[:2], fields=fields)


@pytest.mark.parametrize(
    ("content_type", "body", "more"),
    [
        (JSON, b'{"ok":1}', {"status": 201}),
        (JSON, b'[{"candidates":[{"finishReason":"STOP"}]}]', {}),
        (JSON, b'{"ok":1}', {"http": b"HTTP/1.0"}),
        (JSON, b'{"status":"completed","error":null}', {}),
        (JSON, b'{"status":{"code":1}}', {}),
        (JSON, b'{"choices":[{"finish_reason":"stop"},null]}', {}),
        (JSON, b"0", {}),
        ("application/problem+json; charset=utf-8", b'{"ok":1}', {}),
        ("audio/mpeg", b"\xff\xfb", {"http": H1, "fields": CHUNKED}),
        ("audio/mpeg", b"\xff\xfb", {"http": H1, "fields": {"content-length": "2"}}),
        ("text/plain", b"said", {}),
        (SSE, sse({"unheard": "of"}), {"http": H1, "fields": CHUNKED}),
        (SSE, sse({"type": "response.created"}) + sse({"type": "response.completed"}).rstrip(), {}),
        (NDJSON, b'{"done":true}', {}),
    ],
)
def test_kept(content_type: str, body: bytes, more: dict[str, Any]) -> None:
    """A whole answer is kept, also one that is not JSON, or not in a shape that we know."""
    assert kept([body], content_type, **more)


@pytest.mark.parametrize(
    ("content_type", "body", "more"),
    [
        *(
            (JSON, b'{"ok":1}', {"status": status})
            for status in (100, 199, 202, 204, 205, 206, 301, 304, 400, 401, 404, 429, 500, 529)
        ),
        (JSON, b"", {}),
        (JSON, b"{}", {}),
        (JSON, b"[]", {}),
        (JSON, b"null", {}),
        (JSON, b'""', {}),
        (JSON, b'{"ok":', {}),
        (JSON, b'{"ok":1', {}),
        (JSON, b'{"ok":1}}', {}),
        (JSON, b"\xff\xfe", {}),
        (JSON, b"[" * 100_000, {}),
        (JSON, b"<html>busy</html>", {}),
        (JSON, b'{"error":{"message":"x"}}', {}),
        (JSON, b'{"error":"x"}', {}),
        (JSON, b'{"__type":"ThrottlingException","message":"x"}', {}),
        (JSON, b'[{"ok":1},{"error":{"code":503}}]', {}),
        (JSON, b'{"object":"error","message":"x"}', {}),
        (JSON, b'{"finish_reason":"ERROR"}', {}),
        (JSON, b'{"choices":[{"finish_reason":"error"}]}', {}),
        *(
            (JSON, json.dumps({"status": status}).encode(), {})
            for status in ("queued", "in_progress", "starting", "processing")
        ),
        (JSON, b'{"ok":1}', {"fields": {"content-length": "9"}}),
        (JSON, b'{"ok":1}', {"fields": {"content-encoding": "br"}}),
        (JSON, b'{"ok":1}', {"fields": GZIP}),
        (JSON, gzip.compress(b'{"ok":1}', mtime=0)[:-1], {"fields": GZIP}),
        ("audio/mpeg", gzip.compress(b"sound" * 99, mtime=0)[:-9], {"fields": GZIP}),
        ("text/html", b"<html>busy</html>", {}),
        ("text/html; charset=utf-8", b'{"ok":1}', {}),
        ("text/plain", b"\n <!DOCTYPE html><title>busy", {}),
        ("", b"<html>busy</html>", {}),
        ("audio/mpeg", b"\xff\xfb", {"http": H1}),
        ("audio/mpeg", b"\xff\xfb", {"http": b"HTTP/1.0"}),
        ("audio/mpeg", b"", {}),
        ("audio/mpeg", b"\xff", {"http": H1, "fields": {"content-length": "2"}}),
        ("audio/mpeg", b"\xff", {"http": H1, "fields": {"content-length": "\xb2"}}),
        (SSE, b"", {}),
        (SSE, b": keep-alive\n\n", {"fields": CHUNKED}),
        (SSE, b"<html>busy</html>\n\n", {"fields": CHUNKED}),
        (SSE, sse({"unheard": "of"}), {"http": H1}),
        (SSE, sse({"unheard": "of"}) + b"data: {", {"http": H1, "fields": CHUNKED}),
        (SSE, sse("[DONE]"), {"status": 500}),
    ],
)
def test_not_kept(content_type: str, body: bytes, more: dict[str, Any]) -> None:
    """What is no answer, a part of one, or not shown to be whole is not kept; the reason is told in words."""
    reason = record([body] if body else [], content_type, **more).finish()
    assert isinstance(reason, str)
    assert reason


def test_worthless_at_once() -> None:
    """What cannot be kept is known by its head alone, and so is what may be."""
    assert record([], status=500).worthless == "status 500"
    assert record([]).worthless == ""


@settings(max_examples=300)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.sampled_from(["stop", "error", "queued", "\ud800"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    "type event_type error status choices candidates index finish_reason delta usage message "
                    "response done stop token promptFeedback input_tokens output_tokens total_tokens object meta "
                    "tokens bytes".split()
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=15,
    ),
    st.sampled_from([JSON, SSE, NDJSON]),
)
def test_any_event(value: Any, content_type: str) -> None:
    """Whatever a provider says, recording it does not fail."""
    body = json.dumps(value).encode()
    tape = record([b"data: " + body + b"\n\n" if content_type == SSE else body + b"\n"], content_type)
    tape.finish()
    assert "not understood" not in tape.worthless


def test_dropped_headers() -> None:
    """What is personal, momentary or about limits is not kept; what SDKs read is."""
    dropped = (
        "Set-Cookie openai-organization openai-project anthropic-organization-id x-ratelimit-remaining-tokens "
        "anthropic-ratelimit-requests-limit retry-after alt-svc www-authenticate RateLimit-Policy "
        "x-amz-security-token"
    ).split()
    read = "content-type x-request-id request-id openai-processing-ms openai-version date cf-ray".split()
    found = keepable_headers(headers([(name, "v") for name in (*dropped, *read, *read)]))
    assert [*read, *read] == [name.decode() for name, _ in found]
