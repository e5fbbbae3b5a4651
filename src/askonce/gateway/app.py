"""The gateway as an ASGI application: providers under their names, the gateway's own pages under /askonce/."""

from __future__ import annotations

from typing import Any

from askonce._engine.cache import Cache
from askonce._engine.reader import Door
from askonce.errors import SettingsError
from askonce.gateway.calls import Again, Call
from askonce.gateway.desk import Desk
from askonce.gateway.exchange import Receive, Scope, Send
from askonce.gateway.journal import Journal
from askonce.gateway.keys import Keys
from askonce.gateway.proxy import Proxy
from askonce.gateway.settings import GatewaySettings, read_gateway_settings
from askonce.gateway.shortcuts import Shortcuts
from askonce.gateway.telemetry import read_telemetry
from askonce.notices import warn_once

_NO_SOCKETS = (
    b"askonce: WebSockets (realtime) do not pass through this gateway. Connect to the provider directly for those."
)


class Gateway:
    """One gateway: a cache, its keys, and what is known of the providers. To be called as ASGI says."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.settings = settings
        self.cache = Cache(settings.cache, door=Door(opt_in=not settings.cache_enabled, dialects=True))
        self.cache.guard.open()
        self.keys = Keys(settings.keys)
        self.journal = Journal(settings.journal, keep=settings.keep_calls, most=settings.max_journal)
        self.telemetry = read_telemetry()
        self.proxy = Proxy(settings, self.cache, self.keys, self._note)
        self.shortcuts = Shortcuts(self.cache, self.keys, self.proxy.accepted, self._note)
        self.desk = Desk(self.cache, self.keys, self.journal, needs_keys=settings.needs_keys)

    def _note(self, call: Call | Again) -> None:
        self.journal.note(call)
        if self.telemetry is not None:
            self.telemetry.note(call)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "http":
                await self._answer(scope, receive, send)
            case "lifespan":
                await self._live(receive, send)
            case "websocket":
                await _refuse_socket(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        target = _target(scope)
        try:
            self.keys.all()
        except SettingsError as error:  # nobody is let in by a file that cannot be read
            warn_once(str(error))
            await _say(send, 503, b"askonce: the gateway's keys cannot be read; its log says why.")
            return
        if _wants_socket(scope):
            await _say(send, 501, _NO_SOCKETS)
        elif target.partition("?")[0] == "/askonce" or target.startswith("/askonce/"):
            await self.desk(scope, receive, send, target, self.proxy.in_flight)
        else:
            await self.proxy(scope, receive, send, target)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            else:
                await self.aclose()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def aclose(self) -> None:
        """Write what is pending, and close connections and the store."""
        await self.proxy.close()
        self.journal.close()
        if self.telemetry is not None:
            self.telemetry.close()
        self.cache.close()


def create_app(settings: GatewaySettings | None = None) -> Gateway:
    """Return the gateway as an ASGI application, to be served or mounted in another.

    Where it is mounted, `aclose` is to be called at the end of that one's life.

    Raises:
        SettingsError: when aiohttp is not installed.
    """
    try:
        import aiohttp  # noqa: F401
        import jinja2  # noqa: F401
        import prometheus_client  # noqa: F401
    except ImportError as error:
        raise SettingsError(
            f"The gateway needs {error.name}, which is not installed. Run: pip install 'askonce[gateway]'"
        ) from None
    return Gateway(settings or read_gateway_settings())


def _target(scope: Scope) -> str:
    """Return path and query as they were sent, less what this application is mounted under."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    path = raw.partition(b"?")[0].decode("latin-1")
    root = scope.get("root_path", "")
    if root and path.startswith(root):
        path = path[len(root) :] or "/"
    query = scope.get("query_string", b"").decode("latin-1")
    return f"{path}?{query}" if query else path


def _wants_socket(scope: Scope) -> bool:
    return any(name == b"upgrade" and value.lower() == b"websocket" for name, value in scope["headers"])


async def _refuse_socket(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    if "websocket.http.response" in scope.get("extensions", {}):
        await _say(send, 501, _NO_SOCKETS, "websocket.http.response")
    else:
        await send({"type": "websocket.close", "code": 1008, "reason": _NO_SOCKETS.decode()[:120]})


async def _say(send: Send, status: int, text: bytes, kind: str = "http.response") -> None:
    headers: list[Any] = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(text))]
    await send({"type": f"{kind}.start", "status": status, "headers": headers})
    await send({"type": f"{kind}.body", "body": text})
