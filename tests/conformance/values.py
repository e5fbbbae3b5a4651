"""Values of a type: to be passed to a method, two that differ where there are two; and to be answered, in JSON."""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from pydantic import BaseModel

_DEEPEST = 7
_TROUBLE = frozenset({"error", "incomplete_details", "background"})  # an answer with these is none that is kept


def members(hint: Any) -> tuple[Any, ...]:
    """Return what a union is of, without what stands for nothing."""
    hint = plain(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        found = [one for part in typing.get_args(hint) for one in members(part)]
        return tuple(one for one in found if one is not type(None) and _name(one) not in ("Omit", "NotGiven"))
    return (hint,)


def plain(hint: Any) -> Any:
    """Return a type without what is said about it."""
    while True:
        origin = typing.get_origin(hint)
        if origin in (typing.Annotated, typing.Required, typing.NotRequired, typing.ClassVar):
            hint = typing.get_args(hint)[0]
        elif isinstance(hint, typing.TypeAliasType if hasattr(typing, "TypeAliasType") else ()):
            hint = hint.__value__
        else:
            return hint


def _name(hint: Any) -> str:
    return getattr(hint, "__name__", "")


def argument(hint: Any, choice: int = 0, depth: int = 0) -> Any:
    """Return a value to be passed; `choice` 0 and 1 differ, all that is optional left out."""
    options = members(hint)
    if not options:
        return None
    best = next((one for one in options if plain(one) is str), options[min(choice, len(options) - 1)])
    one = plain(best)
    origin = typing.get_origin(one)
    if origin is typing.Literal:
        choices = typing.get_args(one)
        return choices[min(choice, len(choices) - 1)]
    if one in (str, Any, object) or isinstance(one, typing.TypeVar):
        return f"value {choice}"
    if one is bool:
        return bool(choice)
    if one is int:
        return 3 + choice
    if one is float:
        return 0.25 + choice / 4
    if one is bytes:
        return b"bytes %d" % choice
    if typing.is_typeddict(one):
        hints = typing.get_type_hints(one, include_extras=True)
        wanted = [name for name in hints if name in one.__required_keys__] or list(hints)[:1]
        return {name: argument(hints[name], choice, depth + 1) for name in wanted} if depth < _DEEPEST else {}
    if _is_sequence(one, origin):
        inner = typing.get_args(one)
        return [argument(inner[0] if inner else str, choice, depth + 1)] if depth < _DEEPEST else []
    if origin in (dict, Mapping) or one in (dict, Mapping):
        return {"name": f"value {choice}"}
    if origin is tuple or one is tuple or "IO" in _name(one) or _name(one) == "PathLike":
        return ("file.png", b"\x89PNG content %d" % choice, "image/png")
    if isinstance(one, type) and issubclass(one, enum.Enum):
        return list(one)[min(choice, len(one) - 1)].value
    if isinstance(one, type) and issubclass(one, BaseModel):
        return one.model_construct() if depth else one()
    return f"value {choice}"


def _is_sequence(one: Any, origin: Any) -> bool:
    return (origin or one) in (list, set, Sequence, Iterable, Iterator)


def answer(hint: Any, word: str, depth: int = 0) -> Any:
    """Return JSON for a type of answers, whose texts hold `word`; optional fields are left out."""
    options = members(hint)
    if not options:
        return None
    one = plain(options[0])
    origin = typing.get_origin(one)
    if origin is typing.Literal:
        return typing.get_args(one)[0]
    if one is bool:
        return True
    if one is int:
        return 7
    if one is float:
        return 0.5
    if one is bytes:
        return "aGVsbG8="
    if one in (datetime, date):
        return "2026-01-01T00:00:00Z"
    if _is_sequence(one, origin):
        inner = typing.get_args(one)
        return [answer(inner[0] if inner else str, word, depth + 1)] if depth < _DEEPEST else []
    if origin in (dict, Mapping) or one in (dict, Mapping):
        return {}
    base = origin if isinstance(origin, type) else one
    if isinstance(base, type) and issubclass(base, enum.Enum):
        return next(iter(base)).value
    if isinstance(base, type) and issubclass(base, BaseModel):
        return _model(base, word, depth)
    return f"text {word}"


def _model(model: type[BaseModel], word: str, depth: int) -> dict[str, Any]:
    fields = {}
    for name, field in model.model_fields.items():
        is_needed = field.is_required() or (depth == 0 and name not in _TROUBLE)
        if is_needed and depth < _DEEPEST and field.annotation is not None:
            fields[field.serialization_alias or field.alias or name] = answer(field.annotation, word, depth + 1)
    return fields
