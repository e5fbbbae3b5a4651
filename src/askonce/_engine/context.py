"""What `options(...)` and `bypass()` say of the calls inside them, right across threads and tasks."""

from __future__ import annotations

from contextvars import ContextVar, Token

from askonce._core.controls import NONE, Controls

_overrides: ContextVar[Controls] = ContextVar("askonce_overrides", default=NONE)


def overrides() -> Controls:
    """Return the controls in force where this is called."""
    return _overrides.get()


def push(controls: Controls) -> Token[Controls]:
    """Put controls over those in force."""
    return _overrides.set(controls.over(_overrides.get()))


def pop(token: Token[Controls]) -> None:
    """Put back what `push` covered."""
    _overrides.reset(token)
