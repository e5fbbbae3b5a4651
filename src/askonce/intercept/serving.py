"""From a client library's request to its response, by way of the cache; for libraries shaped like httpcore.

A `Seam` knows one library's classes and nothing else; the two functions here know none.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any, Protocol

from askonce._core.messages import Answer, Head, Headers, Request
from askonce._engine.cache import Cache, Origin
from askonce._engine.sync import Answered, ReplayBody, ask
from askonce._engine.upstream import AsyncUpstream, Upstream
from askonce.errors import UpstreamEnded

MOST = 64 << 20
"""Bytes of the longest request body that is looked at; a longer one goes to the provider as it is."""

_OWN = b"x-askonce-"
_LIBRARIES = frozenset({"httpcore", "httpcore2", "httpx", "httpx2"})


class Seam(Protocol):
    """One client library's requests and responses."""

    library: str
    """The name of its package."""

    def origin(self, request: Any) -> Origin:
        """Return what tells whether a request is ours."""
        ...

    def headers(self, request: Any) -> Sequence[tuple[bytes, bytes]]:
        """Return the headers as the request has them."""
        ...

    def rebuild(self, request: Any, headers: Headers, body: Any) -> Any:
        """Return a native request like `request`, but with these headers and this body to iterate over."""
        ...

    def head(self, response: Any) -> Head:
        """Return the head of a native response."""
        ...

    def respond(self, head: Head, body: Any, outcome: str, upstream: Any = None) -> Any:
        """Return a native response with this head, and this body to iterate over and close.

        `upstream` is the provider's own response, if this is what the caller gets of it.
        """
        ...

    def broken(self, message: str) -> Exception:
        """Return the library's error for a connection that broke."""
        ...


def serve(seam: Seam, cache: Cache, request: Any, owner: Any, forward: Callable[[Any], Any]) -> Any:
    """Answer a sync native request; `owner` is the pool or transport through which `forward` sends it."""
    origin = seam.origin(request)
    match = cache.match(*origin)
    if match is None:
        kept = _without_controls(seam, request)
        return forward(request if kept is None else seam.rebuild(request, kept, Body([request.stream])))
    chunks: list[bytes] = []
    size = 0
    stream = iter(request.stream)
    for chunk in stream:
        chunks.append(chunk)
        size += len(chunk)
        if size > MOST:
            passed = cache.let_pass(
                Request(*origin, Headers(seam.headers(request)), b""),
                match,
                f"its body is longer than {MOST:,} bytes",
            )
            if isinstance(passed, Answer):
                return seam.respond(passed.head, ReplayBody(passed, 0.0), "refused")
            return forward(seam.rebuild(request, passed.headers, Body([chunks, stream])))
    body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    asked = Request(*origin, Headers(seam.headers(request)), body)
    known = cache.recall(asked)
    if known is not None:
        return seam.respond(known.head, [data for data, _ in known.chunks], "hit")

    response: Any = None

    def send(changed: Request) -> Upstream:
        nonlocal response
        pieces = chunks if changed.body is asked.body else [changed.body]
        response = forward(seam.rebuild(request, changed.headers, Body([pieces])))
        return Upstream(
            seam.head(response),
            response,
            response.stream,
            getattr(response.stream, "close", _nothing),
            _socket(response),
            owner,
        )

    answer = ask(cache, asked, match, send, _patience(request))
    if isinstance(answer, Answered):
        if isinstance(answer.body, ReplayBody):  # nothing can break in it
            return seam.respond(answer.head, answer.body, answer.outcome)
        upstream = response if answer.outcome == "miss" else None
        return seam.respond(answer.head, Translated(seam, answer.body), answer.outcome, upstream)
    return answer.native


async def serve_async(
    seam: Seam, cache: Cache, request: Any, owner: Any, forward: Callable[[Any], Awaitable[Any]]
) -> Any:
    """Answer an async native request; `owner` is the pool or transport through which `forward` sends it."""
    from askonce._engine.aio import AsyncAnswered, AsyncReplayBody, ask_async  # a sync program has no asyncio

    origin = seam.origin(request)
    match = cache.match(*origin)
    if match is None:
        kept = _without_controls(seam, request)
        if kept is None:
            return await forward(request)
        return await forward(seam.rebuild(request, kept, AsyncBody([], aiter(request.stream))))
    chunks: list[bytes] = []
    size = 0
    stream = aiter(request.stream)
    async for chunk in stream:
        chunks.append(chunk)
        size += len(chunk)
        if size > MOST:
            passed = cache.let_pass(
                Request(*origin, Headers(seam.headers(request)), b""),
                match,
                f"its body is longer than {MOST:,} bytes",
            )
            if isinstance(passed, Answer):
                return seam.respond(passed.head, AsyncReplayBody(passed, 0.0), "refused")
            return await forward(seam.rebuild(request, passed.headers, AsyncBody([chunks], stream)))
    body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    asked = Request(*origin, Headers(seam.headers(request)), body)
    known = cache.recall(asked)
    if known is not None:
        return seam.respond(known.head, AsyncReplayBody(known, 0.0), "hit")

    response: Any = None

    async def send(changed: Request) -> AsyncUpstream:
        nonlocal response
        pieces = chunks if changed.body is asked.body else [changed.body]
        response = await forward(seam.rebuild(request, changed.headers, AsyncBody([pieces])))
        return AsyncUpstream(
            seam.head(response),
            response,
            response.stream,
            getattr(response.stream, "aclose", _nothing_async),
            owner,
        )

    answer = await ask_async(cache, asked, match, send, _patience(request))
    if isinstance(answer, AsyncAnswered):
        if isinstance(answer.body, AsyncReplayBody):
            return seam.respond(answer.head, answer.body, answer.outcome)
        upstream = response if answer.outcome == "miss" else None
        return seam.respond(answer.head, AsyncTranslated(seam, answer.body), answer.outcome, upstream)
    return answer.native


def _without_controls(seam: Seam, request: Any) -> Headers | None:
    """Return the headers less our own, which a client may send with all its requests; None when it has none."""
    pairs = seam.headers(request)
    kept = tuple(pair for pair in pairs if pair[0][: len(_OWN)].lower() != _OWN)
    return None if len(kept) == len(pairs) else Headers(kept)


class Body:
    """A request's body in the pieces it came in, to be sent as often as need be."""

    def __init__(self, parts: list[Any]) -> None:
        self._parts = parts

    def __iter__(self) -> Iterator[bytes]:
        for part in self._parts:
            yield from part


class AsyncBody:
    """The same for async clients; `rest` is what has not been read yet."""

    def __init__(self, parts: list[list[bytes]], rest: AsyncIterator[bytes] | None = None) -> None:
        self._parts = parts
        self._rest = rest

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            for chunk in part:
                yield chunk
        if self._rest is not None:
            async for chunk in self._rest:
                yield chunk


class Translated:
    """A body of ours whose errors are the client library's."""

    def __init__(self, seam: Seam, body: Any) -> None:
        self._seam = seam
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._body
        except Exception as error:
            if _is_foreign(error, self._seam):
                raise self._seam.broken(str(error)) from error
            raise

    def close(self) -> None:
        self._body.close()


class AsyncTranslated:
    """The same for async clients. No generator: event loops look after those, and complain of forgotten ones."""

    def __init__(self, seam: Seam, body: Any) -> None:
        self._seam = seam
        self._body = body

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk: bytes = await anext(self._body)
        except StopAsyncIteration:
            raise
        except Exception as error:
            if _is_foreign(error, self._seam):
                raise self._seam.broken(str(error)) from error
            raise
        return chunk

    async def aclose(self) -> None:
        await self._body.aclose()


def _is_foreign(error: Exception, seam: Seam) -> bool:
    """Tell whether this library's callers do not expect such an error: the stream may be another library's."""
    library = type(error).__module__.partition(".")[0]
    return isinstance(error, UpstreamEnded) or (library in _LIBRARIES and library != seam.library)


def _patience(request: Any) -> float | None:
    """Return the seconds for which the caller would wait for a provider that is silent."""
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
