"""Answers that say the same: numbers and times do not count, and everything else does."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from askonce._core.messages import Answer
from askonce._core.sameness import is_same_answer
from tests.core.building import JSON, SSE, record


def said(value: Any, **fields: str) -> Answer:
    """Return an answer in JSON."""
    body = json.dumps(value).encode()
    answer = record([body], JSON, fields={"content-length": str(len(body)), **fields}).finish()
    assert isinstance(answer, Answer)
    return answer


BASE = {"id": "chatcmpl-1", "created": 1, "choices": [{"message": {"content": "Hello", "tool_calls": []}}]}


@pytest.mark.parametrize(
    "other",
    [
        said(BASE),
        said({**BASE, "id": "chatcmpl-22222", "created": 1764041454}),
        said(BASE, date="Wed, 25 Nov 2026 03:53:36 GMT", **{"x-request-id": "req_9", "openai-processing-ms": "7"}),
        said({**BASE, "system_fingerprint": "fp_1"}),
    ],
    ids=["equal", "numbered", "headers", "fingerprint"],
)
def test_same(other: Answer) -> None:
    """What a provider numbers or times does not make another answer."""
    assert is_same_answer(said(BASE), other)


@pytest.mark.parametrize(
    "other",
    [
        said({**BASE, "choices": [{"message": {"content": "Hello!", "tool_calls": []}}]}),
        said({**BASE, "usage": {"total_tokens": 3}}),
        said(BASE, **{"x-model": "other"}),
    ],
    ids=["text", "usage", "header"],
)
def test_other(other: Answer) -> None:
    """Any other word, count or header does."""
    assert not is_same_answer(said(BASE), other)


@pytest.mark.parametrize("name", ["input", "args", "arguments"])
def test_what_the_model_said(name: str) -> None:
    """An `id` that the model made up, as an argument of a tool, is part of the answer."""
    one, other = ({"content": [{"type": "tool_use", "id": "t", name: {"id": number}}]} for number in (1, 2))
    assert not is_same_answer(said(one), said(other))


def streamed(number: int, word: str, *, cut: int = 0) -> Answer:
    """Return a stream of one event, in one piece or two."""
    event = f'data: {{"id":"{number}","delta":"{word}","finish_reason":"stop"}}\n\n'.encode()
    answer = record([event[:cut], event[cut:]] if cut else [event], SSE).finish()
    assert isinstance(answer, Answer)
    return answer


def test_streams() -> None:
    """Streams are compared by their events, however they were cut."""
    assert is_same_answer(streamed(1, "Hi"), streamed(2, "Hi"))
    assert is_same_answer(streamed(1, "Hi"), streamed(3, "Hi", cut=9))
    assert not is_same_answer(streamed(1, "Hi"), streamed(1, "Ho"))


def test_compressed() -> None:
    """Whether an answer came compressed says nothing about it."""
    body = gzip.compress(json.dumps({**BASE, "id": "z"}).encode())
    packed = record([body], JSON, fields={"content-encoding": "gzip", "content-length": str(len(body))}).finish()
    assert isinstance(packed, Answer)
    assert is_same_answer(said(BASE), packed)
