"""Claims: one process at a time has a name, and none keeps it beyond its end."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from askonce.storage import claims as module
from askonce.storage.claims import (
    ByteLocks,
    FileClaims,
    _refuse,
    _system_locks,
    shared_claims,
    with_locking,
)
from askonce.storage.protocol import Claims
from askonce.storage.sqlite import SQLiteStorage

_OTHER = """
import sys, time
from pathlib import Path
from askonce.storage.claims import FileClaims
claims = FileClaims(Path(sys.argv[1]))
print(claims.claim(b"name"), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "flights"


@contextmanager
def other(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Run another process that claims the name `name`."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", _OTHER, path], stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert "True\n" == process.stdout.readline()
        yield process
        process.kill()


def test_another_process_waits(path: Path) -> None:
    """What one process has claimed no other can have; another name it can."""
    claims = FileClaims(path)
    with other(path) as process:
        assert not claims.claim(b"name")
        assert claims.claim(b"another")
        process.communicate("")
        assert claims.claim(b"name")


def test_a_killed_process_has_nothing(path: Path) -> None:
    """A process that is killed holds no claim any more, at once."""
    claims = FileClaims(path)
    with other(path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert claims.claim(b"name")
    claims.release(b"name")


def test_claims_are_counted(path: Path) -> None:
    """A claim that was had twice is given up twice; without claims, no file is open."""
    claims = FileClaims(path)
    assert claims.claim(b"name")
    assert claims.claim(b"name")
    claims.release(b"name")
    with pytest.raises(AssertionError), other(path):
        pass
    claims.release(b"name")
    claims.release(b"name")
    assert -1 == claims._file
    with other(path):
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_child_has_no_claims(path: Path) -> None:
    """A child neither has the parent's claims nor takes them from it when it ends."""
    claims = FileClaims(path)
    assert claims.claim(b"name")
    child = os.fork()
    if not child:
        os._exit(int(claims.claim(b"name")) + 2 * int(claims.claim(b"its own")))
    assert 2 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with pytest.raises(AssertionError), other(path):
        pass
    claims.release(b"name")


def test_the_file_goes_with_the_last_claim(path: Path) -> None:
    """The file is removed where nobody has a claim, and only there; whoever comes later makes it anew."""
    claims = FileClaims(path)
    with other(path):
        claims.tidy()
        assert path.exists()
    assert claims.claim(b"name")
    claims.tidy()
    assert path.exists()
    claims.release(b"name")
    claims.tidy()
    assert not path.exists()
    claims.tidy()
    with other(path):
        assert not claims.claim(b"name")


def test_a_file_that_is_removed_in_between(path: Path) -> None:
    """A lock on a file that has just been removed is none: the claim is made in the new one."""
    real, calls = _system_locks(), []

    def lock(file: int, place: int) -> None:
        calls.append(file)
        if len(calls) == 1:
            path.unlink()
        real.lock(file, place)

    claims = FileClaims(path, real._replace(lock=lock))
    assert claims.claim(b"name")
    assert 2 == len(calls)
    with pytest.raises(AssertionError), other(path):
        pass
    claims.release(b"name")


def test_one_for_a_process(tmp_path: Path) -> None:
    """Two storages of one file share their claims: closing a descriptor of the file would drop the other's."""
    assert shared_claims(tmp_path / "a") is shared_claims(tmp_path / "sub" / ".." / "a")
    one, two = SQLiteStorage(tmp_path / "x.db"), SQLiteStorage(tmp_path / "x.db")
    assert isinstance(one, Claims)
    assert one.claim(b"name")
    assert two.claim(b"name")
    two.release(b"name")
    with pytest.raises(AssertionError), other(tmp_path / "x.db-flights"):
        pass
    one.release(b"name")


def test_where_nobody_can_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where files cannot be locked, or made, everybody asks."""
    (tmp_path / "file").touch()
    assert SQLiteStorage(tmp_path / "file" / "x.db").claim(b"name")

    monkeypatch.setattr(module, "_system_locks", lambda: ByteLocks(_refuse, _refuse, _refuse))
    storage = SQLiteStorage(tmp_path / "x.db")
    assert storage.claim(b"name")
    storage.release(b"name")
    assert -1 == storage._claims._file


class Msvcrt:
    """What Windows does, as far as it matters: a byte belongs to the descriptor that has locked it."""

    LK_NBLCK, LK_UNLCK = 2, 0

    def __init__(self) -> None:
        self.held: dict[int, int] = {}

    def locking(self, file: int, how: int, count: int) -> None:
        place = os.lseek(file, 0, os.SEEK_CUR)
        if how == self.LK_UNLCK:
            del self.held[place]
        elif place in self.held:
            raise OSError(errno.EACCES, "Permission denied")
        else:
            self.held[place] = file


def test_windows(path: Path) -> None:
    """Where locks belong to descriptors, a claim can be had twice by a process, and by one process alone."""
    system = Msvcrt()
    one, two = FileClaims(path, with_locking(system)), FileClaims(path, with_locking(system))
    assert one.claim(b"name")
    assert one.claim(b"name")
    assert not two.claim(b"name")
    assert two.claim(b"another")
    one.release(b"name")
    assert not two.claim(b"name")
    one.release(b"name")
    assert two.claim(b"name")
    two.release(b"name")
    two.release(b"another")
    two.tidy()
    assert {} == system.held
    assert path.exists()
