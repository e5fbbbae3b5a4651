"""Heads on their way through: what is about one connection stays with it (RFC 9110, 7.6.1)."""

from __future__ import annotations

from collections.abc import Iterable

from askonce._core.entry import Take
from askonce._core.messages import Head, Headers

_HOP = frozenset(
    b"connection keep-alive proxy-connection proxy-authenticate proxy-authorization te trailer transfer-encoding "
    b"upgrade http2-settings".split()
)
_OWN = frozenset({b"cache-status", b"age", b"x-askonce-cache"})
GATEWAY_KEY = b"x-askonce-key"
"""The header with which a client that brings a provider's key shows its gateway key as well."""


def end_to_end(headers: Iterable[tuple[bytes, bytes]], more: frozenset[bytes] = frozenset()) -> Headers:
    """Return the headers that go on: not those about the connection, nor those that `Connection` names."""
    pairs = tuple(headers)
    named = {
        item.strip().lower()
        for name, value in pairs
        if name.lower() == b"connection"
        for item in value.split(b",")
    }
    dropped = _HOP | named | more
    return Headers(pair for pair in pairs if pair[0].lower() not in dropped)


def for_upstream(headers: Iterable[tuple[bytes, bytes]], host: bytes) -> Headers:
    """Return a request's headers as the upstream gets them."""
    kept = end_to_end(headers, frozenset({b"host", b"expect", GATEWAY_KEY}))
    return Headers(((b"host", host), *kept))


def for_client(head: Head, more: Iterable[tuple[bytes, bytes]] = ()) -> list[tuple[bytes, bytes]]:
    """Return an answer's headers as the client gets them."""
    kept = end_to_end(head.headers, _OWN)
    return [*((name.lower(), value) for name, value in kept), *more]


def hit_age(take: Take, until: float | None, now: float) -> tuple[int, int | None]:
    """Return how old a recorded answer is, and how long it is good for, in whole seconds."""
    return int(take.age(now)), None if until is None else int(until - now)


def hit_status(take: Take, key: str, until: float | None, now: float) -> list[tuple[bytes, bytes]]:
    """Return what is said of a recorded answer (RFC 9211, RFC 9111)."""
    age, left = hit_age(take, until, now)
    ttl = "" if left is None else f"; ttl={left}"
    return [
        (b"cache-status", f'askonce; hit{ttl}; key="{key}"'.encode()),
        (b"age", b"%d" % age),
        (b"x-askonce-cache", b"hit"),
    ]


def old_status(
    take: Take, key: str, since: float, now: float, *, forwarded: bool, status: int | None
) -> list[tuple[bytes, bytes]]:
    """Return what is said of an answer past its time (RFC 9211, 2.4: such a `ttl` is negative)."""
    said = "fwd=stale" + (f"; fwd-status={status}" if status is not None else "") if forwarded else "hit"
    return [
        (b"cache-status", f'askonce; {said}; ttl={-int(since)}; key="{key}"'.encode()),
        (b"age", b"%d" % take.age(now)),
        (b"x-askonce-cache", b"hit"),
    ]


def forward_status(
    why: str, key: str = "", *, stored: bool = False, collapsed: bool = False
) -> list[tuple[bytes, bytes]]:
    """Return what is said of an answer that was asked for; `why` is bypass, request, miss or stale."""
    said = f"askonce; fwd={why}" + "; stored" * stored + "; collapsed" * collapsed
    said += f'; key="{key}"' if key else ""
    return [(b"cache-status", said.encode()), (b"x-askonce-cache", b"bypass" if why == "bypass" else b"miss")]
