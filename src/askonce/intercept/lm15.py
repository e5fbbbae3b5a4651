"""The seam of lm15, DSPy's own HTTP client: its transports, and the copy of them that DSPy brings along."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial, wraps
from types import ModuleType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from askonce._core.coding import CODINGS
from askonce._core.messages import Head, Headers
from askonce._engine.call import Origin
from askonce._engine.upstream import AsyncUpstream, Upstream, aclose_client, close_client
from askonce.intercept.serving import MOST, CurrentCache, Place, forwarding, is_forwarded, serve, serve_async


def places(module: ModuleType, current: CurrentCache) -> Iterator[Place]:
    """Yield what is to be patched."""
    lm15: Any = module
    seam = Lm15Seam(lm15)
    yield Place(lm15.StdlibTransport, "stream", partial(_wrap, seam, current))
    yield Place(lm15.StdlibAsyncTransport, "_do_stream", partial(_wrap_async, seam, current))
    yield Place(lm15._sync._ConnectionPool, "close_all", _wrap_close)
    yield Place(lm15._async._AsyncConnectionPool, "close_all", _wrap_aclose)


def _wrap(seam: Lm15Seam, current: CurrentCache, original: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    @wraps(original)
    def stream(transport: Any, request: Any) -> Any:
        cache = current()
        if cache is None or is_forwarded() or transport._closed:
            return original(transport, request)

        def forward(call: Call) -> Any:
            with forwarding():  # ours may be below too, under somebody else's patch
                return original(transport, call.request)

        return serve(seam, cache, Call(transport, request), transport._pool, forward)

    return stream


def _wrap_async(
    seam: Lm15Seam, current: CurrentCache, original: Callable[[Any, Any], Awaitable[Any]]
) -> Callable[[Any, Any], Awaitable[Any]]:
    @wraps(original)
    async def _do_stream(transport: Any, request: Any) -> Any:
        cache = current()
        if cache is None or is_forwarded() or transport._closed:
            return await original(transport, request)

        async def forward(call: Call) -> Any:
            with forwarding():
                return await original(transport, call.request)

        return await serve_async(seam, cache, Call(transport, request), transport._pool, forward)

    return _do_stream


def _wrap_close(original: Callable[[Any], None]) -> Callable[[Any], None]:
    @wraps(original)
    def close_all(pool: Any) -> None:
        close_client(pool, partial(original, pool))

    return close_all


def _wrap_aclose(original: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
    @wraps(original)
    async def close_all(pool: Any) -> None:
        await aclose_client(pool, partial(original, pool))

    return close_all


class Call(NamedTuple):
    """A request, and the transport that it was given to."""

    transport: Any
    request: Any


class Lm15Seam:
    """lm15's classes."""

    codings = CODINGS

    def __init__(self, module: Any) -> None:
        self.module = module
        self.library = module.__name__.partition(".")[0]

    def origin(self, call: Call) -> Origin:
        parts = urlsplit(call.request.url)
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        return call.request.method.upper(), parts.scheme, parts.hostname or "", parts.port, target

    def headers(self, call: Call) -> Sequence[tuple[bytes, bytes]]:
        return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in call.request.headers]

    def body(self, call: Call) -> _Whole | None:
        body = bytes(call.request.body or b"")
        return None if len(body) > MOST else _Whole(body)

    def patience(self, call: Call) -> float | None:
        seconds: float | None = call.request.read_timeout or call.transport._read_timeout
        return seconds

    def rebuild(self, call: Call, headers: Headers, body: Any) -> Call:
        pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
        whole = call.request.body if body is None else body.whole
        return call._replace(request=replace(call.request, headers=pairs, body=whole))

    def upstream(self, response: Any, owner: Any) -> Upstream:
        return Upstream(_head(response), response, response, response.close, _socket(response), owner)

    def upstream_async(self, response: Any, owner: Any) -> AsyncUpstream:
        return AsyncUpstream(_head(response), response, response, response.aclose, owner)

    def respond(self, call: Call, head: Head, body: Any, outcome: str, upstream: Any = None) -> Any:
        is_async = hasattr(body, "__anext__")
        make = self.module.AsyncTransportResponse if is_async else self.module.TransportResponse
        return make(
            status=head.status,
            reason=head.reason.decode("latin-1"),
            headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers],
            http_version=head.http_version.decode("ascii"),
            chunks=body if is_async else iter(body),
            release=partial(_release_async if is_async else _release, body),
        )

    def broken(self, message: str) -> Exception:
        error: Exception = self.module.ReadError(message)
        return error


class _Whole:
    """A body in one piece, for sync and async readers."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        yield self._body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body


def _head(response: Any) -> Head:
    return Head(
        response.status,
        Headers((name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers),
        response.reason.encode("latin-1"),
        response.http_version.encode("ascii"),
    )


def _socket(response: Any) -> Any:
    """Return the socket that a response comes from, which it keeps to itself."""
    frame = getattr(response._chunks, "gi_frame", None)
    return None if frame is None else getattr(frame.f_locals.get("conn"), "sock", None)


def _release(body: Iterable[bytes], _consumed: bool) -> None:
    close = getattr(body, "close", None)
    if close is not None:
        close()


async def _release_async(body: Any, _consumed: bool) -> None:
    await body.aclose()
