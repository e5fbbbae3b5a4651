"""The calls that are measured: chat completions of a usual size. A number is what sets two of them apart.

A question, as a body or as arguments, and the answer to it hold their number as eight digits, so that one
recorded exchange serves as the mould of a million.
"""

from __future__ import annotations

import json
from typing import Any

import openai

KEY = "sk-benchmark"
HOST = "https://api.openai.com"
URL = f"{HOST}/v1/chat/completions"
MODEL = "gpt-5"
CHUNKS = 200

_SYSTEM = (
    "You are a careful assistant to the staff of a lending library. Answer in plain English, in at most two "
    "paragraphs, and say so when you do not know. Never invent a title, an author or a shelf mark. Where a "
    "reader's wish can be read in two ways, answer the likelier one and name the other in half a sentence."
)
_SAYS = (
    "Answer {number:08}. The reading room opens at nine and closes at six, except on the first Monday of a month, "
    "when it stays closed for the count. Books from the stacks are brought within the hour if they are asked for "
    "before four; later wishes are met on the next morning. What is printed before 1850 is read at the two tables "
    "by the desk, without pen or ink, and goes back by half past five. A card costs nothing for those who live or "
    "study in the town; all others pay once for a year. Five books may be taken home at a time, for four weeks, "
    "and twice renewed unless somebody else is waiting.\n\nIf you meant the branch by the river: it keeps the "
    "same hours, but has no stacks of its own, so that a book has to be sent over by the van, which goes on "
    "Tuesdays and Fridays."
)
HEADERS = [
    (b"date", b"Mon, 23 Nov 2026 12:00:00 GMT"),
    (b"x-request-id", b"req_3a5f9c0d8e7b4a1f9d2c6b5e4f3a2b1c"),
    (b"openai-processing-ms", b"412"),
    (b"openai-version", b"2020-10-01"),
    (b"cf-cache-status", b"DYNAMIC"),
    (b"x-content-type-options", b"nosniff"),
    (b"server", b"cloudflare"),
    (b"cf-ray", b"8f1e2d3c4b5a6978-FRA"),
]
"""What api.openai.com sends with an answer, less what askonce does not keep: both sides replay the same."""


def arguments(number: int, *, stream: bool) -> dict[str, Any]:
    """Return what is passed to `chat.completions.create`, in the order in which the SDK sends it."""
    return {
        "model": MODEL,
        **({"stream": True} if stream else {}),
        "messages": [
            {"role": "system", "content": _SYSTEM},
            {
                "role": "user",
                "content": f"Question {number:08}: when does the reading room open, and what may I take?",
            },
        ],
        "max_completion_tokens": 400,
        "temperature": 0.2,
    }


def body(number: int, *, stream: bool, model: str = MODEL) -> bytes:
    """Return the body of a request, in the SDK's own form."""
    asked = arguments(number, stream=stream) | {"model": model}
    return json.dumps(asked, separators=(",", ":"), ensure_ascii=False).encode()


def number_in(raw: bytes) -> int:
    """Return the number of the question that a request's body asks."""
    at = raw.index(b"Question ") + 9
    return int(raw[at : at + 8])


def answer(number: int, *, stream: bool) -> tuple[list[tuple[bytes, bytes]], list[bytes]]:
    """Return the headers and chunks of an answer: about 1.5 KB of JSON, or 200 server-sent events."""
    if stream:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"transfer-encoding", b"chunked")]
        return headers + HEADERS, _events(number)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": _SAYS.format(number=number),
        "refusal": None,
        "annotations": [],
    }
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    details = {"reasoning_tokens": 0, "audio_tokens": 0}
    usage = {
        "prompt_tokens": 112,
        "completion_tokens": 203,
        "total_tokens": 315,
        "completion_tokens_details": details,
    }
    content = _dump(_head("chat.completion") | {"choices": [choice], "usage": usage})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
    return headers + HEADERS, [content]


def _head(kind: str) -> dict[str, Any]:
    return {
        "id": "chatcmpl-Cq8Xk2Vw5bTn0aYh3JmLr7ZsPd1Ge",
        "object": kind,
        "created": 1_795_435_200,
        "model": MODEL,
        "service_tier": "default",
        "system_fingerprint": "fp_3f2a1b0c9d",
    }


def _events(number: int) -> list[bytes]:
    words = _SAYS.format(number=number).split(" ")
    said = [f"{words[0]} {words[1]}", *(f" {words[2 + i % (len(words) - 2)]}" for i in range(CHUNKS - 4))]
    head = _head("chat.completion.chunk")
    deltas: list[tuple[dict[str, Any], str | None]] = [
        ({"role": "assistant", "content": "", "refusal": None}, None)
    ]
    deltas += [({"content": piece}, None) for piece in said]
    deltas.append(({}, "stop"))
    events = []
    for delta, finish in deltas:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        events.append(b"data: " + _dump(head | {"choices": [choice]}) + b"\n\n")
    return [*events, b"data: [DONE]\n\n"]


def _dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def ask(client: openai.OpenAI, number: int, *, stream: bool) -> str:
    """Ask as a program does, read everything, and return the text."""
    if not stream:
        return client.chat.completions.create(**arguments(number, stream=False)).choices[0].message.content or ""
    said = client.chat.completions.create(**arguments(number, stream=True))
    return "".join([chunk.choices[0].delta.content or "" for chunk in said])


async def ask_async(client: openai.AsyncOpenAI, number: int, *, stream: bool) -> str:
    """Do as `ask`."""
    if not stream:
        answered = await client.chat.completions.create(**arguments(number, stream=False))
        return answered.choices[0].message.content or ""
    said = await client.chat.completions.create(**arguments(number, stream=True))
    return "".join([chunk.choices[0].delta.content or "" async for chunk in said])
