"""A drop-in without a past, a client of it, and the ways in which one question can be asked."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import askonce.openai as dropin
from askonce._dropin import module, state
from askonce.testing import LocalProvider
from tests.rig import TLS

KEY = "sk-test-SECRET-dropin-8c1f20"
MODEL = "gpt-local"
QUESTION: Any = [{"role": "user", "content": "A number?"}]
Ask = Callable[..., str]


@pytest.fixture(autouse=True)
def _anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Begin and end without anything configured, and without a key in the environment."""
    for name in (
        "OPENAI_API_KEY",
        "CACHED_OPENAI_DEV_MODE",
        "CACHED_OPENAI_VERBOSE",
        "CACHED_OPENAI_DELAY_RESPONSES",
    ):
        monkeypatch.delenv(name, raising=False)
    # Making one takes longer than all else that a client does, and nothing here is encrypted.
    monkeypatch.setattr(ssl, "create_default_context", lambda *given, **options: TLS)
    yield
    state.reset()
    for client in module._clients.values():
        client.close()
    module._clients.clear()
    vars(dropin).update(module.defaults())


@pytest.fixture
def client(provider: LocalProvider, store: Path) -> Iterator[Any]:
    """Return a client in dev mode."""
    dropin.configure(store, mode="record")
    with dropin.OpenAI(base_url=f"{provider.url}/v1", api_key=KEY) as made:
        yield made


def said(chunks: list[Any]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def plain(client: Any, **more: Any) -> str:
    """Ask in one piece."""
    text: str = client.chat.completions.create(model=MODEL, messages=QUESTION, **more).choices[0].message.content
    return text


def streamed(client: Any, **more: Any) -> str:
    """Ask for a stream, and use it as a context manager, as the original is."""
    with client.chat.completions.create(model=MODEL, messages=QUESTION, stream=True, **more) as stream:
        return said(list(stream))


def raw(client: Any, **more: Any) -> str:
    """Ask for the raw response."""
    response = client.chat.completions.with_raw_response.create(model=MODEL, messages=QUESTION, **more)
    assert response.headers["x-request-id"] == response.request_id
    text: str = response.parse().choices[0].message.content
    return text


def streamed_response(client: Any, **more: Any) -> str:
    """Ask for a response that is read by and by."""
    chat = client.chat.completions.with_streaming_response
    with chat.create(model=MODEL, messages=QUESTION, **more) as response:
        text: str = response.parse().choices[0].message.content
    return text


def helper(client: Any, **more: Any) -> str:
    """Ask through the `stream` helper."""
    with client.chat.completions.stream(model=MODEL, messages=QUESTION, **more) as stream:
        text: str = stream.get_final_completion().choices[0].message.content
    return text


def in_loop(client: Any, kind: str, **more: Any) -> str:
    """Ask in an event loop, by a client of its own."""

    async def ask() -> str:
        options = {"base_url": client.base_url, "api_key": client.api_key}
        async with dropin.AsyncOpenAI(**options) as asynchronous:
            chat = asynchronous.chat.completions
            if kind == "stream":
                stream = await chat.create(model=MODEL, messages=QUESTION, stream=True, **more)
                return said([chunk async for chunk in stream])
            if kind == "raw":
                response = await chat.with_raw_response.create(model=MODEL, messages=QUESTION, **more)
                return str(response.parse().choices[0].message.content)
            if kind == "streamed response":
                made = chat.with_streaming_response.create(model=MODEL, messages=QUESTION, **more)
                async with made as response:
                    return str((await response.parse()).choices[0].message.content)
            answer = await chat.create(model=MODEL, messages=QUESTION, **more)
            return str(answer.choices[0].message.content)

    return asyncio.run(ask())


WAYS: dict[str, Ask] = {
    "plain": plain,
    "stream": streamed,
    "raw": raw,
    "streamed response": streamed_response,
    "helper": helper,
    **{
        f"async {kind}": lambda client, kind=kind, **more: in_loop(client, kind, **more)
        for kind in ("plain", "stream", "raw", "streamed response")
    },
}


@pytest.fixture(params=WAYS.values(), ids=WAYS)
def ask(request: pytest.FixtureRequest) -> Ask:
    """Return each way to ask in turn."""
    way: Ask = request.param
    return way
