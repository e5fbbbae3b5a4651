"""Answers from a dict: the least that any cache could do, at two floors of the client library.

The transport is what a program would write by hand; the pool is the floor that askonce answers at.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import httpcore2
import httpx2

from benchmarks import calls


class Canned(NamedTuple):
    """An answer, whole and in chunks."""

    headers: list[tuple[bytes, bytes]]
    chunks: list[bytes]
    whole: bytes


Key = tuple[str, str, bytes]


class Shelf(dict[Key, Canned]):
    """Answers by method, URL and body, put there beforehand."""

    def __init__(self, numbers: Iterator[int], *, stream: bool) -> None:
        super().__init__()
        for number in numbers:
            headers, chunks = calls.answer(number, stream=stream)
            chunks = [_one(chunk) for chunk in chunks]
            canned = Canned(headers, chunks, b"".join(chunks))
            self["POST", calls.URL, calls.body(number, stream=stream)] = canned


@lru_cache(maxsize=4096)
def _one(chunk: bytes) -> bytes:
    """Return one object for equal chunks: two thousand streams differ in one of two hundred."""
    return chunk


class Chunks(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A list of chunks as a body."""

    def __init__(self, chunks: list[bytes]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        yield from self._chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk


class Transport(httpx2.BaseTransport):
    """Answer from a shelf, with `Response(content=…)` or, when `chunked`, with `Response(stream=…)`."""

    def __init__(self, shelf: Shelf, *, chunked: bool) -> None:
        self._shelf = shelf
        self._chunked = chunked

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return self.answer(request, request.read())

    def answer(self, request: httpx2.Request, body: bytes) -> httpx2.Response:
        """Return the response to a request that has been read."""
        canned = self._shelf[request.method, str(request.url), body]
        if self._chunked:
            return httpx2.Response(200, headers=canned.headers, stream=Chunks(canned.chunks))
        return httpx2.Response(200, headers=canned.headers, content=canned.whole)


class AsyncTransport(httpx2.AsyncBaseTransport):
    """The same for async clients."""

    def __init__(self, shelf: Shelf, *, chunked: bool) -> None:
        self._sync = Transport(shelf, chunked=chunked)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return self._sync.answer(request, await request.aread())


class Pool:
    """Answer from a shelf in place of httpcore2's connection pool: httpx2's own transport stays above it."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = {key[2]: canned for key, canned in shelf.items()}

    def handle_request(self, request: httpcore2.Request) -> httpcore2.Response:
        stream: Any = request.stream
        return _core_response(self._shelf[b"".join(stream)])

    async def handle_async_request(self, request: httpcore2.Request) -> httpcore2.Response:
        stream: Any = request.stream
        return _core_response(self._shelf[b"".join([chunk async for chunk in stream])])

    def close(self) -> None:
        """Do nothing."""

    async def aclose(self) -> None:
        """Do nothing."""


def _core_response(canned: Canned) -> httpcore2.Response:
    return httpcore2.Response(200, headers=canned.headers, content=Chunks(canned.chunks))


def pooled(shelf: Shelf) -> httpx2.HTTPTransport:
    """Return httpx2's own transport over a pool that answers from the shelf."""
    transport = httpx2.HTTPTransport()
    object.__setattr__(transport, "_pool", Pool(shelf))
    return transport


def pooled_async(shelf: Shelf) -> httpx2.AsyncHTTPTransport:
    """Do as `pooled`."""
    transport = httpx2.AsyncHTTPTransport()
    object.__setattr__(transport, "_pool", Pool(shelf))
    return transport
