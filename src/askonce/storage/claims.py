"""Claims among the processes of one machine, as locks on single bytes of an empty file.

The system lets go of them when their holder ends, however it ends, and nothing is written: a claim costs
microseconds. Locks of this kind belong to a process (POSIX) or to an open file (Windows), and closing any
descriptor of the file may drop them all: a process has it open once, while it has claims, and counts them.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sys
from contextlib import suppress
from pathlib import Path

from askonce.forks import Lock, renew_in_children

_FLAGS = os.O_RDWR | getattr(os, "O_BINARY", 0)
_BUSY = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)  # the last is Windows' word for it


class FileClaims:
    """Claim names through the file at `path`, which is made when it is first needed."""

    def __init__(self, path: Path) -> None:
        self.path = path
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
                        lock_byte(self._file, place)
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
                    lock_all(file)
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
                unlock_byte(self._file, place)
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
    return int.from_bytes(hashlib.sha256(name).digest()[:8]) >> 2  # within a signed 64-bit offset


if sys.platform == "win32":
    import msvcrt

    def lock_byte(file: int, place: int) -> None:
        """Lock a byte of an open file, or raise OSError at once."""
        os.lseek(file, place, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

    def unlock_byte(file: int, place: int) -> None:
        """Let go of a byte."""
        os.lseek(file, place, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)

    def lock_all(file: int) -> None:
        """Raise OSError: an open file cannot be removed there anyway."""
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

else:
    import fcntl

    def lock_byte(file: int, place: int) -> None:
        """Lock a byte of an open file, or raise OSError at once."""
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)

    def unlock_byte(file: int, place: int) -> None:
        """Let go of a byte."""
        fcntl.lockf(file, fcntl.LOCK_UN, 1, place)

    def lock_all(file: int) -> None:
        """Lock every byte of an open file, or raise OSError at once."""
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
