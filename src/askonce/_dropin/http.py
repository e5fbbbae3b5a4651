"""A client of httpx or httpx2 that answers from the cache, made of one that does not.

What it is made of is left alone: the two share all their state, and only this one's transports are wrapped.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Any

from askonce._core.domains import Dialect
from askonce._core.messages import Answer, Headers
from askonce._core.refusal import is_keyless, refusal
from askonce._dropin import state
from askonce.intercept.transport import caching_transport

_NEEDS_KEY = (
    "askonce: this question was not recorded, and there is no API key to ask it with. Set OPENAI_API_KEY (or "
    "api_key=) to ask, or ask what was recorded."
)
_WRAPPED = "_askonce_transports"


def cached(client: Any, *, owned: bool) -> Any:
    """Return a client with the state of `client` whose answers come from the cache.

    One that is `owned` by nobody else becomes that itself.
    """
    kind: Any = type(client)
    if issubclass(kind, Cached):
        return client
    if owned:
        client.__class__ = _cached_class(kind)
        return client
    twin: Any = object.__new__(_twin_class(kind))
    twin.__dict__ = client.__dict__
    return twin


class Cached:
    """What the classes made here have in common: their transports, as descriptors, cover the instance's own."""

    @property
    def _transport(self) -> Any:
        return _wrap(self, self.__dict__["_transport"])

    @_transport.setter
    def _transport(self, transport: Any) -> None:
        self.__dict__["_transport"] = transport

    @property
    def _mounts(self) -> dict[Any, Any]:
        return {pattern: _wrap(self, one) for pattern, one in self.__dict__["_mounts"].items()}

    @_mounts.setter
    def _mounts(self, mounts: dict[Any, Any]) -> None:
        self.__dict__["_mounts"] = mounts


@lru_cache(maxsize=64)
def _cached_class(kind: type) -> type:
    return type(kind.__name__, (Cached, kind), {"__module__": kind.__module__, "__doc__": kind.__doc__})


@lru_cache(maxsize=64)
def _twin_class(kind: type) -> type:
    # Some clients close themselves when they are dropped; the original decides on that, not its twin.
    names = {"__module__": kind.__module__, "__doc__": kind.__doc__, "__del__": lambda self: None}
    return type(kind.__name__, (Cached, kind), names)


def _wrap(client: Any, transport: Any) -> Any:
    if transport is None:  # a mount that stands for the default
        return None
    wrapped = client.__dict__.setdefault(_WRAPPED, {})
    found = wrapped.get(id(transport))
    if found is None or found[0] is not transport:
        found = wrapped[id(transport)] = transport, caching_transport(_keyed(transport), state.current)
    return found[1]


def _keyed(transport: Any) -> Any:
    """Return a transport that asks nobody without a key."""
    for name in ("httpx2", "httpx"):
        library: Any = sys.modules.get(name)
        if library is not None:
            both = (library.BaseTransport, library.AsyncBaseTransport)
            kinds = tuple(kind for kind in both if isinstance(transport, kind))
            if kinds:
                return _keyed_class(library, *kinds)(transport)
    return transport  # none of theirs, and `caching_transport` says so


@lru_cache(maxsize=8)
def _keyed_class(library: Any, *kinds: Any) -> Any:
    class Keyed(*kinds):  # type: ignore[misc]
        """Asks through the transport inside, unless there is no key to ask with."""

        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def __repr__(self) -> str:
            return repr(self._inner)

        def handle_request(self, request: Any) -> Any:
            answer = _refuse(request)
            return self._inner.handle_request(request) if answer is None else _respond(library, answer)

        def __enter__(self) -> Any:
            self._inner.__enter__()
            return self

        def __exit__(self, *trouble: object) -> None:
            self._inner.__exit__(*trouble)

        def close(self) -> None:
            self._inner.close()

        async def handle_async_request(self, request: Any) -> Any:
            answer = _refuse(request)
            return await self._inner.handle_async_request(request) if answer is None else _respond(library, answer)

        async def __aenter__(self) -> Any:
            await self._inner.__aenter__()
            return self

        async def __aexit__(self, *trouble: object) -> None:
            await self._inner.__aexit__(*trouble)

        async def aclose(self) -> None:
            await self._inner.aclose()

    return Keyed


def _refuse(request: Any) -> Answer | None:
    return refusal(Dialect.OPENAI, 401, _NEEDS_KEY) if is_keyless(Headers(request.headers.raw)) else None


def _respond(library: Any, answer: Answer) -> Any:
    return library.Response(answer.head.status, headers=list(answer.head.headers), content=answer.body)
