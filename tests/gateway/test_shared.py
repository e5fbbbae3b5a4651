"""Gateways and programs that share a store: one request among them, a purge for all, an ill store for none."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

import askonce
from askonce.testing import LocalProvider
from tests.engine.stepped import Stepped, until
from tests.engine.test_processes import Process, go, result, started
from tests.gateway.conftest import Running, Start
from tests.rig import chat
from tests.servers import started_redis

_numbers = itertools.count()
_NEARBY = 5.0  # seconds for which an answer is given from memory at the most, as documented

_ASK_MANY = """
    import json
    from concurrent.futures import ThreadPoolExecutor
    print("ready", flush=True)
    sys.stdin.readline()
    with client() as one, ThreadPoolExecutor(50) as threads:
        ask = lambda _: one.post(url + "/v1/chat/completions", json=body(stream=False))
        print(json.dumps(sorted({answer.text for answer in threads.map(ask, range(50))})), flush=True)
    askonce.disable()
"""
_ASK_FOR_EVER = """
    import json
    print("ready", flush=True)
    with client() as one, askonce.options(mode="offline"):
        while sys.stdin.readline():
            answer = one.post(url + "/v1/chat/completions", json=body(stream=False))
            print(json.dumps(answer.status_code), flush=True)
"""


def cached(content: str) -> dict[str, Any]:
    """Return a request that may be answered from the store."""
    return chat(content, cache_enabled=True)


@pytest.fixture
def provider() -> Iterator[Stepped]:
    """Return a running local provider that the test can hold."""
    with Stepped() as running:
        yield running


@pytest.fixture(params=["redis", "postgres"])
def shared(request: pytest.FixtureRequest) -> str:
    """Return the URL of a new, empty store that machines share."""
    server = request.getfixturevalue(f"{request.param}_server")
    name = "prefix" if request.param == "redis" else "schema"
    url: str = server.url(**{name: f"gateways_{next(_numbers)}"})
    return url


@pytest.fixture
def two(start: Start, shared: str) -> tuple[Running, Running]:
    """Return two gateways on one store."""
    return start(store=shared), start(store=shared)


def test_one_request(provider: Stepped, shared: str, two: tuple[Running, Running]) -> None:
    """Two hundred identical calls, at two gateways and in two programs, make one request."""
    question = {**chat("Hello?", stream=False), "cache_enabled": True}
    provider.hold()
    with started(_ASK_MANY, 2, provider.url, shared) as programs, ThreadPoolExecutor(100) as threads:
        posted = [threads.submit(two[number % 2].post, question) for number in range(100)]
        for program in programs:
            go(program)
        until(lambda: provider.is_waiting)
        time.sleep(2.2)  # for the others to ask, if they would: longer than for one who is silent
        provider.release()
        answers = [each.result() for each in posted]
        texts = [text for program in programs for text in result(program)]
    assert {200} == {answer.status_code for answer in answers}
    assert 1 == len({answer.text for answer in answers} | set(texts))
    assert 1 == provider.count("/v1/chat/completions")


def test_purge(provider: Stepped, shared: str, two: tuple[Running, Running]) -> None:
    """What is purged at one gateway is answered neither by it, nor by the other and two programs soon after."""
    question = {**chat("Hello?", stream=False), "cache_enabled": True}
    assert 200 == two[0].post(question).status_code

    def through(gateway: Running) -> int:
        return gateway.post(question, x_askonce_mode="offline").status_code

    def by(program: Process) -> int:
        go(program)
        status: Any = result(program)
        return int(status)

    with started(_ASK_FOR_EVER, 2, provider.url, shared) as programs:
        ways: list[Callable[[], int]] = [lambda gateway=gateway: through(gateway) for gateway in two]  # type: ignore[misc]
        ways += [lambda program=program: by(program) for program in programs]  # type: ignore[misc]
        for _ in range(2):  # the second time from memory
            assert [200] * 4 == [ask() for ask in ways]
        removed = httpx.delete(f"{two[0].url}/askonce/api/entries?all=true", timeout=20, trust_env=False)
        purged = time.monotonic()
        assert {"removed": 1} == removed.json()
        assert 404 == ways[0]()
        until(lambda: {404} == {ask() for ask in ways})
        assert time.monotonic() - purged < _NEARBY
    assert 1 == provider.count("/v1/chat/completions")


def test_ill(provider: LocalProvider, start: Start) -> None:
    """Without its store a gateway serves on; health, metrics and the page say what is wrong."""
    with started_redis() as server:
        gateway = start(store=server.url(timeout="100ms"))
        assert 200 == gateway.post(cached("before")).status_code
        assert {"live": True, "ready": True} == gateway.get("/askonce/health").json()
        assert "askonce_store_up 1.0" in gateway.get("/askonce/metrics").text
        server.kill()
        with pytest.warns(askonce.AskonceWarning, match="the store cannot be used"):
            assert [200] * 5 == [gateway.post(cached(f"{number}")).status_code for number in range(5)]
        health = gateway.get("/askonce/health/ready")
        assert (200, {"live": True, "ready": True, "trouble": ["store"]}) == (health.status_code, health.json())
        metrics = gateway.get("/askonce/metrics").text
        assert "askonce_store_up 0.0" in metrics
        assert "askonce_store_failures_total 0.0" not in metrics
        assert "askonce_trouble 1.0" in metrics
        assert "cannot be used" in gateway.get("/askonce/").text


def test_pages_of_an_ill_store(start: Start) -> None:
    """What shows an entry says that the store cannot be used; it does not fail."""
    with started_redis() as server:
        gateway = start(store=server.url(timeout="100ms"))
        assert 200 == gateway.post(cached("before")).status_code
        opened = gateway.get("/askonce/calls/1")
        assert 200 == opened.status_code
        server.kill()
        page, answer = gateway.get("/askonce/calls/1"), gateway.get("/askonce/api/entries")
        assert (503, 503) == (page.status_code, answer.status_code)
        assert "cannot be reached" in page.text
        assert "cannot be reached" in answer.json()["error"]
