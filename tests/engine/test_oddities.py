"""What no provider should do, and no program: the caller is served all the same."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest

from askonce._core.tape import Tape
from askonce._engine.cache import Cache
from askonce.intercept import httpcore
from askonce.intercept.transport import caching_transport
from askonce.settings import read_settings
from tests.engine.stepped import until

URL = "https://api.openai.com/v1/chat/completions"
HEADERS = {"authorization": "Bearer sk-test-SECRET-odd-41b9e0"}
BODY = {"model": "gpt-local", "messages": [], "stream": True}
START = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"


@pytest.fixture
def cache() -> Iterator[Cache]:
    """Return a cache in memory."""
    cache = Cache(read_settings({"store": "memory:oddities"}))
    yield cache
    assert 0 == len(cache.flights)
    cache.guard.storage.remove(entry.question.key for entry in cache.guard.storage.entries())
    cache.close()


class Stream(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A body of these pieces, which notes that it is closed; a piece that is an error is raised."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self.pieces = pieces
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece

    def close(self) -> None:
        self.closed += 1

    async def aclose(self) -> None:
        self.closed += 1


def client(cache: Cache, handler: Any) -> httpx2.Client:
    """Return a client whose answers a function makes."""
    transport: Any = caching_transport(httpx2.MockTransport(handler), cache)
    return httpx2.Client(transport=transport, headers=HEADERS)


def answer(stream: Stream, kind: str = "text/event-stream", **headers: str) -> httpx2.Response:
    """Return an answer with this body."""
    return httpx2.Response(200, headers={"content-type": kind, **headers}, stream=stream)


@pytest.mark.parametrize(
    "odd",
    [
        b'data: {"choices":[{"index":[1],"delta":{}}]}\n\n',
        b'data: {"choices":[{"index":{},"finish_reason":"stop"}],"usage":[]}\n\n',
        b'data: {"type":["error"],"usage":{"prompt_tokens":"many"}}\n\n',
        b"data: " + b"[" * 100_000 + b"\n\n",
        b'data: {"choices":"none","usage":1e999}\n\n',
        b"\xff\xfe\x00data\r\r\n\n",
    ],
)
def test_events_that_make_no_sense(cache: Cache, odd: bytes) -> None:
    """Whatever a stream says, the caller gets it, and no error of ours."""
    with client(cache, lambda _: answer(Stream(START, odd, FINISH, DONE))) as one:
        assert START + odd + FINISH + DONE == one.post(URL, json=BODY).content


@pytest.mark.parametrize("length", ["²", "9" * 5000, "-1", "0x10", "1_0"])
def test_lengths_that_make_no_sense(cache: Cache, length: str) -> None:
    """A content-length that is no number breaks nothing."""
    stream = Stream(START, FINISH, DONE)
    head = {"content-type": "text/event-stream", "content-length": length.encode("latin-1")}
    response = httpx2.Response(200, headers=list(head.items()), stream=stream)  # type: ignore[arg-type]
    with client(cache, lambda _: response) as one:
        assert START + FINISH + DONE == one.post(URL, json=BODY).content


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_stream_is_closed_once(cache: Cache, is_async: bool) -> None:
    """The provider's stream is closed exactly once, at the end and when it breaks."""
    whole, broken = Stream(START, FINISH, DONE), Stream(START, httpx2.ReadError("cut"))
    streams = iter([whole, broken])

    def handle(_: Any) -> httpx2.Response:
        return answer(next(streams))

    async def ask(content: str) -> None:
        transport: Any = caching_transport(httpx2.MockTransport(handle), cache)
        async with httpx2.AsyncClient(transport=transport, headers=HEADERS) as one:
            await one.post(URL, json={**BODY, "user": content})

    def ask_sync(content: str) -> None:
        with client(cache, handle) as one:
            one.post(URL, json={**BODY, "user": content})

    def run(content: str) -> None:
        asyncio.run(ask(content)) if is_async else ask_sync(content)

    run("whole")
    with pytest.raises(httpx2.ReadError) as raised:
        run("broken")
    assert raised.value is broken.pieces[1], "the caller gets the error itself"
    assert (1, 1) == (whole.closed, broken.closed)


def test_a_tail_that_we_cut_off_is_no_end(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the end of the connection is the end of the body, an end of our own making does not complete it."""
    cut = threading.Event()

    class Socket:
        """Ends the stream when it is shut down."""

        def get_extra_info(self, _: str) -> Any:
            return self

    class Endless(Stream):
        def __iter__(self) -> Iterator[bytes]:
            yield from (START, FINISH)
            cut.wait(10)  # then the connection ends, as it does for a socket that is shut down

    monkeypatch.setattr("askonce._engine.sync.DRAIN_SECONDS", 0.2)
    monkeypatch.setattr("askonce._engine.sync.socket.socket.shutdown", lambda *_: cut.set())
    response = answer(Endless())
    response.extensions["network_stream"] = Socket()
    with client(cache, lambda _: response) as one, one.stream("POST", URL, json=BODY) as reading:
        for piece in reading.iter_raw():
            if piece == FINISH:
                break
    until(lambda: len(cache.flights) == 0)
    assert cut.is_set()
    assert 0 == cache.meter.stats.recorded


def test_a_call_inside_itself(cache: Cache) -> None:
    """A transport that makes the same call, in the same thread, does not wait for itself."""
    depth = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        depth.append(1)
        if len(depth) == 1:
            with client(cache, handle) as inner:
                inner.post(URL, json=BODY)
        return answer(Stream(START, FINISH, DONE))

    with client(cache, handle) as one:
        assert 200 == one.post(URL, json=BODY).status_code
    assert 2 == len(depth)


def test_a_fault_of_ours_at_the_head(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """If recording cannot even begin, those who wait do not wait for ever."""
    arrived, go = threading.Event(), threading.Event()
    errors: list[str] = []

    def handle(_: Any) -> httpx2.Response:
        arrived.set()
        go.wait(10)
        return answer(Stream(START, FINISH, DONE))

    def ask() -> None:
        with client(cache, handle) as one:
            try:
                one.post(URL, json=BODY)
            except MemoryError:
                errors.append("lead")

    def fail(*_: Any) -> Any:
        monkeypatch.undo()
        raise MemoryError

    monkeypatch.setattr(Tape, "__init__", fail)
    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    arrived.wait(10)
    go.set()
    for thread in threads:
        thread.join(10)
    assert ["lead"] == errors
    assert 1 == cache.meter.stats.recorded


@pytest.mark.parametrize(("version", "expected"), [(b"HTTP/1.1", "socket"), (b"HTTP/2", None)])
def test_a_connection_that_others_use_is_not_shut(version: bytes, expected: str | None) -> None:
    """To end a read, the socket is shut down; not where other answers come through it, as with HTTP/2."""
    network = SimpleNamespace(get_extra_info=lambda name: name)
    response = SimpleNamespace(extensions={"http_version": version, "network_stream": network})
    assert expected == httpcore._socket(response)
