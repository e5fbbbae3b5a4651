"""The program that `askonce demo` runs twice: an ordinary one, but for the two lines about askonce."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import anthropic
import openai

import askonce

askonce.enable()

chatgpt = openai.OpenAI()
claude = anthropic.Anthropic()


def chat() -> Iterator[str]:
    answer = chatgpt.chat.completions.create(
        model="gpt-5-mini", messages=[{"role": "user", "content": "What is a cache?"}]
    )
    yield answer.to_json()


def chat_streamed() -> Iterator[str]:
    chunks = chatgpt.chat.completions.create(
        model="gpt-5-mini",
        messages=[{"role": "user", "content": "Tell me a story about a cache."}],
        stream=True,
        stream_options={"include_usage": True},
    )
    for chunk in chunks:
        if chunk.choices:
            yield chunk.choices[0].delta.content or ""


def tool_call() -> Iterator[str]:
    city: dict[str, object] = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    answer = chatgpt.chat.completions.create(
        model="gpt-5-mini",
        messages=[{"role": "user", "content": "How is the weather in Paris?"}],
        tools=[{"type": "function", "function": {"name": "get_weather", "parameters": city}}],
    )
    yield answer.to_json()


def embeddings() -> Iterator[str]:
    answer = chatgpt.embeddings.create(model="text-embedding-3-small", input=["a cat", "a dog", "a cache"])
    yield answer.to_json()


def message() -> Iterator[str]:
    answer = claude.messages.create(
        model="claude-sonnet-4-5", max_tokens=200, messages=[{"role": "user", "content": "What is a cache?"}]
    )
    yield answer.to_json()


def message_streamed() -> Iterator[str]:
    with claude.messages.stream(
        model="claude-sonnet-4-5",
        max_tokens=200,
        messages=[{"role": "user", "content": "Tell me a story about a cache."}],
    ) as stream:
        yield from stream.text_stream


CALLS: tuple[tuple[str, str, Callable[[], Iterator[str]]], ...] = (
    ("openai", "chat", chat),
    ("openai", "chat, streamed", chat_streamed),
    ("openai", "chat with a tool", tool_call),
    ("openai", "embeddings", embeddings),
    ("anthropic", "message", message),
    ("anthropic", "message, streamed", message_streamed),
)

for sdk, name, call in CALLS:
    started = time.perf_counter()
    arrived = [(piece, time.perf_counter() - started) for piece in call()]
    seconds = time.perf_counter() - started
    pieces = [piece for piece, _ in arrived]
    report = {"sdk": sdk, "call": name, "seconds": seconds, "first": arrived[0][1], "pieces": pieces}
    print(json.dumps(report))
