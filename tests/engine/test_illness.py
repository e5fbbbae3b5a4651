"""A shared store that is ill: calls go to the provider, it is left alone, and its recovery is noticed."""

from __future__ import annotations

import asyncio
import itertools
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import httpx2
import pytest

import askonce
from askonce._core.entry import Key, Take
from askonce._engine import guard
from askonce._engine.cache import Cache
from askonce.errors import StorageError
from askonce.storage.nearby import Nearby
from askonce.testing import LocalProvider
from tests.engine.stepped import until
from tests.rig import CHAT, KEY, TLS, chat
from tests.servers import Link, RedisServer, free_port, started_redis
from tests.storage.test_nearby import Elsewhere

HEADERS = {"authorization": f"Bearer {KEY}"}
Ask = Callable[..., list[httpx2.Response]]


def ask_sync(url: str, contents: list[str]) -> list[httpx2.Response]:
    with httpx2.Client(verify=TLS, headers=HEADERS, timeout=20) as client:
        return [client.post(url + CHAT, json=chat(content)) for content in contents]


def ask_async(url: str, contents: list[str]) -> list[httpx2.Response]:
    async def ask() -> list[httpx2.Response]:
        async with httpx2.AsyncClient(verify=TLS, headers=HEADERS, timeout=20) as client:
            return [await client.post(url + CHAT, json=chat(content)) for content in contents]

    return asyncio.run(ask())


@pytest.fixture(params=[ask_sync, ask_async])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Return what asks, one after the other: in threads, and in an event loop."""
    asking: Ask = request.param
    return asking


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """Return a server that may be ill-treated."""
    with started_redis() as running:
        yield running


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what has failed be tried again soon."""
    monkeypatch.setattr(guard, "_FIRST_PAUSE", 0.05)
    monkeypatch.setattr(guard, "_LONGEST_PAUSE_FAR", 0.05)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what has failed not be tried again while the test lasts, and what is written fail soon."""
    monkeypatch.setattr(guard, "_FIRST_PAUSE", 3600.0)
    monkeypatch.setattr(guard, "_LONGEST_PAUSE_FAR", 3600.0)
    monkeypatch.setattr("askonce.storage.redis_server.PATIENCE", 0.2)


def heard(said: list[warnings.WarningMessage]) -> list[str]:
    return [str(one.message) for one in said if isinstance(one.message, askonce.AskonceWarning)]


@pytest.mark.parametrize("how", ["paused", "killed", "cut", "slow"])
@pytest.mark.usefixtures("patient")
def test_ill(provider: LocalProvider, server: RedisServer, ask: Ask, how: str) -> None:
    """Whatever becomes of it, calls are answered by the provider; it is asked a few times, and told of once."""
    link = Link(server.port)
    url = f"redis://127.0.0.1:{link.port}?timeout=100ms"
    with warnings.catch_warnings(record=True) as said, askonce.caching(url, domains=[provider.url]) as cache:
        warnings.simplefilter("always")
        assert ask(provider.url, ["before"])[0].is_success
        match how:
            case "paused":
                server.pause()
            case "killed":
                server.kill()
                link.close()
            case "cut":
                link.is_cut = True
            case "slow":
                link.delay = 0.5
        answers = ask(provider.url, [f"ill {number}" for number in range(20)])
        assert [200] * 20 == [answer.status_code for answer in answers]
        assert 21 == provider.count()
        health = cache.guard.health
        assert not health.is_well
        assert 2 <= health.failures <= 8  # reading, writing and claiming, twice each, and what was claimed
        assert health.skipped >= 17
        assert 1 == len(heard(said))
        assert ask(provider.url, ["before"])[0].is_success  # it is in memory
        link.close()
        server.resume_if_paused()


@pytest.mark.usefixtures("patient")
def test_nobody_there(provider: LocalProvider, ask: Ask) -> None:
    """Where nobody listens from the beginning, the program runs as without a store."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with askonce.caching(f"redis://127.0.0.1:{free_port()}", domains=[provider.url]) as cache:
            answers = ask(provider.url, [f"{number}" for number in range(10)])
    assert [200] * 10 == [answer.status_code for answer in answers]
    assert cache.guard.health.failures <= 6
    assert 1 == len(heard(said))
    assert "cannot be reached" in heard(said)[0]


class Failing(Elsewhere):
    """A storage that fails as often as it is told."""

    failures = 0

    def takes(self, key: Key) -> Sequence[Take]:
        if self.failures:
            self.failures -= 1
            raise StorageError("it is busy")
        return super().takes(key)


def test_one_failure_is_none() -> None:
    """What fails once is tried again at once: a machine that is busy for a moment is not ill; twice is."""
    storage = Failing()
    watched = guard.Guard(Nearby(storage))
    for _ in range(3):
        storage.failures = 1
        assert () == watched.takes(b"a")
        assert watched.is_well
        assert () == watched.takes(b"a")
        assert 0 == watched.health.skipped
    storage.failures = 2
    watched.takes(b"a")
    with pytest.warns(askonce.AskonceWarning, match="it is busy"):
        watched.takes(b"a")
    assert not watched.is_well
    watched.takes(b"a")
    assert 1 == watched.health.skipped


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("how", ["paused", "killed"])
def test_recovery(
    provider: LocalProvider, server: RedisServer, ask: Ask, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """That it is well again is noticed without anybody's doing, and told once; then answers are recorded again."""
    contents = (f"{number}" for number in itertools.count())

    def recorded(cache: Cache) -> int:
        return cache.stats.recorded

    with warnings.catch_warnings(record=True) as said, caplog.at_level(logging.WARNING, "askonce"):
        warnings.simplefilter("always")
        with askonce.caching(server.url(timeout="300ms"), domains=[provider.url]) as cache:
            for _ in range(2):
                getattr(server, {"paused": "pause", "killed": "kill"}[how])()
                until(lambda: ask(provider.url, [next(contents)]) and not cache.guard.is_well)
                getattr(server, {"paused": "resume", "killed": "start"}[how])()
                before = recorded(cache)
                until(lambda before=before: ask(provider.url, [next(contents)]) and recorded(cache) > before)
                until(lambda: ask(provider.url, [next(contents)]) and "can be used again" in caplog.text)
                caplog.clear()
    assert 1 == len(heard(said))


@pytest.mark.usefixtures("patient")
def test_what_was_handed_out_still_answers(provider: LocalProvider, server: RedisServer, tmp_path: Path) -> None:
    """Bundles beneath a shared store answer while it is ill, and it is not waited for each time."""
    bundle = tmp_path / "handed-out.askonce"
    contents = [f"{number}" for number in range(10)]
    with askonce.caching(tmp_path / "made.db", domains=[provider.url]):
        recorded = [answer.text for answer in ask_sync(provider.url, contents)]
    askonce.materialize(bundle, store=tmp_path / "made.db")
    with askonce.caching(
        server.url(timeout="100ms"), domains=[provider.url], bundles=[str(bundle)], mode="offline"
    ) as cache:
        assert recorded == [answer.text for answer in ask_sync(provider.url, contents)]
        server.pause()
        with pytest.warns(askonce.AskonceWarning, match="does not answer in time"):
            assert recorded == [answer.text for answer in ask_sync(provider.url, contents)]
        assert 2 == cache.guard.health.failures
        server.resume()
    assert 10 == provider.count()
