"""OpenAI's wire format: chat, completions, embeddings, moderations, models. Azure, Groq and DeepSeek share it."""

from __future__ import annotations

import json
from typing import Any

from . import files, media, responses
from .content import EPOCH, asked, hexes, packed, pieces, split, tokens, value_for, vector
from .exchange import Answer, Ask, Headers, Json, Wire, event, reply, stream

DONE = b"data: [DONE]\n\n"
ERROR_TYPES = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}


def headers(ask: Ask) -> Headers:
    """Return what api.openai.com sends with every answer."""
    return (
        ("x-request-id", f"req_{hexes(ask, 32)}"),
        ("openai-organization", ask.headers.get("openai-organization", "local-org")),
        ("openai-processing-ms", str(100 + ask.number % 900)),
        ("openai-version", "2020-10-01"),
        ("x-ratelimit-limit-requests", "10000"),
        ("x-ratelimit-limit-tokens", "200000"),
        ("x-ratelimit-remaining-requests", str(9999 - ask.number % 1000)),
        ("x-ratelimit-remaining-tokens", str(199000 - ask.number)),
        ("x-ratelimit-reset-requests", "8.64s"),
        ("x-ratelimit-reset-tokens", "6ms"),
        ("server", "cloudflare"),
        ("cf-ray", f"{hexes(ask, 16, 'ray')}-FRA"),
        ("set-cookie", f"__cf_bm={hexes(ask, 43, 'bm')}; path=/; HttpOnly; Secure; SameSite=None"),
        ("set-cookie", f"_cfuvid={hexes(ask, 32, 'uvid')}; path=/; HttpOnly; Secure; SameSite=None"),
    )


def error(status: int, message: str) -> Json:
    """Make an error body."""
    kind, code = ERROR_TYPES.get(status, ("server_error", None))
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def wants_schema(ask: Ask) -> Json | None:
    """Return the schema that the answer must match, if there is one."""
    wanted = ask.fields.get("response_format")
    if not isinstance(wanted, dict) or wanted.get("type") not in ("json_schema", "json_object"):
        return None
    schema = wanted.get("json_schema", {}).get("schema")
    return schema or {"type": "object", "properties": {"answer": {"type": "string"}}}


def wants_tool(ask: Ask) -> Json | None:
    """Return the function to call: the named one, else the first; none once a result came back."""
    functions = [tool["function"] for tool in ask.fields.get("tools") or () if tool.get("type") == "function"]
    choice = ask.fields.get("tool_choice")
    if not functions or choice == "none" or ask.fields["messages"][-1].get("role") == "tool":
        return None
    named = choice["function"]["name"] if isinstance(choice, dict) else None
    return dict(next((one for one in functions if one["name"] == named), functions[0]))


def arguments(function: Json, number: int) -> str:
    """Make the arguments of a function call, as JSON."""
    return json.dumps(value_for(function.get("parameters") or {"type": "object"}, number))


def says(ask: Ask) -> list[str]:
    """Return the text of a chat answer in pieces."""
    if schema := wants_schema(ask):
        return split(json.dumps(value_for(schema, ask.number)))
    return pieces(ask, ask.fields["messages"])


def usage(ask: Ask, said: str) -> Json:
    """Count the tokens of a chat."""
    prompt, answer = tokens(asked(ask.fields.get("messages") or ask.fields.get("prompt"))), tokens(said)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": prompt + answer,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _head(ask: Ask, kind: str) -> Json:
    return {
        "id": f"chatcmpl-{ask.number:06}",
        "object": kind,
        "created": EPOCH + ask.number,
        "model": ask.model,
        "service_tier": "default",
        "system_fingerprint": "fp_local",
    }


def chat(ask: Ask) -> Answer:
    """Answer /chat/completions."""
    if not ask.fields.get("messages"):
        return reply(error(400, "Missing required parameter: 'messages'."), 400)
    tool = wants_tool(ask)
    said = [] if tool else says(ask)
    call = {"name": tool["name"], "arguments": arguments(tool, ask.number)} if tool else None
    if ask.fields.get("stream"):
        return _chat_stream(ask, said, call)
    message: Json = {"role": "assistant", "content": "".join(said), "refusal": None, "annotations": []}
    if call:
        message["content"] = None
        message["tool_calls"] = [{"id": f"call_{ask.number:06}", "type": "function", "function": call}]
    choices = [
        {
            "index": index,
            "message": message if index == 0 else message | {"content": f"{message['content']} ({index})"},
            "logprobs": None,
            "finish_reason": "tool_calls" if call else "stop",
        }
        for index in range(int(ask.fields.get("n") or 1))
    ]
    counts = usage(ask, "".join(said))
    return reply(_head(ask, "chat.completion") | {"choices": choices, "usage": counts})


def _chat_stream(ask: Ask, said: list[str], call: Json | None) -> Answer:
    head = _head(ask, "chat.completion.chunk")
    counted = bool((ask.fields.get("stream_options") or {}).get("include_usage"))
    head |= {"usage": None} if counted else {}
    indexes = range(int(ask.fields.get("n") or 1))

    def chunk(index: int, delta: Json, finish: str | None = None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return event(head | {"choices": [choice]})

    deltas: list[Json] = [{"content": piece} for piece in said]
    if call:
        start = {"index": 0, "id": f"call_{ask.number:06}", "type": "function"}
        deltas = [{"tool_calls": [start | {"function": {"name": call["name"], "arguments": ""}}]}]
        deltas += [
            {"tool_calls": [{"index": 0, "function": {"arguments": part}}]} for part in split(call["arguments"])
        ]
    deltas.insert(0, {"role": "assistant", "content": None if call else "", "refusal": None})
    chunks = [chunk(index, delta) for delta in deltas for index in indexes]
    chunks += [chunk(index, {}, "tool_calls" if call else "stop") for index in indexes]
    if counted:
        chunks.append(event(head | {"choices": [], "usage": usage(ask, "".join(said))}))
    return stream([*chunks, DONE], event(error(500, "The server had an error while processing your request")))


def completions(ask: Ask) -> Answer:
    """Answer the legacy /completions."""
    head = _head(ask, "text_completion") | {"id": f"cmpl-{ask.number:06}"}
    said = pieces(ask, ask.fields.get("prompt"))

    def choice(text: str, finish: str | None) -> list[Json]:
        return [{"text": text, "index": 0, "logprobs": None, "finish_reason": finish}]

    if ask.fields.get("stream"):
        chunks = [event(head | {"choices": choice(piece, None)}) for piece in said]
        chunks.append(event(head | {"choices": choice("", "stop")}))
        return stream([*chunks, DONE], event(error(500, "The server had an error")))
    counts = usage(ask, "".join(said))
    return reply(head | {"choices": choice("".join(said), "stop"), "usage": counts})


def embeddings(ask: Ask) -> Answer:
    """Answer /embeddings, as numbers or as base64."""
    given = ask.fields.get("input")
    inputs: list[Any] = given if isinstance(given, list) and given and not isinstance(given[0], int) else [given]
    size = int(ask.fields.get("dimensions") or ask.fields.get("output_dimension") or 64)
    vectors = [vector(str(one), ask.number, size) for one in inputs]
    encoded = ask.fields.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": packed(one) if encoded else one}
        for index, one in enumerate(vectors)
    ]
    count = tokens(*map(str, inputs))
    counts = {"prompt_tokens": count, "total_tokens": count}
    return reply({"object": "list", "data": data, "model": ask.model, "usage": counts})


def moderations(ask: Ask) -> Answer:
    """Answer /moderations: all is well, always."""
    names = ("harassment", "hate", "illicit", "self-harm", "sexual", "violence")
    given = ask.fields.get("input")
    result = {
        "flagged": False,
        "categories": dict.fromkeys(names, False),
        "category_scores": dict.fromkeys(names, ask.number / 2**20),
        "category_applied_input_types": {name: ["text"] for name in names},
    }
    results = [result for _ in (given if isinstance(given, list) else [given])]
    return reply({"id": f"modr-{ask.number:06}", "model": ask.model, "results": results})


def _model(name: str, number: int) -> Json:
    return {"id": name, "object": "model", "created": EPOCH + number, "owned_by": "local"}


def models(ask: Ask) -> Answer:
    """Answer /models."""
    names = ("gpt-local", "embedding-local", "image-local")
    return reply({"object": "list", "data": [_model(name, ask.number) for name in names]})


def model(ask: Ask) -> Answer:
    """Answer /models/{name}."""
    return reply(_model(ask.path.rpartition("/")[2], ask.number))


WIRE = Wire(
    "openai",
    (
        ("POST", "/chat/completions", chat),
        ("POST", "/completions", completions),
        ("POST", "/embeddings", embeddings),
        ("POST", "/moderations", moderations),
        ("GET", "/models", models),
        ("GET", "/models/[^/]+", model),
        *responses.ROUTES,
        *media.ROUTES,
        *files.ROUTES,
    ),
    headers,
    error,
)
