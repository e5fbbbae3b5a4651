"""Identical calls in flight make one request, and each caller gets its answer as if it had asked alone."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import aiohttp
import anyio
import httpx
import httpx2
import openai
import pytest
import urllib3

import askonce
from askonce._engine import loops as loops_module
from askonce._engine import threads as threads_module
from askonce._engine.cache import Cache
from askonce.testing import Fault
from tests.engine.readers import SECONDS, AiohttpReader, Loop, LoopReader, Reader, ThreadReader, Urllib3Reader
from tests.engine.stepped import Stepped, until
from tests.rig import CHAT, KEY, chat

LIBRARIES = [
    *(pytest.param(library, id=library.__name__) for library in (httpx, httpx2)),
    pytest.param(aiohttp, id="urllib3 and aiohttp"),
]
PLACES = [
    pytest.param(leader + follower, id="-".join(leader + follower))
    for leader, follower in (
        (("thread",), ("thread",)),
        (("loop",), ("loop",)),
        (("loop",), ("other",)),
        (("thread",), ("loop",)),
        (("loop",), ("thread",)),
    )
]

Loops = tuple[Loop, Loop]
Make = Callable[..., Any]


def readers_of(cache: Cache) -> int:
    """Count who waits for or reads what is in flight."""
    return sum(flight.readers for flight in list(cache.flights._flights.values()))


@pytest.fixture
def make(provider: Stepped, loops: Loops) -> Iterator[Make]:
    """Return a maker of readers in a thread, in one event loop or in another; all are shut at the end."""
    made: list[Reader] = []

    def new(place: str, library: ModuleType = httpx2, *, stream: bool = True, **options: Any) -> Reader:
        if library is aiohttp and place == "thread":
            made.append(Urllib3Reader(provider.url, stream=stream, **options))
        elif library is aiohttp:
            made.append(AiohttpReader(loops[place == "other"], provider.url, stream=stream, **options))
        elif place == "thread":
            made.append(ThreadReader(library, provider.url, stream=stream, **options))
        else:
            made.append(LoopReader(loops[place == "other"], library, provider.url, stream=stream, **options))
        return made[-1]

    yield new
    for reader in made:
        reader.end()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Find out sooner that an event loop does not turn."""
    for module in (threads_module, loops_module):
        monkeypatch.setattr(module, "HEAD_SILENCE", 0.4)
    monkeypatch.setattr(threads_module, "PATIENCE", 0.1)


def led(cache: Cache, provider: Stepped, leader: Reader, followers: list[Reader], steps: int) -> None:
    """Have one reader lead and the others follow, and the provider held after so many steps."""
    provider.hold(steps)
    opening = leader.open()
    until(lambda: provider.is_waiting)
    if steps:
        assert 200 == opening.result(SECONDS)
    openings = [follower.open() for follower in followers]
    until(lambda: readers_of(cache) == 1 + len(followers))
    if steps:
        assert [200] * len(followers) == [one.result(SECONDS) for one in openings]


# --- One request --------------------------------------------------------------------------------------------

CROWDS = {
    "8 threads": ["thread"] * 8,
    "8 tasks": ["loop"] * 8,
    "4 threads, 4 tasks": ["thread", "loop"] * 4,
    "two loops": ["loop", "other"] * 4,
    "all": ["other", "thread", "loop"] * 3,
}


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("crowd", CROWDS.values(), ids=CROWDS.keys())
def test_a_crowd_asks_once(
    cache: Cache, provider: Stepped, make: Make, crowd: list[str], stream: bool, library: ModuleType
) -> None:
    """All that ask the same at once are answered alike by one request."""
    provider.hold()
    readers = [make(place, library, stream=stream) for place in crowd]
    openings = [reader.open() for reader in readers]
    until(lambda: readers_of(cache) == len(crowd))
    provider.release()
    assert [200] * len(crowd) == [opening.result(SECONDS) for opening in openings]
    reading = [reader.all() for reader in readers]
    assert 1 == len({body.result(SECONDS) for body in reading})
    assert [readers[0].pieces] * len(crowd) == [reader.pieces for reader in readers]
    assert 1 == provider.count()
    for reader in readers:
        reader.close().result(SECONDS)
    stats = cache.stats
    assert (1, len(crowd) - 1, 1) == (stats.misses, stats.shared, stats.recorded)
    assert readers[0].body == make("thread", stream=stream).ask()
    assert 1 == provider.count()


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("crowd", ["threads", "tasks", "both"])
def test_openai_clients_ask_once(cache: Cache, provider: Stepped, crowd: str, stream: bool) -> None:
    """Eight calls of the real SDK make one request, and their answers are equal field by field."""
    asked: dict[str, Any] = {
        "model": "gpt-local",
        "messages": [{"role": "user", "content": "Which one?"}],
        "stream": stream,
    }
    options: dict[str, Any] = {"api_key": KEY, "base_url": f"{provider.url}/v1", "max_retries": 0}
    answers: list[Any] = []

    def ask() -> None:
        with openai.OpenAI(**options) as client:
            answer = client.chat.completions.create(**asked)
            answers.append([part.model_dump() for part in answer] if stream else answer.model_dump())

    async def ask_async() -> None:
        async with openai.AsyncOpenAI(**options) as client:
            answer = await client.chat.completions.create(**asked)
            answers.append([part.model_dump() async for part in answer] if stream else answer.model_dump())

    async def ask_together(count: int) -> None:
        await asyncio.gather(*(ask_async() for _ in range(count)))

    in_threads, in_tasks = {"threads": (8, 0), "tasks": (0, 8), "both": (4, 4)}[crowd]
    threads = [threading.Thread(target=ask) for _ in range(in_threads)]
    threads.append(threading.Thread(target=lambda: asyncio.run(ask_together(in_tasks))))
    provider.hold()
    for thread in threads:
        thread.start()
    until(lambda: readers_of(cache) == 8)
    provider.release()
    for thread in threads:
        thread.join()
    assert [answers[0]] * 8 == answers
    assert 1 == provider.count()
    assert (1, 7, 1) == (cache.stats.misses, cache.stats.shared, cache.stats.recorded)


ACROSS = [(place, library) for library in (httpx2, httpx, aiohttp) for place in ("thread", "loop")]


@pytest.mark.parametrize("first", range(len(ACROSS)))
def test_libraries_share(cache: Cache, provider: Stepped, make: Make, first: int) -> None:
    """Clients of libraries that share no classes share an answer, whichever of them leads."""
    leader, *followers = [make(*one) for one in ACROSS[first:] + ACROSS[:first]]
    led(cache, provider, leader, followers, 1)
    provider.release()
    assert {leader.rest()} == {follower.rest() for follower in followers}
    assert 1 == provider.count()


@pytest.mark.parametrize("first", range(len(ACROSS)))
def test_libraries_share_a_break(cache: Cache, provider: Stepped, make: Make, first: int) -> None:
    """When a stream breaks that libraries share, whoever reads it gets an exception that it knows."""
    leader, *followers = [make(*one) for one in ACROSS[first:] + ACROSS[:first]]
    provider.fail_next(Fault.CUT(after_chunks=3))
    led(cache, provider, leader, followers, 1)
    provider.release()
    for reader in (leader, *followers):
        expected = {
            ThreadReader: httpx2.TransportError if reader.client.__module__ == "httpx2" else httpx.TransportError,
            LoopReader: httpx2.TransportError if reader.client.__module__ == "httpx2" else httpx.TransportError,
            Urllib3Reader: urllib3.exceptions.ProtocolError,
            AiohttpReader: aiohttp.ClientPayloadError,
        }
        with pytest.raises(expected[type(reader)]):
            reader.rest()
    assert (1, 0) == (provider.count(), cache.stats.recorded)


# --- Live ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("places", PLACES)
def test_followers_are_live(
    cache: Cache, provider: Stepped, make: Make, places: list[str], library: ModuleType
) -> None:
    """Each event reaches the leader and all followers before the provider has sent the next one."""
    leader, *followers = [make(place, library) for place in (*places, *places[1:])]
    led(cache, provider, leader, followers, 1)
    for _ in range(4):
        first = leader.read(1)
        for follower in followers:
            assert first == follower.read(1)
        assert provider.is_waiting
        provider.step()
        until(lambda: not provider.is_waiting or provider._permits == 0)
    provider.release()
    assert [leader.rest()] * 2 == [follower.rest() for follower in followers]
    assert 1 == provider.count()


@pytest.mark.parametrize("places", PLACES)
def test_a_fast_follower_is_not_held_back(cache: Cache, provider: Stepped, make: Make, places: list[str]) -> None:
    """A follower reads to the end while the leader has stopped reading; then the leader gets it all as well."""
    leader, follower = (make(place) for place in places)
    led(cache, provider, leader, [follower], 1)
    leader.read(1)
    provider.release()
    body = follower.rest()
    assert body.endswith(b"[DONE]\n\n")
    assert 1 == len(leader.pieces)
    assert body == leader.rest()
    assert 1 == provider.count()
    assert 1 == cache.stats.recorded


@pytest.mark.parametrize("places", PLACES)
def test_a_slow_follower_misses_nothing(cache: Cache, provider: Stepped, make: Make, places: list[str]) -> None:
    """A follower that begins to read when all is over gets what the leader got."""
    leader, follower = (make(place) for place in places)
    led(cache, provider, leader, [follower], 1)
    provider.release()
    body = leader.rest()
    leader.close().result(SECONDS)
    assert body == follower.rest()
    assert 1 == provider.count()


def test_who_comes_in_the_middle_gets_it_all(cache: Cache, provider: Stepped, make: Make) -> None:
    """A call made while an answer streams gets that answer from its beginning."""
    leader, *others = (make(place) for place in ("thread", "loop", "other", "thread"))
    led(cache, provider, leader, [], 3)
    leader.read(3)
    for other in others:
        other.open().result(SECONDS)
        assert leader.pieces == other.read(3)
    provider.release()
    assert [leader.rest()] * 3 == [other.rest() for other in others]
    assert 1 == provider.count()


def test_two_streams_zipped_in_one_thread(cache: Cache, provider: Stepped) -> None:
    """Two identical streams read in turn by one thread do not wait for each other."""
    with openai.OpenAI(api_key=KEY, base_url=f"{provider.url}/v1") as client:
        one, other = (
            client.chat.completions.create(
                model="gpt-local", messages=[{"role": "user", "content": "Twice"}], stream=True
            )
            for _ in range(2)
        )
        pairs = [(a.model_dump(), b.model_dump()) for a, b in zip(one, other, strict=True)]
    assert all(a == b for a, b in pairs)
    assert len(pairs) > 3
    assert 1 == provider.count()
    assert 1 == cache.stats.recorded


# --- Leaving ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("how", ["close", "drop"])
@pytest.mark.parametrize("places", PLACES)
def test_the_leader_leaves(
    cache: Cache, provider: Stepped, make: Make, places: list[str], how: str, library: ModuleType
) -> None:
    """When the leader stops in the middle, those who follow read on to the end of the answer, and it is kept."""
    leader, *followers = [make(place, library) for place in (*places, *places[1:])]
    led(cache, provider, leader, followers, 2)
    leader.read(1)
    getattr(leader, how)().result(SECONDS)
    gc.collect()
    provider.release()
    bodies = {follower.rest() for follower in followers}
    assert 1 == len(bodies)
    assert bodies.pop().endswith(b"[DONE]\n\n")
    assert 1 == provider.count()
    assert 1 == cache.stats.recorded


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("how", ["close", "drop", "hold"])
@pytest.mark.parametrize("places", PLACES)
def test_the_leaders_client_is_closed(
    cache: Cache, provider: Stepped, make: Make, places: list[str], how: str, library: ModuleType
) -> None:
    """A client that is closed while others read through its connection takes nothing from them."""
    leader, follower, *_ = (make(place, library) for place in places)
    led(cache, provider, leader, [follower], 2)
    assert leader.read(1) == follower.read(1)
    if how != "hold":
        getattr(leader, how)().result(SECONDS)
    gc.collect()
    leader.shut().result(SECONDS)
    provider.release()
    assert follower.rest().endswith(b"[DONE]\n\n")
    assert 1 == provider.count()
    assert 1 == cache.stats.recorded
    for reader in (leader, follower):
        reader.drop().result(SECONDS)

    def are_closed() -> bool:
        gc.collect()  # a pool of urllib3 closes its connections when the last response from it has gone
        return provider.open_connections == 0

    until(are_closed)


@pytest.mark.parametrize("places", PLACES)
def test_nobody_joins_what_a_closed_client_left(
    cache: Cache, provider: Stepped, make: Make, places: list[str]
) -> None:
    """A stream whose client was closed before anyone followed is broken; the next one asks for itself."""
    leader, late = (make(place) for place in places)
    led(cache, provider, leader, [], 2)
    leader.read(1)
    leader.shut().result(SECONDS)
    provider.release()
    assert late.ask().endswith(b"[DONE]\n\n")
    assert 2 == provider.count()
    with pytest.raises((httpx2.ReadError, httpx2.StreamError, httpx2.RemoteProtocolError)):
        leader.rest()
    assert 1 == cache.stats.recorded


@pytest.mark.parametrize("places", PLACES)
def test_all_leave(cache: Cache, provider: Stepped, make: Make, places: list[str]) -> None:
    """When everybody has stopped, the provider's connection is closed, nothing is kept, and the next one asks."""
    leader, follower = (make(place) for place in places)
    led(cache, provider, leader, [follower], 2)
    assert leader.read(1) == follower.read(1)
    leader.close().result(SECONDS)
    follower.close().result(SECONDS)
    until(lambda: leader.is_idle and follower.is_idle)
    provider.release()
    until(lambda: provider.open_connections == 0)
    assert 0 == cache.stats.recorded
    make("thread").ask()
    assert 2 == provider.count()
    assert 1 == cache.stats.recorded


@pytest.mark.parametrize("places", PLACES)
def test_all_leave_while_reading(
    cache: Cache, provider: Stepped, make: Make, loops: Loops, places: list[str]
) -> None:
    """A follower that is cancelled while it waits for a chunk, the last of all, ends the provider's connection."""
    leader, follower = (make(place) for place in places)
    led(cache, provider, leader, [follower], 1)
    assert leader.read(1) == follower.read(1)
    leader.close().result(SECONDS)
    waiting = follower.next()
    time.sleep(0.05)
    if isinstance(follower, LoopReader):
        waiting.cancel()
    else:
        follower.response.close()  # from this thread
        with pytest.raises(httpx2.ReadError):
            waiting.result(SECONDS)
    until(lambda: leader.is_idle)
    provider.release()
    until(lambda: provider.open_connections == 0)
    assert 0 == cache.stats.recorded
    until(lambda: loops[0].tasks() == 0 and loops[1].tasks() == 0)


def test_a_crowd_of_cancelled_tasks(cache: Cache, provider: Stepped) -> None:
    """When all tasks of a crowd are cancelled, no task, connection or answer is left of them."""

    async def ask(client: Any) -> None:
        async with client.stream("POST", provider.url + CHAT, json=chat(stream=True)) as response:
            async for _ in response.aiter_raw():
                pass

    async def main() -> None:
        async with httpx2.AsyncClient(headers={"authorization": f"Bearer {KEY}"}, timeout=30) as client:
            provider.hold(2)
            tasks = [asyncio.create_task(ask(client)) for _ in range(8)]
            while readers_of(cache) < 8 or not provider.is_waiting:
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.02)
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert [asyncio.CancelledError] * 8 == [type(end) for end in ends]
            assert {asyncio.current_task()} == asyncio.all_tasks()
            assert "0 active" in repr(client._transport._pool)  # type: ignore[attr-defined]
            assert 0 == len(cache.flights)
            provider.release()

    asyncio.run(main())
    assert (1, 0) == (provider.count(), cache.stats.recorded)


@pytest.mark.parametrize("how", ["cancel", "timeout", "anyio", "raise"])
def test_a_leading_task_ends(cache: Cache, provider: Stepped, how: str) -> None:
    """However the leader's task ends while others read, they read on, and the answer is kept."""

    class Oops(Exception):
        pass

    async def ask(client: Any, trouble: bool) -> bytes:
        body = b""
        async with client.stream("POST", provider.url + CHAT, json=chat(stream=True)) as response:
            async for piece in response.aiter_raw():
                body += piece
                if trouble and how == "raise":
                    raise Oops
        return body

    async def lead(client: Any) -> None:
        if how == "timeout":
            async with asyncio.timeout(0.2):
                await ask(client, True)
        elif how == "anyio":
            with anyio.move_on_after(0.2):
                await ask(client, True)
        else:
            await ask(client, True)

    async def main() -> set[bytes]:
        async with httpx2.AsyncClient(headers={"authorization": f"Bearer {KEY}"}, timeout=30) as client:
            provider.hold()
            leader = asyncio.create_task(lead(client))
            while not provider.is_waiting:
                await asyncio.sleep(0.005)
            followers = [asyncio.create_task(ask(client, False)) for _ in range(3)]
            while readers_of(cache) < 4:
                await asyncio.sleep(0.005)
            provider.step(2)
            await asyncio.sleep(0.05)
            if how == "cancel":
                leader.cancel()
            end = (await asyncio.gather(leader, return_exceptions=True))[0]
            expected = {
                "cancel": asyncio.CancelledError,
                "timeout": TimeoutError,
                "anyio": type(None),
                "raise": Oops,
            }
            assert expected[how] is type(end)
            assert 3 == readers_of(cache)
            provider.release()
            return set(await asyncio.gather(*followers))

    bodies = asyncio.run(main())
    assert 1 == len(bodies)
    assert bodies.pop().endswith(b"[DONE]\n\n")
    assert (1, 1) == (provider.count(), cache.stats.recorded)


# --- A leader that fails ------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 429, 500])
@pytest.mark.parametrize("crowd", [["thread"] * 6, ["loop"] * 6, ["loop", "thread", "other"] * 2], ids="-".join)
def test_the_leader_is_refused(cache: Cache, provider: Stepped, make: Make, crowd: list[str], status: int) -> None:
    """An error is the leader's own: exactly one other goes, and all the rest get its answer."""
    provider.fail_next(Fault.STATUS(status))
    provider.hold()
    readers = [make(place) for place in crowd]
    openings = [reader.open() for reader in readers]
    until(lambda: readers_of(cache) == len(crowd))
    provider.release()
    statuses = sorted(opening.result(SECONDS) for opening in openings)
    assert [200] * (len(crowd) - 1) + [status] == statuses
    bodies = [reader.rest() for reader in readers]
    assert 2 == len(set(bodies))
    assert 2 == provider.count()
    assert 1 == cache.stats.recorded


@pytest.mark.parametrize("places", PLACES)
def test_the_leader_cannot_connect(
    cache: Cache, provider: Stepped, make: Make, places: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the leader's connection is refused, it sees that, one other goes, and the rest get its answer."""
    leader, *followers = [make(place) for place in (*places, *places[1:], *places[1:])]
    refused = threading.Event()
    backend = leader.client._transport._pool._network_backend

    class Refusing:
        def connect_tcp(self, *_: Any, **__: Any) -> Any:
            refused.wait(SECONDS)
            raise __import__("httpcore2").ConnectError("refused")

    class AsyncRefusing:
        async def connect_tcp(self, *_: Any, **__: Any) -> Any:
            while not refused.is_set():
                await asyncio.sleep(0.005)
            raise __import__("httpcore2").ConnectError("refused")

    assert backend is not None
    refusing = Refusing() if places[0] == "thread" else AsyncRefusing()
    leader.client._transport._pool._network_backend = refusing
    opening = leader.open()
    until(lambda: readers_of(cache) == 1)
    openings = [follower.open() for follower in followers]
    until(lambda: readers_of(cache) == 4)
    refused.set()
    with pytest.raises(httpx2.ConnectError):
        opening.result(SECONDS)
    assert [200] * 3 == [one.result(SECONDS) for one in openings]
    assert 1 == len({follower.rest() for follower in followers})
    assert 1 == provider.count()


@pytest.mark.parametrize("places", PLACES)
def test_a_wrong_key_is_nobody_elses_trouble(
    cache: Cache, provider: Stepped, make: Make, places: list[str]
) -> None:
    """The 401 of a leader with a wrong key does not reach a follower with a right one."""
    leader, follower = make(places[0], key="wrong-key"), make(places[1])
    provider.hold()
    openings = [leader.open()]
    until(lambda: provider.is_waiting)
    openings.append(follower.open())
    until(lambda: readers_of(cache) == 2)
    provider.release()
    assert [401, 200] == [opening.result(SECONDS) for opening in openings]
    assert b"Incorrect API key" in leader.rest()
    assert follower.rest().endswith(b"[DONE]\n\n")
    assert 1 == cache.stats.recorded


@pytest.mark.parametrize(
    "fault", [Fault.NOT_JSON, Fault.EMPTY, Fault.HTML, Fault.CUT(), Fault.ERROR_EVENT()], ids=str
)
@pytest.mark.parametrize("places", PLACES)
def test_a_damaged_answer_is_not_shared(
    cache: Cache, provider: Stepped, make: Make, places: list[str], fault: Any
) -> None:
    """A plain answer that turns out to be broken is the leader's own; one other goes for all the rest."""
    leader, *followers = [make(place, stream=False) for place in (*places, *places[1:])]
    provider.fail_next(fault)
    provider.hold()
    opening = leader.open()
    until(lambda: provider.is_waiting)
    openings = [follower.open() for follower in followers]
    until(lambda: readers_of(cache) == 3)
    provider.release()
    opening.result(SECONDS)
    if isinstance(fault, type(Fault.CUT())):
        with pytest.raises(httpx2.RemoteProtocolError):
            leader.rest()
    else:
        leader.rest()
    assert [200] * 2 == [one.result(SECONDS) for one in openings]
    assert [b"chat.completion" in follower.rest() for follower in followers] == [True, True]
    assert leader.body != followers[0].body == followers[1].body
    assert 2 == provider.count()
    assert 1 == cache.stats.recorded


@pytest.mark.parametrize("places", PLACES)
def test_a_cut_stream_breaks_for_all(cache: Cache, provider: Stepped, make: Make, places: list[str]) -> None:
    """Whoever has read half a stream when it is cut gets the error that the library has for it."""
    leader, follower = (make(place) for place in places)
    provider.fail_next(Fault.CUT(3))
    led(cache, provider, leader, [follower], 1)
    assert leader.read(1) == follower.read(1)
    provider.release()
    for reader in (follower, leader):
        with pytest.raises(httpx2.RemoteProtocolError, match="incomplete chunked read"):
            reader.rest()
    assert leader.pieces == follower.pieces
    assert (1, 0) == (provider.count(), cache.stats.recorded)
    assert make("thread").ask().endswith(b"[DONE]\n\n")


@pytest.mark.parametrize("places", PLACES)
def test_the_leaders_own_headers_stay_its_own(
    cache: Cache, provider: Stepped, make: Make, places: list[str]
) -> None:
    """Cookies, the organization and rate limits of the leader's account do not reach a follower."""
    leader, follower = (make(place) for place in places)
    led(cache, provider, leader, [follower], 1)
    provider.release()
    leader.rest()
    follower.rest()
    own = {"set-cookie", "openai-organization", "x-ratelimit-remaining-requests"}
    assert own <= set(leader.response.headers)
    assert set() == own & set(follower.response.headers)
    assert leader.response.headers["x-request-id"] == follower.response.headers["x-request-id"]


def test_a_coding_that_a_follower_does_not_take(cache: Cache, provider: Stepped, make: Make) -> None:
    """A follower that takes no gzip does not get the leader's gzip; it asks for itself."""
    provider.gzip = True
    headers = {"authorization": f"Bearer {KEY}"}
    leader = make("thread", headers={**headers, "accept-encoding": "gzip"})
    follower = make("thread", headers={**headers, "accept-encoding": "identity"})
    provider.hold()
    openings = [leader.open()]
    until(lambda: provider.is_waiting)
    openings.append(follower.open())
    until(lambda: readers_of(cache) == 2)
    provider.release()
    assert [200, 200] == [opening.result(SECONDS) for opening in openings]
    assert leader.rest().startswith(b"\x1f\x8b")
    assert follower.rest().startswith(b"data: ")
    assert 2 == provider.count()


# --- Whoever waits does not wait for ever -------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("steps", [0, 1], ids=["before the head", "after the head"])
def test_a_sync_call_inside_the_loop_of_an_async_one(
    cache: Cache, provider: Stepped, steps: int, stream: bool
) -> None:
    """A sync call that blocks the loop in which an identical async one is in flight asks for itself."""
    headers = {"authorization": f"Bearer {KEY}"}

    async def main() -> None:
        async with httpx2.AsyncClient(headers=headers, timeout=30) as client:
            provider.fail_next(Fault.STALL(seconds=0))
            provider.hold(steps)
            task = asyncio.create_task(client.post(provider.url + CHAT, json=chat(stream=stream)))
            while not provider.is_waiting:
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.02)
            with httpx2.Client(headers=headers, timeout=30) as blocking:
                answer = blocking.post(provider.url + CHAT, json=chat(stream=stream))
            assert 200 == answer.status_code
            provider.release()
            assert 200 == (await task).status_code

    asyncio.run(main())
    assert 2 == provider.count()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("steps", [0, 1], ids=["before the head", "after the head"])
def test_a_loop_that_waits_for_a_thread_that_asks_the_same(
    cache: Cache, provider: Stepped, steps: int, stream: bool
) -> None:
    """A thread does not wait for a loop that is blocked, waiting for that thread: it asks for itself."""
    headers = {"authorization": f"Bearer {KEY}"}
    statuses: list[int] = []

    def ask() -> None:
        with httpx2.Client(headers=headers, timeout=30) as client:
            statuses.append(client.post(provider.url + CHAT, json=chat(stream=stream)).status_code)

    async def main() -> None:
        async with httpx2.AsyncClient(headers=headers, timeout=30) as client:
            provider.fail_next(Fault.STALL(seconds=0))
            provider.hold(steps)
            task = asyncio.create_task(client.post(provider.url + CHAT, json=chat(stream=stream)))
            while not provider.is_waiting:
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.02)
            thread = threading.Thread(target=ask)
            thread.start()
            thread.join(SECONDS)
            provider.release()
            statuses.append((await task).status_code)

    asyncio.run(main())
    assert [200, 200] == statuses
    assert 2 == provider.count()


@pytest.mark.parametrize("places", PLACES)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_follower_keeps_its_own_timeout(
    cache: Cache, provider: Stepped, make: Make, places: list[str], stream: bool
) -> None:
    """A follower whose read timeout has passed while it waits for another's answer asks for itself."""
    leader, follower = make(places[0], stream=stream), make(places[1], stream=stream, timeout=0.2)
    provider.hold()
    opening = leader.open()
    until(lambda: provider.is_waiting)
    assert b"chat.completion" in follower.ask()
    assert not opening.done()
    provider.release()
    assert 200 == opening.result(SECONDS)
    leader.rest()
    assert 2 == provider.count()


def abandon(leader: Reader, loop: Loop) -> None:
    """End a reader's loop while it reads."""
    done: Future[None] = Future()
    done.set_result(None)
    leader.shut = lambda: done  # type: ignore[method-assign]
    loop.stop()


@pytest.mark.parametrize("follower_place", ["thread", "other"])
def test_the_leaders_loop_ends(
    cache: Cache, provider: Stepped, make: Make, loops: Loops, follower_place: str
) -> None:
    """When the event loop that a stream comes through ends, a follower elsewhere gets its library's read error."""
    leader, follower = make("loop"), make(follower_place)
    led(cache, provider, leader, [follower], 1)
    assert leader.read(1) == follower.read(1)
    reading = follower.next()
    abandon(leader, loops[0])
    with pytest.raises(httpx2.ReadError):
        reading.result(SECONDS)
    provider.release()
    assert 0 == cache.stats.recorded


@pytest.mark.parametrize("follower_place", ["thread", "other"])
def test_the_leaders_loop_ends_before_a_plain_answer(
    cache: Cache, provider: Stepped, make: Make, loops: Loops, follower_place: str
) -> None:
    """Of a plain answer a follower has read nothing yet: it asks for itself when the leader's loop ends."""
    leader, follower = make("loop", stream=False), make(follower_place, stream=False)
    provider.fail_next(Fault.STALL(seconds=20))
    opening = leader.open()
    assert 200 == opening.result(SECONDS)
    reading = leader.next()
    following = follower.open()
    until(lambda: readers_of(cache) == 2)
    abandon(leader, loops[0])
    assert 200 == following.result(SECONDS)
    assert b"chat.completion" in follower.rest()
    assert reading.cancelled() or reading.exception() is not None or reading.result() is not None
    assert 2 == provider.count()


# --- The garbage collector and the scheduler ----------------------------------------------------------------


def test_an_answer_that_ends_inside_the_storage(
    provider: Stepped, monkeypatch: pytest.MonkeyPatch, store: Path
) -> None:
    """An abandoned, complete stream that the garbage collector ends while the storage is busy blocks nothing."""
    headers = {"authorization": f"Bearer {KEY}"}
    held: list[Any] = []
    with askonce.caching(store, domains=[provider.url]) as cache, httpx2.Client(headers=headers) as client:
        add = cache.guard.storage.add

        def dropping(*given: Any, **named: Any) -> bool:
            held.clear()  # as the collector might, at any allocation
            return add(*given, **named)

        monkeypatch.setattr(cache.guard.storage, "add", dropping)
        request = client.build_request("POST", provider.url + CHAT, json=chat("abandoned", stream=True))
        response = client.send(request, stream=True)
        chunks = response.iter_raw()
        while b"[DONE]" not in next(chunks):
            pass
        held += [response, chunks]
        del response, chunks
        assert 200 == client.post(provider.url + CHAT, json=chat("another")).status_code
        assert [] == held
        assert cache.meter.stats.recorded >= 1


def test_a_collector_that_runs_all_the_time(cache: Cache, provider: Stepped) -> None:
    """Streams abandoned in reference cycles, collected at any allocation, block nothing and break nothing."""

    def ask(number: int) -> None:
        with httpx2.Client(headers={"authorization": f"Bearer {KEY}"}, timeout=30) as client:
            for turn in range(4):
                request = client.build_request("POST", provider.url + CHAT, json=chat(f"{turn}", stream=True))
                cycle: list[Any] = [client.send(request, stream=True)]
                cycle += [cycle, cycle[0].iter_raw()]
                for _ in range(1 + (number + turn) % 4):
                    next(cycle[2])
                del cycle

    before = gc.get_threshold()
    gc.set_threshold(5)
    try:
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS)
        assert not any(thread.is_alive() for thread in threads)
    finally:
        gc.set_threshold(*before)
    gc.collect()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
def test_eager_tasks(cache: Cache, provider: Stepped) -> None:
    """Where tasks begin at once, streams are read all the same."""

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]
        async with httpx2.AsyncClient(headers={"authorization": f"Bearer {KEY}"}, timeout=30) as client:
            asks = [client.post(provider.url + CHAT, json=chat(stream=True)) for _ in range(4)]
            assert [200] * 4 == [answer.status_code for answer in await asyncio.gather(*asks)]

    asyncio.run(main())
    assert 1 == provider.count()


@contextmanager
def switching(seconds: float) -> Iterator[None]:
    """Let threads take turns that often."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_threads_that_switch_all_the_time(cache: Cache, provider: Stepped, stream: bool) -> None:
    """Whatever the order in which threads run, one answer serves them all."""
    bodies: dict[int, set[bytes]] = {}

    def ask() -> None:
        with httpx2.Client(headers={"authorization": f"Bearer {KEY}"}, timeout=30) as client:
            for turn in range(6):
                answer = client.post(provider.url + CHAT, json=chat(f"turn {turn}", stream=stream))
                bodies.setdefault(turn, set()).add(answer.content)

    with switching(1e-6):
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS)
    assert [1] * 6 == [len(answers) for answers in bodies.values()]
    assert 6 == provider.count()
