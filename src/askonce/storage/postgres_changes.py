"""Hear from PostgreSQL which entries were changed: LISTEN, on a connection of its own.

Functions that change an entry which somebody may have read tell of it, as part of the change; triggers do where it
is changed by other means. Notifications come in the order of the changes. So a listener asks by notifying itself:
when it hears that, it has heard of all before. Behind a pooler that passes none on, nothing counts as heard.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress

from askonce._core.entry import Key
from askonce.storage.changes import Changes
from askonce.storage.postgres_link import Link
from askonce.storage.postgres_server import Server


class PostgresChanges(Changes):
    """Hear of the entries in a schema."""

    def __init__(self, server: Server, bound: float, changed: Callable[[Key | None], None]) -> None:
        super().__init__(bound, changed)
        self._server = server
        self._own = f"askonce_{os.urandom(8).hex()}"

    def connect(self, seconds: float) -> Link:
        return self._server.connect(time.monotonic() + seconds)

    def disconnect(self, connection: Link) -> None:
        connection.close()

    def subscribe(self, connection: Link) -> None:
        for channel in (f"askonce {self._server.address.schema}", self._own):
            connection.execute(f'LISTEN "{channel}"', (), self._soon())

    def catch_up(self, connection: Link) -> None:
        soon = self._soon()
        connection.execute(f"SELECT pg_notify('{self._own}', '')", (), soon)
        while not self._tell(connection):
            if not connection.has_news(max(0.0, soon - time.monotonic())):
                raise TimeoutError("notifications do not come through")

    def hear(self, connection: Link, seconds: float) -> None:
        if connection.has_news(seconds):
            self._tell(connection)

    def _soon(self) -> float:
        return time.monotonic() + self._bound / 2

    def _tell(self, link: Link) -> bool:
        """Tell what has come of changes; return whether what was asked has come as well."""
        is_answered = False
        while (notice := link.pg.notifies()) is not None:
            if notice.relname.decode() == self._own:
                is_answered = True
                continue
            key = None
            with suppress(ValueError):
                key = bytes.fromhex(notice.extra.decode()) or None
            self._changed(key)
        return is_answered
