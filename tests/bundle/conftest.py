"""A teacher's store, small and with several answers to one question."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from askonce._core.entry import Question, Take
from askonce._core.messages import Answer, Chunk, Head, Headers, Usage
from askonce.storage.sqlite import SQLiteStorage
from tests.core.building import question as core_question

JSON = Headers(((b"content-type", b"application/json"),))


def asked(text: str, model: str = "gpt-5") -> Question:
    """Return the question that a chat call would ask."""
    return core_question({"model": model, "messages": [{"role": "user", "content": text}]})


def said(text: str, seed: str | None = None, recorded: float = 1000.0) -> Take:
    """Return a chat answer."""
    body = {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}
    chunk = Chunk(json.dumps(body).encode(), 0.5)
    return Take(Answer(Head(200, JSON), 0.2, (chunk,), Usage(3, 4)), recorded, seed)


def here() -> list[str]:
    """Return the names of what is in the working directory."""
    return sorted(path.name for path in Path.cwd().iterdir())


@pytest.fixture
def teacher(store: Path) -> SQLiteStorage:
    """Return a store with three answers to one question and one to each of two others."""
    storage = SQLiteStorage(store)
    storage.add(asked("a number"), said("42"))
    storage.add(asked("a number"), said("25", "1", 1001))
    storage.add(asked("a number"), said("126", "2", 1002))
    storage.add(asked("why?"), said("because", recorded=1003))
    storage.add(asked("how?", "gpt-5-mini"), said("like this", recorded=1004))
    return storage
