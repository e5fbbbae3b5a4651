"""Cohere's wire format: chat in versions 1 (lines of JSON) and 2 (events), embed, rerank."""

from __future__ import annotations

import json
from typing import Any

from .content import asked, hexes, packed, pieces, split, tokens, value_for, vector
from .exchange import Answer, Ask, Headers, Json, Wire, dump, event, reply, stream


def headers(ask: Ask) -> Headers:
    """Return what api.cohere.com sends with every answer."""
    return (
        ("x-request-id", hexes(ask, 32)),
        ("x-debug-trace-id", hexes(ask, 32, "trace")),
        ("x-api-warning", "this answer was made on your own machine"),
        ("num_chars", str(ask.number)),
        ("num_tokens", str(ask.number)),
        ("x-envoy-upstream-service-time", str(100 + ask.number % 900)),
        ("via", "1.1 google"),
    )


def error(status: int, message: str) -> Json:
    """Make an error body."""
    return {"id": f"error-{status}", "message": message}


def _usage(ask: Ask, said: str) -> Json:
    prompt, answer = tokens(asked(ask.fields.get("messages") or ask.fields.get("message"))), tokens(said)
    counts = {"input_tokens": prompt, "output_tokens": answer}
    return {"billed_units": counts, "tokens": counts}


def _says(ask: Ask, prompt: Any) -> list[str]:
    wanted = ask.fields.get("response_format") or {}
    schema = wanted.get("json_schema") or wanted.get("schema")
    return split(json.dumps(value_for(schema, ask.number))) if schema else pieces(ask, prompt)


def _tool(ask: Ask) -> Json | None:
    functions = [tool["function"] for tool in ask.fields.get("tools") or ()]
    returned = ask.fields["messages"][-1].get("role") == "tool"
    return None if not functions or returned or ask.fields.get("tool_choice") == "NONE" else dict(functions[0])


def chat(ask: Ask) -> Answer:
    """Answer /v2/chat."""
    if not ask.fields.get("messages"):
        return reply(error(400, "invalid request: messages must be provided"), 400)
    tool = _tool(ask)
    name = f"123e4567-e89b-42d3-a456-{ask.number:012}"
    said = ["I will", " call", " a tool."] if tool else _says(ask, ask.fields["messages"])
    finish = "TOOL_CALL" if tool else "COMPLETE"
    message: Json = {"role": "assistant"}
    call: Json = {}
    if tool:
        filled = json.dumps(value_for(tool.get("parameters") or {"type": "object"}, ask.number))
        function = {"name": tool["name"], "arguments": filled}
        call = {"id": f"{tool['name']}_{ask.number:06}", "type": "function", "function": function}
        message |= {"tool_plan": "".join(said), "tool_calls": [call]}
    else:
        message["content"] = [{"type": "text", "text": "".join(said)}]
    counts = _usage(ask, "".join(said))
    if not ask.fields.get("stream"):
        return reply({"id": name, "message": message, "finish_reason": finish, "usage": counts})
    opening = {"message": {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}}
    chunks = [
        event({"id": name, "type": "message-start", "delta": opening}, "message-start"),
        *(_call_events(call, said) if tool else _text_events(said)),
        _event("message-end", delta={"finish_reason": finish, "usage": counts}),
    ]
    return stream(
        chunks, _event("message-end", delta={"finish_reason": "ERROR", "error": "internal server error"})
    )


def _event(kind: str, **fields: Any) -> bytes:
    return event({"type": kind} | fields, kind)


def _text_events(said: list[str]) -> list[bytes]:
    return [
        _event("content-start", index=0, delta={"message": {"content": {"type": "text", "text": ""}}}),
        *(_event("content-delta", index=0, delta={"message": {"content": {"text": piece}}}) for piece in said),
        _event("content-end", index=0),
    ]


def _call_events(call: Json, said: list[str]) -> list[bytes]:
    opening = call | {"function": call["function"] | {"arguments": ""}}
    parts = split(call["function"]["arguments"])
    filling = [{"message": {"tool_calls": {"function": {"arguments": part}}}} for part in parts]
    return [
        *(_event("tool-plan-delta", delta={"message": {"tool_plan": piece}}) for piece in said),
        _event("tool-call-start", index=0, delta={"message": {"tool_calls": opening}}),
        *(_event("tool-call-delta", index=0, delta=delta) for delta in filling),
        _event("tool-call-end", index=0),
    ]


def chat_v1(ask: Ask) -> Answer:
    """Answer /v1/chat, streaming as lines of JSON."""
    name = f"123e4567-e89b-42d3-a456-{ask.number:012}"
    said = _says(ask, ask.fields.get("message"))
    counts = _usage(ask, "".join(said))
    whole: Json = {
        "response_id": hexes(ask, 32),
        "text": "".join(said),
        "generation_id": name,
        "chat_history": [
            {"role": "USER", "message": ask.fields.get("message")},
            {"role": "CHATBOT", "message": "".join(said)},
        ],
        "finish_reason": "COMPLETE",
        "meta": {"api_version": {"version": "1"}} | counts,
    }
    if not ask.fields.get("stream"):
        return reply(whole)
    events: list[Json] = [{"is_finished": False, "event_type": "stream-start", "generation_id": name}]
    events += [{"is_finished": False, "event_type": "text-generation", "text": piece} for piece in said]
    ending = {"is_finished": True, "event_type": "stream-end"}
    events.append(ending | {"finish_reason": "COMPLETE", "response": whole})
    mishap = ending | {"finish_reason": "ERROR", "response": whole | {"finish_reason": "ERROR"}}
    return stream([dump(one) + b"\n" for one in events], dump(mishap) + b"\n", "application/stream+json")


def embed(ask: Ask) -> Answer:
    """Answer /v2/embed, and /v1/embed in both of its shapes."""
    texts = [str(text) for text in ask.fields.get("texts") or ()]
    texts = texts or [asked(one.get("content")) for one in ask.fields.get("inputs") or ()]
    size = int(ask.fields.get("output_dimension") or 64)
    vectors = [vector(text, ask.number, size) for text in texts]
    kinds = ask.fields.get("embedding_types")
    made: Json = {
        "float": vectors,
        "int8": [[int(x * 255) for x in one] for one in vectors],
        "uint8": [[int(x * 255) + 128 for x in one] for one in vectors],
        "base64": [packed(one) for one in vectors],
    }
    answer: Json = {"id": f"123e4567-e89b-42d3-a456-{ask.number:012}", "texts": texts}
    answer |= {
        "response_type": "embeddings_by_type",
        "embeddings": {kind: made[kind] for kind in kinds or ["float"]},
    }
    if ask.path == "/v1/embed" and not kinds:
        answer |= {"response_type": "embeddings_floats", "embeddings": vectors}
    meta = {"api_version": {"version": ask.path[2]}, "billed_units": {"input_tokens": tokens(*texts)}}
    return reply(answer | {"meta": meta})


def rerank(ask: Ask) -> Answer:
    """Answer /v2/rerank: the last document wins."""
    documents = ask.fields.get("documents") or []
    order = list(reversed(range(len(documents))))[: ask.fields.get("top_n") or len(documents)]
    results = [{"index": i, "relevance_score": 1 / (2 + place + ask.number)} for place, i in enumerate(order)]
    meta = {"api_version": {"version": ask.path[2]}, "billed_units": {"search_units": 1}}
    return reply({"id": f"123e4567-e89b-42d3-a456-{ask.number:012}", "results": results, "meta": meta})


WIRE = Wire(
    "cohere",
    (
        ("POST", "/v2/chat", chat),
        ("POST", "/v1/chat", chat_v1),
        ("POST", "/v[12]/embed", embed),
        ("POST", "/v[12]/rerank", rerank),
    ),
    headers,
    error,
)
