"""Servers that are no providers: one that redirects, and one that throws away what it is sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from askonce.testing import LocalProvider
from tests.rig import CHAT


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve requests in a thread; give the address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class Discarding(BaseHTTPRequestHandler):
    """Answer with the size of what came, and whether a control was with it."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        size = 0
        if "content-length" in self.headers:
            left = int(self.headers["content-length"])
            while left:
                piece = self.rfile.read(min(left, 1 << 20))
                size += len(piece)
                left -= len(piece)
        else:
            while length := int(self.rfile.readline(), 16):
                size += len(self.rfile.read(length))
                self.rfile.readline()
            self.rfile.readline()
        controlled = any(name.lower().startswith("x-askonce-") for name in self.headers)
        body = json.dumps([size, controlled]).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def discarding() -> Iterator[str]:
    """Return the address of a server that reads everything and keeps nothing."""
    with serving(Discarding) as url:
        yield url


@pytest.fixture
def redirector(provider: LocalProvider) -> Iterator[str]:
    """Return the address of a server that redirects `/307` to the provider's chat, and answers `/200`."""

    class Redirecting(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(int(self.path[1:]))
            self.send_header("location", provider.url + CHAT)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with serving(Redirecting) as url:
        yield url
