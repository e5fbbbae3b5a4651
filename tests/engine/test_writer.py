"""What waits to be written is written in its order, by one thread, and in the end."""

from __future__ import annotations

import multiprocessing
import sys
import threading

import pytest

from askonce._engine.writer import Job, Writer


def test_order() -> None:
    """Things are done in the order in which they were given, by one thread; what fails holds up none."""
    writer, done = Writer(), []
    for number in range(200):
        writer.put(lambda number=number: (done.append((number, threading.current_thread())), 1 / (number % 2)))
    assert writer.flush(20)
    assert list(range(200)) == [number for number, _ in done]
    assert 1 == len({thread for _, thread in done})
    assert writer.close(20)


def test_bound() -> None:
    """What would be too much at once is refused; what has no size never is; there is room again afterwards."""
    writer, may = Writer(most=100), threading.Event()
    first = writer.put(may.wait, 60)
    assert writer.put(may.wait, 60) is None
    assert isinstance(writer.put(may.wait, 40), Job)
    assert isinstance(writer.put(may.wait), Job)
    assert 100 == writer.waiting
    assert first is not None
    assert not first.wait(0)
    may.set()
    assert writer.flush(20)
    assert 0 == writer.waiting
    assert isinstance(writer.put(may.wait, 60), Job)
    assert writer.close(20)


def test_waiting_in_vain() -> None:
    """After one was waited for in vain, it is of no use to wait for others before that is done."""
    writer, may, woken = Writer(), threading.Event(), threading.Event()
    first, second = writer.put(may.wait), writer.put(may.wait)
    assert first is not None
    assert second is not None
    assert not writer.is_late
    writer.missed(first)
    assert writer.is_late
    assert second.watch(woken.set)
    may.set()
    assert first.wait(20)
    assert not writer.is_late
    assert woken.wait(20)
    assert not second.watch(woken.set)
    assert writer.close(20)


def test_later() -> None:
    """Something can be done later, and holds nothing up."""
    writer, done, came = Writer(), [], threading.Event()
    writer.later(0.02, lambda: (done.append("second"), came.set()))
    writer.later(0.01, lambda: done.append("first"))
    writer.later(3600, lambda: done.append("never"))
    writer.put(lambda: done.append("at once"))
    assert came.wait(20)
    assert ["at once", "first", "second"] == done
    assert writer.close(20)


def test_closing() -> None:
    """Closing waits for what was given; using it again begins again."""
    writer, done = Writer(), []
    assert writer.close(0)
    for _ in range(3):
        writer.put(lambda: done.append(1))
        assert writer.close(20)
    assert [1, 1, 1] == done


def test_without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be started, what is given is done on the spot."""
    writer, done = Writer(), []
    monkeypatch.setattr(threading.Thread, "start", _refuse)
    job = writer.put(lambda: done.append(1), 5)
    assert job is not None
    assert job.wait(0)
    assert ([1], 0) == (done, writer.waiting)


def _refuse(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")
def test_fork() -> None:
    """A forked child does not do what its parent was given, and can do what is its own."""
    writer, may = Writer(), threading.Event()
    writer.put(may.wait)
    writer.put(may.wait, 10)
    child = multiprocessing.get_context("fork").Process(target=_put, args=(writer,))
    child.start()
    child.join(20)
    assert 0 == child.exitcode
    may.set()
    assert writer.close(20)


def _put(writer: Writer) -> None:
    done = threading.Event()
    assert 0 == writer.waiting
    writer.put(done.set)
    assert done.wait(20)
