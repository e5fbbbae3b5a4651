"""A transport to hand to one client: the patch-free way in, for httpx and httpx2, sync and async."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, TypeVar

from askonce._core.coding import CODINGS
from askonce._core.messages import Head, Headers
from askonce._engine.cache import Cache
from askonce._engine.call import Origin
from askonce._engine.upstream import AsyncUpstream, Upstream, aclose_client, close_client
from askonce.intercept.httpcore import MARK, head, read_timeout, upstream, upstream_async
from askonce.intercept.serving import forwarding, serve, serve_async

T = TypeVar("T")


class ClientSeam:
    """httpx's or httpx2's classes, one floor above the connection pool."""

    codings = CODINGS

    def __init__(self, module: Any) -> None:
        self.module = module
        self.library: str = module.__name__

    def origin(self, request: Any) -> Origin:
        url = request.url
        return (
            request.method,
            url.raw_scheme.decode("ascii"),
            url.raw_host.decode("ascii", "replace"),
            url.port,
            url.raw_path.decode("latin-1"),
        )

    def headers(self, request: Any) -> Sequence[tuple[bytes, bytes]]:
        pairs: list[tuple[bytes, bytes]] = request.headers.raw
        return pairs

    def body(self, request: Any) -> Any:
        return request.stream

    def patience(self, request: Any) -> float | None:
        return read_timeout(request)

    def rebuild(self, request: Any, headers: Headers, body: Any) -> Any:
        body = request.stream if body is None else body
        return self.module.Request(
            request.method,
            request.url,
            headers=list(headers),
            stream=_stream_class(self.module, is_async=hasattr(body, "__aiter__"))(body),
            extensions={**request.extensions, MARK: True},
        )

    def upstream(self, response: Any, owner: Any) -> Upstream:
        return upstream(response, _head(response), owner)

    def upstream_async(self, response: Any, owner: Any) -> AsyncUpstream:
        return upstream_async(response, _head(response), owner)

    def respond(self, request: Any, head: Head, body: Any, outcome: str, upstream: Any = None) -> Any:
        return self.module.Response(
            head.status,
            headers=list(head.headers),
            stream=_stream_class(self.module, is_async=hasattr(body, "__aiter__"))(body),
            extensions={
                **({} if upstream is None else upstream.extensions),
                "http_version": head.http_version,
                "reason_phrase": head.reason,
                "askonce": outcome,
            },
        )

    def broken(self, message: str) -> Exception:
        error: Exception = self.module.ReadError(message)
        return error


def _head(response: Any) -> Head:
    return head(response.status_code, Headers(response.headers.raw), response.extensions)


def caching_transport(inner: T, cache: Cache | Callable[[], Cache]) -> T:
    """Return a transport that answers from `cache` and asks through `inner`.

    A cache that is given is the transport's own, and closed with it; one that is found anew for each call is not.

    Raises:
        TypeError: when `inner` is no transport of httpx or httpx2.
    """
    for name in ("httpx2", "httpx"):
        library: Any = sys.modules.get(name)
        if library is None:
            continue
        kinds = [kind for kind in (library.BaseTransport, library.AsyncBaseTransport) if isinstance(inner, kind)]
        if kinds:
            return _transport_class(library, *kinds)(inner, cache)  # type: ignore[no-any-return]
    raise TypeError(
        f"transport: {inner!r} is no transport of httpx or httpx2. Pass one, such as httpx2.HTTPTransport() or "
        "httpx2.AsyncHTTPTransport()."
    )


@lru_cache(maxsize=8)
def _stream_class(library: Any, *, is_async: bool) -> Any:
    if is_async:

        class AsyncStream(library.AsyncByteStream):  # type: ignore[misc]
            def __init__(self, body: Any) -> None:
                self._body = body

            def __aiter__(self) -> Any:
                return aiter(self._body)

            async def aclose(self) -> None:
                if hasattr(self._body, "aclose"):
                    await self._body.aclose()

        return AsyncStream

    class Stream(library.SyncByteStream):  # type: ignore[misc]
        def __init__(self, body: Any) -> None:
            self._body = body

        def __iter__(self) -> Any:
            return iter(self._body)

        def close(self) -> None:
            if hasattr(self._body, "close"):
                self._body.close()

    return Stream


@lru_cache(maxsize=8)
def _transport_class(library: Any, *kinds: Any) -> Any:
    """Return the class for transports of these kinds: sync, async, or both, as mocks are."""
    seam = ClientSeam(library)

    class CachingTransport(*kinds):  # type: ignore[misc]
        """Answers from an askonce store, and asks through the transport inside."""

        def __init__(self, inner: Any, cache: Cache | Callable[[], Cache]) -> None:
            self._inner = inner
            self._find: Callable[[], Cache] = cache if callable(cache) else partial(_same, cache)
            self._forget: Callable[[], None] = cache.close if isinstance(cache, Cache) else _nothing

        def __repr__(self) -> str:
            return f"{self._find()!r} before {self._inner!r}"

        def handle_request(self, request: Any) -> Any:
            return serve(seam, self._find(), request, self._inner, self._forward)

        def _forward(self, request: Any) -> Any:
            with forwarding():
                return self._inner.handle_request(request)

        def __enter__(self) -> Any:
            self._inner.__enter__()
            return self

        def __exit__(self, *trouble: object) -> None:
            self._forget()
            close_client(self._inner, partial(self._inner.__exit__, *trouble))

        def close(self) -> None:
            self._forget()
            close_client(self._inner, self._inner.close)

        async def handle_async_request(self, request: Any) -> Any:
            return await serve_async(seam, self._find(), request, self._inner, self._forward_async)

        async def _forward_async(self, request: Any) -> Any:
            with forwarding():
                return await self._inner.handle_async_request(request)

        async def __aenter__(self) -> Any:
            await self._inner.__aenter__()
            return self

        async def __aexit__(self, *trouble: object) -> None:
            self._forget()
            await aclose_client(self._inner, partial(self._inner.__aexit__, *trouble))

        async def aclose(self) -> None:
            self._forget()
            await aclose_client(self._inner, self._inner.aclose)

    return CachingTransport


def _same(cache: Cache) -> Cache:
    return cache


def _nothing() -> None:
    pass
