"""Mocks win over the cache, and recorders and instruments work around it and inside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpcore
import httpx
import httpx2
import pytest
import respx
import vcr
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor

import askonce
from askonce.testing import LocalProvider
from tests.rig import CHAT, KEY, Rig, chat

MOCKED = {"id": "mocked", "choices": []}


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Expect each test to leave the pools as they were."""
    before = httpcore.ConnectionPool.__dict__["handle_request"]
    yield
    askonce.disable()
    assert before is httpcore.ConnectionPool.__dict__["handle_request"]


@pytest.fixture
def recorded(provider: LocalProvider, store: Path) -> dict[str, Any]:
    """Enable the cache with the usual question's answer in it, and return that."""
    askonce.enable(store, domains=[provider.url])
    return ask(provider)


def ask(provider: LocalProvider, library: Any = httpx, **more: Any) -> dict[str, Any]:
    """Ask the usual question."""
    headers = {"authorization": f"Bearer {KEY}"}
    answer: dict[str, Any] = library.post(
        provider.url + CHAT, json=chat(**more), headers=headers, timeout=20
    ).json()
    return answer


@pytest.mark.usefixtures("recorded")
async def test_a_mock_transport_wins(rig: Rig, provider: LocalProvider) -> None:
    """A client with a MockTransport gets the mock's answer, although the question is recorded."""
    mock = rig.library.MockTransport(lambda request: rig.library.Response(200, json=MOCKED))
    async with rig.client(transport=mock) as client:
        assert MOCKED == (await client.post(provider.url + CHAT, json=chat())).json()
    assert 0 == askonce.stats().hits


@pytest.mark.parametrize("rig", [Rig(httpx, is_async=True), Rig(httpx2, is_async=True)], ids=str, indirect=True)
@pytest.mark.usefixtures("recorded")
async def test_an_asgi_transport_wins(rig: Rig, provider: LocalProvider) -> None:
    """A client with an ASGITransport reaches its application."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert "http" == scope["type"]
        assert (await receive())["body"]
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]}
        )
        await send({"type": "http.response.body", "body": b'{"id":"app"}'})

    async with rig.client(transport=rig.library.ASGITransport(app=app)) as client:
        assert {"id": "app"} == (await client.post(provider.url + CHAT, json=chat())).json()
    assert 0 == askonce.stats().hits


@pytest.mark.parametrize("using", ["httpx", "httpcore"])
def test_respx_wins(provider: LocalProvider, recorded: dict[str, Any], using: str) -> None:
    """Inside a respx mock its routes answer; after it the cache does."""
    with respx.mock(using=using) as router:
        router.post(provider.url + CHAT).respond(json=MOCKED)
        assert MOCKED == ask(provider)
    assert recorded == ask(provider)
    assert 1 == provider.count()


@pytest.mark.parametrize("using", ["httpx", "httpcore"])
def test_what_respx_lets_pass_is_cached(provider: LocalProvider, recorded: dict[str, Any], using: str) -> None:
    """A route of respx that passes through reaches the cache."""
    with respx.mock(using=using) as router:
        router.post(provider.url + CHAT).pass_through()
        assert recorded == ask(provider)
    assert 1 == provider.count()


def test_enabling_inside_respx_records_what_it_answers(provider: LocalProvider, store: Path) -> None:
    """A cache begun inside a mock of the pools is above it: the mock is the provider that it asks."""
    with respx.mock(using="httpcore") as router:
        route = router.post(provider.url + CHAT).respond(json=MOCKED)
        with askonce.caching(store, domains=[provider.url]) as cache:
            assert [MOCKED] * 2 == [ask(provider), ask(provider)]
        assert 1 == route.call_count
        assert 1 == cache.stats.hits
        assert MOCKED == ask(provider)
    assert 0 == provider.count()


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_a_cassette_inside_us_records_and_plays(
    provider: LocalProvider, store: Path, tmp_path: Path, library: Any
) -> None:
    """A vcrpy cassette opened in an enabled program plays what it holds, and records what the cache gives it."""
    askonce.enable(store, domains=[provider.url])
    first = ask(provider, library)
    cassette = str(tmp_path / "cassette.yaml")
    recorder = vcr.VCR(filter_headers=["authorization"])
    with recorder.use_cassette(cassette) as tape:
        assert first == ask(provider, library)
        assert 1 == len(tape)
    askonce.disable()
    with recorder.use_cassette(cassette, record_mode="none") as tape:
        assert first == ask(provider, library)
        assert 1 == tape.play_count
    assert 1 == provider.count()


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_a_cassette_around_us_plays_first(provider: LocalProvider, tmp_path: Path, library: Any) -> None:
    """A cache begun and ended inside a cassette sees only what the cassette lets through, and leaves it whole."""
    with vcr.VCR(filter_headers=["authorization"]).use_cassette(str(tmp_path / "cassette.yaml")) as tape:
        with askonce.caching("memory:", domains=[provider.url]) as cache:
            first = ask(provider, library)
            assert 1 == cache.stats.recorded
            assert first == ask(provider, library)  # asked through us; the cassette records each call once
        third = ask(provider, library, seed=3)
        assert first != third
        assert len(tape) >= 2
    assert 2 == provider.count()


@pytest.mark.parametrize("order", ["instrumented first", "enabled first"])
def test_opentelemetry_sees_every_call(provider: LocalProvider, store: Path, order: str) -> None:
    """OpenTelemetry's instrumentor makes its span for hits and misses, in either order of installing."""
    urls: list[str] = []

    def note(_span: Any, request: Any) -> None:
        urls.append(str(request.url))

    instrumentor = HTTPXClientInstrumentor()
    steps = [
        lambda: instrumentor.instrument(request_hook=note),
        lambda: askonce.enable(store, domains=[provider.url]),
    ]
    for step in steps if order == "instrumented first" else reversed(steps):
        step()
    try:
        assert ask(provider) == ask(provider)
        assert 2 == len(urls)
        assert 1 == provider.count()
    finally:
        instrumentor.uninstrument()
    assert ask(provider)
    assert 2 == len(urls)
