"""Recorded in one process, replayed offline in another with the provider stopped: equal, field by field."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from askonce.storage import open_storage
from askonce.testing import Received
from tests.sdks.runs import SDKS, Results, Runs

EVERY = [("current", sdk) for sdk in SDKS] + [("openai2", "openai"), ("openai2", "azure")]
each_sdk = pytest.mark.parametrize(("generation", "sdk"), EVERY, ids=[f"{sdk}-{one}" for one, sdk in EVERY])


def only(results: Results, sdk: str) -> Results:
    """Return the results of one SDK's calls."""
    return {name: result for name, result in results.items() if name.startswith(f"{sdk}.")}


@each_sdk
def test_every_call_succeeds(runs: Any, generation: str, sdk: str) -> None:
    """No call fails: not without us, not recording, not replayed."""
    made: Runs = runs(generation)
    for results in (made.bare, made.recorded, made.replayed):
        found = only(results, sdk)
        assert {} == {
            name: one for name, one in found.items() if isinstance(one, dict) and {"error"} == one.keys()
        }
        assert len(found) >= 6
        assert only(made.bare, sdk).keys() == found.keys()


@each_sdk
def test_a_replay_equals_the_recording(runs: Any, generation: str, sdk: str) -> None:
    """Each call returns offline, in another process, what it returned when it was recorded, field by field."""
    made: Runs = runs(generation)
    recorded, replayed = only(made.recorded, sdk), only(made.replayed, sdk)
    for name, result in recorded.items():
        assert without_limits(result) == replayed[name], name


@each_sdk
def test_recording_changes_no_shape(runs: Any, generation: str, sdk: str) -> None:
    """While recording, each call returns the same fields with the same types as without us."""
    made: Runs = runs(generation)
    bare, recorded = only(made.bare, sdk), only(made.recorded, sdk)
    # A question's first asker is told the rate limits; those who share the answer are not.
    assert {n: shape(without_limits(one)) for n, one in bare.items()} == {
        n: shape(without_limits(one)) for n, one in recorded.items()
    }


@pytest.mark.parametrize("generation", ["current", "openai2"])
def test_no_question_is_asked_twice(runs: Any, generation: str) -> None:
    """The provider sees each question once, although sync and async, raw and parsed calls ask the same ones."""
    asked = Counter(question(received) for received in runs(generation).received)
    assert [] == [name for name, count in asked.items() if count > 1]
    assert len(asked) < len(runs(generation).recorded)


@pytest.mark.parametrize("generation", ["current", "openai2"])
def test_a_text_store_gives_the_same_back(runs: Any, generation: str, tmp_path: Path) -> None:
    """What the SDKs were answered goes through a text store byte for byte, chunk for chunk, most of it legibly."""
    made, path = open_storage(runs(generation).store), tmp_path / "answers.jsonl"
    entries = list(made.entries())
    made.close()
    text = open_storage(path)
    assert all(text.add(entry.question, take) for entry in entries for take in entry.takes)
    text.close()
    again = open_storage(path)
    for entry in entries:
        for one, other in zip(entry.takes, again.takes(entry.question.key), strict=True):
            assert one.answer.head == other.answer.head
            assert one.answer.usage == other.answer.usage
            assert [chunk.data for chunk in one.answer.chunks] == [chunk.data for chunk in other.answer.chunks]
    again.close()
    forms = Counter(form for line in path.read_text("utf-8").splitlines() for form in _forms(json.loads(line)))
    assert forms["json"] + forms["events"] > 4 * (forms["base64"] + forms["file"] + forms["text"])


def _forms(line: dict[str, Any]) -> set[str]:
    return {"json", "events", "text", "base64", "file", "raw"} & line["answered"].keys()


def test_the_generations_are_what_they_say(runs: Any) -> None:
    """The current openai rides on httpx2; the older one is the last 2.x, on httpx."""
    assert re.fullmatch(r"(?:[3-9]|\d\d)\..* httpx2\n", runs("current").version)
    assert re.fullmatch(r"2\..* httpx\n", runs("openai2").version)


def without_limits(result: Any) -> Any:
    """Drop the headers that are told to whoever asked, and are not kept."""
    if isinstance(result, dict):
        return {name: without_limits(one) for name, one in result.items() if "ratelimit" not in name}
    return [without_limits(one) for one in result] if isinstance(result, list) else result


def shape(result: Any) -> Any:
    """Return the names and types in a result."""
    if isinstance(result, dict):
        return {name: shape(one) for name, one in result.items()}
    if isinstance(result, list):
        shapes = [shape(one) for one in result]
        return [one for index, one in enumerate(shapes) if index == 0 or one != shapes[index - 1]]
    return type(result).__name__


def question(received: Received) -> tuple[str, ...]:
    """Return what makes two requests the same question: no form's boundary, no order of JSON's keys."""
    content_type = received.header("content-type") or ""
    body = received.body
    if "json" in content_type:
        body = json.dumps(json.loads(body), sort_keys=True).encode()
    elif boundary := re.search(r"boundary=([^;]+)", content_type):
        body = body.replace(boundary[1].encode(), b"")
    path = re.sub(r"[?&]key=[^&]*", "", received.path)
    accept = received.header("accept") or ""
    return received.method, path, accept if "event-stream" in accept else "", body.decode("latin-1")
