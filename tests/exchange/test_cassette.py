"""Cassettes of vcrpy: every way in which one writes a body, and what is passed over."""

from __future__ import annotations

import base64
import gzip
import io
import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from askonce._core.entry import Take
from askonce.errors import FileFormatError
from askonce.exchange import Recorded, Skipped, read_cassette
from askonce.settings import read_settings
from tests.core.building import question
from tests.exchange.building import (
    JSON,
    chat,
    completion,
    entries_of,
    exchange,
    import_file,
    interaction,
    write_cassette,
    write_har,
)

SETTINGS = read_settings({}, environ={})
ASKED = "POST https://api.openai.com"
TEXT = json.dumps(completion())
CODED = {"Content-Type": [JSON], "content-encoding": ["gzip"]}


def read(path: Path) -> list[Recorded | Skipped]:
    """Read a cassette with the usual settings."""
    return list(read_cassette(path, SETTINGS))


def only(path: Path) -> Recorded:
    """Return the one thing that is recorded in a cassette."""
    (found,) = read(path)
    assert isinstance(found, Recorded), found
    return found


def test_a_question_is_the_one_that_a_live_call_asks(tmp_path: Path) -> None:
    """The key, the model and all else are those of the same request made through askonce."""
    found = only(write_cassette(tmp_path / "a.yaml", [interaction()]))
    assert question(chat()) == found.question
    assert "gpt-5" == found.question.model
    assert (2, 3) == found.take.answer.usage[:2]
    assert (tmp_path / "a.yaml").stat().st_mtime == found.take.recorded


@pytest.mark.parametrize("suffix", ["yaml", "json"])
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="text"),
        pytest.param({"headers": {"Content-Type": JSON}}, id="header that is no list"),
        pytest.param({"headers": CODED}, id="decoded by an old version, header left"),
        pytest.param({"headers": {**CODED, "content-encoding": ["br"]}}, id="decoded from brotli"),
        pytest.param({"headers": {**CODED, "content-length": ["17"]}}, id="decoded, length left"),
    ],
)
def test_bodies_as_text(tmp_path: Path, changes: dict[str, Any], suffix: str) -> None:
    """What is written as a text comes back as its bytes, without headers that are not true of them."""
    take = only(write_cassette(tmp_path / f"a.{suffix}", [interaction(**changes)])).take
    assert TEXT.encode() == take.answer.body
    assert {b"content-type"} == {name.lower() for name, _ in take.answer.head.headers}


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_bodies_that_are_compressed(tmp_path: Path, coding: str) -> None:
    """A body kept as it was sent stays so, and its header too."""
    body = gzip.compress(TEXT.encode()) if coding == "gzip" else zlib.compress(TEXT.encode())
    headers = {**CODED, "content-encoding": [coding]}
    take = only(write_cassette(tmp_path / "a.yaml", [interaction(answer=body, headers=headers)])).take
    assert body == take.answer.body
    assert coding == take.answer.head.headers.get(b"content-encoding")


def test_a_bomb_is_not_expanded(tmp_path: Path) -> None:
    """An answer that would expand beyond all measure is passed over."""
    engine = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(engine.compress(bytes(1 << 20)) for _ in range(300)) + engine.flush()
    (found,) = read(write_cassette(tmp_path / "a.yaml", [interaction(answer=bomb, headers=CODED)]))
    assert isinstance(found, Skipped)
    assert "expands to more than 256 MB" == found.reason


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(chat("café")),
        json.dumps(chat("café")).encode(),
        io.BytesIO(json.dumps(chat("café")).encode()),
        iter([b'{"model": "gpt-5", ', b'"messages": [{"role": "user", "content": "caf\xc3\xa9"}]}']),
    ],
    ids=["text", "bytes", "file", "iterator"],
)
def test_request_bodies(tmp_path: Path, body: Any) -> None:
    """A request's body is read however vcrpy wrote it: as text, binary, a file or an iterator."""
    found = only(write_cassette(tmp_path / "a.yaml", [interaction(body)]))
    assert question(chat("café")) == found.question


def test_the_layout_of_older_versions(tmp_path: Path) -> None:
    """vcrpy 4 and 5 wrote httpx's answers in a layout of their own."""
    one = interaction()
    one["response"] = {
        "http_version": "HTTP/1.1",
        "status_code": 200,
        "headers": CODED,
        "content": gzip.compress(TEXT.encode()),
    }
    take = only(write_cassette(tmp_path / "a.yaml", [one])).take
    assert TEXT.encode() == gzip.decompress(take.answer.body)


def test_identical_requests_are_turns(tmp_path: Path) -> None:
    """The n-th answer to a question takes slot n, as the calls of a test came."""
    path = write_cassette(tmp_path / "a.yaml", [interaction(answer=json.dumps(completion(one))) for one in "abc"])
    import_file(path, tmp_path / "s.db")
    (entry,) = entries_of(tmp_path / "s.db")
    assert [0, 1, 2] == [take.slot for take in entry.takes]
    assert ["a", "b", "c"] == [said(take) for take in entry.takes]


def said(take: Take) -> str:
    """Return what an answer says."""
    return str(json.loads(take.answer.body)["choices"][0]["message"]["content"])


@pytest.mark.parametrize(
    ("changes", "what", "reason"),
    [
        ({"method": "GET", "uri": "https://api.openai.com/v1/models?api_key=SECRET"}, "GET", "not generation"),
        ({"uri": "https://example.com/v1/chat/completions"}, "POST", "not generation"),
        ({"uri": "file:///etc/passwd"}, "POST file:///etc/passwd", "not a URL"),
        ({"uri": "https://[broken/"}, "POST", "not a URL"),
        ({"uri": "https://api.openai.com:port/"}, "POST", "not a URL"),
        ({"uri": "https://me:SECRET@example.com/v1/models"}, "POST https://example.com", "not generation"),
        ({"body": ""}, ASKED, "the request's body is not in the file"),
        ({"status": {"code": 429, "message": "Slow down"}}, ASKED, "status 429"),
        ({"answer": '{"choices": ['}, ASKED, "not the JSON it says it is"),
        ({"answer": ""}, ASKED, "empty"),
        ({"headers": {"Content-Type": [JSON], "content-length": ["9999"]}}, ASKED, "of 9999 bytes"),
        ({"headers": CODED, "answer": gzip.compress(TEXT.encode())[:-9]}, ASKED, "the content-encoding is cut"),
        ({"headers": {"Content-Type": ["text/event-stream"]}, "answer": 'data: {"choices": [{"delta": {}}]}\n\n'},
         ASKED, "the stream ended before its last event"),
        ({"body": json.dumps(chat(background=True)), "uri": "https://api.openai.com/v1/responses"},
         ASKED, "its answer depends on state at the provider"),
    ],
)  # fmt: skip
def test_what_is_passed_over(tmp_path: Path, changes: dict[str, Any], what: str, reason: str) -> None:
    """What is no generation, no success or not whole is passed over, with its name (no secrets) and the reason."""
    (found,) = read(write_cassette(tmp_path / "a.yaml", [interaction(**changes)]))
    assert isinstance(found, Skipped)
    assert found.what.startswith(what)
    assert reason in found.reason
    assert "SECRET" not in str(found)


def test_hosts_of_the_users_own(tmp_path: Path) -> None:
    """With `domains`, a host that nobody knows is a provider."""
    path = write_cassette(tmp_path / "a.yaml", [interaction(uri="http://10.0.0.7:8000/v1/chat/completions")])
    (found,) = read_cassette(path, read_settings({"domains": "http://10.0.0.7:8000"}, environ={}))
    assert isinstance(found, Recorded)


def test_aliases_are_read(tmp_path: Path) -> None:
    """vcrpy writes what occurs twice as an alias of the first."""
    one = interaction()
    path = write_cassette(tmp_path / "a.yaml", [one, one])
    assert "&id001" in path.read_text()
    assert 2 == len(read(path))


def test_another_kind_of_file_is_no_cassette(tmp_path: Path) -> None:
    """Whoever wants cassettes is told that a file is something else."""
    with pytest.raises(FileFormatError, match="is no vcrpy cassette but HAR"):
        read(write_har(tmp_path / "a.yaml", [exchange()]))


def test_binary_answers(tmp_path: Path) -> None:
    """What is no text is `!!binary` in YAML, and comes back as it was."""
    audio = bytes(range(256)) * 4
    uri = "https://api.openai.com/v1/audio/speech"
    path = write_cassette(
        tmp_path / "a.yaml", [interaction(uri=uri, answer=audio, headers={"content-type": ["audio/mpeg"]})]
    )
    assert base64.b64encode(audio).decode()[:40] in path.read_text()
    assert audio == only(path).take.answer.body
