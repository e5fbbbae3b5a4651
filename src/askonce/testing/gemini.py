"""Gemini's wire format: generate, stream, count, embed."""

from __future__ import annotations

import json

from .content import asked, hexes, pieces, split, tokens, value_for, vector
from .exchange import Answer, Ask, Headers, Json, Wire, dump, event, reply, stream

_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}


def headers(ask: Ask) -> Headers:
    """Return what generativelanguage.googleapis.com sends with every answer."""
    return (
        ("vary", "Origin"),
        ("vary", "X-Origin"),
        ("server", "scaffolding on HTTPServer2"),
        ("server-timing", f"gfet4t7; dur={100 + ask.number % 900}"),
        ("x-request-id", hexes(ask, 32)),
    )


def error(status: int, message: str) -> Json:
    """Make an error body."""
    return {"error": {"code": status, "message": message, "status": _STATUSES.get(status, "UNKNOWN")}}


def _model(ask: Ask) -> str:
    return ask.path.rpartition("/")[2].partition(":")[0]


def _parts(ask: Ask) -> list[Json]:
    contents = ask.fields.get("contents") or []
    config = ask.fields.get("generationConfig") or {}
    functions = [one for tool in ask.fields.get("tools") or () for one in tool.get("functionDeclarations", ())]
    returned = any("functionResponse" in part for part in (contents[-1].get("parts", ()) if contents else ()))
    if functions and not returned:
        schema = functions[0].get("parameters") or functions[0].get("parametersJsonSchema") or {"type": "object"}
        return [{"functionCall": {"name": functions[0]["name"], "args": value_for(schema, ask.number)}}]
    schema = config.get("responseSchema") or config.get("responseJsonSchema")
    if schema:
        return [{"text": part} for part in split(json.dumps(value_for(schema, ask.number)))]
    return [{"text": piece} for piece in pieces(ask, contents, _model(ask))]


def _answer(ask: Ask, parts: list[Json], count: int, finish: str | None) -> Json:
    candidate: Json = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    prompt = tokens(asked(ask.fields.get("contents")))
    return {
        "candidates": [candidate],
        "usageMetadata": {
            "promptTokenCount": prompt,
            "candidatesTokenCount": count,
            "totalTokenCount": prompt + count,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}],
        },
        "modelVersion": _model(ask),
        "responseId": f"response-{ask.number:06}",
    }


def generate(ask: Ask) -> Answer:
    """Answer :generateContent."""
    parts = _parts(ask)
    if "text" in parts[0]:
        parts = [{"text": "".join(part["text"] for part in parts)}]
    return reply(_answer(ask, parts, 8, "STOP"))


def generate_stream(ask: Ask) -> Answer:
    """Answer :streamGenerateContent, as events or, without `alt=sse`, as one JSON array in pieces."""
    parts = _parts(ask)
    last = len(parts) - 1
    answers = [_answer(ask, [part], i + 1, "STOP" if i == last else None) for i, part in enumerate(parts)]
    mishap = error(503, "The model is overloaded. Please try again later.")
    if ask.query.get("alt") == "sse":
        return stream([event(answer) for answer in answers], event(mishap), "text/event-stream")
    pairs = [(b"[" if i == 0 else b",\r\n") + dump(answer) for i, answer in enumerate(answers)]
    return stream([*pairs, b"]"], b",\r\n" + dump(mishap) + b"]", "application/json; charset=UTF-8")


def count_tokens(ask: Ask) -> Answer:
    """Answer :countTokens with a number that differs from one request to the next."""
    count = tokens(asked(ask.fields.get("contents"))) + ask.number
    return reply({"totalTokens": count, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": count}]})


def _embedding(ask: Ask, request: Json) -> Json:
    size = int(request.get("outputDimensionality") or 64)
    return {"values": vector(asked(request.get("content")), ask.number, size)}


def embed(ask: Ask) -> Answer:
    """Answer :embedContent."""
    return reply({"embedding": _embedding(ask, ask.fields)})


def embed_batch(ask: Ask) -> Answer:
    """Answer :batchEmbedContents."""
    return reply({"embeddings": [_embedding(ask, request) for request in ask.fields.get("requests", ())]})


def models(ask: Ask) -> Answer:
    """Answer /v1beta/models."""
    about = {
        "name": "models/gemini-local",
        "displayName": f"Gemini Local {ask.number}",
        "inputTokenLimit": 1048576,
    }
    return reply({"models": [about]} if ask.path.endswith("/models") else about)


_MODEL = "/v1(?:beta|alpha|beta1)?/(?:.+/)?(?:models|tunedModels)/[^/:]+"
WIRE = Wire(
    "gemini",
    (
        ("POST", f"{_MODEL}:generateContent", generate),
        ("POST", f"{_MODEL}:streamGenerateContent", generate_stream),
        ("POST", f"{_MODEL}:countTokens", count_tokens),
        ("POST", f"{_MODEL}:embedContent", embed),
        ("POST", f"{_MODEL}:batchEmbedContents", embed_batch),
        ("GET", "/v1beta/models(?:/[^/:]+)?", models),
    ),
    headers,
    error,
)
