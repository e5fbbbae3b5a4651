"""The SDK's resources, with generation methods that take `seed`, `delay` and `overwrite_cache`.

A resource that a client hands out becomes an instance of a subclass; the SDK's own classes stay as they are.
"""

from __future__ import annotations

import functools
import inspect
import re
import warnings
from collections.abc import Callable
from typing import Any

from openai._resource import AsyncAPIResource, SyncAPIResource

from askonce._dropin import fast, state

_GENERATES = re.compile(
    r"openai\.resources\.(?:beta\.)?(?:chat|completions|responses|embeddings|images|moderations"
    r"|audio\.(?:speech|transcriptions|translations))(?:\..*)?"
)
_FAST = re.compile(r"openai\.resources\.(?:chat\.completions(?:\.completions)?|embeddings)\.create")
_STATE = frozenset({"retrieve", "list", "update", "delete", "cancel", "connect"})
ADDED = ("seed", "delay", "overwrite_cache")


def adapted(resource: Any) -> Any:
    """Return a resource with the methods of ours; anything else as it is."""
    if isinstance(resource, SyncAPIResource | AsyncAPIResource):
        kind: Any = type(resource)
        resource.__class__ = adapted_class(kind)
    return resource


@functools.lru_cache(maxsize=1024)
def adapted_class(kind: type) -> type:
    """Return the subclass of a resource's class whose generation methods take more keywords."""
    names: dict[str, Any] = {
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "__doc__": kind.__doc__,
    }
    for name in dir(kind):
        value = inspect.getattr_static(kind, name)
        if name.startswith(("_", "with_")):
            continue
        if isinstance(value, functools.cached_property):
            names[name] = functools.cached_property(_adapting(value.func))
        elif isinstance(value, property) and value.fget is not None:
            names[name] = property(_adapting(value.fget))
        elif callable(value) and not isinstance(value, type) and is_generation(kind, name, value):
            names[name] = _widened(kind, name, value)
    return type(kind.__name__, (kind,), names)


def is_generation(kind: type, name: str, method: Callable[..., Any]) -> bool:
    """Tell whether a method of a resource's class has a model answer."""
    return (
        _GENERATES.fullmatch(kind.__module__) is not None
        and name not in _STATE
        and "extra_headers" in inspect.signature(method).parameters
    )


def _adapting(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @functools.wraps(make)
    def adapt(self: Any) -> Any:
        return adapted(make(self))

    return adapt


def _widened(kind: type, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(method)
    added = frozenset(ADDED) - signature.parameters.keys()
    deprecation = getattr(method, "__deprecated__", None)
    answer = _answering(kind, name, method)

    def lift(kwargs: dict[str, Any]) -> dict[str, Any]:
        if deprecation is not None:  # here, so that the line it points to is the caller's
            warnings.warn(deprecation, DeprecationWarning, stacklevel=3)
        return _lifted(kwargs, added)

    if inspect.iscoroutinefunction(method):

        @functools.wraps(method)
        async def call_async(self: Any, *args: Any, **kwargs: Any) -> Any:
            return await answer(self, args, lift(kwargs))

        call: Any = call_async
    else:

        @functools.wraps(method)
        def call_sync(self: Any, *args: Any, **kwargs: Any) -> Any:
            return answer(self, args, lift(kwargs))

        call = call_sync
    call.__signature__ = _with(signature, added)
    return call  # type: ignore[no-any-return]


def _answering(kind: type, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    """Return what calls the SDK's method, as it is when it is called: others may have put theirs in its place."""
    silent = getattr(method, "__wrapped__", method) if hasattr(method, "__deprecated__") else method

    def ask(self: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        now = getattr(kind, name)
        return (silent if now is method else now)(self, *args, **kwargs)

    if not _FAST.fullmatch(f"{kind.__module__}.{name}") or not inspect.isfunction(method):
        return ask
    through = fast.call_async if issubclass(kind, AsyncAPIResource) else fast.call

    def ask_fast(self: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        if args or getattr(kind, name) is not method:
            return ask(self, args, kwargs)
        return through(self, kind.__module__, kwargs, lambda: method(self, **kwargs))

    return ask_fast


def _with(signature: inspect.Signature, added: frozenset[str]) -> inspect.Signature:
    parameters = list(signature.parameters.values())
    catches_all = parameters[-1].kind is inspect.Parameter.VAR_KEYWORD
    rest = [parameters.pop()] if catches_all else []
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in ADDED if name in added
    ]
    return signature.replace(parameters=[*parameters, *more, *rest])


def _lifted(kwargs: dict[str, Any], added: frozenset[str]) -> dict[str, Any]:
    """Put what is said to the cache into headers, which it reads and strips."""
    if added.isdisjoint(kwargs):
        return kwargs
    headers = {}
    seed, delay, overwrite = (kwargs.pop(name, None) if name in added else None for name in ADDED)
    if _is_given(seed):
        headers["x-askonce-seed"] = str(seed)
    if _is_given(delay):
        headers["x-askonce-delays"] = str(delay)
    if _is_given(overwrite) and overwrite:
        mode = state.mode_to_overwrite()
        if mode is not None:
            headers["x-askonce-mode"] = str(mode)
    if headers:
        kwargs["extra_headers"] = {**(kwargs.get("extra_headers") or {}), **headers}
    return kwargs


def _is_given(value: Any) -> bool:
    return value is not None and type(value).__name__ not in ("NotGiven", "Omit")
