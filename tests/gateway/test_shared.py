"""Gateways that share a store: one request among them, a purge for all, and nothing lost when it is ill."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

import askonce
from askonce.testing import LocalProvider
from tests.engine.stepped import until
from tests.gateway.conftest import Running, Start
from tests.rig import chat
from tests.servers import RedisServer, started_redis

_numbers = itertools.count()


def cached(content: str) -> dict[str, Any]:
    """Return a request that may be answered from the store."""
    return chat(content, cache_enabled=True)


@pytest.fixture
def two(start: Start, redis_server: RedisServer) -> tuple[Running, Running]:
    """Return two gateways on one store."""
    url = redis_server.url(prefix=f"gateways-{next(_numbers)}:")
    return start(store=url), start(store=url)


def test_one_request(provider: LocalProvider, two: tuple[Running, Running]) -> None:
    """A hundred identical calls, half of them at each gateway, make one request."""
    provider.latency = 0.2
    with ThreadPoolExecutor(100) as threads:
        answers = list(threads.map(lambda number: two[number % 2].post(cached("together")), range(100)))
    assert {200} == {answer.status_code for answer in answers}
    assert 1 == len({answer.content for answer in answers})
    assert 1 == provider.count("/v1/chat/completions")


def test_purge(provider: LocalProvider, two: tuple[Running, Running]) -> None:
    """What is purged at one gateway is soon answered by neither."""
    here, there = two
    for gateway in (here, there, there):
        assert 200 == gateway.post(cached("secret")).status_code
    assert "hit" in there.post(cached("secret")).headers["cache-status"]
    removed = httpx.delete(f"{here.url}/askonce/api/entries?all=true", timeout=20, trust_env=False)
    assert {"removed": 1} == removed.json()
    until(lambda: "fwd=miss" in there.post(cached("secret")).headers["cache-status"])


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
