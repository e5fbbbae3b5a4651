"""What was asked and answered can be read, whichever provider's shape it has."""

from __future__ import annotations

import base64
import gzip
import json
import struct
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from askonce._core.entry import Question
from askonce._core.messages import Answer, Chunk, Head, Headers
from askonce._core.transcript import Turn, answered, asked, gist, parameters, plain, size_text, words

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 512, 384) + bytes(976)
WAV = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0" + struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16) + b"data" + bytes(4)
WAV += bytes(16000)
PNG64 = base64.b64encode(PNG).decode()
WAV64 = base64.b64encode(WAV).decode()
PICTURE = "image: png, 512x384, 1.0 KB"
SOUND = "audio: wav, 1.0 s, 16 KB"


def question(body: Any, kind: str = "chat", body_kind: str = "json") -> Question:
    """Make a question with this canonical body."""
    head = json.dumps({"url": "https://llm.test/v1", "body": body_kind}).encode()
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Question(bytes(32), head, raw, "openai", kind, "a-model", "")


def answer(body: bytes, content_type: str = "application/json", *headers: tuple[bytes, bytes]) -> Answer:
    """Make an answer with this body."""
    pairs = ((b"content-type", content_type.encode()), *headers)
    return Answer(Head(200, Headers(pairs)), 0.1, (Chunk(body, 0.2),))


def reply(value: Any) -> tuple[Turn, ...]:
    """Read a JSON answer."""
    return answered(answer(json.dumps(value).encode()))


def streamed(*events: Any, done: bool = False) -> tuple[Turn, ...]:
    """Read an answer of server-sent events."""
    data = [json.dumps(event) for event in events] + ["[DONE]"] * done
    return answered(answer("".join(f"data: {one}\n\n" for one in data).encode(), "text/event-stream"))


CONVERSATIONS = {
    "openai chat": (
        {
            "messages": [
                {"role": "system", "content": "Be terse."},
                {"role": "user", "content": "Weather?"},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"id": "c", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}],
                },
                {"role": "tool", "tool_call_id": "c", "content": "21 °C"},
            ]
        },
        "chat",
    ),
    "openai responses": (
        {
            "instructions": "Be terse.",
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
                {"type": "function_call", "call_id": "c", "name": "weather", "arguments": '{"city": "Rome"}'},
                {"type": "function_call_output", "call_id": "c", "output": "21 °C"},
            ],
        },
        "response",
    ),
    "anthropic": (
        {
            "system": [{"type": "text", "text": "Be terse."}],
            "messages": [
                {"role": "user", "content": "Weather?"},
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "t", "name": "weather", "input": {"city": "Rome"}}],
                },
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "content": [{"type": "text", "text": "21 °C"}]}],
                },
            ],
        },
        "chat",
    ),
    "gemini": (
        {
            "systemInstruction": {"parts": [{"text": "Be terse."}]},
            "contents": [
                {"role": "user", "parts": [{"text": "Weather?"}]},
                {"role": "model", "parts": [{"functionCall": {"name": "weather", "args": {"city": "Rome"}}}]},
                {"role": "user", "parts": [{"functionResponse": {"response": {"result": "21 °C"}}}]},
            ],
        },
        "chat",
    ),
    "bedrock": (
        {
            "system": [{"text": "Be terse."}],
            "messages": [
                {"role": "user", "content": [{"text": "Weather?"}]},
                {"role": "assistant", "content": [{"toolUse": {"name": "weather", "input": {"city": "Rome"}}}]},
                {"role": "user", "content": [{"toolResult": {"content": [{"text": "21 °C"}]}}]},
            ],
        },
        "chat",
    ),
    "ollama": (
        {
            "messages": [
                {"role": "system", "content": "Be terse."},
                {"role": "user", "content": "Weather?"},
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Rome"}}}],
                },
                {"role": "tool", "content": "21 °C"},
            ]
        },
        "chat",
    ),
}


@pytest.mark.parametrize(("body", "kind"), CONVERSATIONS.values(), ids=CONVERSATIONS.keys())
def test_same_conversation(body: Any, kind: str) -> None:
    """One conversation reads the same in every provider's format."""
    expected = (
        Turn("system", "Be terse."),
        Turn("user", "Weather?"),
        Turn("assistant", calls=('weather(city="Rome")',)),
        Turn("tool", "21 °C"),
    )
    assert expected == asked(question(body, kind))


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG64}"}},
        {"type": "input_image", "image_url": f"data:image/png;base64,{PNG64}"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG64}},
        {"inlineData": {"mimeType": "image/png", "data": PNG64}},
        {"image": {"format": "png", "source": {"bytes": PNG64}}},
    ],
    ids=["openai", "responses", "anthropic", "gemini", "bedrock"],
)
def test_picture_in_question(part: Any) -> None:
    """A picture is named by its format, its measures and its size, not by what it claims to be."""
    body = {"messages": [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, part]}]}
    assert (Turn("user", "What is this?", notes=(PICTURE,)),) == asked(question(body))


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"type": "image_url", "image_url": {"url": "https://a.test/cat.jpg"}}, "image: https://a.test/cat.jpg"),
        ({"type": "input_audio", "input_audio": {"data": WAV64, "format": "wav"}}, SOUND),
        ({"fileData": {"fileUri": "gs://b/film.mp4", "mimeType": "video/mp4"}}, "video: gs://b/film.mp4"),
        ({"type": "input_file", "file_id": "file-7"}, "file: file-7"),
        ({"type": "something_new", "x": 1}, "something new"),
    ],
)
def test_other_attachments(part: Any, expected: str) -> None:
    """What is only pointed at is named by its address; what is not known is at least named."""
    body = {"messages": [{"role": "user", "content": [part]}]}
    assert (Turn("user", notes=(expected,)),) == asked(question(body))


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("embedding", {"input": ["a", "b", "c"]}, Turn("input", "a\nb\nc", notes=("3 texts to embed",))),
        ("embedding", {"input": [1, 2, 3]}, Turn("input", notes=("3 tokens", "1 text to embed"))),
        ("embedding", {"texts": ["a"]}, Turn("input", "a", notes=("1 text to embed",))),
        ("speech", {"input": "Hello", "voice": "alloy"}, Turn("input", "Hello")),
        ("image", {"prompt": "a cat"}, Turn("user", "a cat")),
        ("moderation", {"input": "a threat"}, Turn("user", "a threat")),
        ("completion", {"prompt": "Once", "suffix": "end"}, Turn("user", "Once", notes=("suffix: end",))),
        ("response", {"input": "Write a haiku"}, Turn("user", "Write a haiku")),
        ("prediction", {"input": {"prompt": "a cat", "steps": 4}}, Turn("user", "a cat")),
        ("chat", {"whatever": [1]}, Turn("input", '{\n  "whatever": [\n    1\n  ]\n}')),
    ],
)
def test_single_question(kind: str, body: Any, expected: Turn) -> None:
    """What is no conversation is one turn."""
    assert (expected,) == asked(question(body, kind))


JPEG = b"\xff\xd8\xff\xe0\0\x04xx\xff\xc0\0\x11\x08" + struct.pack(">HH", 600, 800) + bytes(20)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (JPEG, "image: jpeg, 800x600, 37 B"),
        (JPEG[:12], "image: jpeg, 12 B"),
        (b"GIF89a" + struct.pack("<HH", 3, 2), "image: gif, 3x2, 10 B"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image: webp, 16 B"),
        (b"%PDF-1.7", "file: pdf, 8 B"),
        (WAV[:40], "audio: wav, 40 B"),
        (b"who knows", "image: 9 B"),
    ],
)
def test_formats(data: bytes, expected: str) -> None:
    """A format is told by the first bytes, in either alphabet of base64; without them the size remains."""
    for text in (base64.b64encode(data), base64.urlsafe_b64encode(data)):
        body = {"messages": [{"role": "user", "content": "", "images": [text.decode()]}]}
        assert (Turn("user", notes=(expected,)),) == asked(question(body))


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"type": "refusal", "refusal": "No."}, Turn("user", "No.")),
        ({"type": "redacted_thinking", "data": "xx"}, Turn("user", notes=("thinking, redacted",))),
        ({"executableCode": {"language": "PYTHON", "code": "1 + 1"}}, Turn("user", "1 + 1")),
        ({"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"}}, Turn("user", "2")),
        ({"type": "document", "document": {"data": '{"a": 1}'}}, Turn("user", '{"a": 1}')),
        (
            {"type": "document", "title": "A talk", "source": {"type": "url", "url": "https://a.test/talk.pdf"}},
            Turn("user", notes=("document: https://a.test/talk.pdf, A talk",)),
        ),
        ({"thinking": [{"type": "text", "text": "Hm."}], "type": "thinking"}, Turn("user", thinking="Hm.")),
    ],
)
def test_other_parts(part: Any, expected: Turn) -> None:
    """The rarer parts of a message are read as what they are."""
    assert (expected,) == asked(question({"messages": [{"role": "user", "content": [part]}]}))


def test_cohere_v1() -> None:
    """Cohere's first format has its history beside the message."""
    body = {
        "preamble": "Be terse.",
        "chat_history": [{"role": "CHATBOT", "message": "Hi."}],
        "message": "Weather?",
    }
    expected = (Turn("system", "Be terse."), Turn("assistant", "Hi."), Turn("user", "Weather?"))
    assert expected == asked(question(body))


def test_rerank() -> None:
    """A ranking shows its query and its documents by their numbers, and is listed by its query."""
    turns = asked(question({"query": "capital?", "documents": ["Paris", {"text": "Rome"}]}, "rerank"))
    assert (
        Turn("query", "capital?"),
        Turn("documents", "0. Paris\n1. Rome", notes=("2 documents to rank",)),
    ) == turns
    assert gist(turns) == "capital?"


def test_multipart() -> None:
    """A form's prompt is its text; files are named by size and digest."""
    parts = [
        {"name": "model", "text": "whisper-1"},
        {"name": "prompt", "text": "A talk."},
        {"name": "language", "text": "en"},
        {"name": "file", "file": "ab12cd34" * 8, "size": 45200},
    ]
    expected = Turn("input", "A talk.", notes=("language: en", "file: 45 KB, sha256 ab12cd34ab12…"))
    assert (expected,) == asked(question(parts, "transcription", "parts"))


@pytest.mark.parametrize("body_kind", ["text", "json"])
def test_question_that_is_no_json(body_kind: str) -> None:
    """A body that is not what it says is shown as it is."""
    assert (Turn("input", "{oops"),) == asked(question(b"{oops", body_kind=body_kind))


def test_parameters() -> None:
    """What else was asked for is listed by name, tools by theirs."""
    body = {
        "model": "m",
        "messages": [],
        "temperature": 0.2,
        "tools": [{"type": "function", "function": {"name": "f"}}, {"functionDeclarations": [{"name": "g"}]}],
    }
    assert (("temperature", "0.2"), ("tools", "f, g")) == parameters(question(body))


TOOL_ANSWER = Turn("assistant", "Sunny, ☕.", "Hm, weather.", ('weather(city="Rome")',))
ARGUMENTS = ('{"city": ', '"Rome"}')
ANSWERS = {
    "openai chat": reply(
        {
            "choices": [
                {
                    "message": {
                        "role": "assistant",
                        "content": "Sunny, ☕.",
                        "reasoning_content": "Hm, weather.",
                        "tool_calls": [{"function": {"name": "weather", "arguments": "".join(ARGUMENTS)}}],
                    },
                    "finish_reason": "tool_calls",
                }
            ]
        }
    ),
    "openai chat, streamed": streamed(
        {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "", "reasoning_content": "Hm, "}}]},
        {"choices": [{"index": 0, "delta": {"reasoning_content": "weather."}}]},
        {"choices": [{"index": 0, "delta": {"content": "Sunny"}}]},
        {"choices": [{"index": 0, "delta": {"content": ", ☕."}}]},
        {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"name": "weather"}}]}}]},
        *(
            {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": one}}]}}]}
            for one in ARGUMENTS
        ),
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
        {"choices": [], "usage": {"prompt_tokens": 1}},
        done=True,
    ),
    "openai responses": reply(
        {
            "object": "response",
            "output": [
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm, weather."}]},
                {"type": "message", "content": [{"type": "output_text", "text": "Sunny, ☕."}]},
                {"type": "function_call", "call_id": "c", "name": "weather", "arguments": "".join(ARGUMENTS)},
            ],
        }
    ),
    "openai responses, cut off": streamed(
        {"type": "response.created", "response": {"output": []}},
        {"type": "response.reasoning_summary_text.delta", "delta": "Hm, weather."},
        {"type": "response.output_text.delta", "delta": "Sunny"},
        {"type": "response.output_text.delta", "delta": ", ☕."},
        {"type": "response.output_item.added", "output_index": 2, "item": {"name": "weather"}},
        *({"type": "response.function_call_arguments.delta", "output_index": 2, "delta": a} for a in ARGUMENTS),
    ),
    "openai responses, streamed": streamed(
        {"type": "response.output_text.delta", "delta": "Sun"},
        {
            "type": "response.completed",
            "response": {
                "output": [
                    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm, weather."}]},
                    {"type": "message", "content": [{"type": "output_text", "text": "Sunny, ☕."}]},
                    {"type": "function_call", "name": "weather", "arguments": "".join(ARGUMENTS)},
                ]
            },
        },
    ),
    "anthropic": reply(
        {
            "type": "message",
            "content": [
                {"type": "thinking", "thinking": "Hm, weather.", "signature": "xx"},
                {"type": "text", "text": "Sunny, ☕."},
                {"type": "tool_use", "id": "t", "name": "weather", "input": {"city": "Rome"}},
            ],
            "stop_reason": "tool_use",
        }
    ),
    "anthropic, streamed": streamed(
        {"type": "message_start", "message": {"content": []}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm, "}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "weather."}},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Sunny, ☕."}},
        {
            "type": "content_block_start",
            "index": 2,
            "content_block": {"type": "tool_use", "id": "t", "name": "weather", "input": {}},
        },
        *(
            {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": a}}
            for a in ("", *ARGUMENTS)
        ),
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}},
        {"type": "message_stop"},
    ),
    "gemini, a JSON array": reply(
        [
            {"candidates": [{"content": {"role": "model", "parts": [{"text": "Hm, ", "thought": True}]}}]},
            {"candidates": [{"content": {"parts": [{"text": "weather.", "thought": True}, {"text": "Sunny"}]}}]},
            {"candidates": [{"content": {"parts": [{"text": ", ☕."}]}}]},
            {
                "candidates": [
                    {
                        "content": {"parts": [{"functionCall": {"name": "weather", "args": {"city": "Rome"}}}]},
                        "finishReason": "STOP",
                    }
                ]
            },
        ]
    ),
    "cohere v2": reply(
        {
            "message": {
                "role": "assistant",
                "tool_plan": "Hm, weather.",
                "content": [{"type": "text", "text": "Sunny, ☕."}],
                "tool_calls": [{"function": {"name": "weather", "arguments": "".join(ARGUMENTS)}}],
            },
            "finish_reason": "TOOL_CALL",
        }
    ),
    "cohere v2, streamed": streamed(
        {"type": "message-start", "delta": {"message": {"role": "assistant", "content": [], "tool_calls": []}}},
        {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "Hm, weather."}}},
        {"type": "content-start", "delta": {"message": {"content": {"type": "text", "text": ""}}}},
        {"type": "content-delta", "delta": {"message": {"content": {"text": "Sunny, ☕."}}}},
        {
            "type": "tool-call-start",
            "index": 0,
            "delta": {"message": {"tool_calls": {"function": {"name": "weather", "arguments": ""}}}},
        },
        *(
            {
                "type": "tool-call-delta",
                "index": 0,
                "delta": {"message": {"tool_calls": {"function": {"arguments": one}}}},
            }
            for one in ARGUMENTS
        ),
        {"type": "message-end", "delta": {"finish_reason": "TOOL_CALL"}},
    ),
    "ollama, streamed": answered(
        answer(
            b"".join(
                json.dumps(line).encode() + b"\n"
                for line in (
                    {"message": {"role": "assistant", "content": "", "thinking": "Hm, weather."}, "done": False},
                    {"message": {"content": "Sunny"}, "done": False},
                    {
                        "message": {
                            "content": ", ☕.",
                            "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Rome"}}}],
                        },
                        "done": True,
                        "done_reason": "stop",
                    },
                )
            )[:-1],
            "application/x-ndjson",
        )
    ),
    "bedrock": reply(
        {
            "output": {
                "message": {
                    "role": "assistant",
                    "content": [
                        {"reasoningContent": {"reasoningText": {"text": "Hm, weather.", "signature": "x"}}},
                        {"text": "Sunny, ☕."},
                        {"toolUse": {"toolUseId": "t", "name": "weather", "input": {"city": "Rome"}}},
                    ],
                }
            },
            "stopReason": "tool_use",
        }
    ),
    "bedrock, streamed": streamed(
        {"type": "messageStart", "role": "assistant"},
        {
            "type": "contentBlockDelta",
            "contentBlockIndex": 0,
            "delta": {"reasoningContent": {"text": "Hm, weather."}},
        },
        {"type": "contentBlockDelta", "contentBlockIndex": 1, "delta": {"text": "Sunny, ☕."}},
        {"type": "contentBlockStart", "contentBlockIndex": 2, "start": {"toolUse": {"name": "weather"}}},
        *(
            {"type": "contentBlockDelta", "contentBlockIndex": 2, "delta": {"toolUse": {"input": one}}}
            for one in ARGUMENTS
        ),
        {"type": "messageStop", "stopReason": "tool_use"},
        {"type": "metadata", "usage": {"inputTokens": 1}},
    ),
}


@pytest.mark.parametrize("turns", ANSWERS.values(), ids=ANSWERS.keys())
def test_same_answer(turns: tuple[Turn, ...]) -> None:
    """Thought, text and tool call read the same from every provider, streamed or not."""
    assert (TOOL_ANSWER,) == turns


VECTOR = base64.b64encode(struct.pack("<3f", 1, 2, 3)).decode()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"choices": [{"text": "upon a time", "finish_reason": "length"}]}, "upon a time [ended early: length]"),
        ({"response": "hi", "done": True}, "hi"),
        ({"text": "a transcript"}, "a transcript"),
        ({"text": "from Cohere", "generation_id": "g"}, "from Cohere"),
        ([{"generated_text": "from Hugging Face"}], "from Hugging Face"),
        ({"output": ["from ", "Replicate"], "status": "succeeded"}, "from Replicate"),
        ({"data": [{"embedding": [1.0, 2.0]}, {"embedding": [3.0, 4.0]}]}, "[2 embeddings of 2 numbers]"),
        ({"data": [{"embedding": VECTOR}]}, "[1 embedding of 3 numbers]"),
        ({"embeddings": {"float": [[1, 2], [3, 4]], "int8": [[1, 2], [3, 4]]}}, "[2 embeddings of 2 numbers]"),
        ({"embedding": {"values": [1.0] * 768}}, "[1 embedding of 768 numbers]"),
        ({"data": [{"b64_json": PNG64}, {"b64_json": PNG64}]}, f"[{PICTURE}][{PICTURE}]"),
        ({"data": [{"url": "https://a.test/cat.png"}]}, "[image: https://a.test/cat.png]"),
        ({"predictions": [{"bytesBase64Encoded": PNG64, "mimeType": "image/png"}]}, f"[{PICTURE}]"),
        ({"results": [{"flagged": True, "categories": {"hate": True, "spam": False}}]}, "flagged: hate"),
        ({"results": [{"flagged": False, "categories": {"hate": False}}]}, "not flagged"),
        ({"results": [{"index": 1, "relevance_score": 0.9}]}, "1. 0.9"),
        ({"input_tokens": 2042}, "2,042 tokens"),
        ({"pages": [{"markdown": "# A page"}]}, "# A page"),
        ({"promptFeedback": {"blockReason": "SAFETY"}}, "[ended early: safety]"),
        ({"choices": [{"message": {"audio": {"data": WAV64, "transcript": "Hi"}}}]}, f"Hi [{SOUND}]"),
        ({"something": {"else": 1}}, '{"something": {"else": 1}}'),
        (42, "42"),
    ],
)
def test_other_answers(value: Any, expected: str) -> None:
    """Every kind of answer has something to show; what is not understood is shown as it came."""
    (turn,) = reply(value)
    notes = "".join(f"[{note}]" for note in turn.notes)
    assert expected == f"{turn.text} {notes}".strip()


def test_choices() -> None:
    """Several choices are turns of their own, counted from 1."""
    turns = streamed(
        *({"choices": [{"index": i, "delta": {"content": text}}]} for text in "ab" for i in (0, 1)), done=True
    )
    assert (Turn("assistant", "ab", choice=1), Turn("assistant", "ab", choice=2)) == turns


def test_streamed_sound() -> None:
    """Sound that was encoded piece by piece is one sound."""
    halves = [base64.b64encode(half).decode() for half in (WAV[:7001], WAV[7001:])]
    (turn,) = streamed(*({"type": "speech.audio.delta", "audio": half} for half in halves))
    assert (SOUND,) == turn.notes


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (WAV, "audio/wav", Turn("assistant", notes=(SOUND,))),
        (b"\xff\xf3" + bytes(4998), "audio/mpeg", Turn("assistant", notes=("audio: mp3, 5.0 KB",))),
        (PNG, "image/png", Turn("assistant", notes=(PICTURE,))),
        (b"WEBVTT\n\nHello", "text/vtt", Turn("assistant", "WEBVTT\n\nHello")),
        (bytes(1200), "application/zip", Turn("assistant", notes=("1.2 KB of application/zip",))),
        (b"data: oops\n\n", "text/event-stream", Turn("assistant", "data: oops\n\n")),
        (b"", "text/plain", Turn("assistant")),
    ],
)
def test_answers_that_are_no_json(body: bytes, content_type: str, expected: Turn) -> None:
    """Content that is not JSON is text or a note."""
    assert (expected,) == answered(answer(body, content_type))


def test_compressed() -> None:
    """An answer is read without its content coding, and a damaged coding is only said."""
    coding = (b"content-encoding", b"gzip")
    whole = gzip.compress(b'{"text": "hi"}')
    assert (Turn("assistant", "hi"),) == answered(answer(whole, "application/json", coding))
    (turn,) = answered(answer(b"nothing zipped", "application/json", coding))
    assert ("14 B that cannot be decoded",) == turn.notes


def test_gist() -> None:
    """A conversation is listed by what its user said last, on one line."""
    turns = (Turn("user", "first"), Turn("assistant", "x"), Turn("user", "second\n  line"), Turn("tool", "y"))
    assert gist(turns) == "second line"
    assert gist((Turn("user", notes=(PICTURE,)),)) == PICTURE
    assert gist(()) == ""


def test_words() -> None:
    """Searching finds what people wrote, unescaped, and nothing inside base64."""
    found = words(
        question({"messages": [{"content": 'a "café"'}], "tools": [{"name": "f"}], "image": "QUJD" * 200})
    )
    assert 'a "café"' in found
    assert "f" in found.split("\n")
    assert "QUJD" not in found


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KB"),
        (9949, "9.9 KB"),
        (9950, "10 KB"),
        (999_499, "999 KB"),
        (999_500, "1.0 MB"),
        (5_000_000_000_000, "5,000 GB"),
    ],
)
def test_size_text(size: int, expected: str) -> None:
    """Sizes have two digits at least and a unit that fits."""
    assert expected == size_text(size)


NAMES = """
    messages content role parts text type choices delta message tool_calls function arguments name index candidates
    input output data embedding embeddings results image_url url source system contents thinking audio response
    content_block usage finish_reason query documents prompt images categories flagged b64_json toolUse item
""".split()
TYPES = """
    text image_url tool_use tool_result content_block_start content_block_delta message_delta response.completed
    response.output_item.added tool-call-delta content-delta speech.audio.delta contentBlockDelta input_audio
    function_call reasoning message
""".split()
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | st.sampled_from([*TYPES, PNG64]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=20,
)


@example({"type": [None]}, "chat")
@given(JSON, st.sampled_from(["chat", "embedding", "rerank", "speech", "response"]))
def test_any_json(value: Any, kind: str) -> None:
    """No JSON is too odd to be shown, as a question or as an answer."""
    for turns in (
        asked(question(value, kind)),
        asked(question(value, kind, "parts")),
        asked(question(value, kind, "bytes")),
        reply(value),
        streamed(value, value),
    ):
        assert turns
        assert isinstance(plain(turns) + gist(turns), str)
    assert isinstance(words(question(value)), str)
    assert isinstance(parameters(question(value)), tuple)


@given(st.binary(max_size=60), st.sampled_from(["application/json", "text/event-stream", "audio/wav", "x/y", ""]))
def test_any_bytes(body: bytes, content_type: str) -> None:
    """No bytes are too odd to be shown."""
    for start in (b"", b"{", PNG[:12], WAV[:20], b"\xff\xd8\xff"):
        assert answered(answer(start + body, content_type))


@pytest.mark.parametrize("deep", ['{"content":' * 5000 + "1" + "}" * 5000, "[" * 5000 + "]" * 5000])
def test_deep_nesting(deep: str) -> None:
    """Nesting without end is no way to stop a listing."""
    assert asked(question(b'{"messages":[{"content":' + deep.encode() + b"}]}"))
    assert answered(answer(deep.encode()))
    assert isinstance(words(question(deep.encode())), str)
