"""The one way in which askonce speaks up: a warning for each cause, once a process. Anyone may import this."""

from __future__ import annotations

import logging
import warnings

from askonce.errors import AskonceWarning
from askonce.forks import Lock

_said: set[str] = set()
_lock = Lock()  # the garbage collector may end a call that warns, anywhere


def warn_once(message: str, *, cause: str | None = None) -> bool:
    """Warn of `message`, unless its `cause` (by default the message) was warned of before; tell which.

    Where warnings are errors, it is logged instead: a program must not break because the cache has a remark.
    """
    with _lock:
        if (cause or message) in _said:
            return False
        _said.add(cause or message)
    try:
        warnings.warn(f"askonce: {message}", AskonceWarning, stacklevel=2)
    except AskonceWarning:
        tell(message)
    return True


def tell(message: str) -> None:
    """Log what is worth a line each time that it happens."""
    logging.getLogger("askonce").warning(message)


def forget_warnings() -> None:
    """Let every cause be warned of again."""
    with _lock:
        _said.clear()
