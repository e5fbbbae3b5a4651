"""The seam of aiohttp: a middleware, innermost of all, that `ClientSession._request` is given.

It sees each hop of a redirect and each attempt with its final URL, headers and body; session, cookies, traces,
redirects and timeouts are above. What a caller gets is a `ClientResponse` of ours whose content is pulled from the
cache's body: the provider's own stays with the connection, for others may read along.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Sequence
from functools import lru_cache, partial, wraps
from types import ModuleType
from typing import Any, NamedTuple

from askonce._core.coding import CODINGS, Decoder, coding_of
from askonce._core.messages import Head, Headers
from askonce._engine.call import Origin
from askonce._engine.upstream import AsyncUpstream, aclose_client, put_off
from askonce.intercept.serving import MOST, CurrentCache, Place, is_forwarded, serve_async

MARK = "_askonce"
"""An attribute of the middleware: what of ours is below, under somebody else's patch, adds none."""

_DECODED = frozenset({b"content-encoding", b"content-length"})


def is_supported(module: Any) -> bool:
    """Tell whether this release takes middlewares that can read a body (3.12.7 and later)."""
    request = getattr(module, "ClientRequest", None)
    return hasattr(module, "ClientMiddlewareType") and hasattr(request, "update_body")


def places(module: ModuleType, current: CurrentCache) -> Iterator[Place]:
    """Yield what is to be patched."""
    aiohttp: Any = module
    if not is_supported(aiohttp):
        return
    yield Place(aiohttp.ClientSession, "_request", partial(_wrap, aiohttp, current))
    for connector in (aiohttp.BaseConnector, *aiohttp.BaseConnector.__subclasses__()):
        if "close" in vars(connector):
            yield Place(connector, "close", _wrap_close)


def _wrap(module: Any, current: CurrentCache, original: Callable[..., Any]) -> Callable[..., Any]:
    plain, decoding = AiohttpSeam(module, decodes=False), AiohttpSeam(module, decodes=True)

    @wraps(original)
    async def _request(session: Any, *given: Any, **options: Any) -> Any:
        cache = current()
        theirs = options.get("middlewares")
        if theirs is None:
            theirs = session._middlewares
        if cache is None or is_forwarded() or any(hasattr(one, MARK) for one in theirs):
            return await original(session, *given, **options)

        wanted = options.get("auto_decompress")
        seam = decoding if (session.auto_decompress if wanted is None else wanted) else plain

        async def middleware(request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
            def forward(hop: Hop) -> Awaitable[Any]:
                return _send(hop, handler)

            hop = Hop(request, session, options)
            return await serve_async(seam, cache, hop, session.connector, forward)

        setattr(middleware, MARK, True)
        return await original(session, *given, **{**options, "middlewares": (*theirs, middleware)})

    return _request


def _wrap_close(original: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    @wraps(original)
    def close(connector: Any, **options: Any) -> Awaitable[None]:
        end = partial(original, connector, **options)
        return _NOTHING if put_off(connector, partial(aclose_client, connector, end)) else end()

    return close


class Hop(NamedTuple):
    """One request on its way, and what `_request` was called with."""

    request: Any
    session: Any
    options: dict[str, Any]
    body: bytes | None = None
    """What is to be sent, should it not be what the request has."""


async def _send(hop: Hop, handler: Callable[[Any], Awaitable[Any]]) -> Any:
    request, body = hop.request, hop.body
    if body is not None and (not request.body or await request.body.as_bytes() != body):
        await request.update_body(io.BytesIO(body))  # of large bytes aiohttp would warn
    return await handler(request)


class AiohttpSeam:
    """aiohttp's classes."""

    library = "aiohttp"

    def __init__(self, module: Any, *, decodes: bool) -> None:
        from inspect import signature  # too heavy for a program without aiohttp

        self.module = module
        self._decodes = decodes  # whether aiohttp undoes the content coding before anybody sees it
        self.codings: frozenset[str] = (
            frozenset() if decodes else CODINGS
        )  # what is recorded is what was on the wire
        self._content = _content_class(module)
        self._more = (
            {"stream_writer": _SENT} if "stream_writer" in signature(module.ClientResponse).parameters else {}
        )

    def origin(self, hop: Hop) -> Origin:
        url = hop.request.url
        return hop.request.method, url.scheme, url.raw_host or "", url.explicit_port, url.raw_path_qs

    def headers(self, hop: Hop) -> Sequence[tuple[bytes, bytes]]:
        return [(_encode(name), _encode(value)) for name, value in hop.request.headers.items()]

    def body(self, hop: Hop) -> AsyncIterator[bytes] | None:
        size = getattr(hop.request.body, "size", 0)
        return None if size is not None and size > MOST else self._pieces(hop.request.body)

    async def _pieces(self, body: Any) -> AsyncIterator[bytes]:
        if self._is_generated(body):
            async for piece in body._iter:  # `as_bytes` would gather what may have no end
                yield piece
        elif body:
            yield await body.as_bytes()

    def _is_generated(self, body: Any) -> bool:
        return isinstance(body, self.module.AsyncIterablePayload) and body._iter is not None

    def patience(self, hop: Hop) -> float | None:
        timeout = hop.options.get("timeout")
        if not isinstance(timeout, self.module.ClientTimeout):
            timeout = hop.session.timeout
        seconds: float | None = timeout.sock_read
        return seconds

    def rebuild(self, hop: Hop, headers: Headers, body: Any) -> Hop:
        """Change the request itself: it is this hop's alone."""
        pairs = [(_decode(name), _decode(value)) for name, value in headers]
        hop.request.headers.clear()
        hop.request.headers.extend(pairs)
        if body is None:
            return hop
        if self._is_generated(hop.request.body):
            hop.request.body._iter = aiter(body)
            return hop
        return hop._replace(body=body.whole)

    def upstream_async(self, response: Any, owner: Any) -> AsyncUpstream:
        content = response.content
        if not content.at_eof():
            content._timer = self.module.helpers.TimerNoop()  # it is the caller's; others may have more time
        headers = Headers(response.raw_headers)
        if self._decodes and coding_of(headers):
            headers = headers.without(_DECODED)
        version = b"HTTP/%d.%d" % response.version[:2]
        head = Head(response.status, headers, _encode(response.reason or ""), version)

        async def release() -> None:
            response.release()

        return AsyncUpstream(head, response, _Pieces(content), release, owner)

    def respond(self, hop: Hop, head: Head, body: Any, outcome: str, upstream: Any = None) -> Any:
        request, info = hop.request, hop.request.request_info
        response = request.response_class(
            request.method,
            request.original_url,
            writer=None,
            continue100=None,
            timer=request._timer,
            request_info=info,
            traces=request._traces,
            loop=request.loop,
            session=hop.session,
            **self._more,
        )
        response.version = self.module.HttpVersion(*map(int, head.http_version.removeprefix(b"HTTP/").split(b".")))
        response.status = head.status
        response.reason = _decode(head.reason)
        if upstream is None:
            spelled = _spellings(self.module)
            names = (_decode(name) for name, _ in head.headers)
            values = (_decode(value) for _, value in head.headers)
            pairs = zip((spelled.get(name.lower(), name) for name in names), values, strict=True)
            response._headers = type(info.headers)(type(request.headers)(pairs))  # multidict's classes
            response._raw_headers = tuple(head.headers)
        else:
            response._headers, response._raw_headers = upstream.headers, upstream.raw_headers
            for name in ("_cookies", "_raw_cookie_headers"):  # where the session looks for them, by release
                if hasattr(upstream, name):
                    setattr(response, name, getattr(upstream, name))
        coding = coding_of(head.headers)
        limit = hop.options.get("read_bufsize") or hop.session._read_bufsize
        content = self._content(body, limit, request._timer, request.loop)
        if self._decodes and coding in CODINGS:
            content.decoder = Decoder(coding)
        if (head.headers.get(b"transfer-encoding") or "").lower() == "chunked":
            content.begin_http_chunk_receiving()
        response.content = content
        response._closed = False
        response._connection = _Line(body, upstream)
        content.on_eof(response._response_eof)
        return response

    def broken(self, message: str) -> Exception:
        error: Exception = self.module.ClientPayloadError(message)
        return error


class _Pieces:
    """A response's content as it comes, by HTTP's own chunks where it has such."""

    def __init__(self, content: Any) -> None:
        self._content = content

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._content.at_eof():
            data: bytes
            data, _ = await self._content.readchunk()
            if data:
                return data
        raise StopAsyncIteration


class _Line:
    """Stands where a response has its connection: what lets go of that lets go of the body."""

    protocol = None

    def __init__(self, body: Any, upstream: Any) -> None:
        self._body = body
        self._upstream = upstream
        self._callbacks: list[Callable[[], None]] = []

    @property
    def transport(self) -> Any:
        """The provider's, while there is one."""
        connection = None if self._upstream is None else self._upstream.connection
        return None if connection is None else connection.transport

    def add_callback(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    def release(self) -> None:
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()
        self._body.close()

    close = release


class _Idle:
    """Stands for the protocol that a stream reader would hold back and let go on."""

    connected = True
    _reading_paused = False

    def pause_reading(self) -> None:
        pass

    def resume_reading(self, **_: Any) -> None:
        pass


class _Sent:
    """Stands for the writer of a request that has been sent."""

    output_size = 0


class _Nothing(Awaitable[None]):
    """Can be awaited, and need not be."""

    def __await__(self) -> Generator[Any, Any, None]:
        yield from ()


_IDLE, _SENT, _NOTHING = _Idle(), _Sent(), _Nothing()


@lru_cache(maxsize=4)
def _content_class(module: Any) -> Any:
    class Content(module.StreamReader):  # type: ignore[misc]
        """A stream reader that pulls: what is not in its buffer it fetches from a body of ours."""

        decoder: Decoder | None = None

        def __init__(self, body: Any, limit: int, timer: Any, loop: Any) -> None:
            super().__init__(_IDLE, limit, timer=timer, loop=loop)
            self._body = body
            pieces = getattr(body, "at_once", None)
            self._pieces = None if pieces is None else iter(pieces)
            self._is_pulling = False

        async def _wait(self, func_name: str) -> None:
            """Do what waits, in aiohttp's class, for more to come."""
            if self._pieces is not None:
                self._take(next(self._pieces, None))
                return
            if self._is_pulling:
                raise RuntimeError(f"{func_name}() called while another coroutine is already waiting for data")
            self._is_pulling = True
            try:
                with self._timer:
                    await self._pull()
            except Exception as error:
                self.set_exception(error)
                raise
            finally:
                self._is_pulling = False

        async def _pull(self) -> None:
            try:
                data = await anext(self._body)
            except StopAsyncIteration:
                self._take(None)
            else:
                self._take(data)

        def _take(self, data: bytes | None) -> None:
            """Put what has come into the buffer; None is the end."""
            if data is None:
                self.feed_eof()
                return
            if self.decoder is not None:
                data = self.decoder.feed(data)
            self.feed_data(data)
            if data and self._http_chunk_splits is not None:
                self.end_http_chunk_receiving()

        async def wait_eof(self) -> None:
            while not self._eof:
                await self._wait("wait_eof")

    return Content


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


@lru_cache(maxsize=4)
def _spellings(module: Any) -> dict[str, str]:
    """Return the names that aiohttp's parser spells in its own way, whatever is sent; its slow one does not."""
    parser = getattr(module, "http_parser", None)
    if parser is None or parser.HttpResponseParser is parser.HttpResponseParserPy:
        return {}
    return {
        name.lower(): name
        for key, name in vars(module.hdrs).items()
        if isinstance(name, str) and key == name.upper().replace("-", "_")
    }
