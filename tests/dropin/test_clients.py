"""Clients of the drop-in: whose transport asks, what is closed, what a program may still do to them."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

import openai
import pytest

import askonce.openai as dropin
from askonce.testing import LocalProvider
from tests.dropin.conftest import KEY, MODEL, QUESTION, plain

httpx: Any = openai._base_client.httpx2 if hasattr(openai._base_client, "httpx2") else openai._base_client.httpx


def configured(store: Path, provider: LocalProvider, **options: Any) -> Any:
    dropin.configure(store, mode="record")
    return dropin.OpenAI(base_url=f"{provider.url}/v1", api_key=KEY, **options)


class Counting(httpx.HTTPTransport):  # type: ignore[misc]
    """A user's own transport."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.closed = False

    def handle_request(self, request: Any) -> Any:
        self.count += 1
        return super().handle_request(request)

    def close(self) -> None:
        self.closed = True
        super().close()


def test_the_users_client(provider: LocalProvider, store: Path) -> None:
    """A client that is given keeps transport, hooks, headers and timeout; it is wrapped, and itself left alone."""
    transport, seen = Counting(), []
    with httpx.Client(
        transport=transport, headers={"x-mine": "1"}, timeout=7, event_hooks={"response": [seen.append]}
    ) as http:
        client = configured(store, provider, http_client=http)
        assert isinstance(client._client, httpx.Client)
        assert 7 == client.timeout.read
        assert plain(client) == plain(client)
        assert (1, 2) == (transport.count, len(seen))
        assert "1" == provider.received[-1].header("x-mine")
        assert http._transport is transport
        theirs = openai.OpenAI(base_url=client.base_url, api_key=KEY, http_client=http)
        assert plain(theirs) != plain(theirs)
        client.close()
        assert http.is_closed
        assert transport.closed


def test_mounts_and_later_changes(provider: LocalProvider, store: Path) -> None:
    """A mounted transport asks; what is changed at the user's client later holds."""
    transport = Counting()
    with httpx.Client(mounts={"http://": transport}) as http:
        client = configured(store, provider, http_client=http)
        assert plain(client) == plain(client)
        assert 1 == transport.count
        http.headers = {"x-later": "2"}
        plain(client, temperature=1)
        assert "2" == provider.received[-1].header("x-later")


def test_dropping_a_client(provider: LocalProvider, store: Path) -> None:
    """A client that is dropped does not close what the user gave it."""

    class Closing(httpx.Client):  # type: ignore[misc]
        def __del__(self) -> None:
            self.close()

    http = Closing()
    client = configured(store, provider, http_client=http)
    plain(client)
    del client
    gc.collect()
    assert not http.is_closed
    http.close()


def test_a_closed_client(provider: LocalProvider, store: Path) -> None:
    """A closed client does not answer, not from the store either."""
    client = configured(store, provider)
    plain(client)
    client.close()
    assert client.is_closed()
    with pytest.raises((RuntimeError, openai.APIConnectionError)):
        plain(client.with_options(max_retries=0))


def test_with_options(provider: LocalProvider, store: Path) -> None:
    """Copies answer from the same store, through the same transport, and are asked under their own options."""
    with configured(store, provider) as client:
        copied = client.with_options(timeout=5, default_headers={"x-team": "a"})
        assert copied._client is client._client
        asked = plain(copied)
        assert "a" == provider.received[-1].header("x-team")
        assert asked == plain(copied)
        assert plain(client) == plain(client)
    assert 2 == provider.count()


def test_async_client(provider: LocalProvider, store: Path) -> None:
    """An async client that is given is wrapped and left alone too."""

    class Count(httpx.AsyncHTTPTransport):  # type: ignore[misc]
        count = 0

        async def handle_async_request(self, request: Any) -> Any:
            Count.count += 1
            return await super().handle_async_request(request)

    async def ask() -> list[str]:
        dropin.configure(store, mode="record")
        http = httpx.AsyncClient(transport=Count())
        async with dropin.AsyncOpenAI(base_url=f"{provider.url}/v1", api_key=KEY, http_client=http) as client:
            made = [await client.chat.completions.create(model=MODEL, messages=QUESTION) for _ in range(2)]
        assert http.is_closed
        return [answer.choices[0].message.content for answer in made]

    first, second = asyncio.run(ask())
    assert first == second
    assert 1 == Count.count


def test_the_module(provider: LocalProvider, store: Path) -> None:
    """`openai.chat.completions.create` asks with what is set at the module, at any time."""
    dropin.configure(store, mode="record")
    dropin.base_url = f"{provider.url}/v1"
    with pytest.raises(openai.AuthenticationError, match="OPENAI_API_KEY"):
        dropin.models.list()
    dropin.api_key = KEY
    dropin.default_headers = {"x-team": "b"}
    asked = plain(dropin)
    assert asked == plain(dropin)
    assert (f"Bearer {KEY}", "b") == tuple(provider.received[-1].header(n) for n in ("authorization", "x-team"))
    dropin.default_headers = None
    transport = Counting()
    with httpx.Client(transport=transport) as http:
        dropin.http_client = http
        plain(dropin, temperature=1)
        dropin.http_client = None
    assert 1 == transport.count
    assert (None, None, None) == (openai.api_key, openai.base_url, openai.http_client)
    assert dropin.chat._client is dropin.embeddings._client


def test_the_module_for_azure(provider: LocalProvider, store: Path) -> None:
    """With `api_type`, or a setting that is Azure's alone, the module's client is Azure's."""
    dropin.configure(store, mode="record")
    dropin.api_type, dropin.azure_endpoint, dropin.api_version = "azure", provider.url, "2026-01-01"
    dropin.api_key = KEY
    assert plain(dropin) == plain(dropin)
    assert f"/openai/deployments/{MODEL}/chat/completions?api-version=2026-01-01" == provider.received[-1].path
    dropin.api_type = "amazon-bedrock"
    with pytest.raises(openai.OpenAIError, match="Make a client of its class"):
        dropin.chat  # noqa: B018


def test_other_apis_pass(provider: LocalProvider, store: Path) -> None:
    """What is state and no generation goes to the provider each time, also in a raw form."""
    with configured(store, provider) as client:
        assert client.models.list().data[0].created != client.models.list().data[0].created
        file = client.files.create(file=("a.jsonl", b"{}"), purpose="batch")
        assert client.files.delete(file.id).deleted
        with pytest.raises(openai.NotFoundError):
            client.files.delete(file.id)
        batch = client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        assert client.batches.retrieve(batch.id).status != client.batches.retrieve(batch.id).status
    assert 0 == dropin.stats().recorded
