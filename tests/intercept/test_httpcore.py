"""All that lies above the connection pool stays as it was: on a miss, and on a hit."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest

import askonce
from askonce.testing import Fault, LocalProvider
from tests.rig import CHAT, KEY, Rig, chat, each


@pytest.fixture(autouse=True)
def enabled(provider: LocalProvider, store: Path) -> Iterator[None]:
    """Cache what goes to the local provider."""
    with askonce.caching(store, domains=[provider.url]):
        yield


MISS_AND_HIT = ("miss", "hit")


async def test_a_question_is_asked_once(rig: Rig, provider: LocalProvider) -> None:
    """The second identical call gets the first one's bytes, and the provider is not asked."""
    async with rig.client() as client:
        first = await client.post(provider.url + CHAT, json=chat())
        second = await client.post(provider.url + CHAT, json=chat())
    assert 1 == provider.count()
    assert (200, first.content) == (second.status_code, second.content)
    assert list(MISS_AND_HIT) == [answer.extensions["askonce"] for answer in (first, second)]


async def test_auth_flows_run(rig: Rig, provider: LocalProvider) -> None:
    """An auth that reads the response sees it on a miss and on a hit, and can ask again."""
    library = rig.library
    seen: list[Any] = []

    class Auth(library.Auth):  # type: ignore[misc, name-defined]
        requires_response_body = True

        def auth_flow(self, request: Any) -> Iterator[Any]:
            request.headers["authorization"] = "Bearer wrong-key"
            response = yield request
            seen.append((response.status_code, json.loads(response.content).keys()))
            if response.status_code == 401:
                request.headers["authorization"] = f"Bearer {KEY}"
                response = yield request
                seen.append((response.status_code, json.loads(response.content).keys()))

    async with rig.client(auth=Auth()) as client:
        first = await client.post(provider.url + CHAT, json=chat())
        second = await client.post(provider.url + CHAT, json=chat())
    statuses = [status for status, _ in seen]
    assert [401, 200, 200] == statuses
    assert 2 == provider.count()
    assert first.content == second.content
    assert f"Bearer {KEY}" == first.request.headers["authorization"]


async def test_event_hooks_fire(rig: Rig, provider: LocalProvider) -> None:
    """Request and response hooks are called for each call, with its own request and response."""
    seen: list[Any] = []
    hooks = {
        "request": [rig.hook(lambda request: seen.append(("request", request)))],
        "response": [rig.hook(lambda response: seen.append(("response", response.request)))],
    }
    async with rig.client(event_hooks=hooks) as client:
        first = await client.post(provider.url + CHAT, json=chat())
        second = await client.post(provider.url + CHAT, json=chat())
    assert ["request", "response"] * 2 == [kind for kind, _ in seen]
    assert [first.request, first.request, second.request, second.request] == [request for _, request in seen]


async def test_a_hook_may_change_the_question(rig: Rig, provider: LocalProvider) -> None:
    """A request hook that adds a header which matters makes another question of it."""
    marks = iter(["a", "b"])

    def mark(request: Any) -> None:
        request.headers["openai-beta"] = next(marks)

    async with rig.client(event_hooks={"request": [rig.hook(mark)]}) as client:
        first = await client.post(provider.url + CHAT, json=chat())
        second = await client.post(provider.url + CHAT, json=chat())
    assert first.content != second.content
    assert 2 == provider.count()


@pytest.mark.parametrize("status", [307, 308])
async def test_redirects_are_followed(rig: Rig, provider: LocalProvider, redirector: str, status: int) -> None:
    """A redirect from a foreign path into generation is followed each time, and its target answered once."""
    async with rig.client(follow_redirects=True, headers={"api-key": KEY}) as client:
        first = await client.post(f"{redirector}/{status}", json=chat())
        second = await client.post(f"{redirector}/{status}", json=chat())
    assert first.content == second.content
    assert 1 == provider.count()
    for answer in (first, second):
        assert [status] == [before.status_code for before in answer.history]
        assert provider.url + CHAT == str(answer.url)


async def test_a_closed_client_raises(rig: Rig, provider: LocalProvider) -> None:
    """A closed client does not answer, although the answer is recorded."""
    client = rig.client()
    await client.post(provider.url + CHAT, json=chat())
    await client.close()
    with pytest.raises(RuntimeError, match="closed"):
        await client.post(provider.url + CHAT, json=chat())


async def test_elapsed_and_request_are_this_calls(rig: Rig, provider: LocalProvider) -> None:
    """`elapsed` is measured, `request` is the live one, and so is `url`, on a miss and on a hit."""
    provider.latency = 0.2
    async with rig.client() as client:
        for lower, upper in ((0.2, 9), (0, 0.19)):
            request = client.native.build_request("POST", provider.url + CHAT, json=chat())
            answer = await client.send(request)
            assert lower <= answer.elapsed.total_seconds() < upper
            assert request is answer.request
            assert request.url == answer.url


async def test_cookies_reach_the_jar_on_a_miss_and_none_on_a_hit(rig: Rig, provider: LocalProvider) -> None:
    """The provider's cookies are set when it answers; a hit sets none; sending them changes no question."""
    async with rig.client() as client:
        await client.post(provider.url + CHAT, json=chat())
        assert {"__cf_bm", "_cfuvid"} == set(client.native.cookies)
    async with rig.client() as client:
        answer = await client.post(provider.url + CHAT, json=chat())
        assert "hit" == answer.extensions["askonce"]
        assert set() == set(client.native.cookies)
        client.native.cookies.set("mine", "yes")
        again = await client.post(provider.url + CHAT, json=chat())
        assert "hit" == again.extensions["askonce"]
        assert {"mine"} == set(client.native.cookies)


async def test_version_reason_and_headers_are_the_providers(rig: Rig, provider: LocalProvider) -> None:
    """HTTP version, reason, and all headers but those that must not be kept are the same on a hit."""
    async with rig.client() as client:
        first = await client.post(provider.url + CHAT, json=chat())
        second = await client.post(provider.url + CHAT, json=chat())
    assert ("HTTP/1.1", "OK") == (second.http_version, second.reason_phrase)
    dropped = {name for name in first.headers if name not in second.headers}
    assert {"set-cookie", "openai-organization"} <= dropped
    assert all("ratelimit" in name for name in dropped - {"set-cookie", "openai-organization"})
    kept = [pair for pair in first.headers.multi_items() if pair[0] not in dropped]
    assert kept == second.headers.multi_items()


@pytest.mark.parametrize("way", ["bytes", "lines", "raw", "text"])
async def test_iterating_gives_the_same_pieces(rig: Rig, provider: LocalProvider, way: str) -> None:
    """A stream read by bytes, lines, raw or text comes in the same pieces on a hit as on the miss."""
    body = chat(stream=True)
    provider.pace = 0.005  # so that the chunks come one by one
    pieces = []
    async with rig.client() as client:
        for _ in range(2):
            async with client.stream("POST", provider.url + CHAT, json=body) as answer:
                pieces.append([piece async for piece in each(answer, way)])
            assert answer.is_closed
            assert answer.is_stream_consumed
    assert pieces[0] == pieces[1]
    assert len(pieces[1]) > 5
    assert 1 == provider.count()


async def test_the_extensions_of_a_miss_are_the_providers(rig: Rig, provider: LocalProvider) -> None:
    """On a miss the network stream can be looked at, as without us; a hit has none."""
    async with rig.client() as client:
        async with client.stream("POST", provider.url + CHAT, json=chat()) as answer:
            network = answer.extensions["network_stream"]
            assert ("127.0.0.1", provider.port) == network.get_extra_info("server_addr")
            assert b"".join([piece async for piece in each(answer, "bytes")])
        second = await client.post(provider.url + CHAT, json=chat())
    assert "network_stream" not in second.extensions


async def test_the_trace_extension_sees_what_is_sent(rig: Rig, provider: LocalProvider) -> None:
    """A trace hears of the connection on a miss, and of nothing on a hit."""
    heard: list[str] = []
    trace = rig.hook(lambda name, _info: heard.append(name))
    async with rig.client() as client:
        await client.post(provider.url + CHAT, json=chat(), extensions={"trace": trace})
        missed, heard[:] = list(heard), []
        await client.post(provider.url + CHAT, json=chat(), extensions={"trace": trace})
    assert "http11.send_request_body.complete" in missed
    assert [] == heard


async def test_timeouts_are_the_callers(rig: Rig, provider: LocalProvider) -> None:
    """A read timeout passes through as the library's own exception, and nothing is kept."""
    provider.latency = 1.0
    async with rig.client(timeout=0.1) as client:
        with pytest.raises(rig.library.ReadTimeout):
            await client.post(provider.url + CHAT, json=chat())
    assert 0 == askonce.stats().recorded


async def test_a_broken_answer_raises_what_it_would_have_raised(rig: Rig, provider: LocalProvider) -> None:
    """A connection cut inside the body is the library's own error, on every attempt."""
    async with rig.client() as client:
        for _ in range(2):
            provider.fail_next(Fault.CUT())
            with pytest.raises(rig.library.RemoteProtocolError):
                await client.post(provider.url + CHAT, json=chat(stream=True))
    assert 2 == provider.count()
    assert 0 == askonce.stats().recorded


# --- Request bodies ---------------------------------------------------------------------------------------------


def body_of(rig: Rig, pieces: list[bytes], trouble: Exception | None = None) -> Any:
    """Return a generator of this rig's kind."""

    def generate() -> Iterator[bytes]:
        yield from pieces
        if trouble is not None:
            raise trouble

    async def generate_async() -> AsyncIterator[bytes]:
        for piece in generate():
            yield piece

    return generate_async() if rig.is_async else generate()


async def test_a_generated_body_is_the_question_it_makes(rig: Rig, provider: LocalProvider) -> None:
    """A body from a generator is sent whole, and is the same question as the same bytes in one piece."""
    whole = json.dumps(chat()).encode()
    headers = {"content-type": "application/json"}
    async with rig.client(headers={"authorization": f"Bearer {KEY}", **headers}) as client:
        first = await client.post(provider.url + CHAT, content=body_of(rig, [whole[:9], whole[9:]]))
        second = await client.post(provider.url + CHAT, content=whole)
    assert whole == provider.received[0].body
    assert "chunked" == provider.received[0].header("transfer-encoding")
    assert first.content == second.content
    assert 1 == provider.count()


async def test_a_body_that_raises_raises_in_the_caller(rig: Rig, provider: LocalProvider) -> None:
    """An exception in a body's generator reaches the caller as it is, and the next call is not harmed."""
    async with rig.client() as client:
        with pytest.raises(KeyError, match="no more"):
            await client.post(provider.url + CHAT, content=body_of(rig, [b"{"], KeyError("no more")))
        answer = await client.post(provider.url + CHAT, json=chat())
    assert 200 == answer.status_code
    assert 1 == provider.count()


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "with a length"])
async def test_a_body_of_100_mb_passes(rig: Rig, discarding: str, store: Path, chunked: bool) -> None:
    """A body beyond what is looked at goes to the provider as it is, without being gathered twice."""
    piece = b"x" * (1 << 20)
    pieces = [b'{"model":"gpt-local","messages":[{"role":"user","content":"', *[piece] * 100, b'"}]}']
    length = str(sum(map(len, pieces)))
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json", "x-askonce-ttl": "30"}
    if not chunked:
        headers["content-length"] = length
    with askonce.caching(store, domains=[discarding]):
        async with rig.client() as client:
            tracemalloc.start()
            try:
                answer = await client.post(discarding + CHAT, content=body_of(rig, pieces), headers=headers)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
    assert [int(length), False] == answer.json()
    assert peak < 100 << 20  # the pieces themselves were there before


async def test_a_body_too_long_to_look_at_is_refused_offline(
    rig: Rig, discarding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Offline such a request is refused, not sent; with a malformed control it is, too."""
    monkeypatch.setattr("askonce.intercept.serving.MOST", 1000)
    with askonce.caching("memory:", domains=[discarding], mode="offline") as cache:
        async with rig.client() as client:
            refused = await client.post(discarding + CHAT, json=chat("x" * 1000))
            wrong = await client.post(discarding + CHAT, json=chat("x" * 1000), headers={"x-askonce-ttl": "soon"})
            passed = await client.post(
                discarding + CHAT, json=chat("x" * 1000), headers={"x-askonce-mode": "record"}
            )
    assert [404, 400, 200] == [answer.status_code for answer in (refused, wrong, passed)]
    assert "its body is longer than 1,000 bytes" in refused.json()["error"]["message"]
    assert "is not a duration" in wrong.json()["error"]["message"]
    assert (2, 1) == (cache.stats.refused, cache.stats.bypassed)


# --- Codings ----------------------------------------------------------------------------------------------------


async def test_a_compressed_answer_suits_whoever_reads_it(rig: Rig, provider: LocalProvider) -> None:
    """A gzip answer is kept as it came, and given decoded to a caller who accepts no coding."""
    provider.gzip = True
    plain = {"accept-encoding": "identity"}
    async with rig.client() as client:
        first = await client.post(provider.url + CHAT, json=chat(stream=True))
        second = await client.post(provider.url + CHAT, json=chat(stream=True))
        third = await client.post(provider.url + CHAT, json=chat(stream=True), headers=plain)
        async with client.stream("POST", provider.url + CHAT, json=chat(stream=True), headers=plain) as answer:
            raw = b"".join([piece async for piece in each(answer, "raw")])
    assert 1 == provider.count()
    assert "gzip" == first.headers["content-encoding"] == second.headers["content-encoding"]
    assert first.content == second.content == third.content == raw
    assert first.content.endswith(b"data: [DONE]\n\n")
    assert "content-encoding" not in third.headers


async def test_no_coding_is_asked_for_that_cannot_be_undone(rig: Rig, provider: LocalProvider) -> None:
    """zstd and br are taken out of accept-encoding on the way; the caller's own request stays as it was."""
    headers = {"accept-encoding": "gzip, deflate, br, zstd"}
    async with rig.client() as client:
        answer = await client.post(provider.url + CHAT, json=chat(), headers=headers)
    assert {"gzip", "deflate"} == set((provider.received[0].header("accept-encoding") or "").split(", "))
    assert "gzip, deflate, br, zstd" == answer.request.headers["accept-encoding"]


# --- What is not ours -------------------------------------------------------------------------------------------


async def test_foreign_hosts_and_paths_are_left_alone(rig: Rig, provider: LocalProvider, redirector: str) -> None:
    """Requests to other hosts, and to paths that are not generation, go out each time and are not counted."""
    async with rig.client() as client:
        for _ in range(2):
            models = await client.request("GET", f"{provider.url}/v1/models")
            assert 200 == models.status_code
            assert "askonce" not in models.extensions
            assert 200 == (await client.post(f"{redirector}/200", json=chat())).status_code
    assert 2 == provider.count()
    assert askonce.Stats() == askonce.stats()


async def test_controls_leave_no_request(rig: Rig, provider: LocalProvider) -> None:
    """A control set on the whole client is stripped from requests that are not generation, too."""
    async with rig.client(headers={"authorization": f"Bearer {KEY}", "x-askonce-partition": "ada"}) as client:
        assert 200 == (await client.request("GET", f"{provider.url}/v1/models")).status_code
        assert 200 == (await client.post(provider.url + CHAT, json=chat())).status_code
    assert [None, None] == [received.header("x-askonce-partition") for received in provider.received]


# --- Both libraries at once -------------------------------------------------------------------------------------


@pytest.mark.parametrize("leader", [httpx, httpx2], ids=lambda library: f"{library.__name__} leads")
def test_a_follower_gets_its_own_librarys_error(provider: LocalProvider, leader: Any) -> None:
    """When a stream breaks that httpx and httpx2 share, whoever reads it gets an exception that it knows."""
    follower = httpx if leader is httpx2 else httpx2
    provider.pace = 0.05
    provider.fail_next(Fault.CUT(after_chunks=4))
    options: Any = {"json": chat(stream=True), "headers": {"authorization": f"Bearer {KEY}"}, "timeout": 20}
    with leader.stream("POST", provider.url + CHAT, **options) as led:
        first = next(chunks := led.iter_raw())
        with follower.stream("POST", provider.url + CHAT, **options) as followed:
            assert "shared" == followed.extensions["askonce"]
            with pytest.raises(follower.TransportError):
                followed.read()
        with pytest.raises(leader.TransportError):
            list(chunks)
    assert first
    assert 1 == provider.count()


def test_libraries_share_what_is_recorded(provider: LocalProvider) -> None:
    """What one library recorded answers the other, sync and async."""
    headers = {"authorization": f"Bearer {KEY}"}
    first = httpx.post(provider.url + CHAT, json=chat(), headers=headers)
    second = httpx2.post(provider.url + CHAT, json=chat(), headers=headers)

    async def ask() -> Any:
        async with httpx2.AsyncClient(headers=headers) as client:
            return await client.post(provider.url + CHAT, json=chat())

    third = asyncio.run(ask())
    assert first.content == second.content == third.content
    assert 1 == provider.count()
