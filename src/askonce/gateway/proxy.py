"""The way to the providers: what all exchanges share, and one exchange for each request."""

from __future__ import annotations

from collections.abc import Callable

from askonce._core.messages import Headers
from askonce._engine.cache import Cache
from askonce.gateway.calls import Call
from askonce.gateway.client import Client
from askonce.gateway.credentials import Accepted
from askonce.gateway.exchange import Exchange, Receive, Scope, Send
from askonce.gateway.keys import Keys
from askonce.gateway.settings import GatewaySettings
from askonce.gateway.stale import Stale
from askonce.gateway.telemetry import trace_of


class Proxy:
    """Answer requests to providers."""

    def __init__(self, settings: GatewaySettings, cache: Cache, keys: Keys, note: Callable[[Call], None]) -> None:
        self.settings = settings
        self.cache = cache
        self.keys = keys
        self.accepted = Accepted()
        self.in_flight = 0
        self.stale = Stale(cache, note)
        self.note = note
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        if self._client is None:
            self._client = Client(self.settings.idle)
        return self._client

    async def close(self) -> None:
        """Close the connections to providers."""
        await self.stale.close()
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send, target: str) -> None:
        call = Call(scope["method"], target.partition("?")[0], trace=trace_of(Headers(scope["headers"])))
        self.in_flight += 1
        try:
            await Exchange(self, call, scope, receive, send).run(target)
        finally:
            call.ended()
            self.note(call)
            self.in_flight -= 1
