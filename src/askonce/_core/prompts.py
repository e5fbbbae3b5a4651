"""What was asked, as turns: the canonical body of a request, of whatever provider."""

from __future__ import annotations

import json
from typing import Any

from askonce._core.blobs import Blob, size_text
from askonce._core.parts import flat, read_content, read_message, result_in, result_text
from askonce._core.turns import Draft, Turn

_SHOWN_FILE_DIGITS = 12


def asked_json(value: Any, kind: str) -> list[Turn]:
    """Read a JSON body; `kind`, the route's, decides what a field means where providers differ."""
    if not isinstance(value, dict):
        return [Turn("input", _pretty(value))]
    turns = _opening(value)
    if kind == "rerank":
        turns += _rerank(value)
    elif kind == "embedding":
        turns += _embedding(value)
    elif kind == "speech":
        turns += [Turn("input", flat(value.get("input")))]
    else:
        turns += _conversation(value) or _inputs(value)
    return [turn for turn in turns if turn != Turn(turn.role)] or [Turn("input", _pretty(value))]


def asked_parts(parts: Any) -> list[Turn]:
    """Read the parts of a multipart body: the prompt is its text, files and other fields are notes."""
    draft = Draft("input")
    for part in _list(parts):
        if not isinstance(part, dict):
            continue
        name, text = part.get("name"), part.get("text")
        if "size" in part:
            digest = str(part.get("file") or part.get("bytes") or "")[:_SHOWN_FILE_DIGITS]
            draft.note(f"{name}: {size_text(_number(part['size']))}, sha256 {digest}…")
        elif name == "prompt":
            draft.say(text)
        elif name != "model":
            draft.note(f"{name}: {text}")
    return [draft.turn()]


def _opening(value: dict[str, Any]) -> list[Turn]:
    """Read what stands before the conversation."""
    turns = []
    for name in ("system", "systemInstruction", "system_instruction", "instructions", "preamble"):
        draft = Draft("system", "\n")
        given = value.get(name)
        parts = given.get("parts") if isinstance(given, dict) else None
        read_content(draft, given if parts is None else parts)
        turns.append(draft.turn())
    return turns


def _conversation(value: dict[str, Any]) -> list[Turn]:
    turns: list[Turn] = []
    request = value.get("generateContentRequest")  # Gemini's countTokens
    if isinstance(request, dict):
        turns += _opening(request) + _conversation(request)
    for name in ("messages", "chat_history", "contents"):
        given = value.get(name)
        for message in given if isinstance(given, list) else (given,):
            turns += _message(message)
    if isinstance(value.get("message"), str):  # Cohere v1
        turns.append(Turn("user", value["message"]))
    return turns


def _message(message: Any) -> list[Turn]:
    """Read one message; what tools gave back becomes turns of its own."""
    if isinstance(message, str):
        return [Turn("user", message)]
    if not isinstance(message, dict):
        return []
    draft = Draft(message.get("role") or "user", "\n")
    turns = []
    kept = {}
    for name in ("content", "parts"):
        given = message.get(name)
        parts = given if isinstance(given, list) else [given]
        turns += [Turn("tool", result_text(part)) for part in parts if result_in(part) is not None]
        kept[name] = [part for part in parts if result_in(part) is None]
    read_message(draft, {**message, **kept})
    draft.say(message.get("message"))
    return turns if draft.is_empty and turns else [*turns, draft.turn()]


def _inputs(value: dict[str, Any]) -> list[Turn]:
    """Read a question that is no list of messages."""
    given = value.get("input", value.get("inputs"))
    if isinstance(given, list) and any(isinstance(one, dict) for one in given):
        return [turn for one in given for turn in _item(one)]  # OpenAI Responses
    if isinstance(given, dict):  # Replicate
        return _inputs(given) or [Turn("input", _pretty(given))]
    draft = Draft("user", "\n")
    read_content(draft, given)
    prompts = value.get("prompt", value.get("content", value.get("inputText")))
    read_content(draft, prompts)
    if isinstance(value.get("suffix"), str):
        draft.note(f"suffix: {value['suffix']}")
    read_message(draft, {"images": value.get("images")})
    for name in ("document", "image"):
        if isinstance(value.get(name), dict):
            read_content(draft, value[name])
    for instance in _list(value.get("instances")):  # Vertex
        draft.say(flat(instance.get("prompt", instance)) if isinstance(instance, dict) else "")
    return [draft.turn()]


def _item(item: Any) -> list[Turn]:
    if isinstance(item, dict) and item.get("type") not in (None, "message") and "role" not in item:
        if result_in(item) is not None:
            return [Turn("tool", result_text(item))]
        ours = "call" not in str(item["type"]) and item["type"] != "reasoning"
        draft = Draft("user" if ours else "assistant", "\n")
        read_content(draft, item)
        return [draft.turn()]
    return _message(item)


def _embedding(value: dict[str, Any]) -> list[Turn]:
    texts: list[str] = []
    count = 0
    draft = Draft("input")
    for name in ("input", "texts", "inputs", "prompt", "inputText", "images", "content", "requests"):
        given = value.get(name)
        if given is None:
            continue
        tokens = isinstance(given, list) and all(isinstance(one, int) for one in given)
        for one in [given] if tokens or not isinstance(given, list) else given:
            count += 1
            if name == "images" and isinstance(one, str):
                draft.note(Blob.of_base64(one).note("image"))
            elif isinstance(one, list) and all(isinstance(token, int) for token in one):
                draft.note(f"{len(one)} tokens")
            else:
                texts.append(flat(one))
    draft.say("\n".join(texts))
    draft.note(f"{count} text{'' if count == 1 else 's'} to embed")
    return [draft.turn()]


def _rerank(value: dict[str, Any]) -> list[Turn]:
    given = _list(value.get("documents", value.get("texts", value.get("passages"))))
    documents = [f"{i}. {flat(one) or _pretty(one)}" for i, one in enumerate(given)]
    count = f"{len(documents)} document{'' if len(documents) == 1 else 's'} to rank"
    return [Turn("query", flat(value.get("query"))), Turn("documents", "\n".join(documents), notes=(count,))]


def _pretty(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _number(value: Any) -> float:
    return value if isinstance(value, int | float) else 0
