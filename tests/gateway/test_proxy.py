"""What passes, what is refused, and what breaks, over real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from askonce.errors import SettingsError
from askonce.gateway import read_gateway_settings
from askonce.testing import Fault, LocalProvider
from tests.gateway.conftest import KEY, Running, Start

CHAT = "/v1/chat/completions"


@pytest.fixture(params=[True, False], ids=["fast", "asgi"])
def fast_path(request: pytest.FixtureRequest) -> bool:
    """Have every test here with the fast path, and once more by way of ASGI alone."""
    return bool(request.param)


def chat(content: str = "hi", **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": content}], "cache_enabled": True, **more}


def states(*answers: httpx.Response) -> list[str]:
    return [answer.headers["x-askonce-cache"] for answer in answers]


def raw(gateway: Running, request: bytes) -> bytes:
    """Send bytes, and return all that comes until the connection ends."""
    with socket.create_connection(("127.0.0.1", int(gateway.url.rpartition(":")[2])), timeout=10) as sock:
        sock.sendall(request)
        got = b""
        while chunk := sock.recv(65536):
            got += chunk
        return got


# --- Routing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        (CHAT, CHAT),
        ("/api/chat/completions", CHAT),
        ("/api/v1/chat/completions", CHAT),
        ("/openai/v1/chat/completions?x=1", f"{CHAT}?x=1"),
        ("/more/chat/completions", CHAT),
        ("/more/v1/chat/completions", CHAT),
    ],
)
def test_ways(start: Start, provider: LocalProvider, path: str, asked: str) -> None:
    """The first part of a path names the upstream; /v1 and /api are the default one's."""
    gateway = start(upstreams={"openai": provider.url, "more": f"{provider.url}/v1"})
    assert 200 == gateway.post(chat(), path).status_code
    assert asked == provider.received[-1].path


@pytest.mark.parametrize(
    "path",
    ["/", "/nobody/v1/x", "/openai/../v1/x", "/v1/%2e%2e/x", "/v1/..%2fx/..", "/v1/\\evil", "//evil.example/"],
)
def test_no_other_address(gateway: Running, provider: LocalProvider, path: str) -> None:
    """No path makes the gateway call anywhere but where it is configured to."""
    request = f"GET {path} HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n"
    answer = raw(gateway, request.encode())
    assert b" 404 " in answer.partition(b"\r\n")[0]
    assert [] == provider.received


def test_absolute_form(gateway: Running, provider: LocalProvider) -> None:
    """A request line that names another host is read by its path alone."""
    raw(gateway, b"GET http://evil.example/v1/models HTTP/1.1\r\nhost: evil\r\nconnection: close\r\n\r\n")
    assert ["/v1/models"] == [one.path for one in provider.received]
    assert f"127.0.0.1:{provider.port}" == provider.received[0].header("host")


def test_what_is_no_generation_passes(gateway: Running, provider: LocalProvider) -> None:
    """Any other method and path goes through as it is, its body too, and is never answered from the store."""
    for _ in range(2):
        answer = gateway.get("/v1/models", x_askonce_ttl="5")
        assert (200, "bypass") == (answer.status_code, answer.headers["x-askonce-cache"])
    form = {"file": ("a.jsonl", b"{}" * 50_000), "purpose": (None, "batch")}
    sent = httpx.post(f"{gateway.url}/v1/files", files=form, headers={"authorization": f"Bearer {KEY}"})
    assert 200 == sent.status_code
    assert (
        404
        == httpx.request("PROPFIND", f"{gateway.url}/v1/x", headers={"authorization": f"Bearer {KEY}"}).status_code
    )
    assert ["GET", "GET", "POST", "PROPFIND"] == [one.method for one in provider.received]
    assert provider.received[0].header("x-askonce-ttl") is None


def test_hop_by_hop(gateway: Running, provider: LocalProvider) -> None:
    """What is about the connection stays with it; so does what Connection names."""
    gateway.post(chat(), connection="close, x-secret", x_secret="1", te="trailers", x_kept="2")
    asked = provider.received[-1]
    assert [None, None, "2"] == [asked.header(name) for name in ("x-secret", "te", "x-kept")]


def test_websockets_are_refused(gateway: Running) -> None:
    """An upgrade is refused with a sentence."""
    answer = gateway.get("/v1/realtime", connection="upgrade", upgrade="websocket", sec_websocket_version="13")
    assert 501 == answer.status_code
    assert "WebSockets" in answer.text


# --- Controls ---------------------------------------------------------------------------------------------


def test_malformed_controls(gateway: Running, provider: LocalProvider) -> None:
    """A malformed control is 400 in the provider's own shape, naming field, value and what is allowed."""
    answer = gateway.post(chat(cache_ttl="soon"))
    assert 400 == answer.status_code
    assert "cache_ttl: 'soon' is not a number of seconds" in answer.json()["error"]["message"]
    other = gateway.post(chat(), "/anthropic/v1/messages", x_askonce_mode="fast", anthropic_version="2023-06-01")
    assert (400, "error") == (other.status_code, other.json()["type"])
    assert 0 == provider.count("chat") + provider.count("messages")


def test_ttl_passes(gateway: Running) -> None:
    """An answer is as old as its time to live allows."""
    body = chat(cache_ttl=1)
    assert ["miss", "hit"] == states(gateway.post(body), gateway.post(body))
    time.sleep(1.05)
    late = gateway.post(body)
    assert late.headers["cache-status"].startswith("askonce; fwd=stale; stored")


@pytest.mark.parametrize(
    ("fields", "headers", "status"),
    [
        ({"cache": {"ttl": 60}}, {}, "x-litellm-cache-key"),
        ({}, {"cf_aig_cache_ttl": "60"}, "cf-aig-cache-status"),
        ({}, {"helicone_cache_enabled": "true", "cache_control": "max-age=60"}, "helicone-cache"),
        ({}, {"x_openrouter_cache": "true"}, "x-openrouter-cache-status"),
        ({}, {"x_portkey_config": '{"cache":{"mode":"simple"}}'}, "x-portkey-cache-status"),
        ({"tensorzero::cache_options": {"enabled": "on"}}, {}, "cache-status"),
        ({}, {"x_askonce_ttl": "60"}, "cache-status"),
    ],
    ids=str,
)
def test_other_gateways_clients(
    gateway: Running, provider: LocalProvider, fields: dict[str, Any], headers: dict[str, str], status: str
) -> None:
    """Those who moved by changing one URL get what they ask for, in their own words; the provider sees none."""
    body = {key: value for key, value in chat(**fields).items() if key != "cache_enabled"}
    first, again = gateway.post(body, **headers), gateway.post(body, **headers)
    assert (200, ["miss", "hit"]) == (first.status_code, states(first, again))
    assert again.headers[status]
    assert set(json.loads(provider.received[-1].body)) == {"model", "messages"}
    assert [None] * len(headers) == [provider.received[-1].header(n.replace("_", "-")) for n in headers]


def test_default_can_be_on(start: Start) -> None:
    """A server may cache unless told otherwise; `false` is still false."""
    gateway = start(cache_enabled=True)
    body = {key: value for key, value in chat().items() if key != "cache_enabled"}
    assert ["miss", "hit"] == states(gateway.post(body), gateway.post(body))
    assert ["bypass"] == states(gateway.post(chat(cache_enabled=False)))


# --- Whose answer may go to whom --------------------------------------------------------------------------


def test_customers_do_not_share(gateway: Running) -> None:
    """Two customers never have each other's answers, nor the shared ones, whatever the names are made of."""
    by = {"cache_options": {"cache_by_customer": True}}
    names = ("ada", "bob", "ada/customer=bob", "credential", " ", "ä")
    seen = [gateway.post(chat(customer_identifier=name, **by)) for name in names]
    seen.append(gateway.post(chat(customer_identifier="ada")))
    assert ["miss"] * 7 == states(*seen)
    assert ["hit"] == states(gateway.post(chat(customer_identifier="ada", **by)))
    for forged in ("customer=ada", "x/customer=ada"):
        assert 400 == gateway.post(chat(), x_askonce_partition=forged).status_code
        assert 400 == gateway.post(chat(cache={"namespace": forged})).status_code
        assert 400 == gateway.post(chat(), cf_aig_cache_key=forged).status_code


def test_a_wrong_key_gets_what_the_provider_says(gateway: Running, provider: LocalProvider) -> None:
    """A recorded answer goes only to a credential that the provider has accepted; others hear the provider."""
    assert ["miss", "hit"] == states(gateway.post(chat()), gateway.post(chat()))
    for wrong in ("Bearer wrong-key", "wrong-key", ""):
        answer = gateway.post(chat(), authorization=wrong)
        assert (401, "miss") == (answer.status_code, *states(answer))
        assert "Incorrect API key" in answer.text
    assert ["hit"] == states(gateway.post(chat(), authorization="Bearer another-SECRET-key"))
    assert 4 == provider.count(CHAT)


def test_a_wrong_key_in_flight(gateway: Running, provider: LocalProvider) -> None:
    """Nor does a wrong key read along while another's answer comes."""
    provider.latency = 0.3

    async def story() -> list[int]:
        async with httpx.AsyncClient(timeout=20, trust_env=False) as client:

            async def ask(key: str) -> int:
                headers = {"authorization": f"Bearer {key}"}
                return (await client.post(gateway.url + CHAT, json=chat("both"), headers=headers)).status_code

            return await asyncio.gather(*(ask(key) for key in (KEY, "wrong-key", KEY, "wrong-key")))

    assert [200, 401, 200, 401] == asyncio.run(story())


def test_a_revoked_key_is_no_longer_answered(gateway: Running, provider: LocalProvider) -> None:
    """When the provider turns a credential away, the store does too."""
    gateway.post(chat())
    provider.fail_next(Fault.STATUS(401), CHAT)
    assert 401 == gateway.post(chat("other")).status_code
    provider.fail_next(Fault.STATUS(401), "/v1/models")
    provider.fail_next(Fault.STATUS(401), CHAT)
    assert 401 == gateway.post(chat()).status_code


def test_gateway_keys(start: Start, provider: LocalProvider, tmp_path: Path) -> None:
    """With gateway keys in force nobody is served without one, and it never reaches the provider."""
    held = tmp_path / "held"
    held.write_text("sk-held-SECRET-8c11\n")
    gateway = start(upstreams={"openai": {"url": provider.url, "key_file": str(held)}, "mine": provider.url})
    key = gateway.app.keys.add("team", admin=False)
    gateway.app.keys._look_again = 0.0
    assert 401 == gateway.post(chat()).status_code
    answer = gateway.post(chat(), authorization=f"Bearer {key}")
    assert (200, ["miss"]) == (answer.status_code, states(answer))
    assert "Bearer sk-held-SECRET-8c11" == provider.received[-1].header("authorization")
    mine = gateway.post(chat(), "/mine/v1/chat/completions", x_askonce_key=key)
    assert (200, f"Bearer {KEY}") == (mine.status_code, provider.received[-1].header("authorization"))
    assert provider.received[-1].header("x-askonce-key") is None
    unkeyed = gateway.post(chat(), "/mine/v1/chat/completions", authorization=f"Bearer {key}")
    assert (401, True) == (unkeyed.status_code, "x-askonce-key" in unkeyed.text)
    gateway.app.keys.revoke("team")
    gateway.app.keys.add("other", admin=False)
    assert 401 == gateway.post(chat(), authorization=f"Bearer {key}").status_code
    assert not any(key in (v or "") for one in provider.received for _, v in one.headers)


def test_damaged_keys(gateway: Running, provider: LocalProvider) -> None:
    """A file of keys that cannot be read lets nobody in; it does not open the gateway."""
    assert gateway.app.keys.path is not None
    gateway.app.keys.path.write_text("{")
    gateway.app.keys._look_again = 0.0
    for _ in range(3):
        answer = gateway.post(chat())
        assert (503, True) == (answer.status_code, "keys cannot be read" in answer.text)
    assert [] == provider.received


def test_others_need_keys(store: Path) -> None:
    """A gateway that others can reach does not start without keys."""
    from askonce.gateway.server import check_address

    settings = read_gateway_settings(store=str(store))
    assert not check_address("127.0.0.1", settings).needs_keys
    for host in ("0.0.0.0", "::", "10.0.0.1", "example.com"):
        with pytest.raises(SettingsError, match="askonce keys add"):
            check_address(host, settings)


# --- Many, and trouble ------------------------------------------------------------------------------------


def test_many_at_once_make_one_request(gateway: Running, provider: LocalProvider) -> None:
    """A hundred identical requests at once make one, and all of them stream from it."""
    provider.latency, provider.pace = 0.2, 0.01

    async def story() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=None)
        headers = {"authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(timeout=60, limits=limits, headers=headers, trust_env=False) as client:
            asked = (client.post(gateway.url + CHAT, json=chat(stream=True)) for _ in range(100))
            return await asyncio.gather(*asked)

    answers = asyncio.run(story())
    assert 1 == provider.count(CHAT)
    assert 1 == len({answer.content for answer in answers})
    assert 99 == sum("collapsed" in answer.headers["cache-status"] for answer in answers)


def test_a_client_that_leaves(gateway: Running, provider: LocalProvider) -> None:
    """One who goes away half-way does not spoil the answer for another who reads it."""
    provider.pace = 0.05
    headers = {"authorization": f"Bearer {KEY}"}
    gateway.get("/v1/models")

    async def story() -> bytes:
        async with httpx.AsyncClient(timeout=20, headers=headers, trust_env=False) as client:
            async with client.stream("POST", gateway.url + CHAT, json=chat(stream=True)) as leaving:
                first = aiter(leaving.aiter_raw())
                await anext(first)
                other = asyncio.create_task(client.post(gateway.url + CHAT, json=chat(stream=True)))
                await asyncio.sleep(0.1)
            return (await other).content

    whole = asyncio.run(story())
    assert whole.rstrip().endswith(b"[DONE]")
    assert 1 == provider.count(CHAT)
    assert whole == gateway.post(chat(stream=True)).content


@pytest.mark.parametrize("stream", [False, True])
def test_cut_off(gateway: Running, provider: LocalProvider, stream: bool) -> None:
    """An answer that breaks off half-way is passed on as broken, and not kept."""
    provider.fail_next(Fault.CUT(2), CHAT)
    with pytest.raises(httpx.RemoteProtocolError):
        gateway.post(chat(stream=stream))
    assert ["miss", "hit"] == states(gateway.post(chat(stream=stream)), gateway.post(chat(stream=stream)))


@pytest.mark.parametrize(
    "fault", [Fault.STATUS(429), Fault.STATUS(500), Fault.HTML, Fault.NOT_JSON, Fault.EMPTY], ids=repr
)
def test_errors_are_passed_on_and_forgotten(gateway: Running, provider: LocalProvider, fault: Any) -> None:
    """What is no answer goes to the client as it is, and is asked again."""
    provider.fail_next(fault, CHAT)
    trouble, after = gateway.post(chat()), gateway.post(chat())
    assert ["miss", "miss"] == states(trouble, after)
    assert getattr(fault, "code", 200) == trouble.status_code
    assert after.json()["choices"]


def test_compressed(gateway: Running, provider: LocalProvider) -> None:
    """Compressed answers pass as they are; who does not take the coding gets them decoded."""
    provider.gzip = True
    first, again = (gateway.post(chat(), accept_encoding="gzip, br") for _ in range(2))
    assert "gzip" == first.headers["content-encoding"] == again.headers["content-encoding"]
    plain = gateway.post(chat(), accept_encoding="identity")
    assert ("hit", None) == (plain.headers["x-askonce-cache"], plain.headers.get("content-encoding"))
    assert first.json() == again.json() == plain.json()


def test_upstream_down(gateway: Running, provider: LocalProvider) -> None:
    """A provider that cannot be reached is 502 with a sentence; what is recorded is still answered."""
    gateway.post(chat())
    provider.stop()
    assert ["hit"] == states(gateway.post(chat()))
    answer = gateway.post(chat("new"))
    assert 502 == answer.status_code
    assert "could not be asked" in answer.json()["error"]["message"]
    assert 502 == gateway.get("/v1/models").status_code


def test_upstream_silent(start: Start, provider: LocalProvider) -> None:
    """A provider that says nothing for too long is 504."""
    gateway = start(idle=0.2)
    gateway.get("/v1/models")
    provider.latency = 5
    assert 504 == gateway.post(chat()).status_code
    provider.latency = 0


def test_enormous(start: Start, provider: LocalProvider) -> None:
    """A body that is too long is refused, whether it says its length or not."""
    gateway = start(max_body=1000)
    assert 413 == gateway.post(chat("x" * 1000)).status_code
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    pieces = (b"x" * 100 for _ in range(20))
    assert 413 == httpx.post(gateway.url + CHAT, content=pieces, headers=headers, trust_env=False).status_code
    assert 0 == provider.count(CHAT)


def test_mounted(provider: LocalProvider, store: Path) -> None:
    """The application can be mounted under a path of any other."""
    from askonce.gateway import create_app

    app = create_app(read_gateway_settings(store=str(store), upstreams={"openai": provider.url}))

    async def mount(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "root_path": "/llm"}, receive, send)

    async def story() -> int:
        transport = httpx.ASGITransport(app=mount)
        async with httpx.AsyncClient(transport=transport, base_url="http://test/llm") as client:
            headers = {"authorization": f"Bearer {KEY}"}
            answers = [await client.post("/v1/chat/completions", json=chat(), headers=headers) for _ in range(2)]
        assert ["miss", "hit"] == states(*answers)
        await app.aclose()
        return provider.count(CHAT)

    assert 1 == asyncio.run(story())
