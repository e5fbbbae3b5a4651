"""How leases lie in Redis: a key each, that the server expires."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from askonce.storage.redis_script import CLAIM, RELEASE, RENEW
from askonce.storage.redis_server import Server


class RedisKeeper:
    """Keep leases in a server; `place` tells under which key one lies."""

    def __init__(self, server: Server, place: Callable[[bytes], bytes]) -> None:
        self._server = server
        self._place = place

    def claim(self, name: bytes, holder: str, milliseconds: int) -> int:
        return int(self._server.ask_script(CLAIM, [self._place(name)], [holder, milliseconds]))

    def is_claimed(self, name: bytes, holder: str) -> bool:
        found = self._server.ask("HGET", self._place(name), "holder")
        return found is not None and found != holder.encode()

    def release(self, name: bytes, token: int) -> None:
        self._server.ask_script(RELEASE, [self._place(name)], [token])

    def renew_all(self, held: Sequence[tuple[bytes, int]], milliseconds: int) -> None:
        self._server.run(*((RENEW, [self._place(name)], [token, milliseconds]) for name, token in held))

    def release_all(self, held: Sequence[tuple[bytes, int]]) -> None:
        self._server.run(*((RELEASE, [self._place(name)], [token]) for name, token in held))
