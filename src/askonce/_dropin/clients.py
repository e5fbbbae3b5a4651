"""The SDK's client classes, each with a subclass whose answers come from the cache."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import openai

from askonce._core.refusal import NO_KEY
from askonce._dropin import fast, late, state
from askonce._dropin.http import cached
from askonce._dropin.resources import adapted
from askonce.forks import Lock

_lock = Lock()
_made: dict[type, type] = {}
_ROOTS: tuple[type, ...] = (openai.OpenAI, openai.AsyncOpenAI)


def is_client(value: object) -> bool:
    """Tell whether this is one of the SDK's client classes."""
    return isinstance(value, type) and issubclass(value, _ROOTS)


def cached_class(kind: type) -> type:
    """Return the subclass of a client class that answers from the cache.

    Those of its descendants are descendants of it, as those of the original are.
    """
    with _lock:
        return _cached_class(kind)


def _cached_class(kind: type) -> type:
    made = _made.get(kind)
    if made is None:
        bases = (kind, *(_cached_class(root) for root in _ROOTS if issubclass(kind, root) and kind is not root))
        names: dict[str, Any] = {"__module__": "askonce.openai", "__doc__": kind.__doc__}
        subclass: Any = type(kind.__name__, bases, names | (_shared(kind) if kind in _ROOTS else {}))
        subclass.__init__ = _initializer(kind, subclass)
        if kind in _ROOTS:
            subclass._prepare_request = _preparer(subclass)
            subclass._process_response = _parser(subclass)
        made = _made[kind] = subclass
    return made


def _shared(kind: type) -> dict[str, Any]:
    """Return the resources of a client class, so that theirs are the methods that take more keywords."""
    return {
        name: _resource(value)
        for name, value in vars(kind).items()
        if isinstance(value, functools.cached_property) and not name.startswith("with_")
    }


def _resource(original: functools.cached_property[Any]) -> functools.cached_property[Any]:
    @functools.wraps(original.func)
    def make(self: Any) -> Any:
        return adapted(original.func(self))

    return functools.cached_property(make)


def _initializer(kind: Any, made: Any) -> Any:
    @functools.wraps(kind.__init__)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        state.current()  # a setting that is wrong is told here, not in the midst of a call
        given = kwargs.get("http_client")
        owned = given is None or late.is_late(given)  # of ours, too: made by the class above this one
        http = late.http_client(is_async=issubclass(kind, openai.AsyncOpenAI)) if given is None else None
        if http is not None:
            kwargs["http_client"] = http
        _start(super(made, self).__init__, args, kwargs)
        if http is not None:
            late.settle(http, self)
        _install(self, owned=owned)

    return __init__


def _start(start: Callable[..., None], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    try:
        start(*args, **kwargs)
    except openai.OpenAIError:
        if kwargs.get("api_key") is not None:
            raise
        try:
            start(*args, **kwargs | {"api_key": NO_KEY})  # recorded answers need no key
        except Exception:
            pass
        else:
            return
        raise


def _install(client: Any, *, owned: bool) -> None:
    client._client = cached(client._client, owned=owned)
    if owned and type(client) in map(_made.get, _ROOTS):
        fast.allow(client)


def _parser(made: Any) -> Any:
    """Return a `_process_response`: what the SDK calls when a response has come."""
    if inspect.iscoroutinefunction(made._process_response):

        async def process_async(self: Any, **parsing: Any) -> Any:
            fast.take_note(self, parsing)
            return await super(made, self)._process_response(**parsing)

        return process_async

    def process(self: Any, **parsing: Any) -> Any:
        fast.take_note(self, parsing)
        return super(made, self)._process_response(**parsing)

    return process


def _preparer(made: Any) -> Any:
    """Return a `_prepare_request`: the SDK's hook for requests that are about to be sent."""
    if inspect.iscoroutinefunction(made._prepare_request):

        async def prepare_async(self: Any, request: Any) -> None:
            await super(made, self)._prepare_request(request)
            state.know((request.url.scheme, request.url.host, request.url.port))

        return prepare_async

    def prepare(self: Any, request: Any) -> None:
        super(made, self)._prepare_request(request)
        state.know((request.url.scheme, request.url.host, request.url.port))

    return prepare
