"""What Redis adds to the contract: what the server forgets, large answers, clusters, and what goes wrong."""

from __future__ import annotations

import itertools
import multiprocessing
import random
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import redis as redis_py

from askonce.errors import AskonceWarning, SettingsError, StorageError
from askonce.storage import Filter, Storage, open_storage
from askonce.storage.redis import RedisStorage
from tests.engine.stepped import until
from tests.servers import RedisServer, started_cluster, started_redis, started_sentinel
from tests.storage.conftest import ask, take

NOISE = random.Random(6)
_numbers = itertools.count()


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis_py.Redis]:
    """Return a bare client of the shared server."""
    with redis_py.Redis(port=redis_server.port) as bare:
        yield bare


@pytest.fixture
def storage(redis_server: RedisServer) -> Iterator[RedisStorage]:
    """Return a storage of its own on the shared server."""
    opened = RedisStorage(redis_server.url(prefix=f"redis-{next(_numbers)}:"))
    yield opened
    opened.close()


def keys(client: redis_py.Redis, storage: RedisStorage, what: str) -> list[bytes]:
    return sorted(client.keys(f"{storage.address.prefix}{what}:*"))


def commands(client: redis_py.Redis) -> dict[str, int]:
    """Return how often each command was run, but for those about the connections themselves."""
    about = ("cmdstat_info", "cmdstat_ping", "cmdstat_hello", "cmdstat_client", "cmdstat_auth", "cmdstat_select")
    counts = client.info("commandstats").items()
    return {name: row["calls"] for name, row in counts if not name.startswith(about)}


def test_expiry(storage: RedisStorage, client: redis_py.Redis) -> None:
    """The server itself forgets what is past its time to live, a minute later; what has none stays."""
    storage.add(ask(1), take(ttl=100))
    storage.add(ask(2), take(NOISE.randbytes(2 << 20), ttl=100))
    for what in ("takes", "about", "part"):
        assert all(159_000 < client.pttl(key) <= 160_000 for key in keys(client, storage, what))
    storage.add(ask(1), take(seed="longer", ttl=500))
    assert 559_000 < max(client.pttl(key) for key in keys(client, storage, "takes")) <= 560_000
    storage.add(ask(1), take(seed="for ever"))
    storage.add(ask(1), take(seed="short", ttl=5))
    assert -1 in [client.pttl(key) for key in keys(client, storage, "about")]
    assert -1 in [client.pttl(key) for key in keys(client, storage, "takes")]


def test_totals_after_expiry(redis_server: RedisServer) -> None:
    """What the server has forgotten by itself is neither listed nor counted."""
    storage = RedisStorage(redis_server.url(prefix=f"redis-{next(_numbers)}:", grace="1ms"))
    storage.add(ask(1), take(ttl=0.01))
    storage.add(ask(2), take())
    until(lambda: storage.totals().entries == 1)
    assert [1] == [row.entries for row in storage.by_model()]
    assert [ask(2)] == [entry.question for entry in storage.entries()]
    storage.close()


@pytest.mark.parametrize("what", ["takes", "about"])
def test_eviction_by_the_server(storage: RedisStorage, client: redis_py.Redis, what: str) -> None:
    """Whatever the server evicts, an answer is whole or missing, and listings and totals agree on it."""
    storage.add(ask(1), take())
    storage.add(ask(1), take(seed="a"))
    storage.add(ask(2), take())
    storage.count_hit(ask(1).key, take(), 2000.0)
    storage._write_hits()
    evicted = next(key for key in keys(client, storage, what) if storage._key(what, ask(1).key) == key)
    client.delete(evicted)
    assert (what == "about") == bool(storage.takes(ask(1).key))
    assert [ask(2)] == [entry.question for entry in storage.entries()]
    assert (1, 1) == storage.totals()[:2]
    assert storage.add(ask(1), take(b"again", "b"))
    assert b"again" == storage.takes(ask(1).key)[-1].answer.body
    listed = {entry.question.key: entry.takes for entry in storage.entries()}
    assert tuple(storage.takes(ask(1).key)) == listed[ask(1).key]
    totals = storage.totals()
    assert (len(listed), sum(map(len, listed.values()))) == (totals.entries, totals.takes)
    assert totals.size == sum(row.size for row in storage.by_model())


def test_large(storage: RedisStorage, client: redis_py.Redis) -> None:
    """A large answer lies in parts, comes back whole, and leaves none of them behind."""
    large = [take(NOISE.randbytes(size), str(size)) for size in (1 << 20, 3 << 20, 5_000_001)]
    for one in large:
        assert storage.add(ask(1), one)
        assert not storage.add(ask(1), one)
    assert large == list(storage.takes(ask(1).key))
    assert [tuple(large)] == [entry.takes for entry in storage.entries()]
    assert 2 + 4 + 5 == len(keys(client, storage, "part"))
    assert storage.add(ask(1), take(b"small", str(3 << 20)), replace=True)
    assert 2 + 5 == len(keys(client, storage, "part"))
    storage.remove([ask(1).key])
    assert [] == keys(client, storage, "part")


def test_lost_part(storage: RedisStorage, client: redis_py.Redis) -> None:
    """A large answer of which a part was evicted is missing, and makes room for another."""
    large = take(NOISE.randbytes(3 << 20))
    storage.add(ask(1), large)
    client.delete(keys(client, storage, "part")[1])
    assert () == tuple(storage.takes(ask(1).key))
    assert storage.add(ask(1), large)
    assert (large,) == tuple(storage.takes(ask(1).key))
    assert 4 == len(keys(client, storage, "part"))


def test_damage(storage: RedisStorage, client: redis_py.Redis) -> None:
    """An answer that is not what was recorded is left out, and makes room for a good one."""
    storage.add(ask(1), take())
    (key,) = keys(client, storage, "takes")
    ((name, whole),) = client.hgetall(key).items()
    client.hset(key, name, whole[:-1])
    with pytest.warns(AskonceWarning, match="holds a damaged answer"):
        assert () == tuple(storage.takes(ask(1).key))
    for at in range(104, len(whole)):  # what is before is not vouched for
        client.hset(key, name, whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        found = storage.takes(ask(1).key)
        assert not found or (take().answer, None) == (found[0].answer, found[0].seed)
    for size in (0, 7, 100, 200, len(whole) - 2):
        client.hset(key, name, whole[:size])
        assert () == tuple(storage.takes(ask(1).key))
    assert 50 < storage.damaged
    client.hset(key, name, whole[:-1] + b"?")
    assert storage.add(ask(1), take(b"good"))
    assert [b"good"] == [one.answer.body for one in storage.takes(ask(1).key)]
    assert not storage.add(ask(1), take())


def test_newer(storage: RedisStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a newer askonce has recorded is left out, and told of; the rest of the store is of use."""
    with monkeypatch.context() as patch:
        patch.setattr("askonce._core.record._MAGIC", b"AO2")
        storage.add(ask(1), take())
    storage.add(ask(1), take(seed="old"))
    with pytest.warns(AskonceWarning, match="Upgrade askonce"):
        assert [take(seed="old")] == list(storage.takes(ask(1).key))


@pytest.mark.parametrize("where", [0, 8, 16, 24, 64, 72, 80, 104, 132])
def test_noise_in_front(storage: RedisStorage, client: redis_py.Redis, where: int) -> None:
    """Noise in the numbers before an answer never makes it another."""
    storage.add(ask(1), take())
    (key,) = keys(client, storage, "takes")
    ((name, whole),) = client.hgetall(key).items()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AskonceWarning)
        for noise in (b"\xff" * 8, b"\x7f\xf0" + b"\0" * 6, b"\0" * 8, b"\x7f\xef" + b"\xff" * 6):
            client.hset(key, name, whole[:where] + noise + whole[where + 8 :])
            assert {take().answer} >= {one.answer for one in storage.takes(ask(1).key)}


def test_listing_scans_nothing(storage: RedisStorage, client: redis_py.Redis) -> None:
    """A customer's entries are found by an index: what others have is not looked through."""
    for number in range(300):
        storage.add(ask(number, partition=f"customer={number % 100}", model=f"m{number % 3}"), take())
    before = commands(client)
    assert 3 == sum(1 for _ in storage.entries(Filter(partition="customer=7")))
    after = commands(client)
    assert not {"cmdstat_keys", "cmdstat_scan"} & (after.keys() - before.keys())
    assert 3 == after["cmdstat_hvals"] - before.get("cmdstat_hvals", 0)
    found = [entry.question.key for entry in storage.entries(Filter(partition="customer=7"))]
    assert 3 == storage.remove(found)
    assert [] == list(storage.entries(Filter(partition="customer=7")))


def test_totals_cost_the_same(storage: RedisStorage, client: redis_py.Redis) -> None:
    """Totals take as many commands for many entries as for few."""

    def cost() -> int:
        before = sum(commands(client).values())
        storage.totals()
        storage.by_model()
        return sum(commands(client).values()) - before

    storage.add(ask(0), take())
    few = cost()
    for number in range(200):
        storage.add(ask(number), take())
    assert few == cost()


def test_a_hit_is_one_command(storage: RedisStorage, client: redis_py.Redis) -> None:
    """A hit asks the server once, and counting it not at all."""
    storage.add(ask(1), take())
    storage.add(ask(1), take(seed="a"))
    storage.takes(ask(1).key)
    before = commands(client)
    storage.count_hit(ask(1).key, storage.takes(ask(1).key)[0], 2000.0)
    after = commands(client)
    changed = {name for name, calls in after.items() if calls != before.get(name)}
    assert {"cmdstat_hvals"} == changed
    assert 1 == after["cmdstat_hvals"] - before["cmdstat_hvals"]


def test_full() -> None:
    """A full server that evicts nothing still answers; what cannot be kept is told, with the cure."""
    with started_redis("--maxmemory", "3mb", "--maxmemory-policy", "noeviction") as server:
        storage = RedisStorage(server.url())
        kept = 0
        with pytest.raises(StorageError, match=r"is full.*maxmemory"):
            while kept < 1000:
                storage.add(ask(kept), take(NOISE.randbytes(50_000)))
                kept += 1
        assert all(storage.takes(ask(number).key) for number in range(kept))
        assert (kept, kept) == storage.totals()[:2]
        assert kept == sum(1 for _ in storage.entries())
        assert 1 == storage.remove([ask(0).key])
        storage.close()


def test_server_that_forgets() -> None:
    """Where the server evicts what is long unused, an answer is whole or missing, and keeping goes on."""
    with started_redis("--maxmemory", "8mb", "--maxmemory-policy", "allkeys-lru") as server:
        storage = RedisStorage(server.url())
        recorded = [take(NOISE.randbytes(size)) for size in (40_000, 1_200_000, 300) for _ in range(16)]
        assert 0 < [storage.add(ask(number), one) for number, one in enumerate(recorded)].count(True)
        assert storage.add(ask(1000), take())
        assert (take(),) == tuple(storage.takes(ask(1000).key))
        found = [tuple(storage.takes(ask(number).key)) for number in range(len(recorded))]
        assert all(takes in ((), (one,)) for takes, one in zip(found, recorded, strict=True))
        assert () in found
        list(storage.entries())
        storage.close()


def test_restart() -> None:
    """After a restart of the server the next look-up connects again, and scripts are there again."""
    with started_redis() as server:
        storage = RedisStorage(server.url())
        storage.add(ask(1), take())
        assert storage.takes(ask(1).key)
        server.kill()
        with pytest.raises(StorageError, match="cannot be reached"):
            storage.takes(ask(1).key)
        server.start()
        assert () == tuple(storage.takes(ask(1).key))
        assert storage.add(ask(1), take())
        assert (take(),) == tuple(storage.takes(ask(1).key))
        storage.close()


def test_silence() -> None:
    """A server that hangs is given up, with the cure; when it goes on, nothing that it says late is misread."""
    with started_redis() as server:
        storage = RedisStorage(server.url(timeout="200ms"))
        for number in (1, 2):
            storage.add(ask(number), take(b"%d" % number))
            storage.takes(ask(number).key)
        server.pause()
        for number in (1, 2, 1):
            with pytest.raises(StorageError, match=r"does not answer in time.*\?timeout="):
                storage.takes(ask(number).key)
        server.resume()
        for number in (2, 1):
            assert [b"%d" % number] == [one.answer.body for one in storage.takes(ask(number).key)]
        storage.close()


def test_threads_and_lost_connections(redis_server: RedisServer, client: redis_py.Redis) -> None:
    """Connections that the server has closed are replaced unnoticed."""
    storage = RedisStorage(redis_server.url(prefix="lost:"))
    storage.add(ask(1), take())
    for _ in range(3):
        storage.takes(ask(1).key)
        client.client_kill_filter(_type="normal", skipme=True)
        assert (take(),) == tuple(storage.takes(ask(1).key))
        client.client_kill_filter(_type="normal", skipme=True)
        storage.add(ask(1), take(), replace=True)
    storage.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")
def test_fork(storage: RedisStorage) -> None:
    """A forked child has connections of its own, and does not count its parent's hits."""
    storage.add(ask(1), take())
    storage.takes(ask(1).key)
    storage.count_hit(ask(1).key, take(), 2000.0)
    child = multiprocessing.get_context("fork").Process(target=_use, args=(storage,))
    child.start()
    for _ in range(50):
        assert (take(),) == tuple(storage.takes(ask(1).key))
    child.join()
    assert 0 == child.exitcode
    assert 2 == storage.totals().hits


def _use(storage: Storage) -> None:
    for _ in range(50):
        assert (take(),) == tuple(storage.takes(ask(1).key))
    storage.count_hit(ask(1).key, take(), 2000.0)
    storage.close()


def test_cluster() -> None:
    """In a cluster an entry is in one place, its index in one other, and all of it is found."""
    with started_cluster() as servers:
        places = ",".join(f"127.0.0.1:{server.port}" for server in servers)
        storage = RedisStorage(f"redis+cluster://{places}?timeout=20", max_size=6 << 20)
        large = take(NOISE.randbytes(3 << 20))
        assert storage.add(ask(0), large)
        for number in range(1, 40):
            assert storage.add(ask(number, partition=f"p{number % 3}"), take(ttl=number))
            assert not storage.add(ask(number, partition=f"p{number % 3}"), take())
        for server in servers:
            with redis_py.Redis(port=server.port) as bare:
                assert bare.dbsize()
        assert (large,) == tuple(storage.takes(ask(0).key))
        storage.count_hit(ask(0).key, large, 2000.0)
        assert (40, 40, 1) == (storage.totals().entries, storage.totals().takes, storage.totals().hits)
        assert [number for number in range(39, 0, -1) if number % 3 == 1] == [
            int(entry.question.body.split()[-1][:-2]) for entry in storage.entries(Filter(partition="p1"))
        ]
        assert 19 == storage.prune(1019)
        assert storage.totals().entries == sum(1 for _ in storage.entries()) == 21
        assert storage.add(ask(99), take(NOISE.randbytes(4 << 20)))
        assert storage.totals().size <= 6 << 20
        storage.remove([entry.question.key for entry in storage.entries()])
        assert (0, 0, 0) == storage.totals()[:3]
        storage.close()


def test_sentinel() -> None:
    """The master is found through a sentinel."""
    with started_redis() as server, started_sentinel(server) as port:
        storage = RedisStorage(f"redis+sentinel://127.0.0.1:{port}/askonce/0?timeout=20")
        assert storage.add(ask(1), take())
        assert (take(),) == tuple(storage.takes(ask(1).key))
        storage.close()
        with pytest.raises(StorageError, match="cannot be reached"):
            RedisStorage(f"redis+sentinel://127.0.0.1:{port}/nobody?timeout=20").takes(ask(1).key)


def test_socket(redis_server: RedisServer) -> None:
    """A server is reached through its socket, too, and is the same one."""
    one = RedisStorage(f"unix://{redis_server.socket}?prefix=socket:&timeout=20")
    other = RedisStorage(redis_server.url(prefix="socket:"))
    one.add(ask(1), take())
    assert (take(),) == tuple(other.takes(ask(1).key)) == tuple(RedisStorage(one.url).takes(ask(1).key))
    one.close()
    other.close()


def test_password() -> None:
    """The password opens the store, and is in neither its name nor a message."""
    with started_redis("--requirepass", "sk-test-SECRET-redis-51c0") as server:
        right = f"redis://default:sk-test-SECRET-redis-51c0@127.0.0.1:{server.port}?timeout=20"
        storage = RedisStorage(right)
        storage.add(ask(1), take())
        assert storage.takes(ask(1).key)
        assert f"redis://default@127.0.0.1:{server.port}?timeout=20" == storage.url
        storage.close()
        wrong = RedisStorage(right.replace("51c0", "77aa"))
        with pytest.raises(StorageError, match="lets nobody in") as raised:
            wrong.takes(ask(1).key)
        assert "SECRET" not in f"{raised.value}{wrong.url}"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis://h/0?pasword=sk-test-SECRET", "there is no 'pasword' in its URL"),
        ("redis://user:sk-test-SECRET@h:nan/0", "no host and port"),
        ("redis://h/zero", "'zero' is none, or out of place"),
        ("redis://h,i/0", "names several servers"),
        ("redis+cluster://h/1", "out of place"),
        ("redis+sentinel://h", "names no service"),
        ("unix://", "names no socket"),
        ("redis://h?timeout=soon", "timeout=soon is no time"),
        ("redis://h?nearby=-1", "is no time"),
        ("redis://h?lease=0", "not between 0 and a day"),
        ("redis://h?grace=400d", "not between 0 and a year"),
        ("redis://h?prefix={x}", "no braces"),
        ("redis://h?db=one", "there is no 'db' in its URL, or not with this value"),
    ],
)
def test_wrong_urls(url: str, says: str) -> None:
    """A URL that names no store is refused with what is wrong, and without its password."""
    with pytest.raises(SettingsError, match=says) as raised:
        open_storage(url)
    assert "SECRET" not in str(raised.value)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without redis-py the message names the extra that installs it."""
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(SettingsError, match=r"pip install 'askonce\[redis\]'"):
        open_storage("redis://127.0.0.1")


def test_odd_passwords() -> None:
    """What a URL has to spell in another way is read as it was meant."""
    from askonce.storage.redis_address import read_address

    address = read_address("rediss://me%40x:p%2Fw%3A@h.test:7/3?timeout=80ms&ssl_ca_certs=/ca.pem&lease=1m")
    wanted: dict[str, Any] = {
        "username": "me@x",
        "password": "p/w:",
        "db": 3,
        "ssl": True,
        "ssl_ca_certs": "/ca.pem",
    }
    assert wanted == address.connection
    assert (("h.test", 7),) == address.hosts
    assert (0.08, 60.0) == (address.timeout, address.lease)
    assert "p%2Fw" not in address.url
