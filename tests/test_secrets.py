"""No credential, cookie or account reaches a store, whatever way it came.

Every store that any test makes is searched for the secrets by `conftest.py`; here is what tries to get one in.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import askonce
from askonce._core.record import unpack
from askonce.testing import LocalProvider
from tests.rig import CHAT, Rig, chat
from tests.scan import contents, findings, values
from tests.sdks.runs import SDKS
from tests.sdks.secrets import GEMINI_KEY, OPENAI_KEY, OPENAI_ORGANIZATION, SECRETS

SECRET = "token-SECRET-any-way-4e19d2"


@pytest.fixture(scope="module")
def everything(runs: Any) -> Path:
    """Return a store in which the whole catalogue of SDK calls has been recorded."""
    made = runs("current")
    sent = repr(made.received)
    assert [] == [secret for secret in SECRETS if secret not in sent], "each secret was really sent"
    store: Path = made.store
    return store


def test_a_store_of_everything_holds_no_secret(everything: Path) -> None:
    """After all calls of all SDKs, no key, organization or project is in the store's bytes, expanded or not."""
    assert len(SDKS) <= len(SECRETS)
    assert [] == findings(everything)
    assert sum(1 for _ in values(everything)) > 500


def test_a_store_of_everything_holds_no_cookie_limit_or_account(everything: Path) -> None:
    """The answers' headers hold no cookie, no rate limit, no organization, and none of the cookies' values."""
    storage = askonce.open_storage(str(everything))
    names = {
        name.lower().decode()
        for entry in storage.entries()
        for take in entry.takes
        for name, _ in take.answer.head.headers
    }
    storage.close()
    assert {"x-request-id", "request-id", "content-type", "date"} <= names
    assert [] == [name for name in names if "ratelimit" in name or "cookie" in name or "organization" in name]
    for data in contents(everything):
        for word in (b"__cf_bm", b"_cfuvid", b"set-cookie", b"x-ratelimit", b"anthropic-ratelimit", b"local-org"):
            assert word not in data.lower()


SENT: dict[str, dict[str, Any]] = {
    "authorization": {"headers": {"authorization": f"Bearer {SECRET}"}},
    "another scheme": {"headers": {"authorization": f"Custom {SECRET}"}},
    "a proxy's": {"headers": {"proxy-authorization": f"Basic {SECRET}"}},
    "a cookie": {"headers": {"cookie": f"session={SECRET}"}},
    "a gateway's own header": {"headers": {"x-portkey-api-key": SECRET, "helicone-auth": f"Bearer {SECRET}"}},
    "a header nobody knows": {"headers": {"x-my-company": SECRET}},
    "an AWS token": {
        "headers": {"x-amz-security-token": SECRET, "authorization": f"AWS4-HMAC Credential={SECRET}"}
    },
    "a header without a name for it": {"headers": {"x-user": f"ada;{SECRET}"}},
    "the query": {"params": {"key": SECRET}},
    "a parameter nobody knows": {"params": {"whatever": SECRET, "X-Amz-Signature": SECRET}},
    "the body": {"json": chat(api_key=SECRET)},
    "a tool in the body": {
        "json": chat(
            tools=[
                {
                    "type": "mcp",
                    "server_url": "https://mcp.example",
                    "authorization": SECRET,
                    "headers": {"Authorization": f"Bearer {SECRET}", "X-Key": SECRET},
                }
            ]
        )
    },
    "a server in the body": {
        "json": chat(mcp_servers=[{"type": "url", "url": "https://mcp.example", "authorization_token": SECRET}])
    },
    "userinfo": {"userinfo": f"ada:{SECRET}@"},
    "the body's customer": {"json": chat(cache_options={"cache_by_customer": True})},
}


@pytest.mark.parametrize("way", SENT)
async def test_a_secret_does_not_get_in(rig: Rig, provider: LocalProvider, store: Path, way: str) -> None:
    """Wherever in a request a secret is, it is not in the store, and the question is still recorded and found."""
    options = {"json": chat(), **SENT[way]}
    url = provider.url.replace("//", f"//{options.pop('userinfo', '')}")
    headers = {"api-key": SECRET, **options.pop("headers", {})}
    with askonce.caching(store, domains=[provider.url]) as cache:
        async with rig.client() as client:
            first = await client.post(url + CHAT, headers=headers, **options)
            second = await client.post(url + CHAT, headers=headers, **options)
    assert 200 == first.status_code
    assert first.content == second.content
    assert (1, 1) == (cache.stats.recorded, cache.stats.hits)
    assert SECRET in repr(provider.received[0]) or "userinfo" in way
    assert [] == findings(store)


async def test_a_secret_in_a_form_does_not_get_in(rig: Rig, provider: LocalProvider, store: Path) -> None:
    """A multipart request's own secrets are not in the store either."""
    with askonce.caching(store, domains=[provider.url]):
        async with rig.client() as client:
            for _ in range(2):
                answer = await client.post(
                    provider.url + "/v1/audio/transcriptions",
                    files={"file": ("a.wav", b"RIFF" + bytes(64))},
                    data={"model": "whisper-local", "api_key": SECRET},
                )
                assert 200 == answer.status_code
    assert 1 == provider.count()
    assert [] == findings(store)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", '{"model":"gpt-local","api_key":"%s","seed":NaN,"messages":[{"content":"hi"}]}'),
        (
            "application/json",
            '{"model":"gpt-local","api_key":"%s","model":"gpt-local","messages":[{"content":"hi"}]}',
        ),
        ("text/plain", '{"model":"gpt-local","api_key":"%s","messages":[{"content":"hi"}]}'),
    ],
    ids=["NaN", "duplicate keys", "text"],
)
async def test_a_secret_in_odd_json_does_not_get_in(
    rig: Rig, provider: LocalProvider, store: Path, content_type: str, body: str
) -> None:
    """A body that is kept by its bytes is not kept with a secret in it."""
    with askonce.caching(store, domains=[provider.url]):
        async with rig.client() as client:
            answer = await client.post(
                provider.url + CHAT, content=body % SECRET, headers={"content-type": content_type}
            )
    assert 200 == answer.status_code
    assert [] == findings(store)


def test_refusals_and_warnings_name_no_secret(provider: LocalProvider, store: Path, rig: Rig) -> None:
    """What an offline refusal says of request and nearest recording holds no credential."""

    async def story() -> None:
        body = chat(tools=[{"type": "mcp", "server_url": "https://x.example", "authorization": SECRET}])
        async with rig.client(headers={"authorization": f"Bearer {OPENAI_KEY}"}) as client:
            url = f"{provider.url}{CHAT}?key={GEMINI_KEY}"
            headers = {"openai-organization": OPENAI_ORGANIZATION}
            with askonce.caching(store, domains=[provider.url]):
                assert 200 == (await client.post(url, json=chat(), headers=headers)).status_code
            with askonce.caching(store, domains=[provider.url], mode="offline"):
                refused = await client.post(url, json=body, headers={**headers, "x-user": SECRET})
        assert 404 == refused.status_code
        assert "SECRET" not in refused.text

    rig.run(story())


def test_debug_lines_name_no_secret(
    provider: LocalProvider, store: Path, rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line a call holds no credential, though the URL did."""

    async def story() -> None:
        async with rig.client() as client:
            url = provider.url.replace("//", f"//ada:{SECRET}@") + CHAT
            with askonce.caching(store, domains=[provider.url], debug=True):
                for path in ("", "/nothing/of/ours"):
                    await client.post(f"{url}{path}?key={GEMINI_KEY}", json=chat(), headers={"api-key": SECRET})

    rig.run(story())
    printed = capsys.readouterr().err
    assert 2 == printed.count("askonce ")
    assert "SECRET" not in printed


def test_the_search_sees_what_is_in_a_store(provider: LocalProvider, store: Path) -> None:
    """The search would have found a secret: a question that asks about one is full of it."""
    with askonce.caching(store, domains=[provider.url]):
        import httpx2

        body = chat(f"What is {SECRET}?" + " Tell me." * 1000)
        httpx2.post(provider.url + CHAT, json=body, headers={"api-key": "key"})
    assert findings(store)
    with closing(sqlite3.connect(store)) as db:
        (answer,) = next(db.execute("SELECT answer FROM takes"))
        assert SECRET[:10].encode() in unpack(answer).body
    for path in store.parent.glob("cache.db*"):
        path.unlink()  # the search after each test is not to find this one
