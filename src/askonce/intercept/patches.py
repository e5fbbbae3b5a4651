"""Install the patches once, count their users, put back exactly what was there.

What is loaded is patched at once, what is not when the program imports it; nothing is imported for it. Where
somebody else has patched over us, ours stays below theirs after `uninstall` and lets everything pass, and is
taken away at the next occasion; a second one of ours above it does no harm, since requests that have been through
one are marked.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import threading
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from askonce._engine.cache import Cache
from askonce.forks import Lock
from askonce.intercept import coverage
from askonce.intercept.serving import CurrentCache
from askonce.notices import warn_once

SEAMS = {
    "aiohttp": "aiohttp",
    "dspy._vendor.lm15.transports": "lm15",
    "grpc": "unseen",
    "grpc.aio": "unseen",
    "httpcore": "httpcore",
    "httpcore2": "httpcore",
    "lm15.transports": "lm15",
    "urllib3": "urllib3",
    "websockets.asyncio.client": "unseen",
    "websockets.sync.client": "unseen",
}
"""By the name of the module that is patched: the file here that says where, in `places`."""

_lock = Lock()
_users = 0
_current: CurrentCache
_places: set[tuple[Any, str]] = set()
"""The classes (or modules) and methods that we have put something in place of."""
_originals: dict[int, tuple[Any, Any]] = {}
"""By the identity of what we put there (a foreign proxy may be equal to it): that, and what was there."""


def install(current: CurrentCache) -> None:
    """Begin to intercept for one more user; `current` says which cache a call goes through, if any."""
    global _users, _current
    with _lock:
        _current = current
        _users += 1
        for name in SEAMS:
            if (module := sys.modules.get(name)) is not None:  # None bars its import
                _patch(module)
        if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
            sys.meta_path.insert(0, _Finder())
        coverage.look()


def uninstall() -> None:
    """One user less; with the last one, everything is as it was."""
    global _users
    with _lock:
        _users -= 1
        if _users > 0:
            return
        _users = 0
        for owner, method in _places:
            while (there := id(owner.__dict__.get(method))) in _originals:
                setattr(owner, method, _originals[there][1])
        sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Finder)]


def _cache_in_force() -> Cache | None:
    return _current()


def _patch(module: ModuleType) -> None:
    try:
        seam: Any = importlib.import_module(f"askonce.intercept.{SEAMS[module.__name__]}")
        for place in seam.places(module, _cache_in_force):
            _put(*place)
    except Exception as error:  # a release that is not as we know it: nobody's import is to fail for that
        warn_once(
            f"calls over {module.__name__} are not intercepted: they go to the provider and are not recorded. "
            f"This release of it is not as expected ({error!r}); please report it.",
            cause=f"not intercepted: {module.__name__}",
        )


def _put(owner: Any, method: str, wrap: Callable[[Any], Any]) -> None:
    there = owner.__dict__[method]
    # `alias_httpx()` makes two names of one module: what is there tells, not the name.
    if id(there) in _originals:
        return
    ours = wrap(there)
    setattr(owner, method, ours)
    _places.add((owner, method))
    _originals[id(ours)] = (ours, there)


class _Finder(importlib.abc.MetaPathFinder):
    """Sees the import of what is to be patched, lets others do it, and patches afterwards."""

    def __init__(self) -> None:
        self._searching = threading.local()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in SEAMS or getattr(self._searching, "on", False):
            return None
        self._searching.on = True
        try:
            spec = importlib.util.find_spec(fullname)
        except ValueError:  # a module without a spec is being replaced; leave it alone
            return None
        finally:
            self._searching.on = False
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(importlib.abc.Loader):
    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        assert spec is not None
        spec.loader = module.__loader__ = (
            self._loader
        )  # what the module sees of itself is what it would see without us
        self._loader.exec_module(module)
        with _lock:
            if _users and module.__name__ in SEAMS:
                _patch(module)
            if _users:
                coverage.look(module.__name__)

    def __getattr__(self, name: str) -> Any:  # `get_source`, `get_data`, `is_package` and whatever else
        return getattr(self._loader, name)
