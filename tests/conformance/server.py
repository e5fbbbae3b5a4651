"""A provider that answers any request with what it was told to, and remembers what it was asked."""

from __future__ import annotations

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Answer(NamedTuple):
    """A body in pieces, as they are sent."""

    content_type: str
    pieces: tuple[bytes, ...]


class Asked(NamedTuple):
    """A request: what of it can make a difference."""

    method: str
    path: str
    query: str
    body: bytes
    prefer: str | None
    headers: tuple[tuple[str, str], ...]


class Server:
    """One address for the whole run, so that URLs stay the same; it can be stopped and started again."""

    def __init__(self) -> None:
        self.answer = Answer("application/json", (b"{}",))
        self.label = ""
        self.asked: list[Asked] = []
        self.port = 0
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen, at the same address each time."""
        self._server = _Listener(("127.0.0.1", self.port), type("Handler", (_Handler,), {"provider": self}))
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Answer nobody any more."""
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that left in the middle."""


class _Handler(BaseHTTPRequestHandler):
    provider: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, *arguments: Any) -> None:
        """Keep silent."""

    def _answer(self) -> None:
        provider = self.provider
        body = self._body()
        boundary = re.search("boundary=([^;]+)", self.headers.get("content-type", ""))
        if boundary:
            body = body.replace(boundary[1].strip('"').encode(), b"boundary")
            body = _FILE_NAME.sub(b"; filename\r\n\r\n", body)
        path, _, query = self.path.partition("?")
        headers = tuple(
            (name.lower(), value) for name, value in self.headers.items() if name.lower() not in _NOISE
        )
        provider.asked.append(Asked(self.command, path, query, body, self.headers.get("prefer"), headers))
        answer, label = provider.answer, provider.label
        self.send_response_only(200)
        self.send_header("content-type", answer.content_type)
        self.send_header("x-request-id", label)
        self.send_header("request-id", label)
        if len(answer.pieces) == 1:
            self.send_header("content-length", str(len(answer.pieces[0])))
            self.end_headers()
            self.wfile.write(answer.pieces[0])
            return
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for piece in (*answer.pieces, b""):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        pieces = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)


# A file is its content: what it is called, and the type that its name tells, are no part of the question.
_FILE_NAME = re.compile(rb'; filename="[^"]*"(?:\r\nContent-Type: [^\r]*)?\r\n\r\n')
_NOISE = frozenset(
    "content-length content-type host connection accept-encoding user-agent x-stainless-async x-stainless-timeout "
    "x-stainless-read-timeout idempotency-key x-stainless-idempotency-key x-stainless-raw-response "
    "sec-websocket-key".split()
)
