"""The memory in front of a store elsewhere: what was changed there is not handed out for longer than is said."""

from __future__ import annotations

import itertools
import multiprocessing
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import redis as redis_py

from askonce._core.entry import Key, Take
from askonce.storage import open_storage
from askonce.storage.memory import MemoryStorage
from askonce.storage.nearby import Nearby
from askonce.storage.redis import RedisStorage
from tests.engine.stepped import until
from tests.servers import RedisServer, started_redis
from tests.storage.conftest import ask, take

_numbers = itertools.count()
KEY = ask(1).key
Machine = Callable[..., Nearby]


@pytest.fixture
def machine(redis_server: RedisServer) -> Iterator[Machine]:
    """Return what opens the store once more, as another machine would."""
    opened = []
    prefix = f"nearby-{next(_numbers)}:"

    def make(**query: Any) -> Nearby:
        opened.append(open_storage(redis_server.url(prefix=prefix, **query)))
        assert isinstance(opened[-1], Nearby)
        return opened[-1]

    yield make
    for storage in opened:
        storage.close()


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis_py.Redis]:
    """Return a bare client of the shared server."""
    with redis_py.Redis(port=redis_server.port) as bare:
        yield bare


def warm(storage: Nearby) -> None:
    """Have the answer in memory, and changes heard of."""

    def is_warm() -> bool:
        storage.takes(KEY)
        return storage._is_heard() and storage.peek(KEY) is not None

    until(is_warm)


class Elsewhere(MemoryStorage):
    """A storage whose changes are heard of when the test says so."""

    def __init__(self) -> None:
        super().__init__("elsewhere")
        self.hears = True
        self.reads = 0
        self.meanwhile: Callable[[], object] = tuple
        self.changed: Callable[[Key | None], None] = print

    def watch(self, changed: Callable[[Key | None], None]) -> Callable[[], bool]:
        self.changed = changed
        return lambda: self.hears

    def takes(self, key: Key) -> Sequence[Take]:
        self.reads += 1
        found = super().takes(key)
        self.meanwhile()
        return found

    def claim(self, name: bytes) -> bool:
        return True

    def release(self, name: bytes) -> None:
        pass


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the time that it is for what is nearby, to be set."""
    now = [1000.0]
    monkeypatch.setattr("askonce.storage.nearby.time.monotonic", lambda: now[0])
    return now


def test_hits_ask_nobody(machine: Machine, client: redis_py.Redis) -> None:
    """What is in memory costs no command while changes are heard of."""
    storage = machine()
    storage.add(ask(1), take())
    warm(storage)
    before = client.info("commandstats").get("cmdstat_hvals", {}).get("calls")
    for _ in range(100):
        assert (take(),) == tuple(storage.takes(KEY))
    assert before == client.info("commandstats")["cmdstat_hvals"]["calls"]
    assert storage.takes(KEY)[0] is storage.takes(KEY)[0]


@pytest.mark.parametrize("how", ["remove", "replace", "prune", "delete", "flush"])
def test_changes_are_heard_of(machine: Machine, client: redis_py.Redis, how: str) -> None:
    """What is purged or changed on one machine, or by hand, is soon handed out by no other."""
    here, there = machine(), machine()
    here.add(ask(1), take(ttl=1000.0))
    warm(there)
    match how:
        case "remove":
            here.remove([KEY])
        case "replace":
            here.add(ask(1), take(b"another"), replace=True)
        case "prune":
            here.prune(2001)
        case "delete":
            assert isinstance(here.storage, RedisStorage)
            client.delete(here.storage._key("takes", KEY))
        case "flush":
            client.flushdb()
    expected = (take(b"another"),) if how == "replace" else ()
    until(lambda: tuple(there.takes(KEY)) == expected)
    assert expected == tuple(here.takes(KEY))


def test_unheard(clock: list[float]) -> None:
    """While changes are not heard of, an answer is handed out for so many seconds after it was read, no longer."""
    elsewhere = Elsewhere()
    storage = Nearby(elsewhere, seconds=5.0)
    elsewhere.add(ask(1), take())
    storage.takes(KEY)
    elsewhere.hears = False
    elsewhere.remove([KEY])
    clock[0] += 4.999
    assert (take(),) == tuple(storage.takes(KEY))
    assert 1 == elsewhere.reads
    clock[0] += 0.001
    assert storage.peek(KEY) is None
    assert () == tuple(storage.takes(KEY))


def test_a_change_while_it_is_read(clock: list[float]) -> None:
    """What changes while it is on its way is not put into memory."""
    elsewhere = Elsewhere()
    storage = Nearby(elsewhere)
    elsewhere.add(ask(1), take())
    elsewhere.meanwhile = lambda: (elsewhere.remove([KEY]), elsewhere.changed(KEY))
    assert (take(),) == tuple(storage.takes(KEY))
    assert () == tuple(storage.takes(KEY))


def test_what_is_about_to_be_kept(clock: list[float]) -> None:
    """A take that waits to be written is handed out by this process, in its place among the others."""
    elsewhere = Elsewhere()
    storage = Nearby(elsewhere)
    elsewhere.add(ask(1), take(b"old"))
    new, other = take(b"new"), take(b"other", "s")
    storage.expect(ask(1), other, replace=False)
    assert [b"old", b"other"] == [one.answer.body for one in storage.takes(KEY)]
    storage.expect(ask(1), new, replace=False)
    assert [b"old", b"other"] == [one.answer.body for one in storage.takes(KEY)]
    storage.unexpect(ask(1), new)
    storage.expect(ask(1), new, replace=True)
    assert [b"other", b"new"] == [one.answer.body for one in storage.peek(KEY) or ()]
    storage.unexpect(ask(1), other)
    storage.unexpect(ask(1), new)
    assert [b"old"] == [one.answer.body for one in storage.takes(KEY)]


def test_memory_is_bounded() -> None:
    """What is in memory stays below its bound, and one answer does not fill it."""
    storage = Nearby(Elsewhere(), memory=100_000)
    for number in range(100):
        storage.add(ask(number), take(b"x" * 5000))
        storage.takes(ask(number).key)
    assert 0 < sum(storage.peek(ask(number).key) is not None for number in range(100)) < 20
    storage.add(ask(100), take(b"x" * 50_000))
    assert storage.takes(ask(100).key)
    assert storage.peek(ask(100).key) is None


def test_lost_connection(machine: Machine, client: redis_py.Redis) -> None:
    """When the connection that tells of changes is lost, memory begins anew; changes are heard of again."""
    here, there = machine(), machine()
    here.add(ask(1), take())
    warm(there)
    client.client_kill_filter(_type="normal", skipme=True)
    until(lambda: there.peek(KEY) is None)
    warm(there)
    here.remove([KEY])
    until(lambda: not there.takes(KEY))


def test_silence() -> None:
    """A server that says nothing is not taken for one where nothing changes."""
    with started_redis() as server:
        storage = open_storage(server.url(nearby="0.3"))
        assert isinstance(storage, Nearby)
        storage.add(ask(1), take())
        warm(storage)
        server.pause()
        until(lambda: storage.peek(KEY) is None)
        server.resume()
        warm(storage)
        storage.close()


def test_no_tracking() -> None:
    """Where the server does not allow tracking, answers are in memory for so many seconds."""
    with started_redis("--rename-command", "CLIENT", "NOBODY") as server:
        storage = open_storage(server.url(nearby="0.3"))
        assert isinstance(storage, Nearby)
        storage.add(ask(1), take())
        storage.takes(KEY)
        assert (take(),) == storage.peek(KEY)
        until(lambda: storage.peek(KEY) is None)
        assert (take(),) == tuple(storage.takes(KEY))
        storage.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")
def test_fork(machine: Machine) -> None:
    """A forked child hears for itself, and begins with nothing in memory."""
    storage, other = machine(), machine()
    storage.add(ask(1), take())
    warm(storage)
    context = multiprocessing.get_context("fork")
    ready, removed = context.Event(), context.Event()
    child = context.Process(target=_hear, args=(storage, ready, removed))
    child.start()
    assert ready.wait(20)
    other.remove([KEY])
    removed.set()
    child.join()
    assert 0 == child.exitcode


def _hear(storage: Nearby, ready: Any, removed: Any) -> None:
    assert storage.peek(KEY) is None
    warm(storage)
    ready.set()
    assert removed.wait(20)
    until(lambda: not storage.takes(KEY))
