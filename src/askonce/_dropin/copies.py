"""Copies of an object that the SDK has parsed, made anew as often as wanted, and quicker than parsing again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

_ATOMS = (str, int, float, bool, type(None))  # which nobody can change
_SLOTS = ("__pydantic_extra__", "__pydantic_private__")


class CannotCopyError(TypeError):
    """There is something in it that is not known well enough to be copied."""


def copier(value: Any) -> Callable[[], Any]:
    """Return what makes an object equal to `value` in type, fields, and what was set of them; all of it new.

    `value` itself must not be changed any more.

    Raises:
        CannotCopyError: when it holds anything but models of pydantic 2, lists, dicts and plain values.
    """
    make = _plan(value)
    return (lambda: value) if make is None else make


def _plan(value: Any) -> Callable[[], Any] | None:
    """Return what makes a copy; None for what may be shared."""
    kind = type(value)
    if kind in _ATOMS:
        return None
    if kind is list:
        return _plan_list(value)
    if kind is dict:
        return _plan_dict(value)
    if isinstance(value, BaseModel) and hasattr(value, "__pydantic_fields_set__"):
        return _plan_model(value)
    raise CannotCopyError(f"a {kind.__name__}")


def _plan_list(value: list[Any]) -> Callable[[], Any]:
    parts = [(one, _plan(one)) for one in value]
    if all(make is None for _, make in parts):
        return value.copy
    return lambda: [one if make is None else make() for one, make in parts]


def _plan_dict(value: dict[Any, Any]) -> Callable[[], Any]:
    if any(type(name) not in _ATOMS for name in value):
        raise CannotCopyError("a key that is not plain")
    changing = [(name, make) for name, one in value.items() if (make := _plan(one)) is not None]
    if not changing:
        return value.copy

    def copy() -> Any:
        made = value.copy()
        for name, make in changing:
            made[name] = make()
        return made

    return copy


def _plan_model(value: BaseModel) -> Callable[[], Any]:
    kind = type(value)
    fields = _plan_dict(vars(value))
    was_set = value.__pydantic_fields_set__
    rest = [(name, getattr(value, name), _plan(getattr(value, name))) for name in _SLOTS]
    put = object.__setattr__  # a model's own would check and note what is set

    def copy() -> Any:
        made = kind.__new__(kind)
        put(made, "__dict__", fields())
        put(made, "__pydantic_fields_set__", was_set.copy())
        for name, one, make in rest:
            put(made, name, one if make is None else make())
        return made

    return copy
