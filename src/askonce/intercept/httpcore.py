"""The seam of httpx and httpx2: the connection pools of httpcore and httpcore2 below them.

Here auth, event hooks, redirects, retries, `elapsed`, the closed-client check and every mock are still above.
The module is an argument, since the two share no classes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import lru_cache, partial, wraps
from types import ModuleType
from typing import Any

from askonce._core.coding import CODINGS
from askonce._core.messages import Head, Headers
from askonce._engine.call import Origin
from askonce._engine.upstream import AsyncUpstream, Upstream, aclose_client, close_client
from askonce.intercept.serving import CurrentCache, Place, serve, serve_async

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


def places(module: ModuleType, current: CurrentCache) -> Iterator[Place]:
    """Yield what is to be patched."""
    seam = CoreSeam(module)
    for name, method, wrap in (
        ("ConnectionPool", "handle_request", partial(_wrap, seam, current)),
        ("AsyncConnectionPool", "handle_async_request", partial(_wrap_async, seam, current)),
        ("ConnectionPool", "close", _wrap_close),
        ("AsyncConnectionPool", "aclose", _wrap_aclose),
    ):
        owner = getattr(module, name, None)
        if owner is not None:
            yield Place(owner, method, wrap)


def _wrap(seam: CoreSeam, current: CurrentCache, original: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    @wraps(original)
    def handle_request(pool: Any, request: Any) -> Any:
        cache = current()
        if cache is None or has_passed(request):
            return original(pool, request)
        return serve(seam, cache, request, pool, lambda changed: original(pool, changed))

    return handle_request


def _wrap_async(
    seam: CoreSeam, current: CurrentCache, original: Callable[[Any, Any], Awaitable[Any]]
) -> Callable[[Any, Any], Awaitable[Any]]:
    @wraps(original)
    async def handle_async_request(pool: Any, request: Any) -> Any:
        cache = current()
        if cache is None or has_passed(request):
            return await original(pool, request)
        return await serve_async(seam, cache, request, pool, lambda changed: original(pool, changed))

    return handle_async_request


def _wrap_close(original: Callable[[Any], None]) -> Callable[[Any], None]:
    @wraps(original)
    def close(pool: Any) -> None:
        close_client(pool, partial(original, pool))

    return close


def _wrap_aclose(original: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
    @wraps(original)
    async def aclose(pool: Any) -> None:
        await aclose_client(pool, partial(original, pool))

    return aclose


class CoreSeam:
    """httpcore's or httpcore2's classes."""

    codings = CODINGS

    def __init__(self, module: ModuleType) -> None:
        self.module: Any = module
        self.library = module.__name__

    def origin(self, request: Any) -> Origin:
        url = request.url
        return _decode(request.method, url.scheme, url.host, url.port, url.target)

    def headers(self, request: Any) -> Sequence[tuple[bytes, bytes]]:
        pairs: list[tuple[bytes, bytes]] = request.headers
        return pairs

    def body(self, request: Any) -> Any:
        return request.stream

    def patience(self, request: Any) -> float | None:
        return read_timeout(request)

    def rebuild(self, request: Any, headers: Headers, body: Any) -> Any:
        rebuilt = self.module.Request(
            request.method,
            request.url,
            headers=list(headers),
            content=request.stream if body is None else body,
            extensions=request.extensions,
        )
        setattr(rebuilt, MARK, True)
        return rebuilt

    def upstream(self, response: Any, owner: Any) -> Upstream:
        return upstream(response, _head(response), owner)

    def upstream_async(self, response: Any, owner: Any) -> AsyncUpstream:
        return upstream_async(response, _head(response), owner)

    def respond(self, request: Any, head: Head, body: Any, outcome: str, upstream: Any = None) -> Any:
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


def _head(response: Any) -> Head:
    return head(response.status, Headers(response.headers), response.extensions)


# --- What httpx has in common with it -------------------------------------------------------------------------


def head(status: int, headers: Headers, extensions: Any) -> Head:
    """Return a head, of which a part is in the extensions."""
    return Head(status, headers, extensions.get("reason_phrase", b""), extensions.get("http_version", b"HTTP/1.1"))


def upstream(response: Any, head: Head, owner: Any) -> Upstream:
    """Return a response whose body is its `stream`."""
    close = getattr(response.stream, "close", _nothing)
    return Upstream(head, response, response.stream, close, _socket(response), owner)


def upstream_async(response: Any, head: Head, owner: Any) -> AsyncUpstream:
    """Return an async one."""
    aclose = getattr(response.stream, "aclose", _nothing_async)
    return AsyncUpstream(head, response, response.stream, aclose, owner)


def read_timeout(request: Any) -> float | None:
    """Return how many seconds of silence a request bears."""
    seconds: float | None = request.extensions.get("timeout", {}).get("read")
    return seconds


def _socket(response: Any) -> Any:
    if response.extensions.get("http_version", b"").startswith(b"HTTP/2"):  # other answers come from there too
        return None
    network = response.extensions.get("network_stream")
    return network.get_extra_info("socket") if network is not None else None


def _nothing() -> None:
    pass


async def _nothing_async() -> None:
    pass
