"""A value in a file that anybody may have written, with its place in it: whatever is asked of it is checked."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

_SHOWN = 40  # characters of a value in a message
_NAMES = {dict: "an object", list: "a list", str: "a text", bytes: "bytes", bool: "true or false", int: "a number"}


class MalformedError(ValueError):
    """Say where in a file a value is not what it has to be."""


class Node:
    """A value and its path. Each method returns it as one type or says that it is another."""

    __slots__ = ("path", "value")

    def __init__(self, value: Any, path: str = "") -> None:
        self.value = value
        self.path = path

    def __getitem__(self, name: str) -> Node:
        """Return the value under a name of this object; None stands for what is missing."""
        return Node(self.fields().get(name), f"{self.path}.{name}" if self.path else name)

    @property
    def is_missing(self) -> bool:
        return self.value is None

    def wrong(self, expected: str) -> MalformedError:
        """Return the error that says what was expected here."""
        if self.value is None:
            found = "is missing"
        elif isinstance(self.value, str | int | float):
            text = repr(self.value)
            found = f"is {text if len(text) <= _SHOWN else text[:_SHOWN] + '…'}"
        else:
            found = f"is {_NAMES.get(type(self.value), 'something else')}"
        return MalformedError(f"{self.path or 'the whole'} {found} where {expected} belongs")

    def fields(self) -> dict[str, Any]:
        if not isinstance(self.value, dict):
            raise self.wrong("an object")
        return self.value

    def items(self) -> Iterator[Node]:
        if not isinstance(self.value, list):
            raise self.wrong("a list")
        return (Node(one, f"{self.path}[{index}]") for index, one in enumerate(self.value))

    def two(self) -> tuple[Node, Node]:
        """Return the elements of a list that has two."""
        match list(self.items()):
            case [one, other]:
                return one, other
        raise self.wrong("a list of two")

    def text(self) -> str:
        if not isinstance(self.value, str):
            raise self.wrong("a text")
        return self.value

    def raw(self) -> bytes:
        """Return a text in UTF-8, or bytes as they are."""
        if isinstance(self.value, str):
            try:
                return self.value.encode()
            except UnicodeEncodeError:
                raise self.wrong("a text in UTF-8") from None
        if not isinstance(self.value, bytes):
            raise self.wrong("a text")
        return self.value

    def latin(self) -> bytes:
        """Return what HTTP writes in a head: Latin-1 without control characters; what is beyond it as UTF-8."""
        if not isinstance(self.value, str | bytes):
            raise self.wrong("a text")
        raw = self.value
        if isinstance(raw, str):
            try:
                raw = raw.encode("latin-1")
            except UnicodeEncodeError:
                raw = self.raw()
        if any(one < 32 and one != 9 for one in raw):
            raise self.wrong("a text on one line")
        return raw

    def number(self, least: float = -math.inf, most: float = math.inf) -> float:
        """Return a finite number within these bounds."""
        value = self.value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong("a number")
        if not least <= value <= most or not math.isfinite(value):
            raise self.wrong(f"a number from {least:g} to {most:g}")
        return float(value)

    def whole(self, least: int, most: int) -> int:
        """Return a whole number within these bounds."""
        if isinstance(self.value, bool) or not isinstance(self.value, int) or not least <= self.value <= most:
            raise self.wrong(f"a whole number from {least} to {most}")
        return self.value
