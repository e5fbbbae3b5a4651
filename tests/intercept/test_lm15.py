"""lm15's transports, on which DSPy calls: what lies above them stays as it was, on a miss and on a hit."""

from __future__ import annotations

import asyncio
import gc
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import lm15 as package
import pytest
from lm15.transports import StdlibAsyncTransport, StdlibTransport, TransportError, TransportRequest

import askonce
from askonce.testing import Fault, LocalProvider
from tests.intercept.processes import run
from tests.rig import CHAT, KEY, chat

HEADERS = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}


class Lm15:
    """A sync or async transport, spoken to as if it were sync."""

    def __init__(self, url: str, *, is_async: bool) -> None:
        self._url = url
        self._runner = asyncio.Runner() if is_async else None
        self.transport: Any = StdlibAsyncTransport() if is_async else StdlibTransport()

    def open(self, content: str = "Hi", *, stream: bool = False, url: str = "", **headers: str) -> Any:
        """Ask, and return the response unread."""
        body = json.dumps(chat(content, stream=stream)).encode()
        pairs = list({**HEADERS, **headers}.items())
        request = TransportRequest("POST", (url or self._url) + CHAT, headers=pairs, body=body, read_timeout=5)
        return self.run(self.transport._do_stream(request) if self._runner else self.transport.stream(request))

    def run(self, result: Any) -> Any:
        return self._runner.run(result) if self._runner else result

    def pieces(self, response: Any) -> list[bytes]:
        """Read a response to its end."""

        async def read() -> list[bytes]:
            async with response:
                return [piece async for piece in response]

        if self._runner:
            return self._runner.run(read())
        with response:
            return list(response)

    def ask(self, content: str = "Hi", **options: Any) -> list[bytes]:
        return self.pieces(self.open(content, **options))

    def first(self, response: Any) -> bytes:
        """Read one piece, and hold on to what the rest can be read from."""
        self._pieces = aiter(response) if self._runner else iter(response)
        return self._runner.run(anext(self._pieces)) if self._runner else next(self._pieces)  # type: ignore[no-any-return]

    def leave(self, response: Any) -> None:
        self.run(response.aclose() if self._runner else response.close())

    def close(self) -> None:
        self.run(self.transport.aclose() if self._runner else self.transport.close())

    def end(self) -> None:
        self.close()
        if self._runner:
            self._runner.close()


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def lm15(request: pytest.FixtureRequest, provider: LocalProvider, store: Path) -> Iterator[Lm15]:
    """Return a transport whose calls to the local provider are cached."""
    with askonce.caching(store, domains=[provider.url]):
        made = Lm15(provider.url, is_async=request.param)
        yield made
        made.end()


def test_a_question_is_asked_once(provider: LocalProvider, lm15: Lm15) -> None:
    """The second identical call gets the first one's head and bytes; the pool has its connection back."""
    first, second = lm15.open(), lm15.open(url=provider.url.replace("http", "HTTP"))
    for response in (first, second):
        assert (200, "OK", "HTTP/1.1") == (response.status, response.reason, response.http_version)
        assert "application/json" == response.header("Content-Type")
    assert lm15.pieces(first) == lm15.pieces(second)
    assert [True, False] == [bool(response.headers_all("set-cookie")) for response in (first, second)]
    assert first.header("x-request-id") == second.header("x-request-id")
    lm15.ask()
    assert {"idle": 1, "in_use": 0, "total_opened": 1} == lm15.transport.pool_stats()
    assert (1, 1) == (provider.count(), askonce.stats().recorded)


def test_a_stream_comes_in_the_same_pieces(provider: LocalProvider, lm15: Lm15) -> None:
    """A stream comes in the same pieces on the miss and on the hit."""
    provider.pace = 0.005
    missed, hit = lm15.ask(stream=True), lm15.ask(stream=True)
    assert missed == hit
    assert len(hit) > 5
    assert 1 == provider.count()


def test_each_chunk_comes_when_it_is_sent(provider: LocalProvider, lm15: Lm15) -> None:
    """The first chunk is there while the provider has not sent the next; what is left then is not kept."""
    provider.fail_next(Fault.STALL(after_chunks=1, seconds=60))
    response = lm15.open(stream=True)
    assert lm15.first(response).startswith(b"data: {")
    lm15.leave(response)
    assert 0 == lm15.transport.pool_stats()["in_use"]
    assert 0 == askonce.stats().recorded


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("fault", [Fault.CUT(), Fault.EOF_EARLY(), Fault.EMPTY, Fault.STATUS(529)], ids=str)
def test_broken_answers(provider: LocalProvider, lm15: Lm15, stream: bool, fault: Any) -> None:
    """What breaks looks to the caller as it does without us, exceptions included, and is not kept."""
    provider.pace = 0.005

    def ask(**headers: str) -> Any:
        try:
            response = lm15.open(stream=stream, **headers)
            return response.status, sum(map(len, lm15.pieces(response)))
        except TransportError as error:
            return type(error), str(error)

    provider.fail_next(fault)
    bare = ask(**{"x-askonce-mode": "off"})
    provider.fail_next(fault)
    assert bare == ask()
    assert 0 == askonce.stats().recorded
    assert 200 == ask()[0]
    assert 1 == askonce.stats().recorded
    assert 0 == lm15.transport.pool_stats()["in_use"]


def test_offline_and_controls(provider: LocalProvider, lm15: Lm15) -> None:
    """An offline miss is a 404 with our words; a control reaches no provider."""
    refused = lm15.open(**{"x-askonce-mode": "offline"})
    assert 404 == refused.status
    assert b"askonce is offline" in b"".join(lm15.pieces(refused))
    lm15.ask(**{"x-askonce-ttl": "30"})
    [received] = provider.received
    assert None is received.header("x-askonce-ttl")


def test_a_body_too_long_passes(provider: LocalProvider, lm15: Lm15, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body beyond what is looked at goes to the provider as it is."""
    monkeypatch.setattr("askonce.intercept.lm15.MOST", 1000)
    assert lm15.ask("x" * 1000) != lm15.ask("x" * 1000, **{"x-askonce-ttl": "30"})
    assert [None, None] == [received.header("x-askonce-ttl") for received in provider.received]
    assert 2 == askonce.stats().bypassed


def test_a_compressed_recording_is_given_plain(provider: LocalProvider, lm15: Lm15) -> None:
    """What httpx2 recorded as gzip is given plain to a transport that asks for no coding."""
    provider.gzip = True
    text = httpx2.post(provider.url + CHAT, json=chat("Hi", stream=True), headers=HEADERS).content
    assert text == b"".join(lm15.ask(stream=True))
    assert 1 == provider.count()


def test_a_closed_transport_does_not_answer(lm15: Lm15) -> None:
    """A closed transport raises, although the answer is recorded."""
    lm15.ask()
    lm15.close()
    with pytest.raises(TransportError, match="closed"):
        lm15.ask()


def test_a_transport_that_is_closed_takes_nothing_from_others(provider: LocalProvider, lm15: Lm15) -> None:
    """A transport closed while another reads along through its connection takes nothing from it."""
    provider.pace = 0.02
    leading = lm15.open(stream=True)
    assert lm15.first(leading)
    if lm15._runner is None:
        with httpx2.stream(
            "POST", provider.url + CHAT, json=chat("Hi", stream=True), headers=HEADERS
        ) as following:
            lm15.leave(leading)
            lm15.close()
            body = following.read()
    else:

        async def follow() -> bytes:
            async with (
                httpx2.AsyncClient(headers=HEADERS) as client,
                client.stream("POST", provider.url + CHAT, json=chat("Hi", stream=True)) as following,
            ):
                await leading.aclose()
                await lm15.transport.aclose()
                return await following.aread()

        body = lm15._runner.run(follow())
    assert body.endswith(b"[DONE]\n\n")
    assert (1, 1) == (provider.count(), askonce.stats().recorded)
    assert {"idle": 0, "in_use": 0, "total_opened": 1} == lm15.transport.pool_stats()


def test_a_tail_is_fetched(provider: LocalProvider, lm15: Lm15) -> None:
    """A stream that is left where the model has finished is kept whole."""
    provider.pace = 0.01
    response = lm15.open(stream=True)

    async def until_finished() -> None:
        async for piece in response:
            if b'"finish_reason":"stop"' in piece:
                break
        await response.aclose()

    if lm15._runner is None:
        for piece in response:
            if b'"finish_reason":"stop"' in piece:
                break
        response.close()
    else:
        lm15._runner.run(until_finished())
    gc.collect()
    assert b"[DONE]" in lm15.ask(stream=True)[-1]
    assert (1, 1) == (provider.count(), askonce.stats().recorded)


def test_the_copy_that_dspy_brings_is_caught(provider: LocalProvider, tmp_path: Path) -> None:
    """lm15 under the name that it has inside DSPy, loaded after `enable`, is caught as well."""
    inside = tmp_path / "dspy" / "_vendor"
    shutil.copytree(Path(package.__file__).parent, inside / "lm15")
    for folder in (inside, inside.parent):
        (folder / "__init__.py").write_text("", encoding="ascii")
    printed = run(
        """
        import json, sys, askonce
        askonce.enable("memory:", domains=[sys.argv[1]])
        from dspy._vendor.lm15.transports import StdlibTransport, TransportRequest
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi"}]}).encode()
        headers = [("authorization", "Bearer key"), ("content-type", "application/json")]
        url = sys.argv[1] + "/v1/chat/completions"
        with StdlibTransport() as transport:
            for _ in range(2):
                request = TransportRequest("POST", url, headers=headers, body=body)
                with transport.stream(request) as response:
                    assert response.status == 200, response.read()
                    response.read()
        print(askonce.stats().recorded, askonce.stats().hits)
        """,
        provider.url,
        path=tmp_path,
    )
    assert "1 1\n" == printed
    assert 1 == provider.count()
