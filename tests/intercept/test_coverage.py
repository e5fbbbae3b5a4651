"""A warning, once, where a known SDK is live and its calls are not seen; silence otherwise."""

from __future__ import annotations

import asyncio
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
import grpc.aio
import pytest
import websockets.asyncio.client
import websockets.sync.client

import askonce
from tests.intercept.processes import run

SEEN = ("openai", "anthropic", "google.genai", "mistralai.client", "groq", "ollama")


def open_channel(address: str) -> None:
    grpc.secure_channel(address, grpc.ssl_channel_credentials()).close()


def open_async_channel(address: str) -> None:
    async def run() -> None:
        await grpc.aio.secure_channel(address, grpc.ssl_channel_credentials()).close()

    asyncio.run(run())


def open_websocket(address: str) -> None:
    with suppress(OSError):
        websockets.sync.client.connect(address)


def open_async_websocket(address: str) -> None:
    async def run() -> None:
        with suppress(OSError):
            await websockets.asyncio.client.connect(address)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("use", "address", "said"),
    [
        (open_channel, "api.x.ai:443", r"api\.x\.ai is called over gRPC"),
        (open_channel, "dns:///us-central1-aiplatform.googleapis.com:443", r"us-central1-.* over gRPC"),
        (open_async_channel, "generativelanguage.googleapis.com", r"generativelanguage\..* over gRPC"),
        (open_websocket, "wss://api.openai.com/v1/realtime", r"api\.openai\.com is called over a websocket"),
        (
            open_async_websocket,
            "wss://api.openai.com/v1/realtime?model=a",
            r"api\.openai\.com .* over a websocket",
        ),
    ],
)
def test_what_cannot_be_caught_is_warned_of_once(use: Any, address: str, said: str) -> None:
    """A gRPC channel or a websocket to a provider is named once a process, when it is opened; others are not."""
    foreign = "ws://localhost:1" if "websocket" in said else "localhost:1"
    use(foreign)
    with askonce.caching("memory:"), pytest.warns(askonce.AskonceWarning, match=said):
        use(address)
    with warnings.catch_warnings(), askonce.caching("memory:"):
        warnings.simplefilter("error")
        use(address)
        use(foreign)


def test_a_release_that_is_not_as_expected_breaks_no_import(tmp_path: Path) -> None:
    """Where a library's next release has other insides its import succeeds, and a remark says what is lost."""
    (tmp_path / "lm15").mkdir()
    (tmp_path / "lm15" / "__init__.py").write_text("", encoding="ascii")
    (tmp_path / "lm15" / "transports.py").write_text("class StdlibTransport: pass", encoding="ascii")
    printed = run(
        """
        import warnings, askonce
        askonce.enable("memory:")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            import lm15.transports
            print(lm15.transports.StdlibTransport.__name__, *[str(warning.message)[:35] for warning in caught])
        """,
        path=tmp_path,
    )
    assert "StdlibTransport askonce: calls over lm15.transports\n" == printed


def test_warnings_as_errors_break_no_import(tmp_path: Path) -> None:
    """Where warnings are errors the remark is logged, and the import succeeds."""
    (tmp_path / "aiohttp.py").write_text("ready = True", encoding="ascii")
    printed = run("import askonce; askonce.enable('memory:'); import aiohttp; print(aiohttp.ready)", path=tmp_path)
    assert "True\n" == printed


LAZY = ("cohere", "mistralai", "huggingface_hub")  # these load httpx or httpx2 with the first call


@pytest.mark.parametrize("sdks", [LAZY, (*SEEN, *LAZY)], ids=["lazy", "all"])
@pytest.mark.parametrize("order", ["before", "after"])
def test_sdks_that_are_seen_are_not_warned_of(sdks: tuple[str, ...], order: str) -> None:
    """An SDK on httpx or httpx2 gives no warning, also when it loads them only with the first call."""
    enable, load = "import askonce; askonce.enable('memory:')", f"import {', '.join(sdks)}"
    steps = [load, enable] if order == "before" else [enable, load]
    watch = (
        "import logging; logging.basicConfig(format='%(message)s')"  # warnings are errors: what is logged is one
    )
    assert "" == run("\n".join([watch, *steps]), check=False)


@pytest.mark.parametrize(("name", "version"), [("aiohttp", "3.10.11"), ("urllib3", "2.25.904")])
def test_a_release_that_cannot_be_caught_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, name: str, version: str
) -> None:
    """A release of aiohttp that takes no middlewares, or another library named urllib3, is named with the cure."""
    other: Any = ModuleType(name)
    other.__version__ = version
    monkeypatch.setitem(sys.modules, name, other)
    with pytest.warns(askonce.AskonceWarning, match=f"calls over {name} {version} are not .* Install {name} "):
        askonce.enable("memory:")
