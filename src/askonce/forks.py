"""What a forked child must not take over from its parent: locks nobody will release, work that is not its own."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol


class Renewable(Protocol):
    """Something with locks."""

    def renew(self) -> None:
        """Begin anew in a forked child."""
        ...


_alive: weakref.WeakSet[Renewable] = weakref.WeakSet()


def renew_in_children(one: Renewable) -> None:
    """Have `one` renewed in every child that this process forks."""
    _alive.add(one)


class Lock:
    """A re-entrant lock that a forked child finds open, whoever held it in the parent."""

    def __init__(self) -> None:
        self.renew()
        renew_in_children(self)

    def renew(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *trouble: object) -> None:
        self._lock.release()


def _renew_all() -> None:
    for one in list(_alive):
        one.renew()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_renew_all)
