"""The four ways to ask: httpx or httpx2, sync or async. A test is written once, as a coroutine with a rig.

For sync clients the coroutine is run without an event loop: nothing in it ever suspends.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Self

import httpx
import httpx2

CHAT = "/v1/chat/completions"
TLS = ssl.create_default_context()  # making one takes longer than all else that a client does
KEY = "sk-test-SECRET-rig-5d20c8"


def chat(content: str = "What is a café?", **more: Any) -> dict[str, Any]:
    """Return the body of a chat request."""
    return {"model": "gpt-local", "messages": [{"role": "user", "content": content}], **more}


@dataclass(frozen=True, slots=True)
class Rig:
    """One of the ways to ask."""

    library: ModuleType
    is_async: bool

    def __str__(self) -> str:
        return f"{self.library.__name__}-{'async' if self.is_async else 'sync'}"

    def run(self, story: Coroutine[Any, Any, None]) -> None:
        """Run a test's coroutine to its end."""
        if self.is_async:
            asyncio.run(story)
            return
        try:
            story.send(None)
        except StopIteration:
            return
        story.close()
        raise AssertionError("a sync test suspended")

    @property
    def core(self) -> ModuleType:
        """The library's own connection pools."""
        import httpcore
        import httpcore2

        return httpcore2 if self.library is httpx2 else httpcore

    def transport(self, **options: Any) -> Any:
        """Return the library's network transport."""
        name = "AsyncHTTPTransport" if self.is_async else "HTTPTransport"
        return getattr(self.library, name)(verify=TLS, **options)

    def client(self, **options: Any) -> AnyClient:
        """Return a client, to be used in `async with`."""
        options = {"headers": {"authorization": f"Bearer {KEY}"}, "timeout": 30, "verify": TLS, **options}
        return AnyClient(self, getattr(self.library, "AsyncClient" if self.is_async else "Client")(**options))

    def hook(self, action: Any) -> Any:
        """Return a plain function as an event hook or a body of this rig's kind."""
        if not self.is_async:
            return action

        async def run(*given: Any) -> Any:
            return action(*given)

        return run


class AnyClient:
    """A sync or async client, spoken to as if it were async."""

    def __init__(self, rig: Rig, native: Any) -> None:
        self.rig = rig
        self.native = native

    async def __aenter__(self) -> Self:
        await self._call(self.native.__aenter__ if self.rig.is_async else self.native.__enter__)
        return self

    async def __aexit__(self, *trouble: object) -> None:
        await self._call(self.native.__aexit__ if self.rig.is_async else self.native.__exit__, *trouble)

    async def _call(self, method: Any, *given: Any, **named: Any) -> Any:
        found = method(*given, **named)
        return await found if self.rig.is_async else found

    async def post(self, url: str, **options: Any) -> Any:
        """Send a POST and read its answer."""
        return await self._call(self.native.post, url, **options)

    async def request(self, method: str, url: str, **options: Any) -> Any:
        """Send any request and read its answer."""
        return await self._call(self.native.request, method, url, **options)

    async def send(self, request: Any, **options: Any) -> Any:
        """Send a request that was built before."""
        return await self._call(self.native.send, request, **options)

    async def close(self) -> None:
        """Close the client."""
        await self._call(self.native.aclose if self.rig.is_async else self.native.close)

    @asynccontextmanager
    async def stream(self, method: str, url: str, **options: Any) -> AsyncIterator[Any]:
        """Send a request and give its answer unread."""
        async with AsyncExitStack() as stack:
            context = self.native.stream(method, url, **options)
            if self.rig.is_async:
                yield await stack.enter_async_context(context)
            else:
                yield stack.enter_context(context)


async def each(response: Any, name: str, *given: Any) -> AsyncIterator[Any]:
    """Iterate over a response by `bytes`, `lines`, `raw` or `text`."""
    if hasattr(response.stream, "__aiter__") and not hasattr(response.stream, "__iter__"):
        async for item in getattr(response, f"aiter_{name}")(*given):
            yield item
    else:
        for item in getattr(response, f"iter_{name}")(*given):
            yield item


RIGS = [Rig(library, is_async) for library in (httpx, httpx2) for is_async in (False, True)]
