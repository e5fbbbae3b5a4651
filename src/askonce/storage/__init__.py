"""Where entries live. `open_storage(url)` opens one; `Storage` is what each of them can do.

To add a back end: one file here, a line in `open_storage`, and its name in `tests/storage/test_contract.py`.
"""

from __future__ import annotations

from pathlib import Path

from askonce.errors import SettingsError
from askonce.storage.protocol import Filter, Marks, Patient, Remote, Storage, Totals

__all__ = ["Filter", "Marks", "Remote", "Storage", "Totals", "is_postgres", "open_storage"]

_REDIS = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")


def open_patiently(url: str | Path) -> Storage:
    """Open a storage for what serves no call, so that there is time where it is far away."""
    storage = open_storage(url)
    if isinstance(storage, Patient):
        storage.be_patient()
    return storage


def is_postgres(url: str) -> bool:
    """Tell whether a URL names a PostgreSQL."""
    return url.startswith(("postgresql://", "postgres://"))


def open_storage(url: str | Path, *, max_size: int | None = None, memory: int = 32 << 20) -> Storage:
    """Open the storage that `url` names: `memory:`, `memory:name`, `sqlite:///path` or the path of a file.

    A path that ends in `.jsonl` is a text store, one in `.askonce` a bundle (read-only), any other an SQLite file.
    `redis://`, `rediss://`, `unix://`, `redis+sentinel://`, `redis+cluster://` and `postgresql://` name a server.
    `max_size` bounds what it keeps and `memory` what it holds in memory, both in bytes.

    Raises:
        SettingsError: when no storage has such a name.
    """
    text = str(url)
    if text.startswith("memory:"):
        from askonce.storage.memory import shared_memory

        return shared_memory(text.removeprefix("memory:"), max_size)
    scheme, separator, rest = text.partition("://")
    if separator and scheme in _REDIS:
        from askonce.storage.nearby import Nearby
        from askonce.storage.redis import RedisStorage

        redis = RedisStorage(text, max_size=max_size)
        address = redis.address
        return Nearby(redis, memory=memory, seconds=address.nearby, patience=address.timeout)
    if is_postgres(text):
        from askonce.storage.nearby import Nearby
        from askonce.storage.postgres import PostgresStorage

        postgres = PostgresStorage(text, max_size=max_size)
        place = postgres.address
        return Nearby(postgres, memory=memory, seconds=place.nearby, patience=place.timeout)
    if not separator:
        path = Path(text).expanduser()
    elif scheme == "sqlite":
        path = Path(rest.removeprefix("/") if rest[2:3] == ":" else rest).expanduser()
    else:
        raise SettingsError(
            f"store: {text.rpartition('@')[2]!r} names no storage. There are a file's path, 'sqlite:///path', "
            "'memory:', 'memory:name', 'redis://host:6379/0' and 'postgresql://host/database'."
        )
    if path.is_dir():
        raise SettingsError(f"store: {text!r} is a folder. Name a file in it, such as {str(path / 'cache.db')!r}.")
    if path.suffix == ".jsonl" and not separator:
        from askonce.storage.jsonl import JSONLStorage

        return JSONLStorage(path, max_size=max_size, memory=memory)
    if path.suffix == ".askonce":
        from askonce.storage.bundle import BundleStorage

        return BundleStorage(path, memory=memory)
    from askonce.storage.sqlite import SQLiteStorage

    return SQLiteStorage(path, max_size=max_size, memory=memory)
