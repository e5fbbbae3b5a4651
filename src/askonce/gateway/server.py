"""The gateway under uvicorn: where it listens, and that it does not listen to others without keys."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from askonce.errors import SettingsError
from askonce.gateway.app import Gateway, create_app
from askonce.gateway.keys import Keys
from askonce.gateway.settings import GatewaySettings, read_gateway_settings
from askonce.settings import hand_down, read_variable

_GRACE_SECONDS = 30  # for which streams in flight may go on when the gateway stops
_PLAN = "ASKONCE_GATEWAY_PLAN"
_MOST_DESCRIPTORS = 65_536
_TOLD_OTHERWISE = (
    "ASGI callable returned without completing response.",  # an answer that a provider cut off, passed on so
    "Invalid HTTP request received.",  # the client is answered so, and could write a log full
)


def check_address(host: str, settings: GatewaySettings) -> GatewaySettings:
    """Return the settings for this address.

    Raises:
        SettingsError: when others can reach it and there are no gateway keys.
    """
    if is_loopback(host):
        return settings
    if not Keys(settings.keys).all():
        raise SettingsError(
            f"{host} can be reached by others, and this gateway has no keys. Make one first: "
            "askonce keys add NAME (--admin for the Logs page). Or listen on 127.0.0.1."
        )
    return settings._replace(needs_keys=True)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def options(host: str, port: int, settings: GatewaySettings) -> dict[str, Any]:
    """Return how uvicorn is to serve the gateway."""
    from askonce.gateway.connections import Connection, Limits, Watch
    from askonce.gateway.fast import FastConnection

    limits = Limits(settings.max_connections, settings.max_head, settings.client_idle)
    return {
        "host": host,
        "port": port,
        "http": partial(
            FastConnection if settings.fast_path else Connection, watch=Watch(limits.within(descriptors()))
        ),
        "ws": "none",
        "log_level": "warning",
        "access_log": False,
        "server_header": False,
        "date_header": False,
        "proxy_headers": False,
        "timeout_keep_alive": 75,
        "timeout_graceful_shutdown": _GRACE_SECONDS,
        "backlog": 2048,
    }


def descriptors() -> int:
    """Return how many files and connections this process may have open, after asking for as many as it may."""
    try:
        import resource
    except ImportError:  # Windows knows no such limit
        return _MOST_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MOST_DESCRIPTORS)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return _MOST_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft


def serve(host: str, port: int, workers: int, file: Path | None, arguments: dict[str, Any]) -> None:
    """Serve until a signal ends it."""
    try:
        import uvicorn
    except ImportError:
        raise SettingsError("askonce serve needs uvicorn. Run: pip install 'askonce[gateway]'") from None
    settings = check_address(host, read_gateway_settings(file, **arguments))
    quieten()
    if workers == 1:
        uvicorn.run(create_app(settings), **options(host, port, settings))
        return
    plan = {"host": host, "file": None if file is None else str(file), "arguments": arguments}
    hand_down(_PLAN, json.dumps(plan))
    uvicorn.run("askonce.gateway.server:worker", factory=True, workers=workers, **options(host, port, settings))


def worker() -> Gateway:
    """Return the application of one of several worker processes, by what `serve` has handed down."""
    plan = json.loads(read_variable(_PLAN) or "{}")
    file = plan["file"]
    settings = read_gateway_settings(Path(file) if file else None, **plan["arguments"])
    quieten()
    return create_app(check_address(plan["host"], settings))


def quieten() -> None:
    """Keep out of the log what is no trouble of the server's."""
    logging.getLogger("uvicorn.error").addFilter(_is_trouble)


def _is_trouble(record: logging.LogRecord) -> bool:
    error = record.exc_info[0] if record.exc_info else None
    is_end = error is not None and issubclass(
        error, asyncio.CancelledError
    )  # of a gateway that was told to go now
    return not is_end and record.getMessage() not in _TOLD_OTHERWISE
