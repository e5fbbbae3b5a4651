"""The upstream side: one narrow interface, and aiohttp behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from askonce._core.controls import Controls, Mode
from askonce._core.messages import Head, Headers, Request
from askonce._engine import context
from askonce._engine.upstream import AsyncUpstream

_CONNECT_SECONDS = 30.0
_KEPT_SECONDS = 15.0  # for which an idle connection is kept; shorter than providers keep theirs
_LARGEST_HEAD = 64 << 10
_AUTOMATIC = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
_OFF = Controls(mode=Mode.OFF)


class UpstreamError(Exception):
    """A provider that could not be asked, or broke off; `status` is what a gateway says of it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Client:
    """Send requests to providers. To be made and closed in the event loop that uses it."""

    def __init__(self, idle: float) -> None:
        import aiohttp

        self._aiohttp: Any = aiohttp
        self._session = aiohttp.ClientSession(
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEPT_SECONDS, ttl_dns_cache=60),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=idle),
            skip_auto_headers=_AUTOMATIC,
            max_line_size=_LARGEST_HEAD,
            max_field_size=_LARGEST_HEAD,
        )

    async def send(self, request: Request, body: Any = None) -> AsyncUpstream:
        """Send a request, with this body in place of its own if given; return its answer's head, the rest to come.

        Raises:
            UpstreamError: when there is no answer.
        """
        from yarl import URL

        host = f"[{request.host}]" if ":" in request.host else request.host
        port = "" if request.port is None else f":{request.port}"
        url = URL(f"{request.scheme}://{host}{port}{request.target}", encoded=True)
        token = context.push(_OFF)  # a cache that is on in this very process has no part in it
        try:
            response = await self._session.request(
                request.method,
                url,
                headers=[(_text(name), _text(value)) for name, value in request.headers],
                data=request.body or None if body is None else body,
                allow_redirects=False,
            )
        except (self._aiohttp.ClientError, OSError, ValueError) as error:
            raise self._named(error, request) from error
        finally:
            context.pop(token)
        head = Head(
            response.status,
            Headers(response.raw_headers),
            (response.reason or "").encode("latin-1", "replace"),
            b"HTTP/1.0" if response.version == (1, 0) else b"HTTP/1.1",
        )
        return AsyncUpstream(head, response, self._chunks(response, request), _closing(response))

    async def _chunks(self, response: Any, request: Request) -> AsyncIterator[bytes]:
        try:
            async for chunk in response.content.iter_any():
                yield chunk
        except (self._aiohttp.ClientError, OSError) as error:
            raise self._named(error, request) from error

    def _named(self, error: Exception, request: Request) -> UpstreamError:
        where = f"{request.scheme}://{request.host}" + ("" if request.port is None else f":{request.port}")
        if isinstance(error, TimeoutError):
            return UpstreamError(504, f"{where} did not answer in time.")
        if isinstance(error, ValueError) and not isinstance(error, self._aiohttp.ClientError):
            return UpstreamError(400, f"This request cannot be sent on: {error}.")
        detail = str(error) or type(error).__name__
        return UpstreamError(502, f"{where} could not be asked: {detail}.")

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()


def _text(data: bytes) -> str:
    """Return a header as aiohttp takes it, which encodes it in UTF-8 again."""
    with suppress(UnicodeDecodeError):
        return data.decode()
    return data.decode("latin-1")


def _closing(response: Any) -> Any:
    async def aclose() -> None:
        response.close() if not response.content.at_eof() else response.release()

    return aclose
