"""Gateway keys: who may use a gateway that others can reach. A file of names and hashes, no key in it."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from askonce.errors import SettingsError

_PREFIX = "ask-"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@ -]{0,63}")
_LOOK_SECONDS = 1.0  # between looks at whether the file has changed


class GatewayKey(NamedTuple):
    """A key by its hash. `admin` may read and change everything; `made` is in Unix seconds."""

    name: str
    digest: str
    admin: bool
    made: float


class Keys:
    """The keys in a file, looked at again when it changes, so that what is revoked is so at once."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._keys: tuple[GatewayKey, ...] = ()
        self._stamp: tuple[int, int] | None = None
        self._look_again = 0.0

    def all(self) -> tuple[GatewayKey, ...]:
        """Return the keys in force."""
        if self.path is not None and time.monotonic() >= self._look_again:
            self._look(self.path)
            self._look_again = time.monotonic() + _LOOK_SECONDS  # after it: one that fails is looked at again
        return self._keys

    def _look(self, path: Path) -> None:
        try:
            status = path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
        except FileNotFoundError:
            self._keys, self._stamp = (), None
            return
        if stamp == self._stamp:
            return
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))["keys"]
            self._keys = tuple(
                GatewayKey(str(row["name"]), str(row["sha256"]), row["admin"] is True, float(row["made"]))
                for row in rows
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SettingsError(
                f"{path} is no file of gateway keys ({error!r}). Move it away, and make new ones."
            ) from None
        self._stamp = stamp

    def find(self, candidates: Iterable[str]) -> GatewayKey | None:
        """Return the key that one of these texts is; each is compared with each in constant time."""
        found = None
        keys = self.all()
        for text in candidates:
            if text.startswith(_PREFIX):
                digest = _digest(text)
                for key in keys:
                    if hmac.compare_digest(key.digest, digest):
                        found = key
        return found

    def add(self, name: str, *, admin: bool) -> str:
        """Make a key, and return it: it is shown this once."""
        if not _NAME.fullmatch(name):
            raise SettingsError(
                f"{name!r} is no name for a key. Use letters, digits, spaces, '.', '_', '@' and '-'."
            )
        self._look_again = 0.0
        if any(key.name == name for key in self.all()):
            raise SettingsError(f"There is a key {name!r} already. Revoke it first, or choose another name.")
        text = _PREFIX + secrets.token_urlsafe(32)
        self._write((*self._keys, GatewayKey(name, _digest(text), admin, time.time())))
        return text

    def revoke(self, name: str) -> bool:
        """Take a key out of force; tell whether there was one."""
        self._look_again = 0.0
        left = tuple(key for key in self.all() if key.name != name)
        if len(left) == len(self._keys):
            return False
        self._write(left)
        return True

    def _write(self, keys: tuple[GatewayKey, ...]) -> None:
        if self.path is None:
            raise SettingsError("A store in memory has no keys. Name a file with --store.")
        rows = [{"name": k.name, "sha256": k.digest, "admin": k.admin, "made": k.made} for k in keys]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_name(f"{self.path.name}.{os.getpid()}.new")
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump({"keys": rows}, file, indent=2)
            fresh.replace(self.path)
        finally:
            with suppress(OSError):
                fresh.unlink()
        self._keys, self._look_again, self._stamp = keys, 0.0, None


def _digest(text: str) -> str:
    """Return what is stored of a key: 256 bits of chance need no slow hash."""
    return hashlib.sha256(text.encode()).hexdigest()
