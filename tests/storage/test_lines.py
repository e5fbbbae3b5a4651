"""A take as a line of text: nothing is lost, and what people see is what they would write."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askonce._core.entry import Question, Take
from askonce._core.messages import Answer, Chunk, Head, Headers, Usage
from askonce.errors import DamagedStoreError, NewerStoreError
from askonce.storage.answered import LARGE, EditedError
from askonce.storage.beside import Beside
from askonce.storage.lines import read_line, write_line, write_time
from tests.core.building import JSON, SSE, headers, question, record
from tests.core.streams import STREAMS, Stream

NOTHING: dict[str, bytes] = {}
ASKED = question({"model": "gpt-5", "messages": [{"role": "user", "content": "What is a café?"}]})

ms = st.integers(0, 10**9).map(lambda number: number / 1000)
answers = st.builds(
    Answer,
    st.builds(
        Head,
        st.integers(100, 599),
        st.lists(st.tuples(st.binary(max_size=9), st.binary(max_size=9)), max_size=3)
        .flatmap(
            lambda pairs: st.sampled_from([JSON, SSE, "text/plain", "image/png", "application/x-ndjson"]).map(
                lambda kind: [(b"content-type", kind.encode()), *pairs]
            )
        )
        .map(Headers),
        st.binary(max_size=9),
        st.binary(max_size=9),
    ),
    ms,
    st.lists(
        st.builds(Chunk, st.sampled_from([b"", b'{"a":', b"1}", b"data: ", b"\n\n", b"\xff"]) | st.binary(), ms),
        max_size=6,
    ).map(tuple),
    st.builds(Usage, st.integers(0, 10**9), st.integers(0, 10**9)),
)
takes = st.builds(
    Take, answers, ms, st.none() | st.text(max_size=5), st.none() | st.floats(0, 1e9), st.integers(0, 999)
)
questions = st.builds(
    Question,
    st.binary(min_size=32, max_size=32),
    st.sampled_from([ASKED.head, b'{"url": "https://x.test/\\u00e9"}', ASKED.head.replace(b'"json"', b'"parts"')]),
    st.binary() | st.sampled_from([ASKED.body, b'{"a": 1}', b'[{"file":"5a","name":"x","size":3}]']),
    *(st.text(st.characters(exclude_categories=["Cs"]), max_size=8) for _ in range(4)),
)


def saved(asked: Question, one: Take, **options: Any) -> dict[str, Any]:
    """Return a line as values."""
    value: dict[str, Any] = json.loads(write_line(asked, one, **options).text)
    return value


def taken(pieces: list[bytes], content_type: str = SSE, **fields: str) -> Take:
    """Return a take with what the tape makes of these pieces."""
    answer = record(pieces, content_type, fields=fields).finish()
    assert isinstance(answer, Answer)
    return Take(answer, 1764041454.25)


@given(questions, takes)
def test_round_trip(asked: Question, one: Take) -> None:
    """Any question and any take come back as they were, times to the millisecond."""
    line = write_line(asked, one)
    assert b"\n" not in line.text
    reading = read_line(line.text, line.files.__getitem__)
    assert (asked, True) == (reading.question, reading.is_sealed)
    found = reading.take
    assert (one.seed, one.slot, one.ttl) == (found.seed, found.slot, found.ttl)
    assert one.answer.head == found.answer.head
    assert one.answer.usage == found.answer.usage
    assert [chunk.data for chunk in one.answer.chunks] == [chunk.data for chunk in found.answer.chunks]
    times = [one.recorded, one.answer.head_at, *(chunk.at for chunk in one.answer.chunks)]
    assert pytest.approx(times, abs=0.0011) == [
        found.recorded, found.answer.head_at, *(chunk.at for chunk in found.answer.chunks)
    ]  # fmt: skip


def test_a_whole_line() -> None:
    """This is what a line looks like; its layout never changes without a new format."""
    one = taken([b'data: {"id":"c","t":"caf\xc3\xa9"}\n\n', b"data: [DONE]\n\n"], **{"x-request-id": "r"})
    assert {
        "key": ASKED.key.hex(),
        "recorded": "2025-11-25T03:30:54.250Z",
        "provider": "openai",
        "kind": "chat",
        "model": "gpt-5",
        "url": "https://api.openai.com/v1/chat/completions",
        "asked": {
            "method": "POST",
            "json": {"messages": [{"content": "What is a café?", "role": "user"}], "model": "gpt-5"},
        },
        "answered": {
            "status": 200,
            "http": "HTTP/2",
            "headers": {"content-type": "text/event-stream", "x-request-id": "r"},
            "events": [{"id": "c", "t": "café"}, "data: [DONE]\n\n"],
            "as": "data: {json}\n\n",
        },
        "ms": [100, 10, 10],
        "seal": saved(ASKED, one)["seal"],
    } == saved(ASKED, one)
    assert "caf\u00e9" in write_line(ASKED, one).text.decode()
    assert "c4ba7ae1" == saved(ASKED, one)["seal"][:8]


@pytest.mark.parametrize(
    ("cuts", "expected"),
    [
        ([b"data: {}\n\n", b"data: {}\n\n", b"data: [DONE]\n\n"], {}),
        ([b"data: {}\n\ndata: {}\n\n", b"data: [DONE]\n\n"], {"chunks": [2, 1]}),
        ([b"data: {}\n\ndata: {}\n\ndata: [DONE]\n\n"], {"chunks": [3]}),
        ([b"data: {}\n", b"\ndata: {}\n\n", b"data: [DONE]\n\n"], {"sizes": [9, 11, 14]}),
    ],
)
def test_chunks_of_a_stream(cuts: list[bytes], expected: dict[str, Any]) -> None:
    """A chunk an event goes without saying; others are told by how many events, or else by their sizes."""
    one = taken(cuts)
    answered = saved(ASKED, one)["answered"]
    assert expected == {name: answered[name] for name in ("chunks", "sizes") if name in answered}
    chunks = read_line(write_line(ASKED, one).text, NOTHING.__getitem__).take.answer.chunks
    assert cuts == [chunk.data for chunk in chunks]


@pytest.mark.parametrize("stream", STREAMS, ids=str)
def test_every_wire_format(stream: Stream) -> None:
    """The stream of every provider comes back byte for byte, and its JSON can be read in the line."""
    one = taken(list(stream.pieces), stream.content_type)
    line = write_line(ASKED, one)
    assert stream.body == read_line(line.text, NOTHING.__getitem__).take.answer.body
    assert "events" in json.loads(line.text)["answered"]


def test_compressed_answers() -> None:
    """A compressed answer is shown expanded; the bytes that came lie beside that, and are what is replayed."""
    packed = gzip.compress(b'{"said":"hello"}', mtime=0)
    one = taken([packed[:9], packed[9:]], JSON, **{"content-encoding": "gzip"})
    line = write_line(ASKED, one)
    answered = json.loads(line.text)["answered"]
    assert ({"said": "hello"}, ["base64"], [9, len(packed) - 9]) == (
        answered["json"], list(answered["raw"]), answered["sizes"]
    )  # fmt: skip
    assert one.answer.body == read_line(line.text, NOTHING.__getitem__).take.answer.body

    edited = line.text.replace(b"hello", b"goodbye")
    with pytest.raises(EditedError, match="delete 'raw' too"):
        read_line(edited, NOTHING.__getitem__)
    value = json.loads(edited)
    del value["answered"]["raw"], value["seal"]
    answer = read_line(json.dumps(value).encode(), NOTHING.__getitem__).take.answer
    assert (b'{"said":"goodbye"}', None) == (answer.body, answer.head.headers.get(b"content-encoding"))


def test_large_content() -> None:
    """Large binary content is a file of its own, named after its digest and type; or base64 where none may be."""
    sound = b"\xff\xf3" * LARGE
    one = taken([sound], "audio/mpeg")
    line = write_line(ASKED, one)
    (name,) = line.files
    assert name.endswith(".mp3")
    assert (name, sound) == (json.loads(line.text)["answered"]["file"], line.files[name])
    assert one.answer.body == read_line(line.text, line.files.__getitem__).take.answer.body
    assert "base64" in saved(ASKED, one, beside=False)["answered"]


@pytest.mark.parametrize(
    "name", ["../secret.bin", "/etc/passwd", "x" * 64 + ".bin", "0" * 64, "0" * 64 + ".bin/..", 7]
)
def test_files_elsewhere(name: Any, tmp_path: Any) -> None:
    """A line cannot name a file that is not one of the store's."""
    value = saved(ASKED, taken([b"\xff" * LARGE], "audio/mpeg"))
    value["answered"]["file"] = name
    with pytest.raises(DamagedStoreError, match="is no name of a file beside a store"):
        read_line(json.dumps(value).encode(), Beside(tmp_path).fetch)


def test_timeless() -> None:
    """A timeless line of the same answer is the same line, whenever and in whatever rhythm it came."""
    pieces = [b'data: {"a":1}\n\n', b"data: [DONE]\n\n"]
    first = taken(pieces, **{"date": "Wed", "x-request-id": "req_1", "openai-processing-ms": "7"})
    second = taken(pieces, **{"date": "Thu", "x-request-id": "req_2", "openai-processing-ms": "9"})
    second = second._replace(recorded=1.0, answer=second.answer._replace(head_at=0.05))
    lines = {write_line(ASKED, one, timeless=True).text for one in (first, second)}
    assert 1 == len(lines)
    value = json.loads(lines.pop())
    assert {"recorded", "ms"}.isdisjoint(value)
    assert {
        "content-type": SSE, "x-request-id": f"recorded-{ASKED.key.hex()[:12]}"
    } == value["answered"]["headers"]  # fmt: skip
    assert "recorded" in saved(ASKED, first._replace(ttl=60.0), timeless=True)


@pytest.mark.parametrize(
    ("path", "new"),
    [
        ("answered.json.said", "goodbye"), ("answered.status", 201), ("answered.headers", {}), ("model", "gpt-4"),
        ("asked.json.model", "gpt-4"), ("seed", "7"), ("slot", 1), ("key", "00" * 32), ("url", "https://x.test/"),
    ],
)  # fmt: skip
def test_edited(path: str, new: Any) -> None:
    """A change of anything that matters is noticed; without its seal, the line says what it says."""
    value = saved(ASKED, taken([b'{"said":"hello"}'], JSON, **{"content-length": "16"}))
    *parents, name = path.split(".")
    inner = value
    for parent in parents:
        inner = inner[parent]
    inner[name] = new
    with pytest.raises(EditedError, match="changed after it was recorded"):
        read_line(json.dumps(value).encode(), NOTHING.__getitem__)
    assert not read_line(json.dumps(value).encode(), NOTHING.__getitem__, accept=True).is_sealed
    del value["seal"]
    reading = read_line(json.dumps(value).encode(), NOTHING.__getitem__)
    assert not reading.is_sealed
    if path == "answered.json.said":
        length = reading.take.answer.head.headers.get(b"content-length")
        assert (b'{"said":"goodbye"}', "18") == (reading.take.answer.body, length)


def test_reformatted() -> None:
    """A line that a tool has written in another way, or to which somebody added a note, is the same take."""
    one = taken([b'{"said":"hello"}'], JSON, **{"content-length": "16"})
    value = {"note": "the short one", **saved(ASKED, one)}
    for text in (json.dumps(value, indent=1), json.dumps(value, ensure_ascii=True)):
        reading = read_line(text.encode(), NOTHING.__getitem__)
        assert (True, one.answer.body) == (reading.is_sealed, reading.take.answer.body)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda line: line[:200], "it is no JSON"),
        (lambda line: b"[]", "it cannot be understood"),
        (lambda line: b"\xff", "it is no UTF-8"),
        (lambda line: line.replace(b'"answered"', b'"replied"'), "'answered' is missing in it"),
        (lambda line: line.replace(b'"status":200', b'"status":"ok"'), "it cannot be understood"),
        (lambda line: line.replace(b'"json":{"said"', b'"jason":{"said"'), "neither json, events, text"),
        (lambda line: line.replace(b'"recorded":"2', b'"recorded":"x'), "Invalid isoformat"),
        (lambda line: line.replace(b'"model":"gpt-5","url"', b'"model":5,"url"'), "a text is expected"),
        (lambda line: b"[" * 100_000, "it cannot be understood"),
    ],
)  # fmt: skip
def test_damaged(change: Any, said: str) -> None:
    """What is no line of a store is told by what is wrong with it."""
    line = write_line(ASKED, taken([b'{"said":"hello"}'], JSON, **{"content-length": "16"})).text
    changed = change(line)
    assert changed != line
    with pytest.raises(DamagedStoreError, match=said):
        read_line(changed, NOTHING.__getitem__)


def test_newer() -> None:
    """A line in a format that is not known is refused as such."""
    value = {**saved(ASKED, taken([b"{}\n"], "application/x-ndjson")), "format": 2}
    with pytest.raises(NewerStoreError, match="format 2; this askonce reads 1"):
        read_line(json.dumps(value).encode(), NOTHING.__getitem__)


@given(
    st.binary()
    | st.text().map(str.encode)
    | st.dictionaries(st.text(), st.integers()).map(json.dumps).map(str.encode)
)
def test_any_bytes(raw: bytes) -> None:
    """Whatever is read, it is a take or our error."""
    with pytest.raises(DamagedStoreError):
        read_line(raw, NOTHING.__getitem__)


@given(st.integers(0, 60), st.sampled_from([None, 5, "x", [], {}, [{}], -1, 1e300, True]), st.data())
def test_any_value(seed: int, odd: Any, data: st.DataObject) -> None:
    """Whatever stands in the place of a value, it is a take or our error."""
    value = saved(ASKED, taken([b'data: {"a":1}\n\n', b"data: [DONE]\n\n"]))
    inner, name = value, data.draw(st.sampled_from(sorted(value)))
    while isinstance(inner[name], dict) and inner[name] and data.draw(st.booleans()):
        inner = inner[name]
        name = data.draw(st.sampled_from(sorted(inner)))
    inner[name] = odd
    if data.draw(st.booleans()):
        value.pop("seal", None)
    try:
        read_line(json.dumps(value).encode(), NOTHING.__getitem__)
    except DamagedStoreError:
        pass


def test_headers_that_repeat() -> None:
    """Headers are an object; where one repeats, pairs in their order."""
    one = taken([b"{}\n"], "application/x-ndjson")
    head = one.answer.head._replace(headers=headers([("content-type", "x/y"), ("via", "a"), ("via", "b")]))
    written = saved(ASKED, one._replace(answer=one.answer._replace(head=head)))["answered"]["headers"]
    assert [["content-type", "x/y"], ["via", "a"], ["via", "b"]] == written


def test_times() -> None:
    """Times are dates in UTC; one that is beyond the calendar stays a number."""
    assert "2025-11-25T03:30:54.123Z" == write_time(1764041454.1239)
    assert -5.0 == write_time(-5.0)
    assert 1e15 == write_time(1e15)
