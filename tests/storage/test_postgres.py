"""What PostgreSQL alone is asked of: leases, being told, steps made side by side, bounds, and kills."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from askonce._core.body import canonical_json
from askonce._core.entry import Key
from askonce.errors import SettingsError, StorageError
from askonce.storage import Filter, postgres_link
from askonce.storage.postgres import PostgresStorage
from askonce.storage.postgres_address import read_address
from askonce.storage.postgres_schema import COUNTS, STORE
from tests.engine.stepped import until
from tests.servers import Link, PostgresServer, started_postgres
from tests.storage.conftest import ask, take

NAME = ask(1).key + canonical_json([None, 0]).encode()
_numbers = itertools.count()
Machine = Callable[..., PostgresStorage]


@pytest.fixture
def machine(postgres_server: PostgresServer) -> Iterator[Machine]:
    """Return what makes one more storage, as another process would have it."""
    opened = []
    schema = f"alone_{next(_numbers)}"

    def make(**query: object) -> PostgresStorage:
        opened.append(PostgresStorage(postgres_server.url(**({"schema": schema} | query))))
        return opened[-1]

    yield make
    for storage in opened:
        storage.close()


def test_one_has_a_claim(machine: Machine) -> None:
    """One has a name at a time, as often as it likes; when it is given up another may have it."""
    one, other = machine(), machine()
    assert one.claim(NAME)
    assert one.claim(NAME)
    assert not other.claim(NAME)
    assert (False, True) == (one.is_claimed(NAME), other.is_claimed(NAME))
    one.release(NAME)
    assert not other.claim(NAME)
    one.release(NAME)
    assert other.claim(NAME)


def test_a_dead_holder_is_noticed(machine: Machine) -> None:
    """A claim that nobody renews runs out; one that is renewed does not, whatever becomes of the connections."""
    dead, other = machine(lease="0.3"), machine(lease="0.3")
    assert dead.claim(NAME)
    dead._server.close()
    time.sleep(0.6)
    assert not other.claim(NAME)
    dead._leases.renew()  # as the death of its process: nobody renews, nobody releases
    until(lambda: other.claim(NAME))


def test_a_later_holder_is_not_overwritten(machine: Machine) -> None:
    """Who lost its claim without knowing does not replace what the one after it has kept."""
    early, late = machine(lease="0.2"), machine()
    assert early.claim(NAME)
    early._leases._milliseconds = 10**7  # its next renewal is far off
    with psycopg.connect(**early.address.connection, autocommit=True) as bare:
        bare.execute(f"DELETE FROM {early.address.schema}.leases")
    assert late.claim(NAME)
    assert late.add(ask(1), take(b"late"), replace=True)
    assert not early.add(ask(1), take(b"early"), replace=True)
    assert [b"late"] == [one.answer.body for one in early.takes(ask(1).key)]


def test_watch(machine: Machine) -> None:
    """What another replaces or removes is told of, with its key."""
    one, other = machine(), machine()
    told: list[Key | None] = []
    is_heard = one.watch(told.append)
    until(is_heard)
    other.add(ask(1), take())
    other.add(ask(1), take(b"new"), replace=True)
    until(lambda: ask(1).key in told)
    told.clear()
    other.remove([ask(1).key])
    until(lambda: ask(1).key in told)


def test_watch_again(machine: Machine) -> None:
    """A listener whose connection was ended says so, comes back, and says that anything may have changed."""
    one = machine()
    told: list[Key | None] = []
    is_heard = one.watch(told.append)
    until(is_heard)
    told.clear()
    with psycopg.connect(**one.address.connection, autocommit=True) as bare:
        bare.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_notify%'")
    until(lambda: None in told)
    until(is_heard)


def test_watch_what_others_do(machine: Machine) -> None:
    """What somebody changes with the server's own tools is told of, too."""
    one = machine()
    one.add(ask(1), take())
    told: list[Key | None] = []
    until(one.watch(told.append))
    told.clear()
    with psycopg.connect(**one.address.connection, autocommit=True) as bare:
        bare.execute(f"DELETE FROM {one.address.schema}.takes")
        until(lambda: ask(1).key in told)
        bare.execute(f"TRUNCATE {one.address.schema}.takes")
        until(lambda: None in told)


def test_watch_in_vain(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a listener hears nothing, as behind some poolers, though its connection is well, it says so."""
    execute = postgres_link.Link.execute

    def pass_none_on(link: postgres_link.Link, sql: str, *rest: Any) -> Any:
        return execute(link, "SELECT 1" if sql.startswith("LISTEN") else sql, *rest)

    monkeypatch.setattr(postgres_link.Link, "execute", pass_none_on)
    one = machine(nearby="0.2")
    tries: list[Key | None] = []
    is_heard = one.watch(tries.append)
    heard = [False]
    until(lambda: heard.append(is_heard()) or len(tries) > 1)
    assert not any(heard)


def _open_and_add(url: str, number: int) -> None:
    storage = PostgresStorage(url)
    storage.add(ask(number), take())
    storage.close()


def test_steps_by_many_at_once(postgres_server: PostgresServer) -> None:
    """Processes that open a new schema at the same moment make it once, and all go on."""
    url = postgres_server.url(schema="many")
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_open_and_add, args=(url, number)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [0, 0, 0] == [process.exitcode for process in processes]
    storage = PostgresStorage(url)
    assert 3 == storage.totals().entries
    storage.close()


def test_old_beside_new(machine: Machine) -> None:
    """A newer askonce makes its step while an older one is at work, and both go on, opened anew as well."""
    old = machine()
    old.add(ask(1), take())
    new = machine()
    new._server._layout = STORE._replace(steps=(*STORE.steps, "ALTER TABLE {s}.takes ADD later text"))
    new.add(ask(2), take())
    assert old.add(ask(3), take())
    older = machine()
    assert older.add(ask(4), take())
    assert 4 == old.totals().entries == new.totals().entries == older.totals().entries


def test_somebody_drops_it(machine: Machine) -> None:
    """A store that somebody drops is begun anew."""
    storage = machine()
    for number in range(2):
        assert storage.add(ask(number), take())
        assert (take(),) == storage.takes(ask(number).key)
        with psycopg.connect(**storage.address.connection, autocommit=True) as bare:
            bare.execute(f"DROP SCHEMA {storage.address.schema} CASCADE")
    with pytest.raises(StorageError, match="does not exist"):
        storage.takes(ask(1).key)
    assert () == storage.takes(ask(1).key)
    assert storage.add(ask(1), take())
    assert 1 == storage.totals().entries


def test_long_names(machine: Machine) -> None:
    """What an index cannot hold is kept and found all the same."""
    noise = random.Random(9)
    long = [noise.randbytes(4000).hex() for _ in range(3)]
    question = ask(1, partition=long[0], model=long[1], url=f"https://x.test/{long[2]}")
    storage = machine()
    assert storage.add(question, take(seed=noise.randbytes(4000).hex()))
    assert [question] == [entry.question for entry in storage.entries(Filter(partition=long[0]))]
    assert [question] == list(storage.similar(question, 3))
    assert storage.claim(long[0].encode())


def test_without_poll(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no `poll`, as Windows, it waits in another way."""
    monkeypatch.delattr("select.poll")
    storage = machine()
    large = take(random.Random(3).randbytes(4 << 20))
    assert storage.add(ask(1), large)
    assert (large,) == storage.takes(ask(1).key)


def test_many_threads(machine: Machine) -> None:
    """Of many that add one answer one keeps it, and the sums are right after all changes at once."""
    storage = machine()
    with ThreadPoolExecutor(8) as pool:
        kept = list(pool.map(lambda n: storage.add(ask(n % 5), take(b"%d" % n)), range(80)))
        list(pool.map(lambda n: storage.remove([ask(n % 5).key]) if n % 2 else storage.prune(1.0), range(4)))
    assert 5 == sum(kept)
    totals = storage.totals()
    assert 3 == totals.entries == totals.takes == len(list(storage.entries()))


def test_sums_of_what_changes_at_once(machine: Machine) -> None:
    """Threads that add, count and remove the same entries wait in no circle, and the sums are right afterwards."""
    storage = machine()
    ends_at = time.monotonic() + 1.0

    def work(thread: int) -> None:
        mine = random.Random(thread)
        while time.monotonic() < ends_at:
            numbers = mine.sample(range(12), 6)
            storage.add(ask(numbers[0]), take(ttl=mine.randrange(5)), replace=True)
            for number in numbers:
                storage.count_hit(ask(number).key, take(), 2000.0)
            storage.totals()  # writes the hits that are pending
            storage.remove([ask(number).key for number in numbers[:3]])
            storage.prune(1000 + mine.randrange(4))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    entries = list(storage.entries())
    totals = storage.totals()
    assert (len(entries), sum(len(entry.takes) for entry in entries)) == (totals.entries, totals.takes)
    schema = storage.address.schema
    with psycopg.connect(**storage.address.connection, autocommit=True) as bare:
        kept = ", ".join(f"coalesce(sum({name}), 0)" for name in COUNTS)
        held = ", ".join(f"coalesce(sum(counts[{at}]), 0)" for at in range(1, len(COUNTS) + 1))
        counted = f"(SELECT {schema}.counts_1(key) AS counts FROM {schema}.entries) c"
        sums = [bare.execute(sql.encode()).fetchone() for sql in (
            f"SELECT {kept} FROM {schema}.sums", f"SELECT {held} FROM {counted}"
        )]  # fmt: skip
    assert sums[0] == sums[1]


def test_a_fork(machine: Machine) -> None:
    """A child has connections of its own, and the parent's go on."""
    storage = machine()
    storage.add(ask(1), take())
    child = os.fork()
    if child == 0:
        os._exit(0 if storage.takes(ask(1).key) == (take(),) and storage.add(ask(2), take()) else 1)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert (take(),) == storage.takes(ask(1).key) == storage.takes(ask(2).key)


def test_a_cut_link(postgres_server: PostgresServer) -> None:
    """Where nothing comes back a look-up is given up, and not waited for; when it does again, all is well."""
    link = Link(postgres_server.port)
    connection = f"postgresql://askonce@127.0.0.1:{link.port}/postgres?schema=cut&timeout="
    patient, storage = PostgresStorage(f"{connection}20"), PostgresStorage(f"{connection}0.05")
    patient.add(ask(1), take())
    storage._server.do("SELECT 1")  # connects without haste
    assert (take(),) == patient.takes(ask(1).key)
    link.is_cut = True
    done = threading.Event()

    def look_up() -> None:
        for _ in range(3):
            with pytest.raises(StorageError, match="in time"):
                storage.takes(ask(1).key)
        done.set()

    threading.Thread(target=look_up, daemon=True).start()
    assert done.wait(5), "it waits for what does not come"
    link.is_cut = False
    assert (take(),) == patient.takes(ask(1).key)
    storage.close()
    patient.close()
    link.close()


def test_a_large_answer(postgres_server: PostgresServer) -> None:
    """What comes bit by bit may take longer than a call waits for a word."""
    large = take(random.Random(5).randbytes(6 << 20))
    direct = PostgresStorage(postgres_server.url(schema="large"))
    assert direct.add(ask(1), large)
    link = Link(postgres_server.port)
    storage = PostgresStorage(f"postgresql://askonce@127.0.0.1:{link.port}/postgres?schema=large&timeout=400ms")
    storage._server.do("SELECT 1")  # connects without haste
    link.delay = 0.008  # for each of about a hundred pieces
    assert (large,) == storage.takes(ask(1).key)
    for one in (direct, storage, link):
        one.close()


def test_a_stopped_server() -> None:
    """A server that hangs is given up, with the cure; when it goes on, nothing that it says late is misread."""
    with started_postgres() as server:
        storage = PostgresStorage(server.url(timeout="200ms"))
        for number in (1, 2):
            storage.add(ask(number), take(b"%d" % number))
            storage.takes(ask(number).key)
        server.pause()
        for number in (1, 2, 1):
            with pytest.raises(StorageError, match=r"does not answer in time.*\?timeout="):
                storage.takes(ask(number).key)
        with pytest.raises(StorageError, match="does not answer in time"):
            storage.claim(NAME)
        storage.count_hit(ask(1).key, take(), 2000.0)
        with pytest.raises(StorageError, match="does not answer in time"):
            storage.close()
        server.resume()
        for number in (2, 1):
            assert [b"%d" % number] == [one.answer.body for one in storage.takes(ask(number).key)]
        storage.close()


def test_what_is_refused(postgres_server: PostgresServer) -> None:
    """What a server does not do is told with the cure."""
    url = postgres_server.url(schema="refused")
    own = read_address(url).connection
    with psycopg.connect(**own, autocommit=True) as bare:
        bare.execute("CREATE ROLE reader LOGIN")
        bare.execute("CREATE ROLE written LOGIN; ALTER ROLE written SET default_transaction_read_only = on")
        bare.execute("CREATE ROLE alone LOGIN CONNECTION LIMIT 0")
    for user, cure in (
        ("reader", "Give its user the right"),
        ("written", "is a standby"),
        ("alone", "has no connection left"),
        ("nobody", "does not have what its URL names"),
    ):
        storage = PostgresStorage(url.replace("askonce@", f"{user}@"))
        with pytest.raises(StorageError, match=cure):
            storage.add(ask(1), take())
        storage.close()


def test_more_threads_than_connections(machine: Machine) -> None:
    """Threads share a few connections; a place is free again when what had it is closed."""
    storage = machine(connections=2)
    storage.add(ask(1), take())
    for _ in range(3):
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda n: storage.takes(ask(n % 2).key), range(40)))
        assert [(), (take(),)] * 20 == found
        storage._server.close()


def test_a_secret() -> None:
    """The password is in no URL and no message."""
    storage = PostgresStorage("postgresql://me:hush%2Fhush@127.0.0.1:1/db?timeout=5&sslmode=disable")
    assert "postgresql://me@127.0.0.1:1/db?timeout=5&sslmode=disable" == storage.url
    assert "hush/hush" == storage.address.connection["password"]
    with pytest.raises(StorageError) as caught:
        storage.takes(ask(1).key)
    assert "hush" not in str(caught.value)
    assert "cannot be reached" in str(caught.value)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("schema=No", "a schema is named with"),
        ("schema=a;drop", "a schema is named with"),
        ("connections=many", "no number from 1 to 1000"),
        ("timeout=soon", "timeout=soon is no time"),
        ("tiemout=1", "there is no 'tiemout' in its URL"),
    ],
)
def test_a_bad_url(query: str, message: str) -> None:
    """What a URL says that means nothing is refused, without the password."""
    with pytest.raises(SettingsError, match=message) as caught:
        read_address(f"postgresql://me:hush@host/db?{query}")
    assert "hush" not in str(caught.value)


_WRITER = """
import sys
from askonce.storage.postgres import PostgresStorage
from tests.storage.conftest import ask, take
storage = PostgresStorage(sys.argv[1])
for number in range(10**6):
    storage.add(ask(number), take())
    print(number, flush=True)
"""


def _started(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=Path(__file__).parents[2]
    )


def test_a_killed_server() -> None:
    """Of what was said to be kept nothing is lost when the server is killed in the middle of writing."""
    with started_postgres(is_durable=True) as server:
        command = [sys.executable, "-c", _WRITER, server.url()]
        with _started(command) as writer:
            assert writer.stdout is not None
            confirmed = [int(next(writer.stdout)) for _ in range(200)]
            server.kill()
            confirmed += map(int, writer.stdout)
        server.start()
        storage = PostgresStorage(server.url())
        assert [] == [number for number in confirmed if storage.takes(ask(number).key) != (take(),)]
        totals = storage.totals()
        assert totals.entries == totals.takes == len(list(storage.entries()))
        storage.close()
