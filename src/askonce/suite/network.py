"""No network beyond this machine while a test replays: whatever asks for one is told so at once.

An audit hook sees every socket, whoever opens it, and cannot be removed; it does nothing while nothing is blocked.
"""

from __future__ import annotations

import sys
from typing import Any

_LOOPBACK = ("127.", "::1", "localhost", "0.0.0.0", "::ffff:127.")  # noqa: S104 (compared with, never bound to)
_EVENTS = frozenset({"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"})
_blocked: list[list[str]] = []  # for each test that blocks, the hosts that were asked for
_is_installed = False


class NetworkBlockedError(RuntimeError):
    """Refuse a connection. No OSError, which clients would take for a network's and try again."""


def block() -> list[str]:
    """Block from now on; return the list to which the hosts are added that are asked for."""
    global _is_installed
    if not _is_installed:
        sys.addaudithook(_watch)
        _is_installed = True
    asked: list[str] = []
    _blocked.append(asked)
    return asked


def unblock(asked: list[str]) -> None:
    """Undo one `block`."""
    _blocked[:] = [one for one in _blocked if one is not asked]


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if not _blocked or event not in _EVENTS:
        return
    place = arguments[1] if event in ("socket.connect", "socket.sendto") else arguments[0]
    host = place[0] if isinstance(place, tuple) and place else place
    if isinstance(place, tuple) != (event in ("socket.connect", "socket.sendto")) or host is None:
        return  # a Unix socket, or no host
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
    if not name or name.startswith(_LOOPBACK):
        return
    for asked in _blocked:
        asked.append(name)
    raise NetworkBlockedError(f"askonce is offline in this test, and something asked for {name}.")
