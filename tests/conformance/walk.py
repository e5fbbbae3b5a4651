"""The methods of an SDK's client, found by walking its resources, and the calls to make of each."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

import pydantic

from tests.conformance.values import Maker, Unmakeable

_VIEWS = ("with_",)  # the same resources, whose answers come wrapped
_MANY = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Method(NamedTuple):
    """A method of a client: `chat.completions.create`."""

    name: str
    function: Any


class Call(NamedTuple):
    """A call to make: of which method, what is special in it, and which argument that is, if one."""

    method: str
    label: str
    argument: str
    arguments: dict[str, Any]


def methods(resource: Any, bases: tuple[type, ...], path: tuple[str, ...] = ()) -> Iterator[Method]:
    """Walk the public methods of a client's resources; what is one is an instance of `bases`."""
    for name in sorted(dir(type(resource))):
        if name.startswith(("_", *_VIEWS)):
            continue
        attribute = inspect.getattr_static(type(resource), name)
        if isinstance(attribute, cached_property | property):
            inner = getattr(resource, name)
            if isinstance(inner, bases):
                yield from methods(inner, bases, (*path, name))
        elif inspect.isfunction(attribute) and path:
            yield Method(".".join((*path, name)), getattr(resource, name))


def shapes(method: Method) -> list[frozenset[str]]:
    """Return which arguments a call must have: as it is made, then by each of its overloads."""
    function = inspect.unwrap(method.function)
    versions = [function, *typing.get_overloads(getattr(function, "__func__", function))]
    required = [
        frozenset(
            name
            for name, parameter in inspect.signature(version).parameters.items()
            if parameter.default is parameter.empty and parameter.kind not in _MANY and name != "self"
        )
        for version in versions
    ]
    return list(dict.fromkeys(required))


def calls(method: Method, needed: frozenset[str]) -> Iterator[Call]:
    """Make calls of a method: what is needed alone, each value of each argument by itself, and all there is.

    Raises:
        Unmakeable: when there is no value of an argument that is needed.
    """
    maker = Maker()
    function = inspect.unwrap(method.function)
    try:
        hints = typing.get_type_hints(getattr(function, "__func__", function), include_extras=True)
    except NameError as error:  # a name that the SDK imports for type checkers alone: of a socket
        raise Unmakeable(str(error)) from error
    parameters = inspect.signature(method.function).parameters
    kinds = {name: hints.get(name, Any) for name, one in parameters.items() if one.kind not in _MANY}
    base = {name: maker.value(kind) for name, kind in kinds.items() if name in needed}
    yield Call(method.name, "required", "", base)
    everything = dict(base)
    for name, kind in kinds.items():
        if name == "config":  # google-genai: all that is optional is in there
            for field, value in _configured(kind, maker):
                yield Call(
                    method.name, f"config.{field} {value!r:.40}", f"config.{field}", base | {name: {field: value}}
                )
            continue
        for number, value in enumerate(maker.alternatives(kind)):
            if name in base and number == 0:
                continue
            yield Call(method.name, f"{name} {number}", name, base | {name: value})
            if number == 0:
                everything[name] = value
    yield Call(method.name, "everything", "", everything)


def _configured(kind: Any, maker: Maker) -> Iterator[tuple[str, Any]]:
    """Give each value of each field of a configuration but the one that says where to ask."""
    model = next(
        one for one in typing.get_args(kind) if isinstance(one, type) and issubclass(one, pydantic.BaseModel)
    )
    for name, field in model.model_fields.items():
        if name != "http_options":
            yield from ((name, value) for value in maker.alternatives(field.annotation))
