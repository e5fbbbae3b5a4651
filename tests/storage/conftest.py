"""Entries without meaning, cheap to make: what a storage holds is none of its business."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from askonce._core.entry import Question, Take
from askonce._core.messages import Answer, Chunk, Head, Headers, Usage
from askonce.storage.sqlite import SQLiteStorage

HEADERS = Headers(((b"content-type", b"text/plain"),))


def ask(
    number: int,
    *,
    model: str = "m",
    provider: str = "p",
    partition: str = "",
    url: str = "https://x.test/v1",
    body: str = "",
) -> Question:
    """Return the question of that number."""
    head = json.dumps(
        {"body": "json", "headers": [], "method": "POST", "partition": partition, "url": url}
    ).encode()
    asked = json.dumps({"prompt": body or f"question {number}"}).encode()
    key = hashlib.sha256(repr((number, head, asked)).encode()).digest()
    return Question(key, head, asked, provider, "chat", model, partition)


def take(
    body: bytes = b"an answer",
    seed: str | None = None,
    recorded: float = 1000.0,
    ttl: float | None = None,
    slot: int = 0,
) -> Take:
    """Return a take that took half a second and seven tokens."""
    answer = Answer(Head(200, HEADERS), 0.25, (Chunk(body[:3], 0.25), Chunk(body[3:], 0.5)), Usage(3, 4))
    return Take(answer, recorded, seed, ttl, slot)


@pytest.fixture
def sqlite(store: Path) -> Iterator[SQLiteStorage]:
    """Return a storage in a file."""
    storage = SQLiteStorage(store)
    yield storage
    storage.close()


@pytest.fixture
def public() -> Iterator[Path]:
    """Return a folder that every user may enter."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)
