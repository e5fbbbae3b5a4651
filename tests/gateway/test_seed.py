"""The snippet that this is all about, with the real SDKs: another base URL, and the cache per request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from google import genai

import askonce
from askonce.testing import LocalProvider
from tests.gateway.conftest import KEY, Running, Start

CHAT = "/chat/completions"


@pytest.fixture(params=[True, False], ids=["fast", "asgi"])
def fast_path(request: pytest.FixtureRequest) -> bool:
    """Have every test here with the fast path, and once more by way of ASGI alone."""
    return bool(request.param)


def ask(client: openai.OpenAI, **extra: Any) -> Any:
    """Ask as the snippet does."""
    return client.chat.completions.with_raw_response.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": "Hi, how are you?"}],
        extra_body={"customer_identifier": "a_model_customer", "cache_enabled": True, "cache_ttl": 600, **extra},
    )


def test_miss_then_hit(gateway: Running, provider: LocalProvider) -> None:
    """The first time the provider answers, the second time the store; the provider never sees the fields."""
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY)
    first, again = ask(client), ask(client)
    assert ("miss", "hit") == (first.headers["x-askonce-cache"], again.headers["x-askonce-cache"])
    assert first.http_response.content == again.http_response.content
    assert first.parse() == again.parse()
    assert again.headers["cache-status"].startswith("askonce; hit; ttl=")
    assert again.headers["age"].isdecimal()
    assert 1 == provider.count(CHAT)
    assert b"cache_" not in provider.received[-1].body


def test_by_customer_without_a_customer(gateway: Running, provider: LocalProvider) -> None:
    """The snippet's own options: with nobody named, the caller's credential is the customer."""
    body: dict[str, Any] = {"cache_options": {"cache_by_customer": True}, "customer_identifier": None}
    one = openai.OpenAI(base_url=f"{gateway.url}/api/", api_key=KEY)
    other = openai.OpenAI(base_url=f"{gateway.url}/api/", api_key=KEY + "-other")
    got = [ask(client, **body).headers["x-askonce-cache"] for client in (one, one, other, other)]
    assert ["miss", "hit", "miss", "hit"] == got
    assert 2 == provider.count(CHAT)


def test_off_unless_asked_for(gateway: Running, provider: LocalProvider) -> None:
    """`cache_enabled` is false by default: such requests are asked each time, and nothing is kept."""
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY)
    for extra in ({"cache_enabled": None}, {"cache_enabled": False}):
        assert "bypass" == ask(client, **extra).headers["x-askonce-cache"]
    assert 2 == provider.count(CHAT)
    assert 0 == gateway.app.cache.guard.storage.totals().entries


def test_streams(gateway: Running, provider: LocalProvider) -> None:
    """A stream is replayed as a stream, chunk for chunk the same."""
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY)

    def listen() -> list[Any]:
        return list(
            client.chat.completions.create(
                model="m",
                messages=[{"role": "user", "content": "count"}],
                stream=True,
                extra_body={"cache_enabled": True},
            )
        )

    assert listen() == listen()
    assert 1 == provider.count(CHAT)


def test_anthropic_and_gemini(gateway: Running, provider: LocalProvider) -> None:
    """The other providers' SDKs reach theirs by the first part of the path."""
    claude = anthropic.Anthropic(base_url=f"{gateway.url}/anthropic", api_key=KEY)
    told = [
        claude.messages.create(
            model="claude-local",
            max_tokens=20,
            messages=[{"role": "user", "content": "hi"}],
            extra_body={"cache_enabled": True},
        )
        for _ in range(2)
    ]
    assert told[0] == told[1]
    gemini = genai.Client(
        api_key=KEY,
        http_options={"base_url": f"{gateway.url}/gemini", "headers": {"x-askonce-mode": "record"}},
    )
    said = [gemini.models.generate_content(model="gemini-local", contents="hi") for _ in range(2)]
    assert said[0].text == said[1].text
    assert (1, 1) == (provider.count("/messages"), provider.count("generateContent"))


def test_recorded_in_process_answered_by_the_gateway(start: Start, provider: LocalProvider, store: Path) -> None:
    """What a notebook recorded, the gateway answers, and the other way round: one store, one key."""

    def question(content: str, **more: Any) -> Any:
        return {"model": "m", "messages": [{"role": "user", "content": content}], **more}

    direct = openai.OpenAI(base_url=f"{provider.url}/v1", api_key=KEY)
    with askonce.caching(store, domains=[provider.url]):
        recorded = direct.chat.completions.create(**question("one"))
    gateway = start(cache_enabled=True)
    through = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY)
    assert recorded == through.chat.completions.create(**question("one"))
    other = through.chat.completions.create(**question("two"))
    with askonce.caching(store, domains=[provider.url], mode="offline"):
        assert other == direct.chat.completions.create(**question("two"))
    assert 2 == provider.count(CHAT)
