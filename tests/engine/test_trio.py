"""Under trio calls are recorded and replayed; those in flight are not shared, and are ended as trio wants it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import aclosing
from types import ModuleType
from typing import Any

import httpx
import httpx2
import pytest
import trio

from askonce._engine import aio
from askonce._engine.cache import Cache
from askonce.testing import Fault
from tests.engine.readers import SECONDS, ThreadReader
from tests.engine.stepped import Stepped, until
from tests.rig import CHAT, KEY, chat

pytestmark = [
    pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"]),
    pytest.mark.filterwarnings("ignore:Async generator 'http(x|core)[.]:ResourceWarning"),  # it forgets its own
]
HEADERS = {"authorization": f"Bearer {KEY}"}


@pytest.fixture(autouse=True)
def strict() -> Iterator[None]:
    """Expect no asyncio to be needed, nor a thread."""
    before = set(threading.enumerate())
    yield
    begun = set(threading.enumerate()) - before
    assert [] == [thread for thread in begun if thread.name.startswith("askonce-")]


async def read(client: Any, url: str, content: str = "trio?") -> bytes:
    async with client.stream("POST", url + CHAT, json=chat(content, stream=True)) as response:
        return b"".join([piece async for piece in response.aiter_raw()])


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_record_and_replay(cache: Cache, provider: Stepped, library: ModuleType, stream: bool) -> None:
    """What trio recorded, trio replays, and so does asyncio."""

    async def ask() -> bytes:
        async with library.AsyncClient(headers=HEADERS, verify=False) as client:
            answer = await client.post(provider.url + CHAT, json=chat(stream=stream))
            body: bytes = answer.content
            return body

    first = trio.run(ask)
    assert first == trio.run(ask) == asyncio.run(ask())
    assert (1, 1, 2) == (provider.count(), cache.stats.recorded, cache.stats.hits)


def test_a_rhythm(cache: Cache, provider: Stepped, library: ModuleType) -> None:
    """A recorded rhythm is replayed with trio's clock."""
    import askonce

    provider.pace = 0.02

    async def ask() -> float:
        async with library.AsyncClient(headers=HEADERS, verify=False) as client:
            began = time.monotonic()
            await read(client, provider.url)
            return time.monotonic() - began

    taken = trio.run(ask)
    with askonce.options(delays=True):
        assert abs(taken - trio.run(ask)) < taken / 2
    assert 1 == provider.count()


@pytest.mark.parametrize("where", ["in a read", "between reads"])
def test_a_cancelled_read(cache: Cache, provider: Stepped, library: ModuleType, where: str) -> None:
    """A cancelled scope ends at once; nothing is kept, and the connection is let go of."""

    async def main() -> None:
        async with library.AsyncClient(headers=HEADERS, verify=False) as client:
            provider.hold(2)
            with trio.move_on_after(0.1) as scope:
                async with (
                    client.stream("POST", provider.url + CHAT, json=chat(stream=True)) as response,
                    aclosing(response.aiter_raw()) as chunks,
                ):
                    async for _ in chunks:
                        if where == "between reads":
                            await trio.sleep(60)
            assert scope.cancelled_caught
            assert "1 active" not in repr(client._transport._pool)
            provider.release()
            await read(client, provider.url)

    trio.run(main)
    assert (2, 1) == (provider.count(), cache.stats.recorded)


def test_a_cancelled_wait_for_the_head(cache: Cache, provider: Stepped, library: ModuleType) -> None:
    """A call that is cancelled before its answer has begun leaves nothing behind."""

    async def main() -> None:
        async with library.AsyncClient(headers=HEADERS, verify=False) as client:
            provider.hold()
            with trio.move_on_after(0.1):
                await read(client, provider.url)
            provider.release()
            await read(client, provider.url)

    trio.run(main)
    assert (2, 1) == (provider.count(), cache.stats.recorded)


@pytest.mark.parametrize("stalls", [False, True], ids=["tail comes", "tail stalls"])
def test_stopping_one_event_early(
    cache: Cache, provider: Stepped, library: ModuleType, stalls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tail of an answer that is closed one event early is fetched, for a bounded time."""
    monkeypatch.setattr(aio, "DRAIN_SECONDS", 0.2)
    provider.pace = 0.01
    if stalls:
        provider.fail_next(Fault.STALL(after_chunks=10**6, seconds=30))

    async def main() -> None:
        async with library.AsyncClient(headers=HEADERS, verify=False) as client:
            async with (
                client.stream("POST", provider.url + CHAT, json=chat(stream=True)) as response,
                aclosing(response.aiter_raw()) as chunks,
            ):
                async for piece in chunks:
                    if b'"finish_reason":"stop"' in piece:
                        break
            assert (0 if stalls else 1) == cache.stats.recorded

    began = time.monotonic()
    trio.run(main)
    assert time.monotonic() - began < 5


def test_each_asks_for_itself(cache: Cache, provider: Stepped, library: ModuleType) -> None:
    """Calls in flight under trio are shared neither among themselves nor with a thread, and disturb nobody."""
    bodies: list[bytes] = []

    async def ask(client: Any) -> None:
        bodies.append(await read(client, provider.url, "What is a café?"))

    async def main() -> None:
        async with library.AsyncClient(headers=HEADERS, verify=False) as client, trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(ask, client)

    leader = ThreadReader(library, provider.url, stream=True)
    provider.hold(1)
    leader.open().result(SECONDS)
    until(lambda: provider.is_waiting)
    trio.run(main)
    provider.release()
    bodies.append(leader.rest())
    leader.shut().result(SECONDS)
    assert 4 == provider.count()
    assert all(body.endswith(b"[DONE]\n\n") for body in bodies)
    assert 1 == cache.stats.recorded


def test_trio_as_a_guest_of_asyncio(cache: Cache, provider: Stepped, library: ModuleType) -> None:
    """Where trio runs inside an asyncio loop, calls from trio's tasks are trio's."""

    async def ask() -> bytes:
        async with library.AsyncClient(headers=HEADERS, verify=False) as client:
            return await read(client, provider.url)

    async def host() -> bytes:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()
        trio.lowlevel.start_guest_run(
            ask,
            run_sync_soon_threadsafe=loop.call_soon_threadsafe,
            done_callback=done.set_result,
        )
        outcome = await done
        body: bytes = outcome.unwrap()
        return body

    assert asyncio.run(host()).endswith(b"[DONE]\n\n")
    assert (1, 1) == (provider.count(), cache.stats.recorded)
