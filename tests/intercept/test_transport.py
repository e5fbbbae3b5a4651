"""`askonce.transport(...)`: the patch-free way in, for one client."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest

import askonce
from askonce.testing import Fault, LocalProvider
from tests.intercept.processes import run
from tests.rig import CHAT, Rig, chat, each
from tests.sdks.secrets import ANTHROPIC_KEY, OPENAI_KEY


async def test_one_client_is_cached_and_no_other(rig: Rig, provider: LocalProvider, store: Path) -> None:
    """The client with the transport asks once; a client without asks each time; nothing is patched."""
    before = rig.core.ConnectionPool.__dict__["handle_request"]
    transport = askonce.transport(rig.transport(), store, domains=[provider.url])
    assert before is rig.core.ConnectionPool.__dict__["handle_request"]
    async with rig.client(transport=transport) as client:
        first = await client.post(provider.url + CHAT, json=chat())
        second = await client.post(provider.url + CHAT, json=chat())
    async with rig.client() as client:
        third = await client.post(provider.url + CHAT, json=chat())
    assert first.content == second.content != third.content
    assert first.headers["x-request-id"] == second.headers["x-request-id"]
    assert 2 == provider.count()
    assert ["miss", "hit", None] == [answer.extensions.get("askonce") for answer in (first, second, third)]


async def test_it_streams_in_the_same_pieces(rig: Rig, provider: LocalProvider, store: Path) -> None:
    """A stream through the transport comes in the same pieces on a hit as on the miss."""
    provider.pace = 0.005
    pieces = []
    async with rig.client(transport=askonce.transport(rig.transport(), store, domains=[provider.url])) as client:
        for _ in range(2):
            async with client.stream("POST", provider.url + CHAT, json=chat(stream=True)) as answer:
                pieces.append([piece async for piece in each(answer, "raw")])
    assert pieces[0] == pieces[1]
    assert len(pieces[1]) > 5
    assert 1 == provider.count()


async def test_the_cache_of_the_process_keeps_out(rig: Rig, provider: LocalProvider, tmp_path: Path) -> None:
    """In an enabled program a client with a transport of its own is answered and recorded by that alone."""
    enabled = askonce.enable(tmp_path / "process.db", domains=[provider.url])
    transport = askonce.transport(rig.transport(), tmp_path / "client.db", domains=[provider.url])
    async with rig.client(transport=transport) as client:
        first = await client.post(provider.url + CHAT, json=chat())
        second = await client.post(provider.url + CHAT, json=chat())
    assert first.content == second.content
    assert 1 == provider.count()
    assert askonce.Stats() == enabled.stats
    assert 1 == askonce.open_storage(str(tmp_path / "client.db")).totals().entries
    async with rig.client() as client:
        await client.post(provider.url + CHAT, json=chat())
    assert 1 == enabled.stats.recorded


async def test_it_leaves_the_callers_request_alone(rig: Rig, provider: LocalProvider, store: Path) -> None:
    """The request that a caller built has its own headers and extensions afterwards, controls included."""
    transport = askonce.transport(rig.transport(), store, domains=[provider.url])
    async with rig.client(transport=transport) as client:
        request = client.native.build_request(
            "POST", provider.url + CHAT, json=chat(), headers={"x-askonce-seed": "7"}
        )
        extensions = dict(request.extensions)
        answer = await client.send(request)
    assert 200 == answer.status_code
    assert request is answer.request
    assert extensions == request.extensions
    assert "7" == request.headers["x-askonce-seed"]
    assert None is provider.received[0].header("x-askonce-seed")


async def test_errors_are_the_librarys(rig: Rig, provider: LocalProvider, store: Path) -> None:
    """A cut connection is the library's own error, and is not kept."""
    provider.fail_next(Fault.CUT())
    async with rig.client(transport=askonce.transport(rig.transport(), store, domains=[provider.url])) as client:
        with pytest.raises(rig.library.RemoteProtocolError):
            await client.post(provider.url + CHAT, json=chat(stream=True))
        answer = await client.post(provider.url + CHAT, json=chat(stream=True))
    assert answer.content.endswith(b"data: [DONE]\n\n")
    assert 2 == provider.count()


async def test_a_mock_can_be_the_provider(rig: Rig, store: Path) -> None:
    """Any transport can be inside, a mock too: it is asked once."""
    asked: list[Any] = []

    def answer(request: Any) -> Any:
        asked.append(request)
        return rig.library.Response(200, json={"id": len(asked)})

    transport = askonce.transport(rig.library.MockTransport(answer), store, domains=["http://llm.example"])
    async with rig.client(transport=transport) as client:
        for _ in range(2):
            assert {"id": 1} == (await client.post("http://llm.example" + CHAT, json=chat())).json()
    assert 1 == len(asked)


@pytest.mark.parametrize("way", ["with", "close"])
async def test_the_clients_end_is_the_inner_transports(rig: Rig, store: Path, way: str) -> None:
    """A client used in `with` enters and leaves the transport inside; one that is closed closes it."""
    seen = []
    kind = rig.library.AsyncBaseTransport if rig.is_async else rig.library.BaseTransport
    names = ("__aenter__", "__aexit__", "aclose") if rig.is_async else ("__enter__", "__exit__", "close")
    methods = {name: rig.hook(lambda *_, name=name: seen.append(name.strip("_a"))) for name in names}
    client = rig.client(transport=askonce.transport(type("Inner", (kind,), methods)(), store))
    if way == "with":
        async with client:
            pass
        assert ["enter", "exit"] == seen
    else:
        await client.close()
        assert ["close"] == seen


def test_what_is_no_transport_is_refused(store: Path) -> None:
    """Anything else than a transport of httpx or httpx2 is refused with a word on what to pass."""
    with pytest.raises(TypeError, match=r"httpx2\.HTTPTransport\(\)"):
        askonce.transport(httpx.Client, store)
    with pytest.raises(askonce.SettingsError, match="mode"):
        askonce.transport(httpx2.HTTPTransport(), store, mode="sometimes")  # type: ignore[arg-type]


def test_nothing_is_imported_for_it() -> None:
    """With a transport of httpx, httpx2 is not loaded, nor the other way around."""
    for one, other in (("httpx", "httpx2"), ("httpx2", "httpx")):
        printed = run(
            f"""
            import sys, {one}, askonce
            askonce.transport({one}.HTTPTransport(), "memory:")
            print("{other}" in sys.modules)
            """
        )
        assert "False\n" == printed


@pytest.mark.parametrize("library", [httpx2, httpx], ids=["httpx2", "legacy httpx"])
def test_an_sdk_takes_it(provider: LocalProvider, store: Path, library: Any) -> None:
    """OpenAI's client, given an HTTP client with the transport, is cached, on httpx2 and on a legacy httpx."""
    transport = askonce.transport(library.HTTPTransport(), store, domains=[provider.url])
    with openai.OpenAI(
        base_url=f"{provider.url}/v1", api_key=OPENAI_KEY, http_client=library.Client(transport=transport)
    ) as client:
        messages: Any = [{"role": "user", "content": "Hello"}]
        whole = [client.chat.completions.create(model="gpt-local", messages=messages) for _ in range(2)]
        streamed = [
            [
                event.to_dict()
                for event in client.chat.completions.create(model="m", messages=messages, stream=True)
            ]
            for _ in range(2)
        ]
    assert whole[0] == whole[1]
    assert streamed[0] == streamed[1]
    assert 2 == provider.count()


def test_an_async_sdk_takes_one(provider: LocalProvider, store: Path) -> None:
    """Anthropic's async client, given an HTTP client with the transport, is cached."""

    async def ask() -> list[Any]:
        transport = askonce.transport(httpx2.AsyncHTTPTransport(), store, domains=[provider.url])
        async with anthropic.AsyncAnthropic(
            base_url=provider.url, api_key=ANTHROPIC_KEY, http_client=httpx2.AsyncClient(transport=transport)
        ) as client:
            messages: Any = [{"role": "user", "content": "Hello"}]
            return [
                await client.messages.create(model="claude-local", max_tokens=9, messages=messages)
                for _ in range(2)
            ]

    first, second = asyncio.run(ask())
    assert first == second
    assert 1 == provider.count()


def test_one_over_aiohttp_is_asked_through_once(provider: LocalProvider, tmp_path: Path) -> None:
    """In an enabled program a transport around one over aiohttp is cached by it, and not a second time below."""
    enabled = askonce.enable(tmp_path / "process.db", domains=[provider.url])

    async def ask() -> list[bytes]:
        inner: Any = openai.DefaultAioHttpClient()._transport
        transport = askonce.transport(inner, tmp_path / "client.db", domains=[provider.url])
        headers = {"authorization": f"Bearer {OPENAI_KEY}"}
        async with httpx2.AsyncClient(transport=transport, headers=headers) as client:
            return [(await client.post(provider.url + CHAT, json=chat())).content for _ in range(2)]

    first, second = asyncio.run(ask())
    assert first == second
    assert 1 == provider.count()
    assert askonce.Stats() == enabled.stats
