"""A lock that the processes of a machine share, as a file beside what it is for.

The system lets go of it when its holder ends, however it ends. The file is taken away when the lock is closed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from askonce.errors import StorageError
from askonce.forks import Lock, renew_in_children

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_PATIENCE = 10.0  # seconds to wait for another process; a rewrite of a large store takes one
_FIRST_PAUSE, _LONGEST_PAUSE = 0.0005, 0.02

Try = Callable[[int], None]
"""Locks or unlocks an open file, or raises OSError at once."""


def with_flock(module: Any) -> tuple[Try, Try]:
    """Lock as POSIX systems do: a lock belongs to an open file, so that threads exclude each other too."""

    def lock(file: int) -> None:
        module.flock(file, module.LOCK_EX | module.LOCK_NB)

    def unlock(file: int) -> None:
        module.flock(file, module.LOCK_UN)

    return lock, unlock


def with_locking(module: Any) -> tuple[Try, Try]:
    """Lock as Windows does: the first byte of the file, which need not be there."""

    def lock(file: int) -> None:
        os.lseek(file, 0, os.SEEK_SET)
        module.locking(file, module.LK_NBLCK, 1)

    def unlock(file: int) -> None:
        os.lseek(file, 0, os.SEEK_SET)
        module.locking(file, module.LK_UNLCK, 1)

    return lock, unlock


def _system_locks() -> tuple[Try, Try]:
    if fcntl is not None:
        return with_flock(fcntl)
    import msvcrt  # pragma: no cover

    return with_locking(msvcrt)  # pragma: no cover


class FileLock:
    """Exclude other processes, and other threads, for a `with` block. Not re-entrant."""

    def __init__(self, path: Path, locks: tuple[Try, Try] | None = None) -> None:
        self.path = path
        self._lock, self._unlock = locks or _system_locks()
        self._threads = Lock()
        self._file = -1
        renew_in_children(self)

    def renew(self) -> None:
        """Open the file anew in a forked child: what it inherited is the parent's lock."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)

    def __enter__(self) -> None:
        self._threads.__enter__()
        try:
            self._acquire()
        except BaseException as error:
            self._threads.__exit__()
            if isinstance(error, OSError):
                raise StorageError(
                    f"{self.path} cannot be locked ({error.strerror or error}). Check the permissions of its "
                    "folder, or name another file with store= or ASKONCE_STORE."
                ) from error
            raise

    def _acquire(self) -> None:
        deadline, pause = time.monotonic() + _PATIENCE, _FIRST_PAUSE
        while True:
            if self._file < 0:
                self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
            try:
                self._lock(self._file)
            except OSError:
                if time.monotonic() > deadline:
                    raise StorageError(
                        f"another program has kept {self.path} locked for {_PATIENCE:.0f} s. Close what holds it."
                    ) from None
                time.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                continue
            if self._is_current():
                return
            self._drop()  # whoever had it has taken the file away; others lock the one that is there now

    def _is_current(self) -> bool:
        try:
            there = os.stat(self.path)  # noqa: PTH116
        except OSError:
            return False
        return os.path.samestat(there, os.fstat(self._file))

    def __exit__(self, *trouble: object) -> None:
        try:
            with suppress(OSError):
                self._unlock(self._file)
        finally:
            self._threads.__exit__()

    def _drop(self) -> None:
        file, self._file = self._file, -1
        os.close(file)

    def close(self) -> None:
        """Take the file away, unless somebody has the lock just now."""
        with self._threads:
            if self._file < 0:
                return
            try:
                self._lock(self._file)
            except OSError:
                self._drop()
                return
            try:
                with suppress(OSError):  # Windows does not take away what another process has open
                    if self._is_current():
                        self.path.unlink()
            finally:
                with suppress(OSError):
                    self._unlock(self._file)
                self._drop()
