"""HTTP as the core sees it: frozen values, bytes at the edges, no client library's classes."""

from __future__ import annotations

from typing import NamedTuple

CREDENTIAL_HEADERS = (b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key")
"""In which clients show a provider's key."""

CREDENTIAL_PARAMETERS = frozenset({"key", "api_key", "access_token"})
"""The same in a query."""


class Headers(tuple[tuple[bytes, bytes], ...]):
    """Header fields in the order and case in which they were sent; looked up without regard to case."""

    __slots__ = ()

    def get(self, name: bytes) -> str | None:
        """Return the first value of `name` (given in lower case), or None."""
        size = len(name)
        for key, value in self:
            if len(key) == size and key.lower() == name:
                return value.decode("latin-1")
        return None

    def without(self, names: frozenset[bytes]) -> Headers:
        """Return these headers less those whose lower-case name is in `names`."""
        return Headers(pair for pair in self if pair[0].lower() not in names)


class Request(NamedTuple):
    """A request to a provider. `target` is the path with its query, as on the request line."""

    method: str
    scheme: str
    host: str
    port: int | None
    target: str
    headers: Headers
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    def with_body(self, body: bytes) -> Request:
        """Return this request with another body and the `content-length` that goes with it."""
        length = str(len(body)).encode()
        pairs = [(name, length if name.lower() == b"content-length" else value) for name, value in self.headers]
        return self._replace(body=body, headers=Headers(pairs))


class Head(NamedTuple):
    """The start of an answer: everything but its body."""

    status: int
    headers: Headers
    reason: bytes = b""
    http_version: bytes = b"HTTP/1.1"


class Chunk(NamedTuple):
    """A piece of an answer's body, and when it came: seconds after the request was sent."""

    data: bytes
    at: float


class Usage(NamedTuple):
    """What the provider says the answer used, in tokens.

    Of the input tokens, `cached_tokens` were read from the provider's own prompt cache and `written_tokens`
    written to it: both have prices of their own.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    written_tokens: int = 0

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def counts(self) -> tuple[int, ...]:
        """The counts that are worth keeping: those of the prompt cache, which is seldom used, only if it was."""
        return self if self.cached_tokens or self.written_tokens else self[:2]


class Answer(NamedTuple):
    """A complete answer: its head, its chunks, and when the head came (seconds after the request)."""

    head: Head
    head_at: float
    chunks: tuple[Chunk, ...]
    usage: Usage = Usage()

    @property
    def body(self) -> bytes:
        if len(self.chunks) == 1:
            return self.chunks[0].data
        return b"".join(chunk.data for chunk in self.chunks)

    @property
    def size(self) -> int:
        """The length of the body in bytes."""
        return sum([len(data) for data, _ in self.chunks])

    @property
    def seconds(self) -> float:
        """How long the provider took, from request to last byte."""
        return self.chunks[-1].at if self.chunks else self.head_at
