"""A provider whose answer follows from the question, so that whoever has both can tell whether it is right."""

from __future__ import annotations

import hashlib
import json
import random
import socket
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any, Self

PATH = "/v1/chat/completions"
MOST = 24_000  # bytes of text in an answer


def question(number: int, *, stream: bool = False) -> dict[str, Any]:
    """Return the body of the request of that number."""
    return {"model": "oracle", "messages": [{"role": "user", "content": f"question {number}"}], "stream": stream}


def said(number: int) -> str:
    """Return the text that answers a question: up to 24 KB that are this number's alone."""
    chance = random.Random(number)
    return hashlib.sha256(str(number).encode()).hexdigest() + chance.randbytes(number * 997 % (MOST // 2)).hex()


def answer(number: int, *, stream: bool = False) -> bytes:
    """Return the whole body that the provider sends."""
    return b"".join(_pieces(number, stream=stream))


def _pieces(number: int, *, stream: bool) -> list[bytes]:
    about = {"id": f"chatcmpl-{number}", "created": 1_700_000_000, "model": "oracle"}
    text = said(number)
    if not stream:
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
        return [json.dumps({**about, "object": "chat.completion", "choices": [choice], "usage": usage}).encode()]
    parts = [text[start : start + 4000] for start in range(0, len(text), 4000)]
    deltas: list[tuple[dict[str, str], str | None]] = [({"content": part}, None) for part in parts]
    return [
        b"data: %b\n\n"
        % json.dumps(
            {
                **about,
                "object": "chat.completion.chunk",
                "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
            }
        ).encode()
        for delta, reason in [*deltas, ({}, "stop")]
    ] + [b"data: [DONE]\n\n"]


class Oracle:
    """Answer over HTTP on the loopback interface, and count how often each question was asked."""

    def __init__(self) -> None:
        self.asked: Counter[int] = Counter()
        self._lock = Lock()
        self._server = _Server(("127.0.0.1", 0), _handler(self))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *trouble: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def count(self, number: int) -> None:
        """Note that a question was asked."""
        with self._lock:
            self.asked[number] += 1


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 2048

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is no news."""


def _handler(oracle: Oracle) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def setup(self) -> None:
            super().setup()
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def do_POST(self) -> None:
            fields = json.loads(self.rfile.read(int(self.headers["content-length"])))
            number = int(fields["messages"][0]["content"].split()[1])
            oracle.count(number)
            pieces = _pieces(number, stream=fields["stream"])
            self.send_response(200)
            self.send_header("content-type", "text/event-stream" if fields["stream"] else "application/json")
            if fields["stream"]:
                self.send_header("transfer-encoding", "chunked")
                pieces = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces] + [b"0\r\n\r\n"]
            else:
                self.send_header("content-length", str(len(pieces[0])))
            self.end_headers()
            for piece in pieces:
                self.wfile.write(piece)
                self.wfile.flush()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
