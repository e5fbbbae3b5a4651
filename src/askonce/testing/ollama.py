"""Ollama's wire format: lines of JSON, streamed unless told otherwise, and no credential."""

from __future__ import annotations

import json

from .content import asked, pieces, split, tokens, value_for, vector
from .exchange import Answer, Ask, Headers, Json, Wire, dump, reply, stream


def headers(ask: Ask) -> Headers:
    """Return nothing: Ollama sends no headers of its own."""
    return ()


def error(status: int, message: str) -> Json:
    """Make an error body."""
    return {"error": message}


def _says(ask: Ask, prompt: object) -> list[str]:
    wanted = ask.fields.get("format")
    if wanted:
        schema = wanted if isinstance(wanted, dict) else {"type": "object", "properties": {"answer": {}}}
        return split(json.dumps(value_for(schema, ask.number)))
    return pieces(ask, prompt)


def _lines(ask: Ask, parts: list[Json], whole: Json, said: str, prompt: object) -> Answer:
    head = {"model": ask.model, "created_at": f"2026-11-23T12:00:00.{ask.number:06}Z"}
    ending: Json = {
        "done": True,
        "done_reason": "stop",
        "total_duration": 1_000_000 + ask.number,
        "load_duration": 1_000,
        "prompt_eval_count": tokens(asked(prompt)),
        "prompt_eval_duration": 1_000,
        "eval_count": tokens(said),
        "eval_duration": 1_000,
    }
    if ask.fields.get("stream") is False:
        return reply(head | whole | ending)
    lines = [dump(head | part | {"done": False}) + b"\n" for part in parts[:-1]]
    lines.append(dump(head | parts[-1] | ending) + b"\n")
    return stream(lines, dump(error(500, "the model runner has stopped")) + b"\n", "application/x-ndjson")


def chat(ask: Ask) -> Answer:
    """Answer /api/chat."""
    messages = ask.fields.get("messages") or [{}]
    functions = [tool["function"] for tool in ask.fields.get("tools") or ()]
    if functions and messages[-1].get("role") != "tool":
        filled = value_for(functions[0].get("parameters") or {"type": "object"}, ask.number)
        call = {"function": {"name": functions[0]["name"], "arguments": filled}}
        message = {"role": "assistant", "content": "", "tool_calls": [call]}
        ending = {"message": {"role": "assistant", "content": ""}}
        return _lines(ask, [{"message": message}, ending], {"message": message}, "", messages)
    said = _says(ask, messages)
    thought = {"thinking": "Let me think."} if ask.fields.get("think") else {}
    parts: list[Json] = [{"message": {"role": "assistant", "content": piece}} for piece in (*said, "")]
    if thought:
        parts.insert(0, {"message": {"role": "assistant", "content": ""} | thought})
    whole = {"message": {"role": "assistant", "content": "".join(said)} | thought}
    return _lines(ask, parts, whole, "".join(said), messages)


def generate(ask: Ask) -> Answer:
    """Answer /api/generate."""
    prompt = ask.fields.get("prompt", "")
    said = _says(ask, prompt)
    parts: list[Json] = [{"response": piece} for piece in (*said, "")]
    parts[-1]["context"] = [1, 2, ask.number]
    whole = {"response": "".join(said), "context": [1, 2, ask.number]}
    return _lines(ask, parts, whole, "".join(said), prompt)


def embed(ask: Ask) -> Answer:
    """Answer /api/embed."""
    given = ask.fields.get("input", "")
    inputs = given if isinstance(given, list) else [given]
    size = int(ask.fields.get("dimensions") or 64)
    vectors = [vector(str(text), ask.number, size) for text in inputs]
    counts = {"total_duration": 1_000_000 + ask.number, "load_duration": 1_000}
    return reply({"model": ask.model, "embeddings": vectors} | counts | {"prompt_eval_count": tokens(*inputs)})


def embeddings(ask: Ask) -> Answer:
    """Answer the older /api/embeddings."""
    return reply({"embedding": vector(str(ask.fields.get("prompt", "")), ask.number, 64)})


def tags(ask: Ask) -> Answer:
    """Answer /api/tags."""
    about = {
        "name": "llama-local",
        "model": "llama-local",
        "size": 1_000_000 + ask.number,
        "digest": "0" * 64,
    }
    return reply({"models": [about | {"modified_at": "2026-11-23T12:00:00Z"}]})


WIRE = Wire(
    "ollama",
    (
        ("POST", "/api/chat", chat),
        ("POST", "/api/generate", generate),
        ("POST", "/api/embed", embed),
        ("POST", "/api/embeddings", embeddings),
        ("GET", "/api/tags", tags),
        ("GET", "/api/version", lambda ask: reply({"version": "0.12.0"})),
    ),
    headers,
    error,
    keyed=False,
)
