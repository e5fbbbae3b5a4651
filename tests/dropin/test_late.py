"""The HTTP client inside a drop-in client is the SDK's own in all but when its pool is made."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import openai as original
import pytest

from askonce import openai
from askonce.testing import LocalProvider

_HIT = """
import sys
import askonce.openai as openai

client = openai.OpenAI(base_url=sys.argv[1])
print(client.embeddings.create(model="m", input="Hi").model)
print([name for name in sys.modules if name in ("httpcore", "httpcore2")], openai.stats().hits)
"""
KINDS = ["OpenAI", "AsyncOpenAI", "AzureOpenAI", "AsyncAzureOpenAI"]


def made(library: Any, kind: str, **options: Any) -> Any:
    """Return a client, and see to it that it is closed without complaint."""
    azure = {"azure_endpoint": "https://x.test", "api_version": "1"} if "Azure" in kind else {}
    return getattr(library, kind)(api_key="sk-x", **azure, **options)


def described(client: Any) -> dict[str, Any]:
    """Return all that can be seen of a client's HTTP client."""
    http = client._client
    theirs = vars(http)
    transports = {"": theirs["_transport"], **{key.pattern: one for key, one in theirs["_mounts"].items() if one}}
    return {
        "name": type(http).__name__,
        "base_url": str(http.base_url),
        "timeout": (http.timeout, client.timeout),
        "follows": (http.follow_redirects, http.max_redirects, http.trust_env),
        "headers": http.headers.raw,
        "mounts": [key.pattern for key in theirs["_mounts"]],
        "transports": {name: type(one).__name__ for name, one in transports.items()},
        "pools": {name: _pool(one._pool) for name, one in transports.items()},
    }


def _pool(pool: Any) -> dict[str, Any]:
    plain = (int, float, bool, str, type(None))
    return {"": type(pool), **{name: value for name, value in vars(pool).items() if isinstance(value, plain)}}


@pytest.mark.parametrize("options", [{}, {"timeout": 7.5}, {"timeout": None}, {"max_retries": 1}], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_what_the_sdk_makes(kind: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Address, time-outs, limits, proxies, and the pools when they are made, are those of the original."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:3128")
    ours, theirs = (made(library, kind, **options) for library in (openai, original))
    assert described(theirs) == described(ours)


def test_another_address() -> None:
    """An address that is given, or changed later, is the HTTP client's too."""
    clients = [library.OpenAI(api_key="x", base_url="http://127.0.0.1:9/a") for library in (openai, original)]
    assert {"http://127.0.0.1:9/a/"} == {str(client._client.base_url) for client in clients}


def test_a_recorded_answer_needs_no_pool(
    provider: LocalProvider, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program whose question is recorded does not load the library that sends requests."""
    monkeypatch.setenv("ASKONCE_STORE", str(store))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    for mode in ("record", "replay"):
        monkeypatch.setenv("ASKONCE_MODE", mode)
        command = [sys.executable, "-c", _HIT, f"{provider.url}/v1"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ["[] 1"] == done.stdout.splitlines()[1:]
    assert 1 == provider.count()


def test_closed_before_anything_was_sent() -> None:
    """A client that has sent nothing can be closed, entered and left, and is closed then."""
    client = made(openai, "OpenAI")
    client.close()
    assert client.is_closed()
    with made(openai, "OpenAI") as entered, entered._client:
        assert not entered.is_closed()

    async def run() -> None:
        other = made(openai, "AsyncOpenAI")
        await other.close()
        assert other.is_closed()

    asyncio.run(run())
