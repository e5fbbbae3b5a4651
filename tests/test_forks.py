"""Forks: what is under way when a process forks."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import pytest

from askonce import forks

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let forks wait as long as they would have to."""
    monkeypatch.setattr(forks, "_PATIENCE", 30.0)


@pytest.fixture
def fork() -> Iterator[threading.Thread]:
    """Return a thread that will fork, and waits for its child."""

    def run() -> None:
        child = os.fork()
        if child == 0:
            work = object()
            forks.begin(work)  # nothing of the parent's is in its way
            os._exit(0 if list(forks._under_way) == [work] else 1)
        assert (child, 0) == os.waitpid(child, 0)
        done.append(child)

    done: list[int] = []
    thread = threading.Thread(target=run)
    yield thread
    thread.join(30)
    assert 1 == len(done)


def test_a_fork_waits_for_what_is_under_way(patient: None, fork: threading.Thread) -> None:
    """A fork waits until no other thread's work is under way; what would begin meanwhile waits for the fork."""
    first, second, begun = object(), object(), threading.Event()
    forks.begin(first)
    fork.start()
    while not forks._forking:
        time.sleep(0.001)

    def begin() -> None:
        forks.begin(second)
        begun.set()
        forks.end(second)

    other = threading.Thread(target=begin)
    other.start()
    assert not begun.wait(0.1)
    assert fork.is_alive()
    forks.end(first)
    assert begun.wait(30)
    other.join()


def test_a_fork_does_not_wait_for_itself(patient: None) -> None:
    """A thread that forks in the midst of its own work waits for nothing."""
    work = object()
    forks.begin(work)
    child = os.fork()
    if child == 0:
        os._exit(0)
    forks.end(work)
    assert (child, 0) == os.waitpid(child, 0)


def test_a_fork_waits_for_a_bounded_time(monkeypatch: pytest.MonkeyPatch, fork: threading.Thread) -> None:
    """Work that does not end holds a fork up for a while, not for ever."""
    monkeypatch.setattr(forks, "_PATIENCE", 0.05)
    work = object()
    forks.begin(work)
    fork.start()
    fork.join(30)
    assert not fork.is_alive()
    forks.end(work)
