"""A value of any type that an SDK names: an argument of a call, or what an answer holds.

Nothing is random: a `salt` chooses between the values that a type has, and equal salts make equal values.
"""

from __future__ import annotations

import collections.abc
import datetime as dt
import decimal
import enum
import inspect
import types
import typing
from typing import Any, Literal, NamedTuple, Union

import pydantic
import typing_extensions

DEPTH = 3
"""Below so many levels only what is required is there: types refer to each other in circles."""
ALTERNATIVES = 5

_LISTS = (
    list,
    collections.abc.Iterable,
    collections.abc.Sequence,
    collections.abc.MutableSequence,
    set,
    frozenset,
)
_DICTS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_DAY = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
_ENDED = ("completed", "succeeded", "processed", "ready", "active")  # a status that nobody polls again


class Unmakeable(TypeError):
    """There is no value of this type that is data: a callback, an open file."""


class Reply(pydantic.BaseModel):
    """What a call that wants a class is given: the form of the answer."""

    word: str


class Maker(NamedTuple):
    """How values are made: whether they are to be JSON, and the text that strings hold."""

    json: bool = False
    text: str = "text"

    def value(self, kind: Any, salt: int = 0, depth: int = 0) -> Any:
        """Return a value of a type.

        Raises:
            Unmakeable: when there is none that is data.
        """
        kind = _plain(kind)
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if kind in (Any, object):
            return self._text(salt)
        if origin is Literal:
            return next((word for word in arguments if word in _ENDED), None) or arguments[salt % len(arguments)]
        if origin in (Union, types.UnionType):
            return self._member(arguments, salt, depth)
        if origin in _LISTS or kind in _LISTS:
            return [self.value(arguments[0] if arguments else str, salt, depth + 1)]
        if origin in _DICTS or kind in _DICTS:
            return {"name": self.value(arguments[1] if arguments else str, salt, depth + 1)}
        if origin is tuple:
            return tuple(self.value(one, salt, depth + 1) for one in arguments if one is not Ellipsis)
        if origin is type or kind is type:
            return Reply
        if isinstance(origin, type) and issubclass(origin, pydantic.BaseModel):
            return self.value(kind.__class_getitem__(arguments), salt, depth)
        if isinstance(kind, type):
            return self._instance(kind, salt, depth)
        raise Unmakeable(repr(kind))

    def _member(self, members: tuple[Any, ...], salt: int, depth: int) -> Any:
        members = tuple(one for one in members if not _says_nothing(one))
        for turn in range(len(members)):
            try:
                return self.value(
                    members[(salt + turn) % len(members)], salt // len(members) if depth else salt, depth
                )
            except Unmakeable:
                continue
        raise Unmakeable(repr(members))

    def _instance(self, kind: type, salt: int, depth: int) -> Any:
        if typing_extensions.is_typeddict(kind):
            hints = typing_extensions.get_type_hints(kind, include_extras=True)
            required = getattr(kind, "__required_keys__", frozenset())
            return self._filled({name: (hint, name in required) for name, hint in hints.items()}, salt, depth)
        if issubclass(kind, pydantic.BaseModel):
            fields = {
                field.serialization_alias or field.alias or name: (field.annotation, field.is_required())
                for name, field in kind.model_fields.items()
            }
            values = self._filled(fields, salt, depth)
            return values if self.json else kind.model_validate(values)
        if issubclass(kind, enum.Enum):
            words = [one.value if self.json else one for one in kind]
            return next((word for word in words if str(word).lower().endswith(_ENDED)), words[salt % len(words)])
        return self._scalar(kind, salt)

    def _text(self, salt: int) -> str:
        return self.text if self.json else f"{self.text}{salt}"

    def _filled(self, fields: dict[str, tuple[Any, bool]], salt: int, depth: int) -> dict[str, Any]:
        values = {}
        for name, (kind, required) in fields.items():
            if not required and (depth >= DEPTH or (self.json and name == "error")):  # an answer that is complete
                continue
            if depth > 4 * DEPTH:
                raise Unmakeable(name)
            try:
                first = self.json and name.endswith(("index", "in_progress"))  # of one item, which is done
                values[name] = self.value(kind, 0, depth + 1) - 1 if first else self.value(kind, salt, depth + 1)
            except Unmakeable:
                if required:
                    raise
        return values

    def _scalar(self, kind: type, salt: int) -> Any:
        moment = _DAY + dt.timedelta(days=salt)
        made: dict[type, Any] = {
            str: self._text(salt),
            bool: salt % 2 == 0,
            int: 1 + salt,
            float: 0.25 + salt,
            decimal.Decimal: decimal.Decimal(1 + salt),
            bytes: b"AAA%d" % salt,
            dt.datetime: moment,
            dt.date: moment.date(),
            dt.timedelta: dt.timedelta(seconds=1 + salt),
        }
        if kind not in made:
            raise Unmakeable(repr(kind))
        value = made[kind]
        if self.json and not isinstance(value, str | bool | int | float):
            return value.decode() if isinstance(value, bytes) else str(value).replace(" ", "T")
        return value

    def alternatives(self, kind: Any) -> list[Any]:
        """Return some different values of a type, each kind of a union among them; none if it has none."""
        found: dict[str, Any] = {}
        for salt in range(ALTERNATIVES):
            try:
                value = self.value(kind, salt)
            except Unmakeable:
                break
            found.setdefault(repr(value), value)
        return list(found.values())


def _plain(kind: Any) -> Any:
    while True:
        if isinstance(kind, typing_extensions.TypeAliasType | getattr(typing, "TypeAliasType", type(None))):
            kind = kind.__value__
        elif isinstance(kind, typing.TypeVar):
            kind = kind.__bound__ or Any
        elif typing.get_origin(kind) in (
            typing.Annotated,
            typing_extensions.Required,
            typing_extensions.NotRequired,
            typing.Required,
            typing.NotRequired,
        ):
            kind = typing.get_args(kind)[0]
        else:
            return kind


def _says_nothing(kind: Any) -> bool:
    return kind in (None, type(None)) or (inspect.isclass(kind) and kind.__name__ in ("Omit", "NotGiven"))
