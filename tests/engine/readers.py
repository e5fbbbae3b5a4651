"""One call, made and read step by step from the test: in a thread of its own, or in an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from types import ModuleType, TracebackType
from typing import Any, Self

import aiohttp
import urllib3

from tests.rig import CHAT, KEY, chat

SECONDS = 20.0


class Loop:
    """An event loop that runs in a thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            runner.run(self._until_stopped())

    async def _until_stopped(self) -> None:
        self._stopped = asyncio.Event()
        self._started.set()
        await self._stopped.wait()

    def __enter__(self) -> Self:
        self._started = threading.Event()
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the loop as `asyncio.run` would: cancel what runs, close what is open."""
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join(SECONDS)

    def start(self, work: Coroutine[Any, Any, Any]) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.start(work).result(SECONDS)

    def tasks(self) -> int:
        """How many tasks there are, besides the one that waits for the end."""

        async def count() -> int:
            return len(asyncio.all_tasks()) - 2

        result: int = self.run(count())
        return result


class Reader:
    """A call that is opened, read and closed at the test's word; each of these returns a future."""

    def __init__(self, library: ModuleType, url: str, *, stream: bool, key: str = KEY, **options: Any) -> None:
        self.pieces: list[bytes] = []
        self._request = ("POST", url + CHAT)
        self._json = chat(stream=stream)
        self._options: dict[str, Any] = {
            "headers": {"authorization": f"Bearer {key}"},
            "timeout": 30,
            "verify": False,
            **options,
        }
        self.client: Any = None
        self.response: Any = None

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def is_idle(self) -> bool:
        """Whether the client's pool has no connection in use."""
        return "0 active" in (text := repr(self.client._transport._pool)) and "1 active" not in text

    def open(self) -> Future[int]:
        """Ask, and read the head; the result is the status."""
        raise NotImplementedError

    def next(self) -> Future[bytes | None]:
        """Read one chunk; None at the end."""
        raise NotImplementedError

    def all(self) -> Future[bytes]:
        """Read to the end; the result is the whole body."""
        raise NotImplementedError

    def close(self) -> Future[None]:
        """Stop reading, and close the response."""
        raise NotImplementedError

    def drop(self) -> Future[None]:
        """Forget the response, unclosed."""
        raise NotImplementedError

    def shut(self) -> Future[None]:
        """Close the client."""
        raise NotImplementedError

    def end(self) -> None:
        """Close the client now, and be done."""
        self.shut().result(SECONDS)

    def read(self, count: int) -> list[bytes]:
        """Read so many chunks now."""
        for _ in range(count):
            self.next().result(SECONDS)
        return self.pieces[-count:]

    def rest(self) -> bytes:
        """Read to the end now; return the whole body."""
        return self.all().result(SECONDS)

    def ask(self) -> bytes:
        """Ask and read the whole answer now."""
        self.open().result(SECONDS)
        return self.rest()


class ThreadReader(Reader):
    """A sync call in a thread of its own."""

    def __init__(self, library: ModuleType, url: str, **options: Any) -> None:
        super().__init__(library, url, **options)
        self._executor = ThreadPoolExecutor(1)
        self.client = library.Client(**self._options)
        self._chunks: Any = None

    def open(self) -> Future[int]:
        def work() -> int:
            request = self.client.build_request(*self._request, json=self._json)
            self.response = self.client.send(request, stream=True)
            self._chunks = self.response.iter_raw()
            status: int = self.response.status_code
            return status

        return self._executor.submit(work)

    def next(self) -> Future[bytes | None]:
        def work() -> bytes | None:
            piece: bytes | None = next(self._chunks, None)
            if piece is not None:
                self.pieces.append(piece)
            return piece

        return self._executor.submit(work)

    def all(self) -> Future[bytes]:
        def work() -> bytes:
            self.pieces.extend(self._chunks)
            return self.body

        return self._executor.submit(work)

    def close(self) -> Future[None]:
        return self._executor.submit(self.response.close)

    def drop(self) -> Future[None]:
        def work() -> None:
            self.response = self._chunks = None

        return self._executor.submit(work)

    def shut(self) -> Future[None]:
        return self._executor.submit(self.client.close)

    def end(self) -> None:
        super().end()
        self._executor.shutdown(wait=False)


class LoopReader(Reader):
    """An async call in an event loop."""

    def __init__(self, loop: Loop, library: ModuleType, url: str, **options: Any) -> None:
        super().__init__(library, url, **options)
        self.loop = loop
        self.client = library.AsyncClient(**self._options)
        self._chunks: Any = None

    def open(self) -> Future[int]:
        async def work() -> int:
            request = self.client.build_request(*self._request, json=self._json)
            self.response = await self.client.send(request, stream=True)
            self._chunks = self.response.aiter_raw()
            status: int = self.response.status_code
            return status

        return self.loop.start(work())

    def next(self) -> Future[bytes | None]:
        async def work() -> bytes | None:
            piece: bytes | None = await anext(self._chunks, None)
            if piece is not None:
                self.pieces.append(piece)
            return piece

        return self.loop.start(work())

    def all(self) -> Future[bytes]:
        async def work() -> bytes:
            async for piece in self._chunks:
                self.pieces.append(piece)
            return self.body

        return self.loop.start(work())

    def close(self) -> Future[None]:
        async def work() -> None:
            await self.response.aclose()

        return self.loop.start(work())

    def drop(self) -> Future[None]:
        async def work() -> None:
            self.response = self._chunks = None

        return self.loop.start(work())

    def shut(self) -> Future[None]:
        async def work() -> None:
            await self.client.aclose()

        return self.loop.start(work())


class Urllib3Reader(ThreadReader):
    """A call over urllib3."""

    def __init__(self, url: str, **options: Any) -> None:
        Reader.__init__(self, urllib3, url, **options)
        self._executor = ThreadPoolExecutor(1)
        self.client = urllib3.PoolManager(headers=self._options["headers"], timeout=self._options["timeout"])
        self._chunks: Any = None

    def open(self) -> Future[int]:
        def work() -> int:
            self.response = self.client.request(
                *self._request, json=self._json, headers=self._options["headers"], preload_content=False
            )
            self._chunks = self.response.stream(decode_content=False)
            status: int = self.response.status
            return status

        return self._executor.submit(work)

    def shut(self) -> Future[None]:
        return self._executor.submit(self.client.clear)


class AiohttpReader(LoopReader):
    """A call over aiohttp in an event loop."""

    def __init__(self, loop: Loop, url: str, **options: Any) -> None:
        Reader.__init__(self, aiohttp, url, **options)
        self.loop = loop
        self._chunks: Any = None

        async def make() -> aiohttp.ClientSession:
            return aiohttp.ClientSession(headers=self._options["headers"])

        self.client = loop.run(make())

    def open(self) -> Future[int]:
        async def work() -> int:
            self.response = await self.client.request(*self._request, json=self._json)
            self._chunks = self.response.content.iter_any()
            status: int = self.response.status
            return status

        return self.loop.start(work())

    def close(self) -> Future[None]:
        async def work() -> None:
            self.response.close()

        return self.loop.start(work())

    def shut(self) -> Future[None]:
        async def work() -> None:
            await self.client.close()

        return self.loop.start(work())
