"""The tests have no network beyond loopback; an audit hook sees to it."""

from __future__ import annotations

from typing import Any

_LOOPBACK = ("127.", "::1", "localhost", "0.0.0.0")


def refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """Raise OSError when something reaches for another machine."""
    if event == "socket.connect":
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else "localhost"  # else a Unix socket
    elif event == "socket.getaddrinfo":
        host = arguments[0] or "localhost"
    else:
        return
    host = host.decode() if isinstance(host, bytes) else str(host)
    if not host.startswith(_LOOPBACK):
        raise OSError(f"the tests have no network, and something asked for {host}")
