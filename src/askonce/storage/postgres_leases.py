"""How leases lie in PostgreSQL: a row each, with its end by the server's clock.

Not its advisory locks: those are a connection's, so that a connection which breaks gives up what its process still
has, and one that hangs keeps it until TCP notices; and they have no number to tell a later holder by.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from askonce.storage.postgres_server import Server

_CLAIM = """
INSERT INTO {s}.leases AS l VALUES ($1::bytea, nextval('{s}.tokens'), $2::bytea,
    clock_timestamp() + $3::bigint * interval '1 millisecond')
ON CONFLICT (name) DO UPDATE SET token = excluded.token, holder = excluded.holder, ends = excluded.ends
WHERE l.ends < clock_timestamp() OR l.holder = excluded.holder RETURNING token"""
_HELD = "SELECT 1 FROM {s}.leases WHERE name = $1::bytea AND ends >= clock_timestamp() AND holder <> $2::bytea"
_RELEASE = "DELETE FROM {s}.leases WHERE name = $1::bytea AND token = $2::bigint"
_RENEW = """
UPDATE {s}.leases SET ends = clock_timestamp() + $3::bigint * interval '1 millisecond'
WHERE name = $1::bytea AND token = $2::bigint"""


class PostgresKeeper:
    """Keep leases in a server. The end of a process's own lease, which it asks for again, is no other's."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def claim(self, name: bytes, holder: str, milliseconds: int) -> int:
        rows = self._server.ask(_CLAIM, _place(name), holder.encode(), milliseconds)
        return int(rows[0][0]) if rows else 0

    def is_claimed(self, name: bytes, holder: str) -> bool:
        return bool(self._server.ask(_HELD, _place(name), holder.encode()))

    def release(self, name: bytes, token: int) -> None:
        self._server.ask(_RELEASE, _place(name), token)

    def renew_all(self, held: Sequence[tuple[bytes, int]], milliseconds: int) -> None:
        for name, token in held:
            self._server.do(_RENEW, _place(name), token, milliseconds)

    def release_all(self, held: Sequence[tuple[bytes, int]]) -> None:
        for name, token in held:
            self._server.ask(_RELEASE, _place(name), token)


def _place(name: bytes) -> bytes:
    return hashlib.sha256(name).digest()  # a seed in it may be long, and an index takes no long values
