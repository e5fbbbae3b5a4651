"""A lock that processes share, as POSIX systems and as Windows have it."""

from __future__ import annotations

import errno
import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from askonce.errors import StorageError
from askonce.storage import filelock
from askonce.storage.filelock import FileLock, with_locking
from tests.storage.children import forked

fcntl = pytest.importorskip("fcntl")


class Msvcrt:
    """Windows' locks, made of those of this system: of an open file, refused with the errors that Windows has."""

    LK_NBLCK, LK_UNLCK = 2, 0

    def locking(self, file: int, mode: int, size: int) -> None:
        assert (0, 1) == (os.lseek(file, 0, os.SEEK_CUR), size)
        try:
            fcntl.flock(file, fcntl.LOCK_UN if mode == self.LK_UNLCK else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PermissionError(errno.EACCES, "Permission denied") from None


@pytest.fixture(params=["posix", "windows"])
def lock_at(request: pytest.FixtureRequest) -> Callable[[Path], FileLock]:
    """Return what makes a lock of either kind."""
    return lambda path: FileLock(path, with_locking(Msvcrt()) if request.param == "windows" else None)


def count(path: Path, lock: FileLock) -> None:
    """Add one to the number in a file a hundred times, each time with the lock."""
    for turn in range(100):
        with lock:
            number = int(path.read_text()) if path.exists() else 0
            path.write_text(str(number + 1))
        if turn % 10 == 9:
            lock.close()


def count_in_process(path: Path, windows: bool) -> None:
    count(path, FileLock(path.with_suffix(".lock"), with_locking(Msvcrt()) if windows else None))


@pytest.mark.parametrize("windows", [False, True])
def test_processes_and_threads(tmp_path: Path, windows: bool) -> None:
    """Of processes and threads, each with a lock, one is inside at a time, though the file comes and goes."""
    path = tmp_path / "number"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=count_in_process, args=(path, windows)) for _ in range(2)]
    for process in processes:
        process.start()
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda _: count_in_process(path, windows), range(3)))
    for process in processes:
        process.join()
    assert "500" == path.read_text()
    assert not path.with_suffix(".lock").exists()


def test_file_goes(tmp_path: Path, lock_at: Callable[[Path], FileLock]) -> None:
    """Closing takes the file away; closing again, or a lock that was never had, does no harm."""
    path = tmp_path / "x.lock"
    lock = lock_at(path)
    lock.close()
    with lock:
        assert path.exists()
    lock.close()
    lock.close()
    assert not path.exists()


def test_file_stays_while_it_is_held(tmp_path: Path, lock_at: Callable[[Path], FileLock]) -> None:
    """Who closes while another has the lock leaves the file alone."""
    path = tmp_path / "x.lock"
    one, other = lock_at(path), lock_at(path)
    with other:
        pass
    with one:
        other.close()
        assert path.exists()
    one.close()
    assert not path.exists()


def test_patience(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lock_at: Callable[[Path], FileLock]) -> None:
    """A lock that another program keeps is waited for, and then named."""
    monkeypatch.setattr(filelock, "_PATIENCE", 0.05)
    one, other = lock_at(tmp_path / "x.lock"), lock_at(tmp_path / "x.lock")
    with one, pytest.raises(StorageError, match=r"x\.lock locked for 0 s\. Close what holds it"), other:
        pass
    with other:
        pass


def test_no_place(tmp_path: Path, lock_at: Callable[[Path], FileLock]) -> None:
    """Where no file can be made, the error names it, and the lock can be tried again."""
    lock = lock_at(tmp_path / "folder" / "x.lock")
    for _ in range(2):
        with pytest.raises(StorageError, match="cannot be locked"), lock:
            pass
    (tmp_path / "folder").mkdir()
    with lock:
        pass


def test_fork(tmp_path: Path, lock_at: Callable[[Path], FileLock]) -> None:
    """A forked child shares nothing with its parent: each waits for the other."""
    lock = lock_at(tmp_path / "x.lock")
    with lock:
        assert "True" == forked(lambda: _is_refused(lock))
    assert "False" == forked(lambda: _is_refused(lock))
    with lock:
        pass


def _is_refused(lock: FileLock) -> bool:
    filelock._PATIENCE = 0.02
    try:
        with lock:
            return False
    except StorageError:
        return True


def test_threads_wait_inside(tmp_path: Path, lock_at: Callable[[Path], FileLock]) -> None:
    """Threads that have one lock in common take turns too."""
    lock, inside, most = lock_at(tmp_path / "x.lock"), [], []
    together = threading.Barrier(8)

    def enter(number: int) -> Any:
        together.wait()
        with lock:
            inside.append(number)
            most.append(len(inside))
            inside.remove(number)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(enter, range(8)))
    assert [1] * 8 == most
