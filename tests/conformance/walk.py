"""The methods of the SDKs' clients, found by walking what hangs from them."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

OPTIONS = frozenset(
    "self extra_headers extra_query extra_body timeout idempotency_key max_retries stream http_options".split()
)
"""Parameters that say how a request is sent, not what is asked; `stream` makes two methods of one."""

_HELPERS = frozenset({"stream", "parse", "connect", "close", "aclose", "unwrap", "verify_signature"})
"""Methods above others, which are walked themselves, and those that send nothing over HTTP."""


class Method(NamedTuple):
    """A method: what it is called, its parameters with their types, and what it returns, plain or as a stream."""

    name: str
    parameters: dict[str, Any]
    required: frozenset[str]
    plain: Any
    stream: Any


def is_resource(value: object, roots: tuple[type, ...]) -> bool:
    """Tell whether methods, or further resources, hang from this."""
    return isinstance(value, roots)


def methods(client: Any, roots: tuple[type, ...], path: tuple[str, ...] = ()) -> Iterator[Method]:
    """Yield the methods that ask something."""
    for name in sorted(dir(type(client))):
        if name.startswith(("_", "with_")):
            continue
        value = inspect.getattr_static(type(client), name)
        if path and inspect.isfunction(value):
            if name not in _HELPERS and "poll" not in name and "wait" not in name:
                yield _read(".".join((*path, name)), value)
        elif not inspect.isfunction(value) and is_resource(inner := getattr(client, name, None), roots):
            yield from methods(inner, roots, (*path, name))


def bound(client: Any, name: str) -> Callable[..., Any]:
    """Return the method of that name."""
    for part in name.split("."):
        client = getattr(client, part)
    return typing.cast("Callable[..., Any]", client)


def _read(name: str, function: Any) -> Method:
    plain = inspect.unwrap(function)
    try:
        hints = typing.get_type_hints(plain, include_extras=True)
    except NameError:  # of a type that is imported for type checkers alone
        hints = {}
    parameters = {
        one.name: hints.get(one.name, Any)
        for one in inspect.signature(plain).parameters.values()
        if one.name not in OPTIONS and one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
    }
    required = frozenset(
        one.name
        for one in inspect.signature(plain).parameters.values()
        if one.name in parameters and one.default is one.empty
    )
    returned, streamed = _returns(hints.get("return", Any))
    return Method(name, parameters, required, returned, streamed if "stream" in hints else None)


def _returns(hint: Any) -> tuple[Any, Any]:
    """Return what a method returns plainly, and the type of a stream's events."""
    plain, events = None, None
    for one in _members(hint):
        origin = typing.get_origin(one)
        if origin is not None and getattr(origin, "__name__", "") in ("Stream", "AsyncStream"):
            events = typing.get_args(one)[0]
        elif plain is None and one is not type(None):
            plain = one
    return plain, events


def _members(hint: Any) -> tuple[Any, ...]:
    import types

    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return typing.get_args(hint)
    return (hint,)
