"""Content codings (RFC 9110, 8.4.1) that can be undone with the standard library."""

from __future__ import annotations

import zlib

from askonce._core.messages import Answer, Chunk, Head, Headers

CODINGS = frozenset({"gzip", "x-gzip", "deflate"})

_BODY_LENGTH = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})


class Decoder:
    """Undo one coding, piece by piece."""

    __slots__ = ("_inflate", "_start", "_undecided")

    def __init__(self, coding: str) -> None:
        self._undecided = coding == "deflate"
        self._start = b""
        self._inflate = zlib.decompressobj(47)  # gzip or zlib, told apart by their first bytes

    @property
    def is_over(self) -> bool:
        """Tell whether what was fed ends where the coding says that it ends."""
        return self._inflate.eof

    def feed(self, data: bytes) -> bytes:
        """Return what `data` adds to the plain body.

        Raises:
            zlib.error: when it is not in the coding it says.
        """
        if self._undecided:
            data = self._start + data
            if len(data) < 2:
                self._start = data
                return b""
            self._undecided = False
            # Some servers send `deflate` without the zlib wrapper (RFC 1950, 2.2) that RFC 9110 asks for.
            if data[0] & 15 != 8 or int.from_bytes(data[:2]) % 31:
                self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        plain = self._inflate.decompress(data)
        while self._inflate.eof and self._inflate.unused_data:  # gzip allows several members
            rest, self._inflate = self._inflate.unused_data, zlib.decompressobj(47)
            plain += self._inflate.decompress(rest)
        return plain


def coding_of(headers: Headers) -> str:
    """Return the content coding, in lower case; empty for none."""
    coding = (headers.get(b"content-encoding") or "").strip().lower()
    return "" if coding == "identity" else coding


def accepted(headers: Headers) -> frozenset[str]:
    """Return the codings that a request's `accept-encoding` takes (RFC 9110, 12.5.3), `*` included."""
    names = set()
    for item in (headers.get(b"accept-encoding") or "").lower().split(","):
        name, _, weight = item.partition(";")
        if weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000"):
            names.add(name.strip())
    return frozenset(names)


def undo(head: Head, chunks: tuple[Chunk, ...]) -> tuple[Head, tuple[Chunk, ...]]:
    """Return an answer without its content coding, for a caller who does not take it."""
    decoder = Decoder(coding_of(head.headers))
    plain = tuple(Chunk(decoder.feed(data), at) for data, at in chunks)
    headers = head.headers.without(_BODY_LENGTH)
    return Head(head.status, headers, head.reason, head.http_version), plain


def plain_body(answer: Answer) -> bytes:
    """Return an answer's body without its content coding."""
    if coding_of(answer.head.headers) not in CODINGS:
        return answer.body
    _, chunks = undo(answer.head, answer.chunks)
    return b"".join(chunk.data for chunk in chunks)
