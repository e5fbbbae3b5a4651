"""HAR: what browsers and proxies save, and what askonce writes, which comes back as it was."""

from __future__ import annotations

import base64
import gzip
import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from askonce._core.entry import Entry, Take
from askonce._core.messages import Answer, Chunk, Head, Usage
from askonce._core.tape import Tape
from askonce.exchange import Recorded, Skipped
from askonce.exchange.har import read_archive, write_archive
from askonce.exchange.message import Reader
from askonce.exchange.node import Node
from askonce.settings import read_settings
from tests.core.building import headers, question
from tests.exchange.building import chat, completion, exchange

READER = Reader(read_settings({}, environ={}))
BODY = json.dumps(completion()).encode()


def read(*exchanges: Any) -> list[Recorded | Skipped]:
    """Read these exchanges as a file that holds them."""
    return list(read_archive(Node({"log": {"entries": list(exchanges)}}), READER))


def only(one: Any) -> Recorded:
    (found,) = read(one)
    assert isinstance(found, Recorded), found
    return found


def test_a_browser_s_exchange() -> None:
    """The question is that of a live call; the body is decoded as HAR has it, the times are kept."""
    found = only(exchange())
    assert question(chat()) == found.question
    answer = found.take.answer
    assert BODY == answer.body
    assert (1.001, 1.5005) == (round(answer.head_at, 6), answer.seconds)
    assert b"HTTP/2" == answer.head.http_version
    assert [b"content-type"] == [name for name, _ in answer.head.headers]
    assert 1795185000.25 - 365 * 86400 < found.take.recorded


def test_base64() -> None:
    """A body in base64 is its bytes, of the request too."""
    content = {"size": len(BODY), "text": base64.b64encode(BODY).decode(), "encoding": "base64"}
    one = exchange(content=content)
    one["request"]["postData"] = {
        "text": base64.b64encode(json.dumps(chat()).encode()).decode(),
        "encoding": "base64",
    }
    found = only(one)
    assert BODY == found.take.answer.body
    assert question(chat()) == found.question


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"url": "https://example.com/"}, "not generation"),
        ({"status": 0}, "no answer came"),
        ({"status": 500}, "status 500"),
        ({"content": {"size": 99}}, "its body is not in the file"),
        ({"content": {"size": len(BODY), "text": BODY.decode()[:-5]}}, f"{len(BODY) - 5} of {len(BODY)} bytes"),
        ({"content": {}}, "empty"),
    ],
)
def test_what_is_passed_over(changes: dict[str, Any], reason: str) -> None:
    """What is no generation, failed, or is not whole in the file is passed over with the reason."""
    (found,) = read(exchange(**changes))
    assert isinstance(found, Skipped)
    assert reason == found.reason


def test_a_form_that_was_taken_apart() -> None:
    """A browser that saves a form's fields, and not the body, has not saved the question."""
    one = exchange(url="https://api.openai.com/v1/audio/transcriptions")
    one["request"]["postData"] = {"mimeType": "multipart/form-data", "params": [{"name": "model", "value": "x"}]}
    (found,) = read(one)
    assert isinstance(found, Skipped)
    assert "the request's body is not in the file" == found.reason


def test_what_matters_not_is_not_looked_at() -> None:
    """A browser's file is full of other things; a mistake in one of them is nobody's concern."""
    (found,) = read({"request": {"method": "GET", "url": "https://example.com/"}, "response": None})
    assert isinstance(found, Skipped)


@pytest.mark.parametrize(
    ("written", "version"),
    [("HTTP/1.1", b"HTTP/1.1"), ("http/1.0", b"HTTP/1.0"), ("h2", b"HTTP/2"), ("HTTP/2.0", b"HTTP/2"),
     ("h3", b"HTTP/3"), ("", b"HTTP/1.1"), ("unknown", b"HTTP/1.1")],
)  # fmt: skip
def test_versions(written: str, version: bytes) -> None:
    """However a program writes HTTP's version, it is understood."""
    assert version == only(exchange(httpVersion=written)).take.answer.head.http_version


# --- What askonce writes --------------------------------------------------------------------------------------

moments = st.integers(0, 10**13).map(lambda microseconds: microseconds / 1e6)
fields = st.lists(
    st.tuples(
        st.sampled_from([b"x-request-id", b"Server", b"openai-processing-ms"]),
        st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=8),
    ),
    max_size=3,
)


@st.composite
def takes(draw: st.DrawFn) -> Take:
    """A take as it is recorded: JSON, events or sound, in any pieces, compressed or not."""
    kind = draw(st.sampled_from(["json", "events", "sound"]))
    if kind == "json":
        body, media_type = json.dumps(completion(draw(st.text()))).encode(), "application/json"
    elif kind == "events":
        event = json.dumps({"choices": [{"delta": {"content": draw(st.text())}}]})
        body, media_type = f"data: {event}\n\ndata: [DONE]\n\n".encode(), "text/event-stream"
    else:
        body, media_type = b"ID3" + draw(st.binary(max_size=200)), "audio/mpeg"
    coding = draw(st.sampled_from(["", "gzip"]))
    if coding:
        body = gzip.compress(body)
    cuts = sorted(draw(st.lists(st.integers(1, len(body)), max_size=4)))
    pairs = [("content-type", media_type), *([("content-encoding", coding)] if coding else [])]
    head = Head(200, headers(pairs + [(n.decode(), v) for n, v in draw(fields)]), b"OK", b"HTTP/2")
    head_at = at = draw(moments)
    tape = Tape(head, head_at)
    for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
        at = round(at + draw(moments), 6)
        tape.feed(body[start:end], at)
    answer = tape.finish()
    assert isinstance(answer, Answer), answer
    return Take(
        answer._replace(usage=Usage(*draw(st.tuples(st.integers(0, 99), st.integers(0, 99))))),
        draw(moments),
        draw(st.none() | st.text(max_size=5)),
        draw(st.none() | moments),
        draw(st.integers(0, 3)),
    )


bodies = st.builds(
    lambda text, number: chat(text, temperature=number),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.floats(0, 2),
)


@settings(deadline=None)
@given(bodies, st.sampled_from(["", "acme", "a/customer=b"]), st.lists(takes(), min_size=1, max_size=2))
def test_a_round_trip_loses_nothing(body: dict[str, Any], partition: str, recorded: list[Take]) -> None:
    """Question and take come back the same: pieces, times, seed, slot, time to live, partition."""
    asked = question(body, partition=partition)
    file = io.StringIO()
    list(write_archive([Entry(asked, tuple(recorded))], file, "1"))
    found = list(read_archive(Node(json.loads(file.getvalue())), READER))
    assert [Recorded(f"entry {n}", asked, take) for n, take in enumerate(recorded, 1)] == found


def archive_of(take: Take) -> dict[str, Any]:
    """Return what is written of one take, as a value."""
    file = io.StringIO()
    list(write_archive([Entry(question(chat()), (take,))], file, "1"))
    value: dict[str, Any] = json.loads(file.getvalue())
    return value


def whole_take() -> Take:
    """Return a take in two chunks."""
    head = Head(200, headers([("content-type", "application/json")]), b"OK", b"HTTP/2")
    return Take(Answer(head, 0.5, (Chunk(BODY[:9], 0.75), Chunk(BODY[9:], 1.0)), Usage(2, 3)), 1e9)


def test_an_edited_answer_is_taken_as_it_is() -> None:
    """Whoever changes an answer in the file gets the changed one, in one piece."""
    archive = archive_of(whole_take())
    edited = json.dumps(completion("edited by hand"))
    archive["log"]["entries"][0]["response"]["content"]["text"] = edited
    (found,) = read_archive(Node(archive), READER)
    assert isinstance(found, Recorded)
    assert [edited.encode()] == [data for data, _ in found.take.answer.chunks]


def test_what_is_written_says_nothing_but_the_standard_to_others() -> None:
    """A reader that knows nothing of `_askonce` finds a HAR entry with all that the format asks for."""
    (entry,) = archive_of(whole_take())["log"]["entries"]
    assert {"startedDateTime", "time", "request", "response", "cache", "timings", "_askonce"} == entry.keys()
    assert "2001-09-09T01:46:39.000Z" == entry["startedDateTime"]
    assert 1000 == entry["time"] == sum(entry["timings"].values())
    names = "method url httpVersion cookies headers queryString headersSize bodySize postData"
    assert set(names.split()) == entry["request"].keys()
    assert chat() == json.loads(entry["request"]["postData"]["text"])
    assert completion() == json.loads(entry["response"]["content"]["text"])
