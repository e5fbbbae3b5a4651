"""What a forked child must not take over from its parent: locks nobody will release, work that is not its own.

A library may have locks of its own, which nobody can renew. Work in it is said to be under way, and a fork waits
for it.
"""

from __future__ import annotations

import os
import threading
import time
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


_PATIENCE = 1.0  # seconds that a fork waits for what is under way; work that takes longer sleeps, holding nothing
_under_way: dict[object, int] = {}  # and the thread that does it
_forking = False
_one_fork = threading.Lock()
_go_on = threading.Event()


def begin(work: object) -> None:
    """Say that work is under way that a fork must not cut in two; wait for a fork that is under way itself."""
    _under_way[work] = threading.get_ident()  # first: a fork that begins now sees it
    while _forking:
        _under_way.pop(work, None)
        _go_on.wait(_PATIENCE)
        _under_way[work] = threading.get_ident()


def end(work: object) -> None:
    """Say that it is done."""
    _under_way.pop(work, None)


def _wait() -> None:
    global _forking
    _one_fork.acquire()
    _go_on.clear()
    _forking = True
    own, until = threading.get_ident(), time.monotonic() + _PATIENCE
    while any(thread != own for thread in list(_under_way.values())) and time.monotonic() < until:
        time.sleep(0.0002)


def _resume() -> None:
    global _forking
    _forking = False
    _go_on.set()
    _one_fork.release()


def _renew_all() -> None:
    global _forking, _one_fork, _go_on
    _forking, _one_fork, _go_on = False, threading.Lock(), threading.Event()
    _under_way.clear()
    for one in list(_alive):
        one.renew()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(before=_wait, after_in_parent=_resume, after_in_child=_renew_all)
