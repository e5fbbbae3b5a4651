"""Mistral's wire format: OpenAI's chat in its own words, completion in the middle, and reading of documents."""

from __future__ import annotations

import json
from dataclasses import replace

from . import openai
from .content import EPOCH, asked, hexes, pieces, split, tokens
from .exchange import Answer, Ask, Headers, Json, Wire, dump, event, reply, stream


def headers(ask: Ask) -> Headers:
    """Return what api.mistral.ai sends with every answer."""
    return (
        ("mistral-correlation-id", hexes(ask, 32)),
        ("x-kong-request-id", hexes(ask, 32)),
        ("x-request-id", hexes(ask, 32)),
        ("x-ratelimit-limit-req-minute", "360"),
        ("x-ratelimit-remaining-req-minute", str(359 - ask.number % 300)),
        ("x-envoy-upstream-service-time", str(100 + ask.number % 900)),
        ("server", "cloudflare"),
        ("cf-ray", f"{hexes(ask, 16, 'ray')}-FRA"),
        ("set-cookie", f"__cf_bm={hexes(ask, 43, 'bm')}; path=/; HttpOnly; Secure; SameSite=None"),
    )


def error(status: int, message: str) -> Json:
    """Make an error body."""
    if status == 401:
        return {"detail": "Unauthorized"}
    kind = "invalid_request_error" if status < 500 else "internal_server_error"
    return {"object": "error", "message": message, "type": kind, "param": None, "code": str(status)}


def chat(ask: Ask) -> Answer:
    """Answer /v1/chat/completions and /v1/fim/completions; the `accept` header can ask for a stream too."""
    filled = ask.path.endswith("/fim/completions")
    tool = None if filled else openai.wants_tool(ask)
    said = pieces(ask, ask.fields.get("prompt")) if filled else [] if tool else openai.says(ask)
    call: Json | None = None
    if tool:
        function = {"name": tool["name"], "arguments": openai.arguments(tool, ask.number)}
        call = {"id": hexes(ask, 9), "type": "function", "function": function, "index": 0}
    finish = "tool_calls" if call else "stop"
    prompt, answer = (
        tokens(asked(ask.fields.get("messages") or ask.fields.get("prompt"))),
        tokens("".join(said)),
    )
    head: Json = {"id": hexes(ask, 32), "created": EPOCH + ask.number, "model": ask.model}
    counts = {"prompt_tokens": prompt, "total_tokens": prompt + answer, "completion_tokens": answer}
    if not ask.fields.get("stream") and ask.headers.get("accept") != "text/event-stream":
        message: Json = {
            "role": "assistant",
            "content": "".join(said),
            "tool_calls": [call] if call else None,
        }
        choice: Json = {"index": 0, "message": message, "finish_reason": finish}
        return reply(head | {"object": "chat.completion", "usage": counts, "choices": [choice]})

    def chunk(delta: Json, ending: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": ending}
        closing = {"usage": counts} if ending else {}
        return event(head | {"object": "chat.completion.chunk", "choices": [choice]} | closing)

    chunks = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": piece}) for piece in said)]
    # Unlike OpenAI, a tool call comes whole, in the chunk that ends the answer.
    chunks.append(chunk({"content": "", "tool_calls": [call]} if call else {"content": ""}, finish))
    return stream([*chunks, openai.DONE], event(error(500, "Service unavailable.")))


def ocr(ask: Ask) -> Answer:
    """Answer /v1/ocr with two pages."""
    document = ask.fields.get("document") or {}
    name = str(document.get("document_url") or document.get("image_url") or document.get("file_id") or "")
    pages = [
        {
            "index": index,
            "markdown": part,
            "images": [],
            "dimensions": {"dpi": 200, "height": 2200, "width": 1700},
        }
        for index, part in enumerate(split(f"# Document {ask.number}\n\n" + "".join(pieces(ask, name)), 2))
    ]
    counts = {"pages_processed": len(pages), "doc_size_bytes": 1000 + ask.number}
    return reply({"pages": pages, "model": ask.model, "document_annotation": None, "usage_info": counts})


def embeddings(ask: Ask) -> Answer:
    """Answer /v1/embeddings: as OpenAI does, with an id that Mistral's SDK insists on."""
    answer = openai.embeddings(ask)
    return replace(answer, body=dump({"id": hexes(ask, 32)} | json.loads(answer.body)))


WIRE = Wire(
    "mistral",
    (
        ("POST", "/v1/(?:chat|fim)/completions", chat),
        ("POST", "/v1/embeddings", embeddings),
        ("POST", "/v1/ocr", ocr),
        ("POST", "/v1/moderations", openai.moderations),
        ("GET", "/v1/models", openai.models),
    ),
    headers,
    error,
)
