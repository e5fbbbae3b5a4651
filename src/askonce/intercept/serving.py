"""From a client library's request to its response, by way of the cache.

A `Seam` knows one library's classes and nothing else; the two functions here know none.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol

from askonce._core.messages import Answer, Head, Headers, Request
from askonce._engine.cache import Cache
from askonce._engine.call import Match, Origin
from askonce._engine.sync import Answered, ReplayBody, ask
from askonce._engine.upstream import AsyncUpstream, Upstream
from askonce.errors import UpstreamEnded

MOST = 64 << 20
"""Bytes of the longest request body that is looked at; a longer one goes to the provider as it is."""

_OWN = b"x-askonce-"
_LIBRARIES = frozenset({"httpcore", "httpcore2", "httpx", "httpx2", "aiohttp", "urllib3", "lm15", "dspy"})


CurrentCache = Callable[[], Cache | None]
"""Says which cache a call goes through, if any."""


class Place(NamedTuple):
    """A class's method, or a module's function, to be patched: `wrap` makes what to put there of what is there."""

    owner: Any
    method: str
    wrap: Callable[[Any], Any]


_forwarding: ContextVar[bool] = ContextVar("askonce_forwarding", default=False)


@contextmanager
def forwarding() -> Iterator[None]:
    """Have the seams that cannot mark their requests let pass what is sent inside."""
    token = _forwarding.set(True)
    try:
        yield
    finally:
        _forwarding.reset(token)


def is_forwarded() -> bool:
    """Tell whether what is sent now has been through a seam above."""
    return _forwarding.get()


class Seam(Protocol):
    """One client library's requests and responses."""

    library: str
    """The name of its package."""

    codings: frozenset[str]
    """The content codings in which an answer can be recorded."""

    def origin(self, request: Any) -> Origin:
        """Return what tells whether a request is ours."""
        ...

    def headers(self, request: Any) -> Sequence[tuple[bytes, bytes]]:
        """Return the headers as the request has them."""
        ...

    def body(self, request: Any) -> Any:
        """Return the pieces of the body, to iterate over once; None when it says that it is longer than `MOST`."""
        ...

    def patience(self, request: Any) -> float | None:
        """Return the seconds for which the caller would wait for a provider that is silent."""
        ...

    def rebuild(self, request: Any, headers: Headers, body: Any) -> Any:
        """Return a native request like `request`, but with these headers and this body to iterate over.

        Without a body it keeps its own, of which nothing has been read.
        """
        ...

    def respond(self, request: Any, head: Head, body: Any, outcome: str, upstream: Any = None) -> Any:
        """Return a native response with this head, and this body to iterate over and close.

        `upstream` is the provider's own response, if this is what the caller gets of it.
        """
        ...

    def broken(self, message: str) -> Exception:
        """Return the library's error for a connection that broke."""
        ...


class SyncSeam(Seam, Protocol):
    """The same for sync clients."""

    def upstream(self, response: Any, owner: Any) -> Upstream:
        """Return a native response as the drivers take it."""
        ...


class AsyncSeam(Seam, Protocol):
    """The same for async clients."""

    def upstream_async(self, response: Any, owner: Any) -> AsyncUpstream:
        """Return a native response as the drivers take it."""
        ...


def serve(seam: SyncSeam, cache: Cache, request: Any, owner: Any, forward: Callable[[Any], Any]) -> Any:
    """Answer a sync native request; `owner` is the pool or transport through which `forward` sends it."""
    origin = seam.origin(request)
    match = cache.match(*origin)
    if match is None:
        kept = _without_controls(seam, request)
        return forward(request if kept is None else seam.rebuild(request, kept, None))
    chunks: list[bytes] = []
    size = 0
    whole = seam.body(request)
    stream = None if whole is None else iter(whole)
    for chunk in stream or ():
        chunks.append(chunk)
        size += len(chunk)
        if size > MOST:
            break
    if stream is None or size > MOST:
        passed = _let_pass(seam, cache, request, origin, match)
        if isinstance(passed, Answer):
            return seam.respond(request, passed.head, ReplayBody(passed, 0.0), "refused")
        rest = None if stream is None else Body([chunks, stream])
        return forward(seam.rebuild(request, passed.headers, rest))
    body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    asked = Request(*origin, Headers(seam.headers(request)), body)
    known = cache.recall(asked)
    if known is not None:
        return seam.respond(request, known.answer.head, [data for data, _ in known.answer.chunks], "hit")

    response: Any = None

    def send(changed: Request) -> Upstream:
        nonlocal response
        pieces = chunks if changed.body is asked.body else [changed.body]
        response = forward(seam.rebuild(request, changed.headers, Body([pieces])))
        return seam.upstream(response, owner)

    answer = ask(cache, asked, match, send, seam.patience(request), seam.codings)
    if isinstance(answer, Answered):
        if isinstance(answer.body, ReplayBody):  # nothing can break in it
            return seam.respond(request, answer.head, answer.body, answer.outcome)
        upstream = response if answer.outcome == "miss" else None
        return seam.respond(request, answer.head, Translated(seam, answer.body), answer.outcome, upstream)
    return answer.native


async def serve_async(
    seam: AsyncSeam, cache: Cache, request: Any, owner: Any, forward: Callable[[Any], Awaitable[Any]]
) -> Any:
    """Answer an async native request; `owner` is the pool or transport through which `forward` sends it."""
    from askonce._engine.aio import AsyncAnswered, AsyncReplayBody, ask_async  # a sync program has no asyncio

    origin = seam.origin(request)
    match = cache.match(*origin)
    if match is None:
        kept = _without_controls(seam, request)
        return await forward(request if kept is None else seam.rebuild(request, kept, None))
    chunks: list[bytes] = []
    size = 0
    whole = seam.body(request)
    stream = None if whole is None else aiter(whole)
    if stream is not None:
        async for chunk in stream:
            chunks.append(chunk)
            size += len(chunk)
            if size > MOST:
                break
    if stream is None or size > MOST:
        passed = _let_pass(seam, cache, request, origin, match)
        if isinstance(passed, Answer):
            return seam.respond(request, passed.head, AsyncReplayBody(passed, 0.0), "refused")
        rest = None if stream is None else AsyncBody([chunks], stream)
        return await forward(seam.rebuild(request, passed.headers, rest))
    body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    asked = Request(*origin, Headers(seam.headers(request)), body)
    known = cache.recall(asked)
    if known is not None:
        return seam.respond(request, known.answer.head, AsyncReplayBody(known.answer, 0.0), "hit")

    response: Any = None

    async def send(changed: Request) -> AsyncUpstream:
        nonlocal response
        pieces = chunks if changed.body is asked.body else [changed.body]
        response = await forward(seam.rebuild(request, changed.headers, AsyncBody([pieces])))
        return seam.upstream_async(response, owner)

    answer = await ask_async(cache, asked, match, send, seam.patience(request), seam.codings)
    if isinstance(answer, AsyncAnswered):
        if isinstance(answer.body, AsyncReplayBody):
            return seam.respond(request, answer.head, answer.body, answer.outcome)
        upstream = response if answer.outcome == "miss" else None
        return seam.respond(request, answer.head, AsyncTranslated(seam, answer.body), answer.outcome, upstream)
    return answer.native


def _let_pass(seam: Seam, cache: Cache, request: Any, origin: Origin, match: Match) -> Request | Answer:
    asked = Request(*origin, Headers(seam.headers(request)), b"")
    return cache.let_pass(asked, match, f"its body is longer than {MOST:,} bytes")


def _without_controls(seam: Seam, request: Any) -> Headers | None:
    """Return the headers less our own, which a client may send with all its requests; None when it has none."""
    pairs = seam.headers(request)
    kept = tuple(pair for pair in pairs if pair[0][: len(_OWN)].lower() != _OWN)
    return None if len(kept) == len(pairs) else Headers(kept)


class Body:
    """A request's body in the pieces it came in, to be sent as often as need be."""

    def __init__(self, parts: list[Any]) -> None:
        self._parts = parts

    @property
    def whole(self) -> bytes | None:
        """All of it in one piece; None when more is to come."""
        return b"".join(self._parts[0]) if len(self._parts) == 1 else None

    def __iter__(self) -> Iterator[bytes]:
        for part in self._parts:
            yield from part


class AsyncBody:
    """The same for async clients; `rest` is what has not been read yet."""

    def __init__(self, parts: list[list[bytes]], rest: AsyncIterator[bytes] | None = None) -> None:
        self._parts = parts
        self._rest = rest

    @property
    def whole(self) -> bytes | None:
        """All of it in one piece; None when more is to come."""
        return b"".join(self._parts[0]) if self._rest is None else None

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

    def close(self) -> None:
        self._body.close()


def _is_foreign(error: Exception, seam: Seam) -> bool:
    """Tell whether this library's callers do not expect such an error: the stream may be another library's."""
    library = type(error).__module__.partition(".")[0]
    return isinstance(error, UpstreamEnded) or (library in _LIBRARIES and library != seam.library)
