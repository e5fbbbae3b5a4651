"""Anthropic's wire format: messages, the counting of tokens, models."""

from __future__ import annotations

import base64
import json
from typing import Any

from .content import asked, hexes, pieces, split, tokens, value_for
from .exchange import Answer, Ask, Headers, Json, Wire, event, reply, stream

VERTEX = r"/v1/projects/[^/]+/locations/[^/]+/publishers/anthropic/models/[^/:]+:(?:streamR|r)awPredict"
ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def headers(ask: Ask) -> Headers:
    """Return what api.anthropic.com sends with every answer."""
    return (
        ("request-id", f"req_{hexes(ask, 24)}"),
        ("anthropic-organization-id", "123e4567-e89b-42d3-a456-426614174000"),
        ("anthropic-ratelimit-requests-limit", "4000"),
        ("anthropic-ratelimit-requests-remaining", str(3999 - ask.number % 1000)),
        ("anthropic-ratelimit-requests-reset", "2026-11-23T12:00:00Z"),
        ("anthropic-ratelimit-tokens-limit", "480000"),
        ("anthropic-ratelimit-tokens-remaining", "480000"),
        ("anthropic-ratelimit-tokens-reset", "2026-11-23T12:00:00Z"),
        ("via", "1.1 google"),
        ("server", "cloudflare"),
        ("cf-cache-status", "DYNAMIC"),
        ("cf-ray", f"{hexes(ask, 16, 'ray')}-FRA"),
        ("set-cookie", f"__cf_bm={hexes(ask, 43, 'bm')}; path=/; HttpOnly; Secure; SameSite=None"),
    )


def error(status: int, message: str) -> Json:
    """Make an error body."""
    kind = ERROR_TYPES.get(status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": None}


def _blocks(ask: Ask) -> list[tuple[Json, list[Json]]]:
    """Return the answer's content blocks, each as it starts and with the deltas that fill it."""
    blocks: list[tuple[Json, list[Json]]] = []
    if (ask.fields.get("thinking") or {}).get("type") in ("enabled", "adaptive"):
        signature = base64.b64encode(f"signature {ask.number}".encode()).decode()
        thoughts: list[Json] = [{"type": "thinking_delta", "thinking": t} for t in ("Let me", " think", " a bit.")]
        thoughts.append({"type": "signature_delta", "signature": signature})
        blocks.append(({"type": "thinking", "thinking": "", "signature": ""}, thoughts))
    if tool := _tool(ask):
        filled = json.dumps(value_for(tool.get("input_schema") or {"type": "object"}, ask.number))
        parts: list[Json] = [{"type": "input_json_delta", "partial_json": part} for part in ("", *split(filled))]
        blocks.append(
            ({"type": "tool_use", "id": f"toolu_{ask.number:06}", "name": tool["name"], "input": {}}, parts)
        )
    else:
        said: list[Json] = [{"type": "text_delta", "text": piece} for piece in _says(ask)]
        blocks.append(({"type": "text", "text": ""}, said))
    return blocks


def _tool(ask: Ask) -> Json | None:
    tools = [tool for tool in ask.fields.get("tools") or () if tool.get("type", "custom") == "custom"]
    choice = ask.fields.get("tool_choice") or {}
    content = ask.fields["messages"][-1].get("content")
    returned = isinstance(content, list) and any(part.get("type") == "tool_result" for part in content)
    if not tools or returned or choice.get("type") == "none":
        return None
    return dict(next((tool for tool in tools if tool["name"] == choice.get("name")), tools[0]))


def _says(ask: Ask) -> list[str]:
    wanted = (ask.fields.get("output_config") or {}).get("format") or ask.fields.get("output_format") or {}
    if wanted.get("type") == "json_schema":
        return split(json.dumps(value_for(wanted["schema"], ask.number)))
    return pieces(ask, ask.fields["messages"])


def _filled(start: Json, deltas: list[Json]) -> Json:
    block = dict(start)
    for delta in deltas:
        for name, value in delta.items():
            if name in ("text", "thinking", "signature"):
                block[name] += value
    if block["type"] == "tool_use":
        block["input"] = json.loads("".join(delta["partial_json"] for delta in deltas))
    return block


def messages(ask: Ask) -> Answer:
    """Answer /v1/messages."""
    if not ask.fields.get("messages") or "max_tokens" not in ask.fields:
        return reply(error(400, "messages and max_tokens: Field required"), 400)
    blocks = _blocks(ask)
    counts: Json = {
        "input_tokens": tokens(asked(ask.fields["messages"])),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": 4 + sum(len(deltas) for _, deltas in blocks),
        "service_tier": "standard",
    }
    message: Json = {
        "id": f"msg_{ask.number:06}",
        "type": "message",
        "role": "assistant",
        "model": ask.model,
        "content": [_filled(*block) for block in blocks],
        "stop_reason": "tool_use" if blocks[-1][0]["type"] == "tool_use" else "end_turn",
        "stop_sequence": None,
        "usage": counts,
    }
    if not ask.fields.get("stream"):
        return reply(message)
    opening = message | {"content": [], "stop_reason": None, "usage": counts | {"output_tokens": 1}}
    chunks = [_event("message_start", message=opening)]
    for index, (start, deltas) in enumerate(blocks):
        chunks.append(_event("content_block_start", index=index, content_block=start))
        chunks += [_event("ping")] if index == 0 else []
        chunks += [_event("content_block_delta", index=index, delta=delta) for delta in deltas]
        chunks.append(_event("content_block_stop", index=index))
    ending = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    chunks.append(_event("message_delta", delta=ending, usage={"output_tokens": counts["output_tokens"]}))
    chunks.append(_event("message_stop"))
    return stream(chunks, event(error(529, "Overloaded"), "error"))


def _event(kind: str, **fields: Any) -> bytes:
    return event({"type": kind} | fields, kind)


def count_tokens(ask: Ask) -> Answer:
    """Answer /v1/messages/count_tokens with a number that differs from one request to the next."""
    return reply({"input_tokens": tokens(asked(ask.fields.get("messages"))) + ask.number})


def models(ask: Ask) -> Answer:
    """Answer /v1/models."""
    about = {"type": "model", "id": "claude-local", "display_name": f"Claude Local {ask.number}"}
    about["created_at"] = "2026-01-01T00:00:00Z"
    listing = {"data": [about], "has_more": False, "first_id": "claude-local", "last_id": "claude-local"}
    return reply(listing if ask.path == "/v1/models" else about)


WIRE = Wire(
    "anthropic",
    (
        ("POST", "/v1/messages", messages),
        ("POST", "/v1/messages/count_tokens", count_tokens),
        ("GET", "/v1/models(?:/[^/]+)?", models),
        ("POST", VERTEX, messages),
    ),
    headers,
    error,
)
