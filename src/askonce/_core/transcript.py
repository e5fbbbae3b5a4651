"""A question and an answer as people read them: turns of a conversation, streams joined, blobs described.

Whatever a provider sends, something readable comes back; nothing here raises.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from askonce._core.blobs import Blob, size_text
from askonce._core.coding import plain_body
from askonce._core.entry import Question
from askonce._core.events import splitter_for
from askonce._core.messages import Answer
from askonce._core.prompts import asked_json, asked_parts
from askonce._core.replies import answered_events
from askonce._core.turns import Turn

__all__ = ["Turn", "answered", "asked", "gist", "parameters", "plain", "size_text", "words"]

_LONG_WORD = 500  # characters without a space: no one wrote that
_CONTENT = frozenset(
    """
    messages contents input inputs prompt model system systemInstruction system_instruction instructions
    preamble message chat_history query documents texts images content requests instances document image
    suffix inputText generateContentRequest passages
    """.split()
)


def asked(question: Question) -> tuple[Turn, ...]:
    """Return what was asked."""
    kind = _body_kind(question)
    text = question.body.decode("utf-8", "replace")
    if kind == "text":
        return (Turn("input", text),)
    try:
        value = json.loads(text)
        if kind == "parts":
            return tuple(asked_parts(value))
        if kind == "bytes":
            return (Turn("input", notes=(f"{size_text(value['size'])}, sha256 {value['bytes'][:12]}…",)),)
        return tuple(asked_json(value, question.kind))
    except (ValueError, TypeError, KeyError, RecursionError):
        return (Turn("input", text),)


def answered(answer: Answer) -> tuple[Turn, ...]:
    """Return what was answered, a stream as the one text that it adds up to."""
    media_type = (answer.head.headers.get(b"content-type") or "").partition(";")[0].strip().lower()
    try:
        body = plain_body(answer)
    except zlib.error:
        return (Turn("assistant", notes=(f"{size_text(len(answer.body))} that cannot be decoded",)),)
    splitter = splitter_for(media_type)
    events: Iterable[Any]
    try:
        if splitter is not None:
            events = [*splitter.feed(body), *splitter.feed(b"\n\n")]  # the last line may lack its end
        elif body[:1].isspace() or body[:1] in (b"{", b"["):
            value = json.loads(body)
            events = value if isinstance(value, list) else (value,)
        else:
            events = ()
        turns = tuple(answered_events(events))
    except (ValueError, RecursionError):
        turns = ()
    return turns or (_whatever(body, media_type),)


def parameters(question: Question) -> tuple[tuple[str, str], ...]:
    """Return what else was asked for (temperature, tools, …): names, and values as short text."""
    try:
        value = json.loads(question.body)
    except (ValueError, RecursionError):
        return ()
    if _body_kind(question) != "json" or not isinstance(value, dict):
        return ()
    shown = []
    for name, one in value.items():
        if name == "tools" and isinstance(one, list):
            shown.append((name, ", ".join(_tool_names(one))))
        elif name not in _CONTENT:
            shown.append((name, one if isinstance(one, str) else json.dumps(one, ensure_ascii=False)))
    return tuple(shown)


def plain(turns: Iterable[Turn]) -> str:
    """Return turns as text without roles: what was said, thought and called, for searching and comparing."""
    return "\n".join(
        text for turn in turns for text in (turn.thinking, turn.text, *turn.calls, *turn.notes) if text
    )


def words(question: Question) -> str:
    """Return all text in a question, its parameters too, for searching; base64 is left out."""
    text = question.body.decode("utf-8", "replace")
    try:
        return "\n".join(_strings(json.loads(text)))
    except (ValueError, RecursionError):
        return text


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, one in value.items():
            yield name
            yield from _strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one)
    elif not isinstance(value, str):
        yield json.dumps(value)
    elif len(value) < _LONG_WORD or any(one.isspace() for one in value[:_LONG_WORD]):
        yield value


def gist(turns: Iterable[Turn]) -> str:
    """Return what the last turn with something to say says, on one line: the user's where there is one."""
    said = [turn for turn in turns if turn.text or turn.notes or turn.calls]
    last = next((t for t in reversed(said) if t.role in ("user", "query")), said[-1] if said else Turn(""))
    return " ".join((last.text or ", ".join((*last.calls, *last.notes))).split())


def _body_kind(question: Question) -> str:
    try:
        return str(json.loads(question.head)["body"])
    except (ValueError, KeyError, TypeError):
        return "text"


def _tool_names(tools: list[Any]) -> Iterable[str]:
    for tool in tools:
        if isinstance(tool, dict):
            inner = tool.get("function") or tool
            declared = tool.get("functionDeclarations") or tool.get("function_declarations")
            if isinstance(declared, list):
                yield from _tool_names(declared)
            elif isinstance(inner, dict) and isinstance(inner.get("name") or tool.get("type"), str):
                yield inner.get("name") or tool["type"]
            else:
                yield from list(tool)[:1]


def _whatever(body: bytes, media_type: str) -> Turn:
    blob = Blob.of(body, media_type)
    if media_type.startswith(("audio/", "image/", "video/")):
        return Turn("assistant", notes=(blob.note(),))
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        return Turn("assistant", notes=(f"{size_text(len(body))} of {media_type or 'an unnamed type'}",))
    return Turn("assistant", text)
