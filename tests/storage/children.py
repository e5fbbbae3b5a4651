"""Children in which a test goes on: without the rights of root, or as a program that forks."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable


def in_child(action: Callable[[], object]) -> str:
    """Run in a forked child that is not root; return the result as text. A child that hangs is ended."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        try:
            os.close(reader)
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            result = repr(action())
        except BaseException as error:  # it must not get into pytest's own code
            result = f"{type(error).__name__}: {error}"
        os.write(writer, result.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        result = pipe.read().decode()
    os.waitpid(child, 0)
    return result


def forked(action: Callable[[], object]) -> str:
    """Run in a forked child that keeps its user."""
    uid = os.getuid
    try:
        os.getuid = lambda: 1
        return in_child(action)
    finally:
        os.getuid = uid
