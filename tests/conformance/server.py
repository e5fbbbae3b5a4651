"""A provider that answers whatever it is asked with values of the types that it is told of."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NamedTuple, Self

from pydantic import BaseModel

from tests.conformance.values import answer, members, plain

_VOLATILE = re.compile(
    "x-stainless-.*|user-agent|authorization|x-api-key|x-goog-api-key|x-goog-api-client|idempotency-key|host|"
    "connection|accept-encoding|content-length|accept|x-server-timeout|.*-helper.*"
)
_LAST = ("message_stop", "response.completed", "done", "completed", "speech.audio.done", "transcript.text.done")


class Asked(NamedTuple):
    """A request, as far as it says what is asked."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def word(self) -> str:
        """What an answer to this, and to nothing else, holds."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:12]


class Server:
    """`plain` and `events` are the types of the next answers, plain and as streams; `is_down` answers 500."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.plain: Any = None
        self.events: Any = None
        self.is_down = False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *trouble: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, asked: Asked) -> tuple[str, bytes]:
        """Return the media type and the body of an answer."""
        wants_stream = b'"stream":true' in asked.body.replace(b" ", b"") or "alt=sse" in asked.target
        if not wants_stream and b'name="stream"\r\n\r\ntrue' in asked.body:
            wants_stream = True
        if wants_stream and self.events is not None:
            return "text/event-stream", b"".join(self._stream(asked.word))
        base = plain(self.plain)
        if isinstance(base, type) and not issubclass(base, BaseModel | str):
            return "application/octet-stream", f"content {asked.word}".encode()
        value = answer(self.plain, asked.word) if base is not None else {"data": []}
        return "application/json", json.dumps(
            value if isinstance(value, dict | list) else {"text": value}
        ).encode()

    def _stream(self, word: str) -> Iterator[bytes]:
        kinds = sorted(members(self.events), key=lambda one: _kind(answer(one, "")).endswith(_LAST))
        for kind in kinds:
            event = answer(kind, word)
            name = _kind(event)
            yield (f"event: {name}\n" if name else "").encode() + f"data: {json.dumps(event)}\n\n".encode()
        if not _kind(answer(kinds[-1], "")).endswith(_LAST):
            yield b"data: [DONE]\n\n"


def _kind(event: Any) -> str:
    return str(event.get("type", "")) if isinstance(event, dict) else ""


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer is one packet, or each would wait for the last one's receipt

        def do_POST(self) -> None:
            body = self._body()
            kind = self.headers.get("content-type") or ""
            boundary = re.search("boundary=([^;]+)", kind)
            if boundary:
                body, kind = body.replace(boundary[1].encode(), b"*"), kind.replace(boundary[1], "*")
            headers = sorted(
                (name.lower(), kind if name.lower() == "content-type" else value)
                for name, value in self.headers.items()
                if not _VOLATILE.fullmatch(name.lower())
            )
            asked = Asked(self.command, self.path, tuple(headers), body)
            server.asked.append(asked)
            media, content = server.answer(asked)
            self.send_response_only(500 if server.is_down else 200)
            self.send_header("content-type", media)
            self.send_header("content-length", str(len(content)))
            self.send_header("x-request-id", f"req_{asked.word}")
            self.send_header("request-id", f"req_{asked.word}")
            self.end_headers()
            self.wfile.write(content)
            self.wfile.flush()

        do_GET = do_DELETE = do_PATCH = do_PUT = do_POST

        def _body(self) -> bytes:
            if "chunked" in (self.headers.get("transfer-encoding") or ""):
                parts = []
                while size := int(self.rfile.readline(), 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)
            return self.rfile.read(int(self.headers.get("content-length") or 0))

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
