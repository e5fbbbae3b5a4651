"""Claims among the processes of one machine, as locks on single bytes of an empty file.

The system lets go of them when their holder ends, however it ends, and nothing is written: a claim costs
microseconds. Locks of this kind belong to a process (POSIX) or to an open file (Windows), and closing any
descriptor of the file may drop them all: a process has it open once, while it has claims, and counts them.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from askonce.forks import Lock, renew_in_children

try:
    import fcntl
except ImportError:  # Windows, and Python in a browser
    fcntl = None  # type: ignore[assignment]

_FLAGS = os.O_RDWR | getattr(os, "O_BINARY", 0)
_BUSY = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)  # the last is Windows' word for it


class ByteLocks(NamedTuple):
    """How one byte of an open file is locked and let go of, and how all are locked; each may raise OSError."""

    lock: Callable[[int, int], None]
    unlock: Callable[[int, int], None]
    lock_all: Callable[[int], None]


def with_lockf(module: Any) -> ByteLocks:
    """Lock as POSIX systems do, where a lock belongs to a process."""
    now = module.LOCK_EX | module.LOCK_NB
    return ByteLocks(
        lambda file, place: module.lockf(file, now, 1, place),
        lambda file, place: module.lockf(file, module.LOCK_UN, 1, place),
        lambda file: module.lockf(file, now),
    )


def with_locking(module: Any) -> ByteLocks:
    """Lock as Windows does, at the place where the file stands; what is open there cannot be removed anyway."""

    def at(file: int, place: int, how: int) -> None:
        os.lseek(file, place, os.SEEK_SET)
        module.locking(file, how, 1)

    return ByteLocks(
        lambda file, place: at(file, place, module.LK_NBLCK),
        lambda file, place: at(file, place, module.LK_UNLCK),
        _refuse,
    )


def _refuse(*_: int) -> None:
    raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))


def _system_locks() -> ByteLocks:
    if fcntl is not None:
        return with_lockf(fcntl)
    try:
        import msvcrt
    except ImportError:
        return ByteLocks(_refuse, _refuse, _refuse)
    return with_locking(msvcrt)


class FileClaims:
    """Claim names through the file at `path`, which is made when it is first needed."""

    def __init__(self, path: Path, locks: ByteLocks | None = None) -> None:
        self.path = path
        self._locks = locks or _system_locks()
        self._lock = Lock()
        self._file = -1
        self._counts: dict[int, int] = {}
        renew_in_children(self)

    def renew(self) -> None:
        """Begin without claims in a forked child: they stayed with the parent, the descriptor did not."""
        file, self._file = self._file, -1
        self._counts = {}
        if file >= 0:
            os.close(file)

    def claim(self, name: bytes) -> bool:
        """Claim a name for this process; False while another process has it. Raises OSError where none can."""
        place = _place(name)
        with self._lock:
            count = self._counts.get(place, 0)
            while True:
                if self._file < 0:
                    self._file = os.open(self.path, _FLAGS | os.O_CREAT, 0o666)
                self._counts[place] = count + 1  # first: the garbage collector may release other claims meanwhile
                try:
                    if count == 0:
                        self._locks.lock(self._file, place)
                except OSError as error:
                    self._forget(place)
                    if error.errno in _BUSY:
                        return False
                    raise
                if len(self._counts) > 1 or self._is_there():
                    return True
                self._forget(place)  # another process has removed the file between the two steps

    def tidy(self) -> None:
        """Remove the file, unless somebody has a claim."""
        with self._lock, suppress(OSError):
            if not self._counts:
                file = os.open(self.path, _FLAGS)
                try:
                    self._locks.lock_all(file)
                    self.path.unlink()
                finally:
                    os.close(file)

    def _is_there(self) -> bool:
        with suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(self._file), self.path.stat())
        return False

    def release(self, name: bytes) -> None:
        """Give up a claim."""
        place = _place(name)
        with self._lock:
            count = self._counts.get(place, 0)
            if count > 1:
                self._counts[place] = count - 1
            elif count == 1:
                self._locks.unlock(self._file, place)
                self._forget(place)

    def _forget(self, place: int) -> None:
        self._counts.pop(place, None)
        if not self._counts and self._file >= 0:
            file, self._file = self._file, -1
            os.close(file)


_shared: dict[str, FileClaims] = {}
_shared_lock = Lock()


def shared_claims(path: Path) -> FileClaims:
    """Return this process's claims through the file at `path`; they are one for all who ask for them."""
    with _shared_lock:
        return _shared.setdefault(os.path.realpath(path), FileClaims(path))


def _place(name: bytes) -> int:
    """Return the byte that stands for a name; two names share one as good as never, and then only wait."""
    return int.from_bytes(hashlib.sha256(name).digest()[:5])  # file systems know no places beyond some terabytes
