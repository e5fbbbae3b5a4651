"""Bedrock's wire format: converse and invoke, whole and in Amazon's binary event stream."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from typing import Any

from . import anthropic
from .content import asked, hexes, pieces, split, tokens, value_for, vector
from .exchange import Answer, Ask, Headers, Json, Wire, dump, reply, stream

_TYPES = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}
_STREAM = "application/vnd.amazon.eventstream"


def headers(ask: Ask) -> Headers:
    """Return what bedrock-runtime sends with every answer."""
    number = hexes(ask, 32)
    parts = (number[:8], number[8:12], number[12:16], number[16:20], number[20:])
    return (("x-amzn-requestid", "-".join(parts)),)


def error(status: int, message: str) -> Json:
    """Make an error body."""
    return {"__type": _TYPES.get(status, "InternalServerException"), "message": message}


def frame(payload: bytes, **headers: str) -> bytes:
    """Encode one message; `_` in a header's name stands for `-`, and each begins with a colon.

    Source: AWS SDK developer guide, "Event stream encoding".
    """
    lines = b""
    for name, value in headers.items():
        key = f":{name.replace('_', '-')}".encode()
        lines += struct.pack(">B", len(key)) + key + struct.pack(">BH", 7, len(value)) + value.encode()
    prelude = struct.pack(">II", 16 + len(lines) + len(payload), len(lines))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + lines + payload
    return message + struct.pack(">I", zlib.crc32(message))


def _event(kind: str, payload: Json) -> bytes:
    return frame(dump(payload), event_type=kind, content_type="application/json", message_type="event")


_MISHAP = frame(
    dump({"message": "Too many requests, please wait before trying again."}),
    exception_type="throttlingException",
    content_type="application/json",
    message_type="exception",
)


def _model(ask: Ask) -> str:
    return ask.path.removeprefix("/model/").rpartition("/")[0]


def _blocks(ask: Ask) -> tuple[list[tuple[Json, list[Json]]], str]:
    """Return the answer's content blocks, each as it starts and with the deltas that fill it, and why it stops."""
    conversation = ask.fields.get("messages") or []
    tools = (ask.fields.get("toolConfig") or {}).get("tools") or []
    returned = conversation and any("toolResult" in part for part in conversation[-1].get("content", ()))
    if tools and not returned:
        tool = tools[0]["toolSpec"]
        filled = json.dumps(value_for(tool["inputSchema"]["json"], ask.number))
        start = {"toolUse": {"toolUseId": f"tooluse_{ask.number:06}", "name": tool["name"]}}
        return [(start, [{"toolUse": {"input": part}} for part in split(filled)])], "tool_use"
    return [({}, [{"text": piece} for piece in pieces(ask, conversation, _model(ask))])], "end_turn"


def _counts(ask: Ask) -> tuple[Json, Json]:
    prompt = tokens(asked(ask.fields.get("messages")))
    usage = {"inputTokens": prompt, "outputTokens": 8, "totalTokens": prompt + 8}
    return usage, {"latencyMs": 100 + ask.number % 900}


def converse(ask: Ask) -> Answer:
    """Answer /model/{model}/converse."""
    if not ask.fields.get("messages"):
        return reply(error(400, "1 validation error detected: messages must not be empty"), 400)
    blocks, reason = _blocks(ask)
    usage, metrics = _counts(ask)
    content: list[Json] = []
    for start, deltas in blocks:
        if tool := start.get("toolUse"):
            content.append(
                {"toolUse": tool | {"input": json.loads("".join(d["toolUse"]["input"] for d in deltas))}}
            )
        else:
            content.append({"text": "".join(delta["text"] for delta in deltas)})
    message = {"role": "assistant", "content": content}
    return reply({"output": {"message": message}, "stopReason": reason, "usage": usage, "metrics": metrics})


def converse_stream(ask: Ask) -> Answer:
    """Answer /model/{model}/converse-stream."""
    blocks, reason = _blocks(ask)
    usage, metrics = _counts(ask)
    chunks = [_event("messageStart", {"role": "assistant"})]
    for index, (start, deltas) in enumerate(blocks):
        at = {"contentBlockIndex": index}
        if start:
            chunks.append(_event("contentBlockStart", {"start": start, **at}))
        chunks += [_event("contentBlockDelta", {"delta": delta, **at}) for delta in deltas]
        chunks.append(_event("contentBlockStop", at))
    chunks.append(_event("messageStop", {"stopReason": reason}))
    chunks.append(_event("metadata", {"usage": usage, "metrics": metrics}))
    return stream(chunks, _MISHAP, _STREAM)


def _claude(ask: Ask, *, streams: bool) -> Ask:
    fields: dict[str, Any] = {**ask.fields, "model": _model(ask), "stream": streams}
    return Ask(ask.number, ask.method, ask.path, ask.query, ask.headers, fields, ask.files, ask.origin, ask.shelf)


def invoke(ask: Ask) -> Answer:
    """Answer /model/{model}/invoke in the model's own format: Anthropic's, Titan's embeddings, or Nova's."""
    model = _model(ask)
    if "embed" in model:
        text = str(ask.fields.get("inputText"))
        size = int(ask.fields.get("dimensions") or 64)
        return reply({"embedding": vector(text, ask.number, size), "inputTextTokenCount": tokens(text)})
    return anthropic.messages(_claude(ask, streams=False)) if "anthropic" in model else converse(ask)


def invoke_stream(ask: Ask) -> Answer:
    """Answer /model/{model}/invoke-with-response-stream, Anthropic's events in Amazon's."""
    said = anthropic.messages(_claude(ask, streams=True))
    if said.chunks is None:
        return said
    events = [json.loads(chunk.partition(b"data: ")[2]) for chunk in said.chunks]
    _, metrics = _counts(ask)
    counts = {"inputTokenCount": 4, "outputTokenCount": 8, "invocationLatency": metrics["latencyMs"]}
    events[-1]["amazon-bedrock-invocationMetrics"] = counts
    chunks = [_event("chunk", {"bytes": base64.b64encode(dump(one)).decode()}) for one in events]
    return stream(chunks, _MISHAP, _STREAM)


WIRE = Wire(
    "bedrock",
    (
        ("POST", "/model/.+/converse", converse),
        ("POST", "/model/.+/converse-stream", converse_stream),
        ("POST", "/model/.+/invoke", invoke),
        ("POST", "/model/.+/invoke-with-response-stream", invoke_stream),
    ),
    headers,
    error,
)
