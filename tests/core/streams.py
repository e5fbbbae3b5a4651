"""One complete stream of each provider's wire format, as the events that it is made of."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

from tests.core.building import SSE

NDJSON = "application/x-ndjson"
AMAZON = "application/vnd.amazon.eventstream"


@dataclass(frozen=True)
class Stream:
    """The pieces of a body, and from which on it is complete."""

    name: str
    content_type: str
    pieces: tuple[bytes, ...]
    complete: int
    """How many pieces an answer has at the least that is whole."""
    error: bytes

    def __str__(self) -> str:
        return self.name

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)


def sse(event: Any, name: str = "", end: str = "\n") -> bytes:
    """Return a server-sent event."""
    data = event if isinstance(event, str) else json.dumps(event, ensure_ascii=False)
    return (f"event: {name}{end}" if name else "").encode() + f"data: {data}{end}{end}".encode()


def line(event: Any) -> bytes:
    """Return a line of newline-delimited JSON."""
    return json.dumps(event).encode() + b"\n"


def frame(payload: Any, **headers: str) -> bytes:
    """Return a frame of Amazon's event stream; its checksums are not looked at."""
    raw = b""
    for name, value in headers.items():
        label = (":" + name.replace("_", "-")).encode()
        raw += bytes([len(label)]) + label + b"\x07" + len(value).to_bytes(2) + value.encode()
    body = json.dumps(payload).encode()
    return (16 + len(raw) + len(body)).to_bytes(4) + len(raw).to_bytes(4) + bytes(4) + raw + body + bytes(4)


def converse(kind: str, payload: Any) -> bytes:
    """Return an event of Bedrock's converse-stream."""
    return frame(payload, event_type=kind, content_type="application/json", message_type="event")


def wrapped(event: Any) -> bytes:
    """Return an event of Bedrock's invoke-with-response-stream."""
    return converse("chunk", {"bytes": base64.b64encode(json.dumps(event).encode()).decode(), "p": "abc"})


def choice(text: str, finish: str | None = None, index: int = 0) -> dict[str, Any]:
    """Return a chunk of a chat completion."""
    return {
        "object": "chat.completion.chunk",
        "choices": [{"index": index, "delta": {"content": text}, "finish_reason": finish}],
    }


def candidate(text: str, **more: Any) -> dict[str, Any]:
    """Return a chunk of Gemini's."""
    return {"candidates": [{"content": {"parts": [{"text": text}], "role": "model"}, "index": 0, **more}]}


OPENAI_ERROR = sse({"error": {"message": "The server had an error", "type": "server_error"}})
AMAZON_ERROR = frame({"message": "slow down"}, exception_type="throttlingException", message_type="exception")

STREAMS = [
    Stream(
        "chat",
        SSE,
        (
            sse(choice("Hé")),
            sse(choice("llo")),
            sse(choice("", "stop")),
            sse({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}),
            sse("[DONE]"),
        ),
        3,
        OPENAI_ERROR,
    ),
    Stream(
        "two choices",
        SSE,
        (
            sse(choice("a")),
            sse(choice("b", index=1)),
            sse(choice("", "stop")),
            sse(choice("c", index=1)),
            sse(choice("", "stop", 1)),
            sse("[DONE]"),
        ),
        5,
        OPENAI_ERROR,
    ),
    Stream(
        "openrouter",
        SSE,
        (
            b": OPENROUTER PROCESSING\n\n",
            sse(choice("a")),
            sse(choice("", "stop")),
            sse(choice("")),
            sse("[DONE]"),
        ),
        3,
        sse({**choice("", "error"), "id": "gen-1"}),
    ),
    Stream(
        "responses",
        SSE,
        (
            sse({"type": "response.created"}, "response.created"),
            sse({"type": "response.output_text.delta", "delta": "a"}),
            sse(
                {"type": "response.completed", "response": {"usage": {"input_tokens": 3, "output_tokens": 4}}},
                "response.completed",
            ),
        ),
        3,
        sse({"type": "response.failed", "response": {"error": {"code": "server_error"}}}),
    ),
    Stream(
        "responses incomplete",
        SSE,
        (sse({"type": "response.created"}), sse({"type": "response.incomplete", "response": {}})),
        2,
        sse({"type": "error", "code": "x", "message": "y"}, "error"),
    ),
    Stream(
        "messages",
        SSE,
        (
            sse(
                {"type": "message_start", "message": {"usage": {"input_tokens": 3, "output_tokens": 1}}},
                "message_start",
            ),
            sse({"type": "ping"}),
            sse({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}}),
            sse({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 4}}),
            sse({"type": "message_stop"}),
        ),
        4,
        sse({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "error"),
    ),
    Stream(
        "text completions",
        SSE,
        (
            sse({"type": "completion", "completion": "a", "stop_reason": None}),
            sse({"type": "completion", "completion": "", "stop_reason": "stop_sequence"}),
        ),
        2,
        sse("upstream failed", "error"),
    ),
    Stream(
        "gemini",
        SSE,
        (
            sse(candidate("a")),
            sse(
                {
                    **candidate("b", finishReason="STOP"),
                    "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 4},
                }
            ),
        ),
        2,
        sse({"error": {"code": 503, "status": "UNAVAILABLE"}}),
    ),
    Stream(
        "gemini blocked",
        SSE,
        (sse({"promptFeedback": {"blockReason": "SAFETY"}}),),
        1,
        sse({"error": {"code": 503}}),
    ),
    Stream(
        "gemini interactions",
        SSE,
        (
            sse({"event_type": "interaction.start"}),
            sse({"event_type": "content.delta"}),
            sse({"event_type": "interaction.complete"}),
        ),
        3,
        sse({"event_type": "error", "error": {"code": 1}}),
    ),
    Stream(
        "cohere v2",
        SSE,
        (
            sse({"type": "message-start"}),
            sse({"type": "content-delta"}),
            sse(
                {
                    "type": "message-end",
                    "delta": {
                        "finish_reason": "COMPLETE",
                        "usage": {"tokens": {"input_tokens": 3, "output_tokens": 4}},
                    },
                }
            ),
        ),
        3,
        sse({"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "x"}}),
    ),
    Stream(
        "cohere v1",
        "application/stream+json",
        (
            line({"event_type": "stream-start"}),
            line({"event_type": "text-generation", "text": "a"}),
            line({"event_type": "stream-end", "finish_reason": "COMPLETE"}),
        ),
        3,
        line({"event_type": "stream-end", "finish_reason": "ERROR"}),
    ),
    Stream(
        "ollama",
        NDJSON,
        (
            line({"message": {"content": "a"}, "done": False}),
            line({"done": True, "prompt_eval_count": 3, "eval_count": 4}),
        ),
        2,
        line({"error": "model failed"}),
    ),
    Stream(
        "llama.cpp",
        SSE,
        (sse({"content": "a", "stop": False}), sse({"content": "", "stop": True})),
        2,
        sse({"error": {"code": 500}}),
    ),
    Stream(
        "hugging face",
        SSE,
        (
            sse({"token": {"text": "a"}, "generated_text": None}),
            sse({"token": {"text": "b"}, "generated_text": "ab"}),
        ),
        2,
        sse({"error": "x", "error_type": "overloaded"}),
    ),
    Stream(
        "vllm",
        SSE,
        (sse(choice("a")), sse(choice("", "length")), sse("[DONE]")),
        2,
        sse({"object": "error", "message": "x", "code": 400}),
    ),
    Stream(
        "speech",
        SSE,
        (
            sse({"type": "speech.audio.delta", "audio": "AA=="}),
            sse({"type": "speech.audio.done", "usage": {"input_tokens": 3, "output_tokens": 4}}),
        ),
        2,
        OPENAI_ERROR,
    ),
    Stream(
        "transcription",
        SSE,
        (sse({"type": "transcript.text.delta", "delta": "a"}), sse({"type": "transcript.text.done", "text": "a"})),
        2,
        OPENAI_ERROR,
    ),
    Stream(
        "image",
        SSE,
        (
            sse({"type": "image_generation.partial_image", "b64_json": "A" * 400}),
            sse({"type": "image_generation.completed", "b64_json": "B" * 400}),
        ),
        2,
        OPENAI_ERROR,
    ),
    Stream(
        "converse",
        AMAZON,
        (
            converse("messageStart", {"role": "assistant"}),
            converse("contentBlockDelta", {"delta": {"text": "a"}}),
            converse("messageStop", {"stopReason": "end_turn"}),
            converse("metadata", {"usage": {"inputTokens": 3, "outputTokens": 4}}),
        ),
        3,
        AMAZON_ERROR,
    ),
    Stream(
        "bedrock messages",
        AMAZON,
        (
            wrapped({"type": "message_start"}),
            wrapped({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}),
            wrapped(
                {
                    "type": "message_stop",
                    "amazon-bedrock-invocationMetrics": {"inputTokenCount": 3, "outputTokenCount": 4},
                }
            ),
        ),
        2,
        AMAZON_ERROR,
    ),
    Stream(
        "bedrock titan",
        AMAZON,
        (
            wrapped({"outputText": "a", "completionReason": None}),
            wrapped(
                {
                    "outputText": "b",
                    "completionReason": "FINISH",
                    "amazon-bedrock-invocationMetrics": {"inputTokenCount": 3, "outputTokenCount": 4},
                }
            ),
        ),
        2,
        AMAZON_ERROR,
    ),
]
