"""JSON texts as values, and back to the very same characters.

How a text was spelled (its white space, what it escapes) is told in a few words beside the value, such as
`indent 2, ascii`. A text whose value and words would not give the same characters back (a key twice, `1E5`, a
number beyond a double) has no spelling, and stays a text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

_ENDS = {"": "", "newline": "\n", "crlf": "\r\n", "two newlines": "\n\n"}
_END_NAMES = {end: name for name, end in _ENDS.items()}
_ESCAPED = "<>&='"  # what some providers' writers put as \u00…: protobuf, Go and Gson each a few of these
_INDENTED = re.compile(r"[\[{]\n( {1,8})\S")
_BEYOND_ASCII = re.compile(r"\\u(?!00[0-7])")
_LAYOUT = re.compile(r"spaced|indent [1-8]")


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


_decode: Callable[[str], Any] = json.JSONDecoder(parse_constant=_refuse_constant).decode


def read_spelled(text: str) -> tuple[Any, str] | None:
    """Return a JSON text's value and its spelling, or None when these would not give the text back."""
    core = text.rstrip("\r\n")
    end = _END_NAMES.get(text[len(core) :])
    if end is None:
        return None
    try:
        value = _decode(core)
        for layout in _layouts(core):
            spelling = ", ".join(word for word in (layout, *_escapes(core), end) if word)
            if spell(value, spelling) == text:
                return value, spelling
    except (ValueError, RecursionError):
        pass
    return None


def _layouts(text: str) -> tuple[str, ...]:
    match = _INDENTED.match(text)
    return (f"indent {len(match[1])}",) if match else ("", "spaced")


def _escapes(text: str) -> list[str]:
    if "\\" not in text:
        return []
    words = []
    if "\\u" in text:
        if _BEYOND_ASCII.search(text) and text.isascii():
            words.append("ascii")
        escaped = "".join(char for char in _ESCAPED if f"\\u{ord(char):04x}" in text)
        if escaped:
            words.append(f"escaped {escaped}")
    if "\\/" in text:
        words.append("slashes")
    return words


def spell(value: Any, spelling: str) -> str:
    """Return a value as text, spelled so; the empty spelling is compact and escapes nothing.

    Raises:
        ValueError: when there is no such spelling.
    """
    return _speller(spelling)(value)


@lru_cache(maxsize=64)
def _speller(spelling: str) -> Callable[[Any], str]:
    separators, indent, ascii_only, end = (",", ":"), None, False, ""
    replaced = []
    for word in spelling.split(", ") if spelling else ():
        if _LAYOUT.fullmatch(word):
            indent = int(word[7:]) if word != "spaced" else None
            separators = (", ", ": ") if indent is None else (",", ": ")
        elif word == "ascii":
            ascii_only = True
        elif word.startswith("escaped ") and set(word[8:]) <= set(_ESCAPED):
            replaced += [(char, f"\\u{ord(char):04x}") for char in word[8:]]
        elif word == "slashes":
            replaced.append(("/", "\\/"))
        elif word in _ENDS:
            end = _ENDS[word]
        else:
            raise ValueError(f"{word!r} is no way to spell JSON")
    encode = json.JSONEncoder(
        ensure_ascii=ascii_only, separators=separators, indent=indent, allow_nan=False
    ).encode
    if not replaced and not end:
        return encode

    def write(value: Any) -> str:
        text = encode(value)
        for char, escape in replaced:  # none of these stands in JSON outside strings
            text = text.replace(char, escape)
        return text + end

    return write


def merge(spellings: list[str]) -> str:
    """Return one spelling for texts of one writer, each of which shows but some of its habits."""
    words = [set(spelling.split(", ")) - {""} for spelling in spellings]
    layouts = [next((word for word in one if _LAYOUT.fullmatch(word)), "") for one in words]
    layout = max(sorted(set(layouts)), key=layouts.count, default="")
    seen = set().union(*words)
    escaped = "".join(c for c in _ESCAPED if any(w.startswith("escaped ") and c in w[8:] for w in seen))
    chosen = (
        layout,
        "ascii" if "ascii" in seen else "",
        f"escaped {escaped}" if escaped else "",
        "slashes" if "slashes" in seen else "",
    )
    return ", ".join(word for word in chosen if word)
