"""The seam of urllib3 (requests, botocore): `HTTPConnectionPool.urlopen`.

The pool's own retries and redirects are below it, those of requests, botocore and `PoolManager` above. What a
caller gets is urllib3's response over the standard library's, which reads the answer as if it came from a socket:
framing, decoding, length checks and errors are theirs.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from functools import lru_cache, partial, wraps
from types import ModuleType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from askonce._core.coding import CODINGS
from askonce._core.messages import Head, Headers
from askonce._engine.call import Origin
from askonce._engine.upstream import Upstream
from askonce.intercept.serving import MOST, CurrentCache, Place, forwarding, is_forwarded, serve

_PARAMETERS = (
    "self method url body headers retries redirect assert_same_host timeout pool_timeout release_conn chunked "
    "body_pos preload_content decode_content response_kw"
).split()
_BLOCK = 1 << 16


def is_supported(module: Any) -> bool:
    """Tell whether this is urllib3 1.26 or 2, and not another library under its name (urllib3-future is)."""
    pool = getattr(module, "HTTPConnectionPool", None)
    return pool is not None and set(_parameters(pool.urlopen)) <= set(_PARAMETERS)


@lru_cache(maxsize=16)
def _parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    from inspect import signature  # too heavy for a program without urllib3

    return tuple(signature(function).parameters)


def places(module: ModuleType, current: CurrentCache) -> Iterator[Place]:
    """Yield what is to be patched."""
    if is_supported(module):
        yield Place(module.HTTPConnectionPool, "urlopen", partial(_wrap, Urllib3Seam(module), current))


def _wrap(seam: Urllib3Seam, current: CurrentCache, original: Callable[..., Any]) -> Callable[..., Any]:
    names = _parameters(original)[1:]

    @wraps(original)
    def urlopen(pool: Any, *given: Any, **options: Any) -> Any:
        cache = current()
        if cache is None or is_forwarded() or pool.pool is None:  # None: it is closed
            return original(pool, *given, **options)
        options.update(zip(names, given, strict=False))
        sent: Any = None

        def forward(changed: Call) -> Any:
            nonlocal sent
            # The pool calls itself to retry and to follow a redirect.
            with forwarding() if changed.is_seen else nullcontext():
                sent = original(pool, **changed.options)
            return sent

        answer = serve(seam, cache, Call(pool, options), pool, forward)
        if answer is sent and options.get("preload_content", True):
            answer.data  # noqa: B018  # reads it if it has not been, and lets go of the connection
        return answer

    return urlopen


class Call(NamedTuple):
    """One call of `urlopen`, its arguments by name."""

    pool: Any
    options: dict[str, Any]
    is_seen: bool = False
    """Whether its answer is to be looked at while it comes, and what else it takes is no further question."""

    @property
    def headers(self) -> Any:
        headers = self.options.get("headers")
        return self.pool.headers if headers is None else headers


class Urllib3Seam:
    """urllib3's classes."""

    library = "urllib3"
    codings = CODINGS

    def __init__(self, module: Any) -> None:
        self.module = module

    def origin(self, call: Call) -> Origin:
        pool, method, url = call.pool, call.options["method"].upper(), call.options["url"]
        if url.startswith("/"):
            return method, pool.scheme, pool.host, pool.port, url
        parts = urlsplit(url)  # through a proxy that does not tunnel
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        return method, parts.scheme, parts.hostname or "", parts.port, target

    def headers(self, call: Call) -> Sequence[tuple[bytes, bytes]]:
        return [(_encode(name), _encode(value)) for name, value in call.headers.items()]

    def body(self, call: Call) -> Iterable[bytes] | None:
        body = call.options.get("body")
        if body is None or isinstance(body, bytes | bytearray):
            return [bytes(body or b"")]
        if isinstance(body, str):
            return [body.encode()]
        length = Headers(self.headers(call)).get(b"content-length") or ""
        if length.isdecimal() and int(length) > MOST:
            return None
        return _blocks(body) if hasattr(body, "read") else map(_encode_text, body)

    def patience(self, call: Call) -> float | None:
        timeout = call.options.get("timeout")
        if timeout is None or not (isinstance(timeout, int | float) or hasattr(timeout, "total")):
            timeout = call.pool.timeout
        limits = (timeout,) if isinstance(timeout, int | float) else (timeout.total, timeout._read)
        return min((float(limit) for limit in limits if isinstance(limit, int | float)), default=None)

    def rebuild(self, call: Call, headers: Headers, body: Any) -> Call:
        options = dict(call.options)
        if list(headers) != self.headers(call):
            options["headers"] = kept = self.module._collections.HTTPHeaderDict()
            for name, value in headers:
                kept.add(name.decode("latin-1"), value.decode("latin-1"))
        given = options.get("body")
        if body is not None and given is not None:
            is_generated = not (isinstance(given, bytes | bytearray | str) or hasattr(given, "read"))
            whole = None if is_generated else body.whole
            options["body"] = body if whole is None else whole
        if body is not None:
            options["preload_content"] = False
        return Call(call.pool, options, is_seen=body is not None)

    def upstream(self, response: Any, owner: Any) -> Upstream:
        connection = getattr(response, "connection", None)
        head = Head(
            response.status,
            Headers((_encode(name), _encode(value)) for name, value in response.headers.items()),
            _encode(response.reason or ""),
            b"HTTP/1.0" if response.version == 10 else b"HTTP/1.1",
        )

        def close() -> None:
            response.close()
            response.release_conn()

        return Upstream(head, response, _pieces(response), close, getattr(connection, "sock", None), owner)

    def respond(self, call: Call, head: Head, body: Any, outcome: str, upstream: Any = None) -> Any:
        from http.client import HTTPResponse

        options = call.options
        original = HTTPResponse(_Socket(_wire(head, body)), method=options["method"])  # type: ignore[arg-type]
        original.begin()
        response_class = getattr(call.pool, "ResponseCls", self.module.HTTPResponse)
        known = _parameters(response_class.__init__)
        more = {
            "version_string": head.http_version.decode(),
            "request_method": options["method"],
            "request_url": options["url"],
            "enforce_content_length": options.get("enforce_content_length"),
        }
        response = response_class(
            original,
            headers=self.module._collections.HTTPHeaderDict(original.msg.items()),
            status=original.status,
            version=original.version,
            reason=original.reason,
            preload_content=options.get("preload_content", True),
            decode_content=options.get("decode_content", True),
            original_response=original,
            pool=call.pool,
            **{name: value for name, value in more.items() if name in known and value is not None},
        )
        response.retries = self._retries(options) if upstream is None else upstream.retries
        return response

    def _retries(self, options: dict[str, Any]) -> Any:
        retries = options.get("retries")
        retry = self.module.Retry
        if isinstance(retries, retry):
            return retries
        return retry.from_int(retries, redirect=options.get("redirect", True), default=retry.DEFAULT)

    def broken(self, message: str) -> Exception:
        error: Exception = self.module.exceptions.ProtocolError(f"Connection broken: {message}")
        return error


def _blocks(file: Any) -> Iterator[bytes]:
    while block := file.read(_BLOCK):
        yield block.encode() if isinstance(block, str) else block


def _pieces(response: Any) -> Iterator[bytes]:
    """Yield a response's content as it comes, by HTTP's own chunks where it has such."""
    if not hasattr(getattr(response, "_fp", None), "read1"):  # a recorder's or a mock's
        yield from response.stream(_BLOCK, decode_content=False)
        return
    if response.chunked:
        yield from response.read_chunked(decode_content=False)
        return
    with response._error_catcher():
        while data := response._fp.read1(_BLOCK):
            yield data


# --- An answer as if it came from a socket --------------------------------------------------------------------


def _wire(head: Head, body: Any) -> Any:
    """Return a file of the whole answer as HTTP/1 has it."""
    version = b"HTTP/1.0" if head.http_version == b"HTTP/1.0" else b"HTTP/1.1"
    lines = [b"%s %d %s" % (version, head.status, head.reason)]
    lines += [b"%s: %s" % pair for pair in head.headers]
    is_chunked = "chunked" in (head.headers.get(b"transfer-encoding") or "").lower()
    if not is_chunked and version == b"HTTP/1.1" and head.headers.get(b"content-length") is None:
        lines.append(b"Transfer-Encoding: chunked")  # the answer came over HTTP/2, or had a content coding
        is_chunked = True
    start = b"\r\n".join([*lines, b"", b""])
    pieces = body if isinstance(body, list) else getattr(body, "at_once", None)
    if pieces is not None:
        return io.BytesIO(b"".join((start, *(_frames(pieces) if is_chunked else pieces))))
    return io.BufferedReader(_Wire(start, body, _frames(body) if is_chunked else iter(body)))


def _frames(body: Iterable[bytes]) -> Iterator[bytes]:
    for data in body:
        if data:
            yield b"%x\r\n%b\r\n" % (len(data), data)
    yield b"0\r\n\r\n"


class _Wire(io.RawIOBase):
    """What comes over the wire, of which each piece can be read as soon as it is there."""

    def __init__(self, start: bytes, body: Any, frames: Iterator[bytes]) -> None:
        self._rest = memoryview(start)
        self._body = body
        self._frames = frames

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = memoryview(next(self._frames, b""))
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._body.close()


class _Socket:
    """Stands for the socket that the standard library makes a file of."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def makefile(self, _mode: str) -> Any:
        return self._file


def _encode(text: str | bytes) -> bytes:
    return text.encode("latin-1") if isinstance(text, str) else text


def _encode_text(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text
