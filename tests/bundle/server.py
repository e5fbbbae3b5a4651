"""A web server that hands out one file, well or badly."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


class FileServer:
    """Serve `content` at any path. `cut_after` ends the next answers after so many bytes of body."""

    def __init__(self, content: bytes, *, kind: str = "application/octet-stream", ranges: bool = True) -> None:
        self.content = content
        self.kind = kind
        self.ranges = ranges
        self.status = 200
        self.cut_after: list[int] = []
        self.asked: list[str | None] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer._answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *trouble: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        wanted = handler.headers.get("range")
        self.asked.append(wanted)
        etag = f'"{hashlib.sha256(self.content).hexdigest()[:16]}"'
        start = 0
        if self.status == 200 and self.ranges and wanted and handler.headers.get("if-range") == etag:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        body = self.content[start:]
        if start >= len(self.content) and start:
            handler.send_response(416)
            body = b""
        else:
            handler.send_response(206 if start else self.status)
        if start and body:
            handler.send_header("content-range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        handler.send_header("content-type", self.kind)
        handler.send_header("content-length", str(len(body)))
        handler.send_header("etag", etag)
        handler.end_headers()
        if self.cut_after:
            body = body[: self.cut_after.pop(0)]
            handler.close_connection = True
        handler.wfile.write(body)
