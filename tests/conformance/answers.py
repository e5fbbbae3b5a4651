"""What a provider answers, made from the type that the SDK reads it as: JSON, a stream of events, or bytes."""

from __future__ import annotations

import functools
import json
import typing
from typing import Any

import pydantic

from tests.conformance.server import Answer
from tests.conformance.values import Maker, Unmakeable, _plain

_LABEL = "(label)"
_MAKER = Maker(json=True, text=_LABEL)

# The order of a stream, where its consumers need one; what is named nowhere comes between.
_FIRST = (
    "message_start", "content_block_start", "response.created",
    "response.output_item.added", "response.content_part.added",
)  # fmt: skip
_LAST = (
    "content_block_stop", "message_delta", "message_stop",
    "transcript.text.done", "image_generation.completed", "image_edit.completed", "response.completed",
)  # fmt: skip
_LEFT_OUT = (
    "response.failed", "response.incomplete", "response.cancelled", "error",  # other ends of a stream
    "response.function_call_arguments.delta", "response.function_call_arguments.done",  # the one item is a message
)  # fmt: skip

# What the first events hold, and later ones fill.
_EMPTY: dict[str, tuple[str, str, Any]] = {
    "response.created": ("response", "output", []),
    "message_start": ("message", "content", []),
    "content_block_start": ("content_block", "text", ""),
}


def answer(kind: Any, label: str) -> Answer:
    """Return an answer of a type; its texts hold the label."""
    return _labelled(_answer(kind), label)


def stream(event: Any, label: str, end: str = "") -> Answer:
    """Return a stream of events of a type, each member of a union once; `end` is what closes it."""
    return _labelled(_stream(event, end), label)


def _labelled(made: Answer, label: str) -> Answer:
    text = json.dumps(json.dumps({"word": label}))[1:-1].encode()  # what `values.Reply` can be read from, too
    return made._replace(pieces=tuple(piece.replace(_LABEL.encode(), text) for piece in made.pieces))


@functools.cache
def _answer(kind: Any) -> Answer:
    if kind is str:
        return Answer("text/plain", (f"{_LABEL}\n".encode(),))
    if getattr(kind, "__name__", "").endswith("BinaryResponseContent"):
        return Answer("application/octet-stream", (b"\x00\xff", _LABEL.encode()))
    if kind in (None, type(None)):
        return Answer("application/json", (b"",))
    try:
        value = _MAKER.value(kind)
    except Unmakeable:
        value = {}
    return Answer("application/json", (json.dumps(value).encode(),))


@functools.cache
def _stream(event: Any, end: str) -> Answer:
    members = typing.get_args(_plain(event))
    if isinstance(_plain(event), type):
        values = [_MAKER.value(event, number) for number in range(2)]
    else:
        values = [_MAKER.value(one) for one in members]
    values = [value for value in values if not isinstance(value, dict) or value.get("type") not in _LEFT_OUT]
    values.sort(key=_place)
    for value in values:
        if isinstance(value, dict) and value.get("type") in _EMPTY:
            outer, inner, nothing = _EMPTY[value["type"]]
            value[outer][inner] = nothing
    pieces = [_event(value) for value in values]
    if end:
        pieces.append(f"data: {end}\n\n".encode())
    return Answer("text/event-stream", tuple(pieces))


def _place(value: Any) -> int:
    name = value.get("type") if isinstance(value, dict) else None
    if name in _FIRST:
        return _FIRST.index(name) - len(_FIRST)
    return 1 + _LAST.index(name) if name in _LAST else 0


def _event(value: Any) -> bytes:
    name = value.get("type") if isinstance(value, dict) else None
    head = f"event: {name}\n" if isinstance(name, str) else ""
    return f"{head}data: {json.dumps(value)}\n\n".encode()


def dump(value: Any) -> Any:
    """Return all that can be told of an answer, as something to compare."""
    if isinstance(value, pydantic.BaseModel):
        return type(value).__qualname__, value.model_dump(warnings=False), getattr(value, "_request_id", None)
    if isinstance(value, list | tuple):
        return [dump(one) for one in value]
    return type(value).__qualname__, value if isinstance(value, str | bytes | int | float | None | dict) else ""
