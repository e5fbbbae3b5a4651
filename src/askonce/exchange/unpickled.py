"""Reads a pickle as data: known plain types alone are built, and nothing of anybody's code runs.

Objects of the libraries that cached_openai pickled (openai, pydantic, httpx, numpy, PIL) become records: a name
and what was in them. Whatever else a pickle asks for is refused by name.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections import OrderedDict
from datetime import datetime, timedelta, timezone
from typing import Any, Self

_INERT = frozenset({"openai", "pydantic", "pydantic_core", "httpx", "httpx2", "numpy", "PIL", "http.cookiejar"})
_PLAIN: dict[tuple[str, str], type] = {
    (one.__module__, one.__name__): one for one in (OrderedDict, set, frozenset, bytearray, complex, list, dict)
} | {("datetime", one.__name__): one for one in (datetime, timedelta, timezone)}
_NUMBERS = {"f2": "e", "f4": "f", "f8": "d"}


class RefusedError(ValueError):
    """Say which type a pickle asked for that is none of those known."""


class Record:
    """An object of some library: what its type is called, how it was made, and its state. It can do nothing."""

    type_name = ""

    def __new__(cls, *arguments: Any, **_: Any) -> Self:
        record = super().__new__(cls)
        record.arguments = arguments
        record.state = None
        return record

    arguments: tuple[Any, ...]
    state: Any

    def __init__(self, *arguments: Any, **_: Any) -> None:
        """Take anything: a pickle calls types as it likes."""

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        plain = _PLAIN.get((module, name))
        if plain is not None:
            return plain
        if module.partition(".")[0] in _INERT or module in _INERT:
            return type("Record", (Record,), {"type_name": f"{module}.{name}"})
        raise RefusedError(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        raise RefusedError("an object that is kept elsewhere")


def unpickle(data: bytes) -> Any:
    """Return what a pickle holds.

    Raises:
        RefusedError: when it asks for a type that is not known.
        ValueError: when it is no pickle, or not a whole one.
    """
    try:
        return _Unpickler(io.BytesIO(data)).load()
    except RefusedError:
        raise
    except Exception as error:  # a broken pickle raises whatever its operations do
        raise ValueError(f"not a pickle that can be read ({type(error).__name__}: {error})") from None


def plain(value: Any) -> Any:
    """Return a value as JSON has it; of a model those fields that the provider sent.

    Raises:
        ValueError: when there is something in it that JSON does not have.
    """
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, dict):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, Record):
        if value.type_name.startswith("numpy"):
            return _numbers(value)
        state = value.state
        if isinstance(state, dict) and isinstance(state.get("__dict__"), dict):
            return _sent(state)
        raise ValueError(f"an object of {value.type_name}")
    raise ValueError(f"an object of {type(value).__name__}")


def _sent(state: dict[str, Any]) -> dict[str, Any]:
    fields, extra = state["__dict__"], state.get("__pydantic_extra__")
    sent = state.get("__pydantic_fields_set__")
    names = [name for name in fields if not name.startswith("_") and (sent is None or name in sent)]
    more = extra if isinstance(extra, dict) else {}
    return {name: plain(fields[name]) for name in names} | {str(name): plain(one) for name, one in more.items()}


def _numbers(record: Record) -> Any:
    """Return the floats in an array, or the one that a scalar is."""
    match record.arguments, record.state:
        case (Record() as kind, bytes() as raw), _:  # a scalar
            return _unpacked(kind, raw)[0]
        case (bytes() | bytearray() as raw, Record() as kind, *_), _:  # an array, of protocol 5
            return _unpacked(kind, bytes(raw))
        case _, (_, tuple(), Record() as kind, False, bytes() as raw):
            return _unpacked(kind, raw)
    raise ValueError(f"an object of {record.type_name}")


def _unpacked(kind: Record, raw: bytes) -> list[float]:
    code = _NUMBERS.get(str(kind.arguments[0]).lstrip("<=")) if kind.arguments else None
    order = kind.state[1] if isinstance(kind.state, tuple) and len(kind.state) > 1 else "<"
    if code is None or order not in ("<", "=", "|"):
        raise ValueError("numbers that are no floats")
    return list(struct.unpack(f"<{len(raw) // struct.calcsize(code)}{code}", raw))
