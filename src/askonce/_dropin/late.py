"""The SDK's own HTTP client, whose connection pool is made when something is sent for the first time.

A pool reads the system's certificates and loads the library that speaks HTTP: a sixth of what importing openai
costs, of which a program whose answers are recorded has no use.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Any

from openai import _base_client as base

_made: set[type] = set()


def http_client(*, is_async: bool) -> Any:
    """Return what the SDK would make when no client is given; None where it is not known how that is made."""
    kind = getattr(base, "AsyncHttpxClientWrapper" if is_async else "SyncHttpxClientWrapper", None)
    transport = _transport(kind) if isinstance(kind, type) else None
    return None if transport is None else _client_class(kind, transport)()


def is_late(http: Any) -> bool:
    """Tell whether a client was made here and belongs to nobody yet."""
    return type(http) in _made


def settle(http: Any, client: Any) -> None:
    """Let the HTTP client have what the SDK would have made it with."""
    http.base_url = client.base_url
    http.timeout = client.timeout


def _transport(kind: Any) -> Any:
    """Return the transport class of this kind of client, if all that is covered here is there."""
    for one in kind.__mro__:
        if {"_init_transport", "_init_proxy_transport"} <= vars(one).keys():
            library = sys.modules[one.__module__.partition(".")[0]]
            name = "AsyncHTTPTransport" if hasattr(kind, "aclose") else "HTTPTransport"
            return getattr(library, name, None)
    return None


@lru_cache(maxsize=8)
def _client_class(kind: Any, transport: Any) -> Any:
    late = _transport_class(transport)

    def _init_transport(self: Any, transport: Any = None, **options: Any) -> Any:
        return late(**options) if transport is None else transport

    def _init_proxy_transport(self: Any, proxy: Any, **options: Any) -> Any:
        return late(proxy=proxy, **options)

    names = {
        "__module__": kind.__module__,
        "__doc__": kind.__doc__,
        "_init_transport": _init_transport,
        "_init_proxy_transport": _init_proxy_transport,
    }
    made = type(kind.__name__, (kind,), names)
    _made.add(made)
    return made


@lru_cache(maxsize=8)
def _transport_class(kind: Any) -> Any:
    class Late(kind):  # type: ignore[misc]
        """Makes its pool when that is looked for."""

        def __init__(self, **options: Any) -> None:
            self._options = options

        def __getattr__(self, name: str) -> Any:
            if name != "_pool":
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            pool = self.__dict__["_pool"] = kind(**self._options)._pool
            return pool

        def close(self) -> None:
            if "_pool" in self.__dict__:
                super().close()

        async def aclose(self) -> None:
            if "_pool" in self.__dict__:
                await super().aclose()

    Late.__name__, Late.__qualname__, Late.__module__ = kind.__name__, kind.__qualname__, kind.__module__
    return Late
