"""A gateway that listens, in front of the local provider."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from askonce.gateway import Gateway, create_app, read_gateway_settings
from askonce.testing import LocalProvider
from tests.gateway.served import Served, serving

KEY = "sk-test-SECRET-gateway-7a1f"


@dataclass
class Running:
    """A gateway, and where it listens."""

    app: Gateway
    url: str

    def settle(self) -> None:
        """Wait until all calls have been noted: a client has its answer a moment before."""
        while self.app.proxy.in_flight:
            time.sleep(0.001)

    def post(self, fields: dict[str, Any], path: str = "/v1/chat/completions", **headers: str) -> httpx.Response:
        """Send a request with a credential that the provider accepts, unless another is given."""
        given = {"authorization": f"Bearer {KEY}"} | {name.replace("_", "-"): v for name, v in headers.items()}
        return httpx.post(self.url + path, json=fields, headers=given, timeout=20, trust_env=False)

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Send a GET, likewise; to the gateway's own pages when all calls have been noted."""
        if path.startswith("/askonce"):
            self.settle()
        given = {"authorization": f"Bearer {KEY}"} | {name.replace("_", "-"): v for name, v in headers.items()}
        return httpx.get(self.url + path, headers=given, timeout=20, trust_env=False)


Start = Callable[..., Running]
Serve = Callable[..., Served]


@pytest.fixture
def fast_path() -> bool:
    """Tell whether hits are answered where their bytes arrive; tests of both ways override this."""
    return True


@pytest.fixture
def start(fast_path: bool, provider: LocalProvider, store: Path) -> Iterator[Start]:
    """Return what starts a gateway whose every upstream is the local provider."""
    import uvicorn

    from askonce.gateway.server import options, quieten

    running: list[tuple[uvicorn.Server, threading.Thread]] = []
    quieten()

    def begin(**arguments: Any) -> Running:
        names = ("openai", "anthropic", "gemini")
        given = {"store": str(store), "upstreams": dict.fromkeys(names, provider.url)}
        given |= {"fast_path": fast_path, **arguments}
        app = create_app(read_gateway_settings(**given))
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        port = listener.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(app, **options("127.0.0.1", port, app.settings)))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.005)
        running.append((server, thread))
        return Running(app, f"http://127.0.0.1:{port}")

    yield begin
    for server, _ in running:
        server.should_exit = True
    for _, thread in running:
        thread.join(10)


@pytest.fixture
def gateway(start: Start) -> Running:
    """Return a gateway with the settings that it has by itself."""
    return start()


@pytest.fixture
def serve(tmp_path: Path, provider: LocalProvider) -> Iterator[Serve]:
    """Return what starts `askonce serve` in a process of its own, whose every upstream is the local provider."""
    yield from serving(tmp_path, provider.url)
