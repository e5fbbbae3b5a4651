"""Embeddings at half precision come back in the form they had."""

from __future__ import annotations

import base64
import gzip
import json
import struct
from typing import Any

import pytest

from askonce._core.halves import restore, shrink
from askonce._core.messages import Answer, Chunk, Head, Headers
from askonce.errors import DamagedStoreError

VALUES = [n / 37 - 1 for n in range(64)]
ENCODED = base64.b64encode(struct.pack("<64f", *VALUES)).decode()


def answer(body: Any, coding: bytes = b"", kind: bytes = b"application/json; charset=utf-8") -> Answer:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    pairs = [(b"content-type", kind), (b"x-request-id", b"r1"), (b"content-length", str(len(data)).encode())]
    if coding:
        pairs.append((b"content-encoding", coding))
    return Answer(Head(200, Headers(pairs)), 0.1, (Chunk(data[:9], 0.2), Chunk(data[9:], 0.3)))


SHAPES = {
    "openai": lambda vector: {
        "object": "list",
        "data": [{"embedding": vector, "index": 0, "é": None}],
        "usage": {},
    },
    "gemini": lambda vector: {"embedding": {"values": vector}},
    "gemini batch": lambda vector: {"embeddings": [{"values": vector}, {"values": vector}]},
    "cohere": lambda vector: {"embeddings": {"float": [vector, vector], "int8": [[1, 2, 3] * 9]}, "texts": ["a"]},
    "ollama": lambda vector: {"embeddings": [vector]},
}


def near(one: Any, other: Any) -> bool:
    """Tell whether two values are alike but for what a half cannot hold."""
    if isinstance(one, str) and len(one) > 100:
        one, other = (list(struct.unpack("<64f", base64.b64decode(text))) for text in (one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(near(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(near, one, other))
    return abs(one - other) < 1e-3 if isinstance(one, float) and type(other) is float else one == other


@pytest.mark.parametrize("form", [VALUES, ENCODED], ids=["list", "base64"])
@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape(shape: str, form: Any) -> None:
    """Every provider's embeddings come back as lists of floats or as base64, as they were; all else stays."""
    if shape.startswith("gemini") and form is ENCODED:
        form = VALUES
    body = SHAPES[shape](form)
    shrunk = shrink(answer(body))
    assert shrunk is not None
    small, halves = shrunk
    assert len(halves) in (128, 256)
    assert len(small.body) < 300
    assert small.chunks[-1].at == answer(body).seconds
    back = restore(small, halves)
    value = json.loads(back.body)
    assert near(body, value)
    assert body != value, "or nothing was halved"
    assert b"r1" == dict(back.head.headers)[b"x-request-id"]
    assert b"content-length" not in dict(back.head.headers)
    assert 0.3 == back.seconds


def test_base64_comes_back_as_base64() -> None:
    """What the SDK decodes from base64 is 32-bit floats near to what was recorded."""
    small, halves = shrink(answer(SHAPES["openai"](ENCODED))) or pytest.fail("not shrunk")
    vector = json.loads(restore(small, halves).body)["data"][0]["embedding"]
    back = struct.unpack("<64f", base64.b64decode(vector))
    assert max(abs(a - b) for a, b in zip(VALUES, back, strict=True)) < 1e-3


def test_a_compressed_answer() -> None:
    """An answer in a content coding is shrunk too, and comes back without."""
    body = gzip.compress(json.dumps(SHAPES["ollama"](VALUES)).encode())
    small, halves = shrink(answer(body, b"gzip")) or pytest.fail("not shrunk")
    assert b"content-encoding" not in dict(small.head.headers)
    assert 64 == len(json.loads(restore(small, halves).body)["embeddings"][0])


@pytest.mark.parametrize(
    "body",
    [
        b"not json",
        b"[" * 100_000,
        {},
        [],
        {"data": 5},
        {"data": [5, {"embedding": "no base64!"}, {"embedding": "abcd"}, {"embedding": None}]},
        {"data": [{"embedding": [1.0, 2.0]}]},
        {"data": [{"embedding": ["a"] * 20}]},
        {"data": [{"embedding": [1e6] * 20}]},
        {"data": [{"embedding": [True] * 20}]},
        {"choices": [{"message": {"content": "hello"}}]},
        {"embedding": 5, "embeddings": 7},
    ],
    ids=str,
)
def test_all_else_is_left_alone(body: Any) -> None:
    """What is no embedding, or cannot be a half, is not shrunk."""
    assert shrink(answer(body)) is None


def test_only_json_is_looked_at() -> None:
    """An answer of another kind is not read."""
    assert shrink(answer(SHAPES["ollama"](VALUES), kind=b"text/plain")) is None


@pytest.mark.parametrize("halves", [b"", b"\0" * 127, b"\0" * 129])
def test_other_halves_are_damage(halves: bytes) -> None:
    """Halves that are not this answer's are refused."""
    small, _ = shrink(answer(SHAPES["openai"](VALUES))) or pytest.fail("not shrunk")
    with pytest.raises(DamagedStoreError):
        restore(small, halves)
