"""The seam of httpx and httpx2: the connection pools of httpcore and httpcore2 below them.

Here auth, event hooks, redirects, retries, `elapsed`, the closed-client check and every mock are still above.
The module is an argument, since the two share no classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from types import ModuleType
from typing import Any

from askonce._core.messages import Head, Headers
from askonce._engine.cache import Origin

MODULES = ("httpcore", "httpcore2")
MARK = "_askonce"
"""An attribute, or an extension, of requests that have been through here: what of ours is below lets them pass."""


def has_passed(request: Any) -> bool:
    """Tell whether a request has been through here, or through a transport of ours above."""
    return hasattr(request, MARK) or MARK in request.extensions


@lru_cache(maxsize=1024)
def _decode(method: bytes, scheme: bytes, host: bytes, port: int | None, target: bytes) -> Origin:
    return (
        method.decode("ascii"),
        scheme.decode("ascii"),
        host.decode("ascii", "replace"),
        port,
        target.decode("latin-1"),
    )


class CoreSeam:
    """httpcore's or httpcore2's classes."""

    def __init__(self, module: ModuleType) -> None:
        self.module: Any = module
        self.library = module.__name__

    def origin(self, request: Any) -> Origin:
        url = request.url
        return _decode(request.method, url.scheme, url.host, url.port, url.target)

    def headers(self, request: Any) -> Sequence[tuple[bytes, bytes]]:
        pairs: list[tuple[bytes, bytes]] = request.headers
        return pairs

    def rebuild(self, request: Any, headers: Headers, body: Any) -> Any:
        rebuilt = self.module.Request(
            request.method,
            request.url,
            headers=list(headers),
            content=body,
            extensions=request.extensions,
        )
        setattr(rebuilt, MARK, True)
        return rebuilt

    def head(self, response: Any) -> Head:
        extensions = response.extensions
        return Head(
            response.status,
            Headers(response.headers),
            extensions.get("reason_phrase", b""),
            extensions.get("http_version", b"HTTP/1.1"),
        )

    def respond(self, head: Head, body: Any, outcome: str, upstream: Any = None) -> Any:
        response = self.module.Response(
            head.status,
            content=body,
            extensions={
                **({} if upstream is None else upstream.extensions),
                "http_version": head.http_version,
                "reason_phrase": head.reason,
                "askonce": outcome,
            },
        )
        response.headers = list(head.headers)  # set past the constructor, which would check each name and value
        return response

    def broken(self, message: str) -> Exception:
        error: Exception = self.module.ReadError(message)
        return error
