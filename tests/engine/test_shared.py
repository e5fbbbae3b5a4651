"""Machines that share a store: one request for one question, and a loop that never waits for the network."""

from __future__ import annotations

import asyncio
import itertools
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest
import redis as redis_py

import askonce
from askonce._core.entry import Question, Take
from askonce.storage.nearby import Nearby
from askonce.storage.redis import RedisStorage
from askonce.storage.redis_server import Server
from askonce.testing import Fault, LocalProvider
from tests.engine.stepped import Stepped, until
from tests.engine.test_processes import _ASK, go, result, started
from tests.rig import CHAT, KEY, TLS, Rig, chat
from tests.servers import RedisServer

HEADERS = {"authorization": f"Bearer {KEY}"}
_numbers = itertools.count()

_MANY = """
    import json
    from concurrent.futures import ThreadPoolExecutor
    print("ready", flush=True)
    sys.stdin.readline()
    with client() as one, ThreadPoolExecutor(50) as threads:
        ask = lambda _: one.post(url + "/v1/chat/completions", json=body(stream={stream}))
        texts = {{answer.text for answer in threads.map(ask, range(50))}}
    stats = askonce.stats()
    counts = [stats.misses, stats.hits + stats.shared, stats.recorded]
    print(json.dumps([len(texts), texts.pop(), *counts]), flush=True)
    askonce.disable()
"""
_MANY_ASYNC = """
    import json
    print("ready", flush=True)
    sys.stdin.readline()

    async def main():
        async with async_client() as one:
            return await asyncio.gather(
                *(one.post(url + "/v1/chat/completions", json=body(stream={stream})) for _ in range(50))
            )

    texts = {{answer.text for answer in asyncio.run(main())}}
    stats = askonce.stats()
    counts = [stats.misses, stats.hits + stats.shared, stats.recorded]
    print(json.dumps([len(texts), texts.pop(), *counts]), flush=True)
    askonce.disable()
"""


@pytest.fixture
def provider() -> Iterator[Stepped]:
    """Return a running local provider that the test can hold."""
    with Stepped() as running:
        yield running


@pytest.fixture
def shared(redis_server: RedisServer) -> Iterator[str]:
    """Return the URL of a new, empty store that machines share; what is in it is searched for secrets."""
    prefix = f"shared-{next(_numbers)}:"
    yield redis_server.url(prefix=prefix, lease="1")
    with redis_py.Redis(port=redis_server.port) as bare:
        for key in bare.scan_iter(f"{prefix}*"):
            assert b"SECRET" not in key + (bare.dump(key) or b"")


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_two_hundred_calls(provider: Stepped, shared: str, stream: bool) -> None:
    """Two hundred identical calls, of four processes, threads and tasks, make one request."""
    provider.hold()
    with ExitStack() as stack:
        scripts = [_MANY.format(stream=stream), _MANY_ASYNC.format(stream=stream)]
        groups = [stack.enter_context(started(script, 2, provider.url, shared)) for script in scripts]
        processes = [process for group in groups for process in group]
        for process in processes:
            go(process)
        until(lambda: provider.is_waiting)
        time.sleep(
            0.3 if stream else 2.2
        )  # for the others to ask, if they would: longer than for one who is silent
        provider.release()
        results = [result(process) for process in processes]
    assert 1 == provider.count()
    assert [1] * 4 == [kinds for kinds, *_ in results]
    assert 1 == len({text for _, text, *_ in results})
    assert [[0, 50, 0]] * 3 + [[1, 49, 1]] == sorted(counts for _, _, *counts in results)


def test_the_one_that_asks_is_killed(provider: Stepped, shared: str) -> None:
    """When the process that asks is killed, another goes in its place once its lease has run out."""
    provider.hold(2)
    with started(_ASK.format(stream=True), 3, provider.url, shared) as processes:
        leader, *others = processes
        go(leader)
        until(lambda: provider.is_waiting)
        for process in others:
            go(process)
        time.sleep(0.3)
        assert 1 == provider.count()
        leader.send_signal(signal.SIGKILL)
        until(lambda: provider.count() == 2)
        provider.release()
        results = [result(process) for process in others]
    assert 2 == provider.count()
    assert [[0, 1, 0], [1, 0, 1]] == sorted(counts for _, _, *counts in results)


def test_the_one_that_asks_gets_an_error(provider: Stepped, shared: str) -> None:
    """An error is the asking process's own; another goes, and its answer serves the rest."""
    provider.hold()
    provider.fail_next(Fault.STATUS(400))
    with started(_ASK.format(stream=False), 3, provider.url, shared) as processes:
        for process in processes:
            go(process)
        until(lambda: provider.is_waiting)
        time.sleep(0.3)
        provider.release()
        results = [result(process) for process in processes]
    assert 2 == provider.count()
    assert [200, 200, 400] == sorted(status for status, *_ in results)


def test_one_that_has_stopped_reading_is_not_waited_for(provider: Stepped, shared: str) -> None:
    """A process that holds an answer half-read keeps nobody from asking."""
    holding = """
        one = client()
        response, chunks = opened(one)
        next(chunks)
        print("ready", flush=True)
        sys.stdin.readline()
    """
    provider.hold(2)
    with started(holding, 1, provider.url, shared):
        provider.release()
        with started(_ASK.format(stream=True), 1, provider.url, shared) as (process,):
            go(process)
            status, _, misses, *_ = result(process)
            assert (200, 1) == (status, misses)
    assert 2 == provider.count()


@pytest.fixture
def asked_in(monkeypatch: pytest.MonkeyPatch) -> set[threading.Thread]:
    """Return the threads in which the network was waited for."""
    threads: set[threading.Thread] = set()
    for name in ("ask", "do", "run", "_close"):
        real = getattr(Server, name)

        def noting(*arguments: Any, _real: Any = real) -> Any:
            threads.add(threading.current_thread())
            return _real(*arguments)

        monkeypatch.setattr(Server, name, noting)
    return threads


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_the_loop_never_waits(
    provider: LocalProvider, shared: str, asked_in: set[threading.Thread], stream: bool
) -> None:
    """In async code nothing of a call waits for the network in the loop: miss, hit, refresh, rotation, refusal."""

    async def ask(**given: Any) -> tuple[int, str]:
        with askonce.options(**given):
            async with httpx2.AsyncClient(verify=TLS, headers=HEADERS) as client:
                answer = await client.post(provider.url + CHAT, json=chat(stream=stream))
                return answer.status_code, answer.text

    async def story() -> None:
        asked_in.clear()
        first = await ask()
        assert first == await ask()
        assert first[0] == 200
        await asyncio.gather(*(ask(mode="refresh") for _ in range(3)))
        await asyncio.gather(*(ask(repeat="rotate", samples=3) for _ in range(6)))
        await ask(mode="replay", partition="nobody")
        assert 404 == (await ask(mode="offline", partition="nobody"))[0]
        assert asked_in
        assert threading.main_thread() not in asked_in

    with askonce.caching(shared, domains=[provider.url]):
        asyncio.run(story())


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_every_way_to_ask(rig: Rig, provider: LocalProvider, shared: str, stream: bool) -> None:
    """Through a shared store every client has its answers replayed; what was read to its end is kept."""
    texts = []
    elsewhere = RedisStorage(shared)
    for _ in range(2):
        with askonce.caching(shared, domains=[provider.url]) as cache:
            async with rig.client() as client:
                for _ in range(2):
                    texts.append((await client.post(provider.url + CHAT, json=chat(stream=stream))).text)
                    assert 1 == elsewhere.totals().takes
            assert cache.guard.is_well
    elsewhere.close()
    assert 1 == provider.count() == len(set(texts))


def held(url: str) -> int:
    """Return how many takes a store holds."""
    storage = RedisStorage(url)
    takes = storage.totals().takes
    storage.close()
    return takes


class Slow(RedisStorage):
    """A storage that keeps nothing before it may."""

    may = threading.Event()

    def add(self, question: Question, take: Take, *, replace: bool = False) -> bool:
        assert self.may.wait(20)
        return super().add(question, take, replace=replace)


def test_what_waits_to_be_kept_answers(provider: LocalProvider, shared: str) -> None:
    """Who asks again at once, before the answer is written, has it all the same; and it is written in the end."""
    Slow.may.clear()
    slow = Nearby(Slow(shared))

    async def story() -> list[str]:
        async with httpx2.AsyncClient(verify=TLS, headers=HEADERS) as client:
            return [(await client.post(provider.url + CHAT, json=chat())).text for _ in range(3)]

    with askonce.caching(slow, domains=[provider.url]):
        assert 1 == len(set(asyncio.run(story())))
        assert 1 == provider.count()
        assert 0 == held(shared)
        Slow.may.set()
    assert 1 == held(shared)


def test_what_is_too_much_is_told(provider: LocalProvider, shared: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can no longer wait to be written is given to its caller, told of, and not recorded."""
    monkeypatch.setattr("askonce._engine.writer._MOST", 10_000)
    Slow.may.clear()
    slow = Nearby(Slow(shared))

    async def story() -> Sequence[httpx2.Response]:
        async with httpx2.AsyncClient(verify=TLS, headers=HEADERS) as client:
            return [await client.post(provider.url + CHAT, json=chat(f"{n}")) for n in range(12)]

    with askonce.caching(slow, domains=[provider.url]) as cache:
        cache.guard.writer._most = 10_000  # type: ignore[union-attr]
        with pytest.warns(askonce.AskonceWarning, match="more was answered than could be written"):
            assert [200] * 12 == [answer.status_code for answer in asyncio.run(story())]
        dropped = cache.guard.health.dropped
        assert 0 < dropped < 12
        Slow.may.set()
    assert 12 - dropped == held(shared)
