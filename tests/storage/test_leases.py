"""Claims among machines: one process has a name, until it gives it up or is not heard of for too long."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator

import pytest
import redis as redis_py

from askonce._core.body import canonical_json
from askonce.storage.redis import RedisStorage
from tests.engine.stepped import until
from tests.servers import RedisServer
from tests.storage.conftest import ask, take

NAME = ask(1).key + canonical_json([None, 0]).encode()
_numbers = itertools.count()
Machine = Callable[[], RedisStorage]


@pytest.fixture
def machine(redis_server: RedisServer) -> Iterator[Machine]:
    """Return what makes one more storage, as another process would have it."""
    opened = []
    prefix = f"leases-{next(_numbers)}:"

    def make() -> RedisStorage:
        opened.append(RedisStorage(redis_server.url(prefix=prefix, lease="0.3")))
        return opened[-1]

    yield make
    for storage in opened:
        storage.close()


def forget(machine: RedisStorage) -> None:
    """Do as the death of its process would: nobody renews, nobody releases."""
    stopping = machine._leases._stopping
    assert stopping is not None
    stopping.set()
    machine._leases.renew()


def run_out(machine: RedisStorage, server: RedisServer) -> None:
    """Let a lease run out, of which its holder does not know."""
    with redis_py.Redis(port=server.port) as bare:
        assert bare.delete(machine._place_of_lease(NAME))


def test_one_has_it(machine: Machine) -> None:
    """One has a name at a time; it may have it more than once, and gives it up as often."""
    one, other = machine(), machine()
    assert one.claim(NAME)
    assert one.claim(NAME)
    assert not other.claim(NAME)
    one.release(NAME)
    assert not other.claim(NAME)
    one.release(NAME)
    assert other.claim(NAME)
    assert not one.claim(NAME)
    assert one.claim(NAME + b" reading")


def test_asking_stands_in_nobodys_way(machine: Machine) -> None:
    """Whether another has a name can be asked, and takes it from nobody; one's own is no other's."""
    one, other = machine(), machine()
    assert not one.is_claimed(NAME)
    assert one.claim(NAME)
    assert not one.is_claimed(NAME)
    assert other.is_claimed(NAME)
    one.release(NAME)
    assert not other.is_claimed(NAME)


def test_it_is_renewed(machine: Machine) -> None:
    """A lease holds for as long as its process lives, however short it is."""
    one, other = machine(), machine()
    assert one.claim(NAME)
    time.sleep(0.7)
    assert not other.claim(NAME)


def test_the_holder_dies(machine: Machine) -> None:
    """The lease of a process that is no more runs out."""
    one, other = machine(), machine()
    assert one.claim(NAME)
    forget(one)
    assert not other.claim(NAME)
    until(lambda: other.claim(NAME))


def test_closing_gives_up(machine: Machine) -> None:
    """Who closes a storage has nothing any more."""
    one, other = machine(), machine()
    assert one.claim(NAME)
    one.close()
    assert other.claim(NAME)


def test_tokens_grow(machine: Machine) -> None:
    """Each lease has a greater number than those before it."""
    tokens = []
    for _ in range(5):
        one = machine()
        assert one.claim(NAME)
        tokens.append(one._leases.token(NAME))
        one.release(NAME)
        assert 0 == one._leases.token(NAME)
    assert sorted(set(tokens)) == tokens


def test_a_late_answer(machine: Machine, redis_server: RedisServer) -> None:
    """A process whose lease has run out does not replace what was kept under a later one."""
    late, later = machine(), machine()
    assert late.claim(NAME)
    run_out(late, redis_server)
    assert later.claim(NAME)
    assert later.add(ask(1), take(b"of the later"), replace=True)
    assert not late.add(ask(1), take(b"of the late"), replace=True)
    assert [b"of the later"] == [one.answer.body for one in later.takes(ask(1).key)]
    late.release(NAME)
    assert not late.claim(NAME)
    later.release(NAME)
    assert late.claim(NAME)
    assert late.add(ask(1), take(b"anew"), replace=True)
    assert [b"anew"] == [one.answer.body for one in later.takes(ask(1).key)]


def test_an_earlier_answer(machine: Machine, redis_server: RedisServer) -> None:
    """Until the later one has kept something, what comes is kept; and it can replace that."""
    late, later = machine(), machine()
    assert late.claim(NAME)
    run_out(late, redis_server)
    assert later.claim(NAME)
    assert late.add(ask(1), take(b"of the late"), replace=True)
    assert later.add(ask(1), take(b"of the later"), replace=True)
    assert [b"of the later"] == [one.answer.body for one in late.takes(ask(1).key)]


def test_a_late_release(machine: Machine, redis_server: RedisServer) -> None:
    """A lease that has run out is not given up for the one who has it now."""
    late, later, third = machine(), machine(), machine()
    assert late.claim(NAME)
    run_out(late, redis_server)
    assert later.claim(NAME)
    late.release(NAME)
    assert not third.claim(NAME)
