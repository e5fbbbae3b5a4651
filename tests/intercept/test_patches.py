"""The patches are put where the program's own modules are, once, and taken away exactly."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import grpc.aio
import httpcore
import httpcore2
import httpx
import httpx2
import lm15.transports
import pytest
import urllib3
import websockets.asyncio.client
import websockets.sync.client

import askonce
from askonce.intercept import patches
from askonce.testing import LocalProvider
from tests.intercept.processes import run
from tests.rig import CHAT, KEY, Rig, chat

PLACES: list[tuple[Any, str]] = [
    (aiohttp.ClientSession, "_request"),
    (aiohttp.BaseConnector, "close"),
    (aiohttp.TCPConnector, "close"),
    (grpc, "secure_channel"),
    (grpc.aio, "secure_channel"),
    (lm15.transports.StdlibTransport, "stream"),
    (lm15.transports.StdlibAsyncTransport, "_do_stream"),
    (urllib3.HTTPConnectionPool, "urlopen"),
    (websockets.asyncio.client.connect, "__init__"),
    (websockets.sync.client, "connect"),
    *(
        (owner, method)
        for module in (httpcore, httpcore2)
        for owner, method in (
            (module.ConnectionPool, "handle_request"),
            (module.AsyncConnectionPool, "handle_async_request"),
            (module.ConnectionPool, "close"),
            (module.AsyncConnectionPool, "aclose"),
        )
    ),
]


def there() -> list[Any]:
    """Return what is in all the places that are patched."""
    return [owner.__dict__[method] for owner, method in PLACES]


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Expect each test to leave the program as it was."""
    before, finders = there(), list(sys.meta_path)
    yield
    askonce.disable()
    assert all(one is other for one, other in zip(before, there(), strict=True))
    assert finders == sys.meta_path


def test_disable_puts_back_exactly_what_was_there(store: Path) -> None:
    """After `disable` the very functions of before are in place, and the import system is as it was."""
    before, finders = there(), list(sys.meta_path)
    askonce.enable(store)
    assert not any(one is other for one, other in zip(before, there(), strict=True))
    askonce.disable()
    assert all(one is other for one, other in zip(before, there(), strict=True))
    assert finders == sys.meta_path


def test_enabling_twice_is_undone_once(store: Path) -> None:
    """The second `enable` patches nothing more, and one `disable` undoes both; another does no harm."""
    before = there()
    askonce.enable(store)
    patched = there()
    askonce.enable("memory:")
    assert patched == there()
    askonce.disable()
    assert before == there()
    askonce.disable()
    assert before == there()


def test_caching_nests(provider: LocalProvider, tmp_path: Path) -> None:
    """The innermost block is in force, and what was before comes back, in an enabled program too."""
    outer = askonce.enable(tmp_path / "a.db", domains=[provider.url])
    assert outer is askonce.session.current()
    with askonce.caching(tmp_path / "b.db", domains=[provider.url]) as first:
        assert first is askonce.session.current()
        with askonce.caching(tmp_path / "c.db", domains=[provider.url]) as second:
            assert second is askonce.session.current()
            post(provider)
        assert first is askonce.session.current()
        post(provider)
    assert outer is askonce.session.current()
    post(provider)
    assert 3 == provider.count()
    assert [1, 1, 1] == [cache.stats.recorded for cache in (outer, first, second)]


def post(provider: LocalProvider, library: Any = httpx2, **options: Any) -> Any:
    """Ask the usual question."""
    return library.post(
        provider.url + CHAT, json=chat(), headers={"authorization": f"Bearer {KEY}"}, timeout=20, **options
    )


async def test_clients_made_before_are_caught(rig: Rig, provider: LocalProvider, store: Path) -> None:
    """A client made, and used, before `enable` is cached from then on, and no longer after `disable`."""
    async with rig.client() as client:
        await client.post(provider.url + CHAT, json=chat())
        askonce.enable(store, domains=[provider.url])
        first = await client.post(provider.url + CHAT, json=chat())
        second = await client.post(provider.url + CHAT, json=chat())
        askonce.disable()
        third = await client.post(provider.url + CHAT, json=chat())
    assert first.content == second.content != third.content
    assert 3 == provider.count()


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_proxy_pools_are_caught(discarding: str, store: Path, library: Any) -> None:
    """What goes through a proxy is cached under the provider's own address."""
    url = "http://llm.example:9" + CHAT
    askonce.enable(store, domains=["http://llm.example:9"])
    with library.Client(proxy=discarding) as client:
        answers = [client.post(url, json=chat()) for _ in range(2)]
    assert [200, 200] == [answer.status_code for answer in answers]
    assert (1, 1) == (askonce.stats().recorded, askonce.stats().hits)
    assert [url] == [entry.question.url for entry in askonce.open_storage(str(store)).entries()]


def test_others_may_patch_over_us(provider: LocalProvider, store: Path) -> None:
    """A proxy put over our patch, even one that is equal to it, survives `disable`; then all is gone with it."""
    wrapt = pytest.importorskip("wrapt")
    before = httpcore2.ConnectionPool.__dict__["handle_request"]
    seen = []

    def spy(wrapped: Any, _instance: Any, given: Any, named: Any) -> Any:
        seen.append(wrapped)
        return wrapped(*given, **named)

    askonce.enable(store, domains=[provider.url])
    ours = httpcore2.ConnectionPool.__dict__["handle_request"]
    theirs = wrapt.FunctionWrapper(ours, spy)
    httpcore2.ConnectionPool.handle_request = theirs
    post(provider)
    askonce.disable()
    assert theirs is httpcore2.ConnectionPool.__dict__["handle_request"]
    post(provider)
    assert 2 == len(seen) == provider.count()
    httpcore2.ConnectionPool.handle_request = ours  # they put back what they had found
    askonce.enable(store, domains=[provider.url])
    post(provider)
    assert 1 == askonce.stats().hits
    askonce.disable()
    assert before is httpcore2.ConnectionPool.__dict__["handle_request"]


def test_enabling_again_renews_what_another_patcher_undid(provider: LocalProvider, store: Path) -> None:
    """Where another patcher, begun before us, has put back what it found, `enable` patches again."""
    askonce.enable(store, domains=[provider.url])
    for owner, method in PLACES:
        setattr(owner, method, patches._originals[id(owner.__dict__[method])][1])
    askonce.enable(store, domains=[provider.url])
    post(provider)
    post(provider)
    assert 1 == provider.count()


def test_a_library_that_is_barred_does_no_harm(monkeypatch: pytest.MonkeyPatch, provider: LocalProvider) -> None:
    """Where a program bars a library's import (None in `sys.modules`), the others are caught all the same."""
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    askonce.enable("memory:", domains=[provider.url])
    post(provider)
    post(provider)
    assert 1 == provider.count()


# --- In a fresh process -----------------------------------------------------------------------------------------


def test_nothing_is_imported_for_it() -> None:
    """`import askonce; askonce.enable()` loads no HTTP library, no SDK, and nothing else that is installed."""
    printed = run("""
        import sys
        before = set(sys.modules)
        import askonce
        askonce.enable("memory:")
        print(sorted({name.partition(".")[0] for name in set(sys.modules) - before} - sys.stdlib_module_names))
    """)
    assert "['askonce']\n" == printed


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
@pytest.mark.parametrize("first", ["askonce", "the library", "its client"])
def test_the_order_of_imports_does_not_matter(provider: LocalProvider, library: str, first: str) -> None:
    """The cache is in force whether it is enabled before the import, after it, or after a client is made."""
    enable = f"import askonce; askonce.enable('memory:', domains=['{provider.url}'])"
    load = f"import {library}"
    make = f"client = {library}.Client(headers={{'authorization': 'Bearer {KEY}'}}, timeout=20)"
    steps = {
        "askonce": [enable, load, make],
        "the library": [load, enable, make],
        "its client": [load, make, enable],
    }
    ask = f"print(len({{client.post('{provider.url + CHAT}', json={chat()!r}).content for _ in range(3)}}))"
    assert "1\n" == run("\n".join([*steps[first], ask]))
    assert 1 == provider.count()


def test_importing_sdks_under_us_leaves_no_trace() -> None:
    """What is imported while we watch has its own loader, and disabling leaves nothing of ours behind."""
    printed = run(
        """
        import importlib, sys, askonce
        askonce.enable("memory:")
        for sdk in sys.argv[1:]:
            importlib.import_module(sdk)
        import httpx, httpx2, httpcore, httpcore2
        askonce.disable()
        for name, module in list(sys.modules.items()):
            spec = getattr(module, "__spec__", None)
            for loader in (getattr(module, "__loader__", None), getattr(spec, "loader", None)):
                if type(loader).__module__.startswith("askonce"):
                    print(name, loader)
        for module in (httpcore, httpcore2):
            for name in ("ConnectionPool.handle_request", "AsyncConnectionPool.handle_async_request"):
                owner, method = name.split(".")
                code = getattr(getattr(module, owner), method).__code__
                if "askonce" in code.co_filename:
                    print(module, name)
        """,
        *("openai", "anthropic", "google.genai", "groq", "cohere", "mistralai.client", "ollama"),
    )
    assert "" == printed


def test_an_import_that_fails_fails_as_it_would(tmp_path: Path) -> None:
    """A watched module that cannot be imported raises its own error, and can be tried again."""
    (tmp_path / "httpcore.py").write_text("import nothing_of_this_name", encoding="ascii")
    printed = run(
        """
        import askonce
        askonce.enable("memory:")
        for _ in range(2):
            try:
                import httpcore
            except ImportError as error:
                print(error)
        """,
        path=tmp_path,
    )
    assert "No module named 'nothing_of_this_name'\n" * 2 == printed


def test_an_alias_is_patched_once(provider: LocalProvider) -> None:
    """Where `httpx2.alias_httpx()` makes one module of both, a call passes through the cache once."""
    printed = run(
        """
        import sys, httpx2
        httpx2.alias_httpx()
        import httpx, httpcore2, askonce
        assert httpx is httpx2
        before = httpcore2.ConnectionPool.handle_request
        askonce.enable("memory:", domains=[sys.argv[1]], debug=True)
        assert httpcore2.ConnectionPool.handle_request.__wrapped__ is before
        headers = {"authorization": "Bearer key"}
        body = {"model": "gpt-local", "messages": [{"role": "user", "content": "hi"}]}
        for library in (httpx, httpx2):
            library.post(sys.argv[1] + "/v1/chat/completions", json=body, headers=headers)
        print(askonce.stats().recorded, askonce.stats().hits, askonce.stats().misses)
        askonce.disable()
        assert httpcore2.ConnectionPool.handle_request is before
        """,
        provider.url,
    )
    assert "1 1 1\n" == printed
    assert 1 == provider.count()


ASKED = {
    ("httpcore2", "ConnectionPool", "handle_request"): "httpx2.post(url, content=body, headers=headers)",
    ("urllib3", "HTTPConnectionPool", "urlopen"): "urllib3.request('POST', url, body=body, headers=headers)",
    ("aiohttp", "ClientSession", "_request"): "asyncio.run(post())",
    ("lm15.transports", "StdlibTransport", "stream"): "list(lm15.transports.StdlibTransport().stream(request()))",
    (
        "lm15.transports",
        "StdlibAsyncTransport",
        "_do_stream",
    ): "asyncio.run(lm15.transports.StdlibAsyncTransport()._do_stream(request()))",
}


@pytest.mark.parametrize("place", ASKED, ids=str)
def test_ours_above_and_below_anothers_asks_once(provider: LocalProvider, place: tuple[str, str, str]) -> None:
    """`enable` patches again over somebody else's patch: the upper one answers, the lower one lets pass."""
    program = f"""
        import asyncio, functools, importlib, sys, httpx2, urllib3, aiohttp, lm15.transports
        import askonce
        url, body = {provider.url + CHAT!r}, {json.dumps(chat()).encode()!r}
        headers = {{"authorization": "Bearer {KEY}", "content-type": "application/json"}}

        async def post():
            async with aiohttp.ClientSession(headers=headers) as session, session.post(url, data=body) as answer:
                await answer.read()

        def request():
            return lm15.transports.TransportRequest(
                "POST", url, headers=list(headers.items()), body=body, read_timeout=5
            )

        askonce.enable("memory:", domains=[{provider.url!r}])
        owner = getattr(importlib.import_module({place[0]!r}), {place[1]!r})
        ours = getattr(owner, {place[2]!r})

        @functools.wraps(ours)
        def theirs(*given, **named):
            return ours(*given, **named)

        setattr(owner, {place[2]!r}, theirs)
        askonce.enable("memory:", domains=[{provider.url!r}])
        assert getattr(owner, {place[2]!r}) is not theirs
        {ASKED[place]}
        print(askonce.stats().misses)
    """
    assert "1\n" == run(program)
    assert 1 == provider.count()
