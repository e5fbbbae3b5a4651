"""`askonce serve` in a process of its own, as people run it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

KEY = "sk-test-SECRET-gateway-7a1f"
CHAT = "/v1/chat/completions"


def chat(content: str = "hi", **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": content}], "cache_enabled": True, **more}


class Served:
    """A gateway that runs; `log` is all that it has written."""

    def __init__(self, folder: Path, upstream: str, *arguments: str, ulimit: str = "") -> None:
        self.store = folder / "cache.db"
        self._log = folder / "gateway.log"
        self._upstream = upstream
        self._arguments = arguments
        self._ulimit = ulimit
        with socket.socket() as free:  # kept over restarts, as clients expect
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        return self._log.read_text()

    def start(self) -> Served:
        """Start it, and wait until it answers."""
        names = ("openai", "anthropic", "gemini")
        upstreams = [part for name in names for part in ("--upstream", f"{name}={self._upstream}")]
        command = [sys.executable, "-m", "askonce", "serve", "--port", str(self.port), "--store", str(self.store)]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                ["sh", "-c", f'{self._ulimit}\nexec "$@"', "sh", *command, *upstreams, *self._arguments],
                stdout=log,
                stderr=log,
            )
        until(lambda: self.is_up() or self.process.poll() is not None)  # type: ignore[union-attr]
        assert self.process.poll() is None, self.log
        return self

    def is_up(self) -> bool:
        with suppress(httpx.TransportError):
            return 200 == httpx.get(f"{self.url}/askonce/health", trust_env=False, timeout=5).status_code
        return False

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait until it has ended; return its status."""
        assert self.process is not None
        return self.process.wait(30)

    def kill(self) -> None:
        """End it as a crash would."""
        self.signal(signal.SIGKILL)
        self.wait()

    def stop(self) -> int:
        """End it as an operator does."""
        if self.process is None or self.process.poll() is not None:
            return 0
        self.signal(signal.SIGTERM)
        return self.wait()

    def post(self, fields: dict[str, Any], path: str = CHAT, **headers: str) -> httpx.Response:
        given = {"authorization": f"Bearer {KEY}"} | {name.replace("_", "-"): v for name, v in headers.items()}
        return httpx.post(self.url + path, json=fields, headers=given, timeout=20, trust_env=False)

    def get(self, path: str, **headers: str) -> httpx.Response:
        given = {"authorization": f"Bearer {KEY}"} | {name.replace("_", "-"): v for name, v in headers.items()}
        return httpx.get(self.url + path, headers=given, timeout=20, trust_env=False)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def raw(self, request: bytes) -> bytes:
        """Send bytes, and return all that comes until the connection ends."""
        with self.connect() as sock:
            with suppress(OSError):  # it may have been closed before all was sent
                sock.sendall(request)
            return read_all(sock)

    @property
    def descriptors(self) -> int:
        assert self.process is not None
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))


def read_all(sock: socket.socket) -> bytes:
    got = b""
    with suppress(ConnectionResetError):
        while chunk := sock.recv(65536):
            got += chunk
    return got


def until(is_so: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for what comes in its own time."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it has not come"
        time.sleep(0.02)


def serving(folder: Path, upstream: str) -> Iterator[Callable[..., Served]]:
    """Yield what starts gateways, and end them."""
    running: list[Served] = []

    def begin(*arguments: str, ulimit: str = "", config: str = "") -> Served:
        if config:
            file = folder / "askonce.toml"
            file.write_text(config)
            arguments = (*arguments, "--config", str(file))
        running.append(Served(folder, upstream, *arguments, ulimit=ulimit))
        return running[-1].start()

    yield begin
    for one in running:
        one.stop()
        assert "Traceback" not in one.log, one.log
