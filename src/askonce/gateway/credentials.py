"""What clients show: gateway keys, and providers' keys that a provider has accepted or has not.

A recorded answer goes to nobody whom its provider would have turned away. Which credentials a provider has
accepted is remembered for a bounded time, by a hash under a key that this process alone has; nothing is written.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import time
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl

from askonce._core.messages import CREDENTIAL_HEADERS, CREDENTIAL_PARAMETERS, Headers, Request
from askonce.gateway.heads import GATEWAY_KEY

_ACCEPTED_SECONDS = 12 * 3600.0
_MOST = 100_000


def shown(headers: Headers, query: str) -> list[str]:
    """Return all that could be a gateway key in a request, the header of our own first."""
    found = [headers.get(GATEWAY_KEY)]
    for name in CREDENTIAL_HEADERS:
        value = headers.get(name)
        found.append(value.removeprefix("Bearer ").removeprefix("bearer ").strip() if value else None)
    found += [value for name, value in parse_qsl(query) if name.lower() in CREDENTIAL_PARAMETERS]
    return [text for text in found if text]


class Accepted:
    """The credentials that a provider has accepted not long ago."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._until: dict[bytes, float] = {}
        self._asking: dict[bytes, asyncio.Task[bool]] = {}

    def name(self, request: Request) -> bytes:
        """Return what a credential is remembered by, together with where it was shown."""
        parts = [f"{request.scheme}://{request.host}:{request.port}".encode()]
        parts += [(request.headers.get(name) or "").encode() for name in CREDENTIAL_HEADERS]
        parts += [f"{n}={v}".encode() for n, v in parse_qsl(request.query) if n.lower() in CREDENTIAL_PARAMETERS]
        text = b"".join(b"%d:%b" % (len(part), part) for part in parts)
        return hmac.digest(self._secret, text, hashlib.sha256)

    def has(self, name: bytes) -> bool:
        """Tell whether the provider has accepted it, not too long ago."""
        return self._until.get(name, 0.0) > time.monotonic()

    def note(self, name: bytes, status: int) -> None:
        """Learn from an answer's status."""
        if status in (401, 403):
            self._until.pop(name, None)
        elif 200 <= status < 300:
            if len(self._until) >= _MOST:
                for old in list(self._until)[: _MOST // 10]:
                    del self._until[old]
            self._until[name] = time.monotonic() + _ACCEPTED_SECONDS

    async def check(self, name: bytes, ask: Callable[[], Awaitable[int]]) -> bool:
        """Tell whether the provider accepts it, by what `ask` brings; many at once ask once."""
        task = self._asking.get(name)
        if task is None:
            task = self._asking[name] = asyncio.get_running_loop().create_task(self._ask(name, ask))
            task.add_done_callback(lambda _: self._asking.pop(name, None))
        return await asyncio.shield(task)

    async def _ask(self, name: bytes, ask: Callable[[], Awaitable[int]]) -> bool:
        try:
            self.note(name, await ask())
        except Exception:  # no answer is no acceptance
            return False
        return self.has(name)
