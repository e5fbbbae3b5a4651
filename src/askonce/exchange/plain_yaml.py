"""YAML as plain values: texts, bytes, numbers, lists and objects. No tag makes anything else of it.

PyYAML reads the syntax, and what its parser reports is put together here, without any of its constructors: that is
quicker by far, and nothing that a document says can call anything. An alias is the value itself, not a copy; merge
keys (`<<`) are names like any other, so that nothing grows while it is read.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from askonce.exchange.node import MalformedError

_DEEPEST = 200
_INT = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?[0-9]{1,18}\.[0-9]{0,18}(?:[eE][-+]?[0-9]{1,3})?")
_CONSTANTS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_YAML = "tag:yaml.org,2002:"
_TEXTS = frozenset({"!", f"{_YAML}str", f"{_YAML}python/str", f"{_YAML}python/unicode"})
_SEQUENCES = frozenset({"!", f"{_YAML}seq", f"{_YAML}python/tuple"})
# What vcrpy writes for a request body that was a file or an iterator: an object with the bytes in it.
_WRAPPERS = frozenset({f"{_YAML}python/object/new:_io.BytesIO", f"{_YAML}python/object/apply:builtins.iter"})
_MAPPINGS = frozenset({"!", f"{_YAML}map", *_WRAPPERS})


def read_yaml(text: str) -> Any:
    """Return the value of the first document.

    Raises:
        ImportError: when PyYAML is not installed.
        MalformedError: when it is not YAML, or holds what is no plain value.
    """
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _put_together(yaml, yaml.parse(text, Loader=loader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark is not None else ""
        raise MalformedError(f"{line}{getattr(error, 'problem', None) or error}") from None
    except RecursionError:
        raise MalformedError(f"nested more than {_DEEPEST} deep") from None


def _put_together(yaml: Any, events: Any) -> Any:
    anchors: dict[str, Any] = {}
    open_: list[
        tuple[Any, list[Any]]
    ] = []  # collections that are not over: each the value, and its key if it waits
    for event in events:
        match event:
            case yaml.ScalarEvent():
                value = _scalar(event)
            case yaml.AliasEvent():
                if event.anchor not in anchors:
                    raise _wrong(event, f"the alias *{event.anchor} stands for nothing that is complete")
                value = anchors[event.anchor]
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                is_list = isinstance(event, yaml.SequenceStartEvent)
                if event.tag is not None and event.tag not in (_SEQUENCES if is_list else _MAPPINGS):
                    raise _wrong(event, f"a value of the kind {event.tag}, which is not read")
                if len(open_) >= _DEEPEST:
                    raise _wrong(event, f"nested more than {_DEEPEST} deep")
                open_.append(([] if is_list else {}, [event.anchor]))
                continue
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                value, (anchor, *_) = open_.pop()
                if anchor is not None:  # only now: a value cannot hold itself
                    anchors[anchor] = value
            case yaml.DocumentEndEvent():
                break
            case _:
                continue
        if isinstance(event, yaml.ScalarEvent) and event.anchor is not None:
            anchors[event.anchor] = value
        if not open_:
            return value
        _place(event, open_[-1], value)
    return None


def _place(event: Any, into: tuple[Any, list[Any]], value: Any) -> None:
    """Put a value into the innermost open collection: an element, a key, or the value of the key that waits."""
    collection, waiting = into
    if isinstance(collection, list):
        collection.append(value)
    elif len(waiting) == 1:
        if isinstance(value, dict | list):
            raise _wrong(event, "a key that is not a text")
        waiting.append(value if isinstance(value, str) else str(value))
    else:
        collection[waiting.pop()] = value


def _scalar(event: Any) -> Any:
    text: str = event.value
    if event.tag is None:
        return _plain(text) if event.implicit[0] else text
    if event.tag == f"{_YAML}binary":
        try:
            return base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError):
            raise _wrong(event, "!!binary that is not base64") from None
    if event.tag in _TEXTS:
        return text
    if event.tag in (f"{_YAML}int", f"{_YAML}float", f"{_YAML}bool", f"{_YAML}null"):
        return _plain(text)
    raise _wrong(event, f"a value of the kind {event.tag}, which is not read")


def _plain(text: str) -> Any:
    """Return what an unquoted word is: a number, true or false, nothing, or else a text."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _wrong(event: Any, what: str) -> MalformedError:
    return MalformedError(f"line {event.start_mark.line + 1}: {what}")
