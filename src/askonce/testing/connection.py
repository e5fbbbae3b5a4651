"""One HTTP/1.1 connection: requests read, answers written. Nothing here knows what is asked or said."""

from __future__ import annotations

import socket
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from email.utils import formatdate
from http import HTTPStatus

from .exchange import Answer, Headers, Received
from .faults import AnyFault, Cut, Raw, Stall


class Hangup(Exception):
    """The connection is at its end, on purpose or not."""


class Connection:
    """Read requests from a socket and write answers to it.

    `pause` waits for so many seconds and raises `Hangup` if the provider stops meanwhile.
    """

    def __init__(self, sock: socket.socket, pause: Callable[[float], None]) -> None:
        self._socket = sock
        self._file = sock.makefile("rb")
        self._pause = pause

    def read(self) -> Received:
        """Return the next request; raise `Hangup` when there is none, or none in HTTP/1.1."""
        try:
            return self._read()
        except ValueError as error:
            raise Hangup from error

    def _read(self) -> Received:
        line = self._line()
        if not line:
            raise Hangup
        method, target, _ = line.split(" ", 2)
        headers = []
        while line := self._line():
            name, _, value = line.partition(":")
            headers.append((name, value.strip()))
        found = {name.lower(): value for name, value in headers}
        if found.get("expect", "").lower() == "100-continue":
            self._socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "chunked" in found.get("transfer-encoding", "").lower():
            body = b"".join(self._chunks())
        else:
            body = self._exactly(int(found.get("content-length", 0)))
        return Received(method, target, tuple(headers), body, time.monotonic())

    def _line(self) -> str:
        return self._file.readline(65536).decode("latin-1").rstrip("\r\n")

    def _exactly(self, size: int) -> bytes:
        body = self._file.read(size)
        if len(body) < size:
            raise Hangup
        return body

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self._line().partition(";")[0] or "0", 16):
            yield self._exactly(size)
            self._line()
        while self._line():
            pass

    def write(
        self, answer: Answer, headers: Headers, gzip: bool, pace: Callable[[], float], fault: AnyFault | None
    ) -> None:
        """Send an answer; raise `Hangup` if the fault is to break off."""
        if isinstance(fault, Raw):
            self._socket.sendall(fault.data)
            raise Hangup
        gzip = gzip and bool(answer.chunks or answer.body)
        headers = (("date", formatdate(usegmt=True)), *answer.headers, *headers)
        if gzip:
            headers = (*headers, ("content-encoding", "gzip"), ("vary", "Accept-Encoding"))
        if answer.chunks is None:
            self._write_body(answer, headers, gzip, fault)
        else:
            self._write_chunks(answer.status, headers, answer.chunks, gzip, pace, fault)

    def _head(self, status: int, headers: Iterable[tuple[str, str]]) -> bytes:
        lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}", *(f"{n}: {v}" for n, v in headers)]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def _write_body(self, answer: Answer, headers: Headers, gzip: bool, fault: AnyFault | None) -> None:
        body = b"".join(_compressed([answer.body])) if gzip else answer.body
        head = self._head(answer.status, (*headers, ("content-length", str(len(body)))))
        half = len(body) // 2
        match fault:
            case Cut():
                self._socket.sendall(head + body[:half])
                raise Hangup
            case Stall(seconds=seconds):
                self._socket.sendall(head + body[:half])
                self._pause(seconds)
                self._socket.sendall(body[half:])
            case _:
                self._socket.sendall(head + body)

    def _write_chunks(
        self,
        status: int,
        headers: Headers,
        chunks: tuple[bytes, ...],
        gzip: bool,
        pace: Callable[[], float],
        fault: AnyFault | None,
    ) -> None:
        self._socket.sendall(self._head(status, (*headers, ("transfer-encoding", "chunked"))))
        turn = min(fault.after_chunks, len(chunks) - 1) if isinstance(fault, Cut | Stall) else -1
        for index, chunk in enumerate(_compressed(chunks) if gzip else chunks):
            if index == turn and isinstance(fault, Cut):
                # Half a chunk: the framing is broken too, not only the stream's own end.
                self._socket.sendall(b"%x\r\n" % len(chunk) + chunk[: len(chunk) // 2])
                raise Hangup
            if index == turn and isinstance(fault, Stall):
                self._pause(fault.seconds)
            elif index:
                self._pause(pace())
            self._socket.sendall(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        self._socket.sendall(b"0\r\n\r\n")

    def hang_up(self) -> None:
        """End the connection from any thread: whoever reads or writes it meets its end at once."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End the connection and free it; only for the thread that reads and writes it."""
        self.hang_up()
        self._file.close()
        self._socket.close()


_REASONS = {status.value: status.phrase for status in HTTPStatus} | {529: "Overloaded"}


def _compressed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Compress so that each chunk can be read when it arrives."""
    packer = zlib.compressobj(wbits=31)
    waiting: bytes | None = None
    for chunk in chunks:
        if waiting is not None:
            yield waiting
        waiting = packer.compress(chunk) + packer.flush(zlib.Z_SYNC_FLUSH)
    yield (waiting or b"") + packer.flush()
