"""A store with a little of everything, and a way to run commands on it."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from askonce._core.entry import Question, Take
from askonce._core.messages import Answer, Head, Headers
from askonce._core.tape import Tape
from askonce.cli import main
from askonce.storage import open_storage

Run = Callable[..., Result]
HOUR, DAY = 3600.0, 86400.0


def question(
    body: object, model: str, provider: str = "openai", kind: str = "chat", partition: str = ""
) -> Question:
    """Make a question of a provider; its key is a function of its body."""
    url = f"https://api.{provider}.com/v1/{kind}"
    head = {"url": url, "body": "json", "method": "POST", "headers": [["accept", "*"]], "partition": partition}
    raw = json.dumps(body).encode()
    return Question(hashlib.sha256(raw).digest(), json.dumps(head).encode(), raw, provider, kind, model, partition)


def answer(*chunks: bytes, content_type: str = "application/json") -> Answer:
    """Record an answer the way the real thing does: a first chunk after 0.25 s, then one every 0.25 s."""
    size = str(sum(map(len, chunks))).encode()
    tape = Tape(Head(200, Headers(((b"content-type", content_type.encode()), (b"content-length", size)))), 0.2)
    for number, chunk in enumerate(chunks, 1):
        tape.feed(chunk, number * 0.25)
    taken = tape.finish()
    assert isinstance(taken, Answer)
    return taken


def _said(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], "temperature": 0.2}


def _stream(*pieces: str) -> Answer:
    events: list[dict[str, Any]] = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
    events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    events.append({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 20}})
    chunks = [f"data: {json.dumps(event)}\n\n".encode() for event in events]
    return answer(*chunks, b"data: [DONE]\n\n", content_type="text/event-stream")


CACHE = question(_said("What is a cache?"), "gpt-5-mini")
CAPITAL = question(_said("Capital of France?"), "claude-sonnet-4-5", "anthropic", partition="acme")
SPEECH = question({"input": "Hello there", "voice": "alloy"}, "tts-1", kind="speech")
SOUND = b"\xff\xf3" + bytes(4998)


@pytest.fixture
def recorded(store: Path) -> Path:
    """Return a store with a stream in two takes, an expired message of a customer, and a sound."""
    now = time.time() - 1
    paris = {"content": [{"type": "text", "text": "Paris."}], "usage": {"input_tokens": 7, "output_tokens": 2}}
    storage = open_storage(store)
    storage.add(SPEECH, Take(answer(SOUND, content_type="audio/mpeg"), now - 9 * DAY))
    storage.add(CAPITAL, Take(answer(json.dumps(paris).encode()), now - 3 * DAY, ttl=DAY))
    first = Take(_stream("A ca", "che ", "keeps \x1b[31mthings."), now - 2 * HOUR)
    storage.add(CACHE, first)
    storage.add(CACHE, Take(_stream("Ano", "ther."), now - HOUR, seed="7"))
    for _ in range(3):
        storage.count_hit(CACHE.key, first, now)
    storage.close()
    return store


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a command in this process, 128 columns wide."""
    monkeypatch.setenv("COLUMNS", "128")

    def invoke(*arguments: str | Path, typed: str = "") -> Result:
        result = CliRunner().invoke(main, [str(one) for one in arguments], input=typed, prog_name="askonce")
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return invoke
