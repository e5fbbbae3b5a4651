"""A turn of a conversation, and the draft it is put together in, from whatever pieces it comes in."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

_ROLES = {"model": "assistant", "chatbot": "assistant", "human": "user", "function": "tool"}


class Turn(NamedTuple):
    """What one side said. `calls` are tools as `name(argument=value)`; `notes` say what cannot be shown.

    `choice` counts from 1 where an answer has several, and is 0 where it has one.
    """

    role: str
    text: str = ""
    thinking: str = ""
    calls: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    choice: int = 0


class Draft:
    """One turn while its pieces come in; `joint` stands between two pieces of text."""

    __slots__ = ("_calls", "_joint", "notes", "role", "said", "thought")

    def __init__(self, role: Any = "", joint: str = "") -> None:
        name = role.lower() if isinstance(role, str) else ""
        self.role = _ROLES.get(name, name)
        self.said: list[str] = []
        self.thought: list[str] = []
        self.notes: list[str] = []
        self._calls: dict[Any, tuple[list[str], list[str]]] = {}
        self._joint = joint

    def say(self, text: Any) -> None:
        """Add text; anything else is passed over."""
        if isinstance(text, str) and text:
            self.said.append(text)

    def think(self, text: Any) -> None:
        """Add text that the model thought rather than said."""
        if isinstance(text, str) and text:
            self.thought.append(text)

    def note(self, text: str) -> None:
        """Add a note."""
        if text:
            self.notes.append(text)

    def call(self, place: Any, name: Any, arguments: Any) -> None:
        """Add to the tool call at `place`: its name, its arguments as a value, or a piece of their JSON."""
        names, pieces = self._calls.setdefault(str(place), ([], []))
        if isinstance(name, str) and name and name not in names:
            names.append(name)
        if isinstance(arguments, str):
            pieces.append(arguments)
        elif arguments:
            pieces.append(json.dumps(arguments, ensure_ascii=False))

    def forget(self) -> None:
        """Drop what was said so far: the whole of it is about to come."""
        self.said, self.thought, self._calls = [], [], {}

    @property
    def is_empty(self) -> bool:
        return not (self.said or self.thought or self.notes or self._calls)

    def turn(self, choice: int = 0) -> Turn:
        """Return what has come together."""
        calls = tuple(call_text("".join(names), "".join(pieces)) for names, pieces in self._calls.values())
        text = self._joint.join(self.said)
        return Turn(self.role, text, self._joint.join(self.thought), calls, tuple(self.notes), choice)


def call_text(name: str, arguments: str) -> str:
    """Write a tool call the way Python does; arguments that are no JSON object stay as they are."""
    try:
        value = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict):
        arguments = ", ".join(f"{key}={json.dumps(one, ensure_ascii=False)}" for key, one in value.items())
    return f"{name}({arguments})"
