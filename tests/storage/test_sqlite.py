"""The SQLite file: its layout, its faults, and many who share it."""

from __future__ import annotations

import multiprocessing
import random
import resource
import signal
import sqlite3
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from askonce._core.entry import Take
from askonce._core.messages import Answer, Chunk, Head
from askonce._engine import guard
from askonce._engine.guard import Guard
from askonce.errors import AskonceWarning, DamagedStoreError, NewerStoreError, SettingsError, StorageError
from askonce.storage import Filter, Totals, open_storage, pool
from askonce.storage import sqlite as sqlite_storage
from askonce.storage.migrations import APPLICATION_ID, STEPS
from askonce.storage.sqlite import SQLiteStorage
from tests.storage.children import forked, in_child
from tests.storage.conftest import HEADERS, ask, take

LONG = b"a long answer " * 400


# --- Layout ---------------------------------------------------------------------------------------------------


def shown(value: object) -> str:
    if isinstance(value, bytes):
        return value[:60].decode() if value.isascii() and b"\0" not in value else f"{len(value)} bytes"
    return repr(value)


def dump(path: Path) -> str:
    """Return the whole database as text: each value of each row, blobs that are not text by their length."""
    with closing(sqlite3.connect(path)) as db:
        names = [row[0] for row in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
        lines = []
        for name in names:
            rows = db.execute(f"SELECT * FROM {name} ORDER BY 1")
            columns = [column[0] for column in rows.description]
            for row in rows:
                values = (f"{column} {shown(value)}" for column, value in zip(columns, row, strict=True))
                lines.append(f"{name}: " + "\n    ".join(values))
        for name in ("application_id", "user_version", "journal_mode", "auto_vacuum"):
            lines.append(f"{name}: {db.execute(f'PRAGMA {name}').fetchone()[0]}")
    return "\n".join(lines) + "\n"


def test_whole_database(sqlite: SQLiteStorage, store: Path) -> None:
    """A small recording is these rows and no others."""
    question = ask(1, model="gpt", provider="openai", partition="team")
    sqlite.add(question, take(b"first", ttl=60.0))
    sqlite.add(question, take(b"second", seed="7"))
    sqlite.count_hit(question.key, take(seed="7"), 1234.5)
    sqlite.close()
    assert """\
counters: name 'entries'
    value 1
counters: name 'hits'
    value 1
counters: name 'seconds_saved'
    value 0.5
counters: name 'size'
    value 447
counters: name 'takes'
    value 2
counters: name 'tokens_saved'
    value 7
questions: id 1
    key 32 bytes
    provider 'openai'
    kind 'chat'
    model 'gpt'
    partition 'team'
    url 'https://x.test/v1'
    head {"body": "json", "headers": [], "method": "POST", "partition
    coding 0
    body {"prompt": "question 1"}
    tags None
takes: id 1
    question 1
    seed None
    recorded 1000.0
    ttl 60.0
    expires 1060.0
    seconds 0.5
    input_tokens 3
    output_tokens 4
    digest 32 bytes
    coding 0
    answer 162 bytes
    slot 0
    cached_tokens 0
    written_tokens 0
takes: id 2
    question 1
    seed '7'
    recorded 1000.0
    ttl None
    expires None
    seconds 0.5
    input_tokens 3
    output_tokens 4
    digest 32 bytes
    coding 0
    answer 163 bytes
    slot 0
    cached_tokens 0
    written_tokens 0
uses: take 2
    hits 1
    used 1234.5
application_id: 1095977777
user_version: 5
journal_mode: wal
auto_vacuum: 2
""" == dump(store)


@pytest.mark.parametrize(("body", "coding"), [(LONG, 1), (b"short", 0), (random.Random(1).randbytes(9000), 0)])
def test_compression(sqlite: SQLiteStorage, store: Path, body: bytes, coding: int) -> None:
    """What is long is compressed where it pays, questions and answers alike."""
    sqlite.add(ask(1, body=body.hex() if coding else ""), take(body))
    assert (take(body),) == sqlite.takes(ask(1, body=body.hex() if coding else "").key)
    with closing(sqlite3.connect(store)) as db:
        assert (coding,) == db.execute("SELECT coding FROM takes").fetchone()
        assert (coding,) == db.execute("SELECT coding FROM questions").fetchone()


def test_first_layout() -> None:
    """The first step of the layout makes these and no others."""
    with closing(sqlite3.connect(":memory:")) as db:
        STEPS[0](db)
        schema = [
            tuple(row)
            for row in db.execute("SELECT type, name FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY 1, 2")
        ]
    assert [
        ("index", "takes_by_question"),
        ("index", "takes_that_expire"),
        ("table", "counters"),
        ("table", "questions"),
        ("table", "takes"),
        ("trigger", "question_added"),
        ("trigger", "question_removed"),
        ("trigger", "take_added"),
        ("trigger", "take_removed"),
    ] == schema


def test_reopening(sqlite: SQLiteStorage, store: Path) -> None:
    """A store is opened again as it was left, also when it was never closed."""
    sqlite.add(ask(1), take(LONG))
    assert (take(LONG),) == SQLiteStorage(store).takes(ask(1).key)
    sqlite.close()
    assert (take(LONG),) == SQLiteStorage(store).takes(ask(1).key)


def test_looking_makes_no_file(sqlite: SQLiteStorage, store: Path) -> None:
    """A store is made by what is recorded, not by looking."""
    assert () == tuple(sqlite.takes(ask(1).key))
    assert Totals() == sqlite.totals()
    assert 0 == sqlite.prune(0)
    assert not store.exists()


def test_folder_is_made(tmp_path: Path) -> None:
    """The default folder is made with a .gitignore of its own."""
    storage = SQLiteStorage(tmp_path / "deep" / ".askonce" / "cache.db")
    storage.add(ask(1), take())
    storage.close()
    assert "*\n" == (tmp_path / "deep" / ".askonce" / ".gitignore").read_text()


@pytest.mark.parametrize("steps", range(len(STEPS) + 1))
def test_migration(store: Path, steps: int) -> None:
    """A store of every earlier layout is brought to the latest."""
    with closing(sqlite3.connect(store)) as db:
        for step in STEPS[:steps]:
            step(db)
        if steps:
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {steps}")
        db.commit()
    storage = SQLiteStorage(store)
    assert storage.add(ask(1), take())
    assert (take(),) == storage.takes(ask(1).key)
    storage.close()


def test_hits_are_kept(tmp_path: Path) -> None:
    """What was counted before hits had rows of their own is counted on."""
    fresh, old = SQLiteStorage(tmp_path / "fresh.db"), tmp_path / "old.db"
    fresh.add(ask(1), take())
    fresh.close()
    with closing(sqlite3.connect(old)) as db:
        for step in STEPS[:4]:
            step(db)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute("PRAGMA user_version = 4")
        db.execute("ATTACH ? AS fresh", (str(fresh.path),))
        db.execute("INSERT INTO questions SELECT * FROM fresh.questions")
        columns = ", ".join(row[1] for row in db.execute("PRAGMA fresh.table_info(takes)"))
        db.execute(f"INSERT INTO takes({columns}, used, hits) SELECT {columns}, 2000.0, 3 FROM fresh.takes")
        db.commit()
    storage = SQLiteStorage(old)
    storage.count_hit(ask(1).key, take(), 3000.0)
    (entry,) = storage.entries()
    assert ((take(),), 4, 3000.0) == (entry.takes, entry.hits, entry.used)
    storage.close()


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {len(STEPS) + 1}")
        db.execute("CREATE TABLE unheard_of (x)")
        db.commit()


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE questions (x)")
        db.commit()


def foreign_and_empty(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA application_id = 5")
        db.commit()


def foreign_in_wal(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL").fetchall()
    foreign(path)


def no_database(path: Path) -> None:
    path.write_text("my notes\n" * 100)


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (newer, NewerStoreError, "made by a newer askonce .* Upgrade askonce, or name another file"),
        (foreign, StorageError, "not a store of askonce. Name another file"),
        (foreign_and_empty, StorageError, "not a store of askonce. Name another file"),
        (foreign_in_wal, StorageError, "not a store of askonce. Name another file"),
        (no_database, DamagedStoreError, "damaged or no database .* Move it away"),
    ],
)
def test_refused_files(store: Path, make: Callable[[Path], None], error: type[StorageError], said: str) -> None:
    """A file that is not a store of ours is refused by all that is done, and left as it was, byte for byte."""
    make(store)
    before = store.read_bytes()
    storage = SQLiteStorage(store)
    for action in (
        lambda: storage.takes(ask(1).key),
        lambda: storage.add(ask(1), take()),
        storage.totals,
        lambda: storage.remove([ask(1).key]),
        lambda: list(storage.entries()),
    ):
        with pytest.raises(error, match=said):
            action()
    storage.close()
    assert before == store.read_bytes()
    assert [store] == list(store.parent.iterdir())


def test_folder_is_no_store(tmp_path: Path) -> None:
    """A folder's name is refused with one that would do."""
    with pytest.raises(SettingsError, match=r"Name a file in it, such as .*cache\.db"):
        open_storage(tmp_path)


def test_unknown_scheme() -> None:
    """A URL that names no storage is refused with those that there are."""
    with pytest.raises(SettingsError, match="'sqlite:///path', 'memory:'"):
        open_storage("mysql://x")


# --- Places where nothing can be written ----------------------------------------------------------------------


@pytest.mark.parametrize("left_open", [False, True])
@pytest.mark.parametrize(("folder_mode", "file_mode"), [(0o555, 0o644), (0o755, 0o444), (0o555, 0o444)])
def test_read_only(public: Path, folder_mode: int, file_mode: int, left_open: bool) -> None:
    """From a read-only file or folder, all that is recorded is answered; recording says what is wrong.

    A mark, which has hits noted at once, changes nothing of it.
    """
    path = public / "cache.db"
    storage = SQLiteStorage(path)
    storage.add(ask(1), take())
    storage.set_mark(1500.0)
    if not left_open:
        storage.close()
    path.chmod(file_mode)
    public.chmod(folder_mode)

    def use() -> object:
        here = SQLiteStorage(path)
        found = here.takes(ask(1).key), here.totals().takes, len(list(here.entries()))
        here.count_hit(ask(1).key, take(), 2000.0)
        assert here.is_marked
        try:
            here.add(ask(2), take())
        except StorageError as error:
            return (*found, "Check its permissions" in str(error), here.takes(ask(1).key) == found[0])
        return "recorded"

    expected = repr(((take(),), 1, 1, True, True))
    assert expected == in_child(use)
    storage.close()


@pytest.mark.parametrize("inner", ["cache.db", "new/cache.db"])
def test_unwritable_folder(public: Path, inner: str) -> None:
    """Where no file can be made, looking finds nothing, and recording names the place and the cure."""

    def use() -> object:
        here = SQLiteStorage(public / inner)
        assert () == here.takes(ask(1).key)
        here.add(ask(1), take())

    public.chmod(0o555)
    said = in_child(use)
    assert said.startswith("StorageError:")
    assert "ASKONCE_STORE" in said


def test_folder_that_may_not_be_entered(public: Path) -> None:
    """A folder that may not even be looked into is no worse than one that may not be written."""
    public.chmod(0o700)
    assert "()" == in_child(lambda: SQLiteStorage(public / "cache.db").takes(ask(1).key))
    assert in_child(lambda: SQLiteStorage(public / "cache.db").add(ask(1), take())).startswith("StorageError:")


def test_path_below_a_file(tmp_path: Path) -> None:
    """A path that leads through a file can be no store."""
    (tmp_path / "file").touch()
    storage = SQLiteStorage(tmp_path / "file" / "x" / "cache.db")
    assert () == storage.takes(ask(1).key)
    with pytest.raises(StorageError, match=r"cannot be made .* Name another place"):
        storage.add(ask(1), take())


# --- Full, locked, damaged, removed ---------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Return a clock for the guard that is set by hand."""
    hands = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(guard, "time", SimpleNamespace(monotonic=lambda: hands.now))
    return hands


def noisy(number: int) -> Take:
    return take(random.Random(number).randbytes(20_000))


def test_full_store(monkeypatch: pytest.MonkeyPatch, store: Path) -> None:
    """When there is no more room, what is recorded stays and is answered; the cure is named."""
    monkeypatch.setitem(pool._PRAGMAS, "max_page_count", 30)
    storage = SQLiteStorage(store, memory=0)
    with pytest.raises(StorageError, match=r"is full .* Make room"):
        for number in range(100):
            storage.add(ask(number), noisy(number))
    assert [(noisy(n),) for n in range(number)] == [storage.takes(ask(n).key) for n in range(number)]
    assert number == storage.totals().takes > 1
    assert storage.remove([ask(0).key])
    storage.close()


def test_full_disk(store: Path, clock: SimpleNamespace) -> None:
    """When the disk takes no more, calls go on with one warning; when it does again, so does recording."""

    def use() -> object:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        one = Guard(SQLiteStorage(store, memory=0))
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            assert one.add(ask(0), noisy(0), replace=False)
            resource.setrlimit(resource.RLIMIT_FSIZE, (250_000, -1))
            kept = [one.add(ask(n), noisy(n), replace=False) for n in range(1, 50)]
            resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
            clock.now += 100
            kept.append(one.add(ask(99), noisy(99), replace=False))
        whole = all((one.takes(ask(n).key) == (noisy(n),)) == kept[n - 1] for n in range(1, 50))
        said = [str(one.message).partition("(")[0] for one in said if one.category is AskonceWarning]
        return kept[0], kept[-2], kept[-1], whole, len(said)

    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        store = Path(folder) / "cache.db"
        assert "(True, False, True, True, 1)" == in_child(use)


def test_locked(monkeypatch: pytest.MonkeyPatch, store: Path, clock: SimpleNamespace) -> None:
    """A locked store is waited for once, then left alone for a while with one warning; then it is used again."""
    monkeypatch.setattr(pool, "_BUSY_SECONDS", 0.05)
    storage = SQLiteStorage(store, memory=0)
    one = Guard(storage)
    assert one.add(ask(1), take(), replace=False)
    with closing(sqlite3.connect(store, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.warns(AskonceWarning, match=r"locked by another program .* Close what holds it"):
            assert not one.add(ask(2), take(), replace=False)
        started = time.perf_counter()
        assert [False] * 100 == [one.add(ask(2), take(), replace=False) for _ in range(100)]
        assert time.perf_counter() - started < 0.05
        clock.now += 1.5
        assert not one.add(ask(2), take(), replace=False)  # tried again, and not warned of again
    clock.now += 10
    assert one.add(ask(2), take(), replace=False)
    storage.close()


def test_locked_against_hits(store: Path, sqlite: SQLiteStorage) -> None:
    """A hit never waits long for another program, and looking does not wait at all."""
    sqlite.add(ask(1), take())
    with closing(sqlite3.connect(store, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        started = time.perf_counter()
        for number in range(200):  # more than are collected before they are written
            sqlite.count_hit(ask(number).key, take(), 2000.0)
        assert (take(),) == sqlite.takes(ask(1).key)
        assert time.perf_counter() - started < 0.5
    sqlite.count_hit(ask(1).key, take(), 2000.0)
    sqlite._write_hits()
    assert sqlite.totals().hits > 0


def test_interrupted(monkeypatch: pytest.MonkeyPatch, sqlite: SQLiteStorage) -> None:
    """An interruption in the midst of recording leaves nothing half, and nothing locked."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SQLiteStorage, "_forget_damaged", interrupt)
        with pytest.raises(KeyboardInterrupt):
            sqlite.add(ask(1), take())
    assert Totals() == sqlite.totals()
    assert sqlite.add(ask(2), take())
    with pytest.raises(UnicodeEncodeError):
        sqlite.add(ask(3), take(seed="\ud800"))
    assert 1 == sqlite.totals().takes


def test_bit_flips(store: Path) -> None:
    """Of a damaged store, an answer comes back as it was or not at all; nothing fails but with our error."""
    with closing(sqlite3.connect(store)) as db:
        db.execute("PRAGMA page_size = 1024")
        db.execute("VACUUM")
    storage = SQLiteStorage(store)
    whole = {}
    for number in range(8):
        question, one = ask(number), take(LONG + b"%d" % number if number % 2 else b"short %d" % number, ttl=1e6)
        storage.add(question, one)
        whole[question.key] = one
    storage.close()
    good = store.read_bytes()
    chance = random.Random(1)
    found = refused = 0
    for _ in range(400):
        at = chance.randrange(len(good))
        damaged = bytearray(good)
        damaged[at] ^= 1 << chance.randrange(8)
        store.write_bytes(damaged)
        storage = SQLiteStorage(store)
        for key, one in whole.items():
            try:
                takes = storage.takes(key)
            except StorageError:
                refused += 1
                continue
            found += len(takes)
            assert takes in ((), (one,)) or [one.answer] == [t.answer for t in takes], at
            assert all(t.fresh(2000.0, None) in (True, False) for t in takes)
        with suppress(StorageError):
            answers = [t.answer for entry in storage.entries() for t in entry.takes]
            assert all(answer in [one.answer for one in whole.values()] for answer in answers), at
        with suppress(StorageError):
            storage.add(ask(99), take())
        storage.close()
    store.write_bytes(good)
    assert found > 1500
    assert refused > 10


def test_damaged_take_is_recorded_anew(store: Path, sqlite: SQLiteStorage) -> None:
    """Where a damaged answer lies, a good one takes its place; others stay."""
    sqlite.add(ask(1), take(seed="a"))
    sqlite.add(ask(1), take(b"once"))
    with closing(sqlite3.connect(store)) as db:
        db.execute("UPDATE takes SET answer = x'00' WHERE seed IS NULL")
        db.commit()
    assert (take(seed="a"),) == sqlite.takes(ask(1).key)
    assert 1 == sqlite.damaged
    assert sqlite.add(ask(1), take(b"again"))
    assert (take(seed="a"), take(b"again")) == sqlite.takes(ask(1).key)


@pytest.mark.parametrize(
    "change",
    [
        "recorded = 'x'",
        "recorded = x'00'",
        "ttl = 'x'",
        "coding = 9",
        "coding = 'x'",
        "answer = 'x'",
        "digest = 5",
        "seed = x'00'",
    ],
)
def test_values_of_another_type(store: Path, sqlite: SQLiteStorage, change: str) -> None:
    """A value of another type than was written is damage."""
    sqlite.add(ask(1), take())
    with closing(sqlite3.connect(store)) as db:
        db.execute(f"UPDATE takes SET {change}")
        db.commit()
    assert () == sqlite.takes(ask(1).key)
    assert [] == list(sqlite.entries())


def test_removed_store(monkeypatch: pytest.MonkeyPatch, store: Path, sqlite: SQLiteStorage) -> None:
    """A store that somebody removes is empty, and is begun anew by the next recording."""
    monkeypatch.setattr(pool, "_LOOK_SECONDS", 0.0)
    sqlite.add(ask(1), take())
    assert sqlite.takes(ask(1).key)
    for path in store.parent.glob("cache.db*"):
        path.unlink()
    time.sleep(2 * sqlite_storage._SURE_SECONDS)
    assert () == sqlite.takes(ask(1).key)
    assert sqlite.add(ask(2), take())
    assert store.exists()
    assert () == sqlite.takes(ask(1).key)


# --- Many who share it ----------------------------------------------------------------------------------------


def write_all(path: Path, writer: int) -> int:
    storage = SQLiteStorage(path)
    won = sum(storage.add(ask(number), take(b"by %d" % writer)) for number in range(500))
    storage.close()
    return won


def test_processes_that_write(store: Path) -> None:
    """Of four processes that record the same 500 questions at once, just one wins each, and all of it is whole."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(4) as workers:
        won = workers.starmap(write_all, [(store, writer) for writer in range(4)])
    storage = SQLiteStorage(store)
    assert 500 == sum(won) == storage.totals().takes
    assert [1] * 500 == [len(storage.takes(ask(number).key)) for number in range(500)]
    storage.close()


def test_many_that_begin_at_once(tmp_path: Path) -> None:
    """Of many that make the same new store at once, all succeed."""
    together = threading.Barrier(8)

    def begin(path: Path, number: int) -> bool:
        storage = SQLiteStorage(path)  # each its own, as processes have it
        together.wait()
        try:
            return storage.add(ask(number), take())
        finally:
            storage.close()

    with ThreadPoolExecutor(8) as threads:
        for round_ in range(25):
            assert all(threads.map(begin, [tmp_path / f"{round_}.db"] * 8, range(8)))


def read_when_told(path: Path, pipe: Any) -> None:
    storage = SQLiteStorage(path)
    while pipe.recv():
        pipe.send([one.answer.body for one in storage.takes(ask(1).key)])
    storage.close()


def test_processes_that_read(sqlite: SQLiteStorage, store: Path) -> None:
    """What one process replaces, removes or adds, another sees in a moment, though it holds the old in memory."""
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    process = context.Process(target=read_when_told, args=(store, theirs))
    process.start()

    def told() -> Any:
        time.sleep(2 * sqlite_storage._SURE_SECONDS)
        pipe.send(True)
        return pipe.recv()

    assert [] == told()
    sqlite.add(ask(1), take(b"first"))
    assert [b"first"] == told() == told()
    sqlite.add(ask(1), take(b"second"), replace=True)
    assert [b"second"] == told() == told()
    sqlite.remove([ask(1).key])
    assert [] == told()
    pipe.send(False)
    process.join()
    assert 0 == process.exitcode


def test_fork(sqlite: SQLiteStorage) -> None:
    """A child uses the store of its parent, which goes on using it; who counted a hit writes it."""
    sqlite.add(ask(1), take())
    sqlite.count_hit(ask(1).key, take(), 2000.0)

    def use() -> object:
        found = sqlite.takes(ask(1).key)
        sqlite.count_hit(ask(1).key, take(), 2000.0)
        added = sqlite.add(ask(2), take(b"by the child"))
        sqlite.close()
        return found, added

    assert repr(((take(),), True)) == forked(use)
    assert (take(b"by the child"),) == sqlite.takes(ask(2).key)
    assert sqlite.add(ask(3), take())
    totals = sqlite.totals()
    assert (3, 2) == (totals.takes, totals.hits)


@pytest.mark.parametrize("name", ["memory", "sqlite"])
def test_fork_while_locks_are_held(tmp_path: Path, name: str) -> None:
    """A child does not wait for locks that another thread of its parent held."""
    storage: Any = open_storage("memory:fork" if name == "memory" else tmp_path / "cache.db")
    storage.add(ask(1), take())
    if name == "memory":
        held = [storage._lock]
    else:
        held = [storage._hits_lock, storage._near._lock, storage._pool._migration, storage._pool._given_back]
    for lock in held:
        lock.acquire()
    result = forked(
        lambda: (
            storage.add(ask(2), take()),
            storage.count_hit(ask(1).key, take(), 1.0),
            storage.takes(ask(1).key),
        )
    )
    for lock in held:
        lock.release()
    assert repr((True, None, (take(),))) == result
    storage.close()


def test_memory_is_bounded(store: Path) -> None:
    """What is held in memory stays below its bound, whatever is read."""
    storage = SQLiteStorage(store, memory=200_000)
    for number in range(60):
        storage.add(ask(number), noisy(number))
        storage.takes(ask(number).key)
    assert storage._near._size <= 200_000
    assert 5 <= len(storage._near) <= 10
    storage.close()


# --- Cost -----------------------------------------------------------------------------------------------------


def steps(storage: SQLiteStorage, action: Callable[[], object]) -> int:
    """Count the instructions that SQLite executes for an action."""
    action()  # what is done once is done now
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return 0

    (connection,) = storage._pool._idle
    connection.db.set_progress_handler(step, 1)
    action()
    connection.db.set_progress_handler(None, 1)
    return count


ACTIONS: dict[str, Callable[[SQLiteStorage], object]] = {
    "hit": lambda storage: storage.takes(ask(5).key),
    "miss": lambda storage: storage.takes(ask(-1).key),
    "add": lambda storage: storage.add(ask(10_000), take(), replace=True),
    "add again": lambda storage: storage.add(ask(5), take()),
    "count": lambda storage: (storage.count_hit(ask(5).key, take(), 1.0), storage._write_hits()),
    "totals": lambda storage: storage.totals(),
    "remove": lambda storage: (storage.add(ask(10_001), take()), storage.remove([ask(10_001).key])),
    "prune": lambda storage: storage.prune(0.0),
    "similar": lambda storage: storage.similar(ask(-1), 5),
    "latest": lambda storage: next(storage.entries()),
    "by key": lambda storage: list(storage.entries(Filter(key=ask(5).key.hex()))),
}


def test_cost_does_not_grow(store: Path) -> None:
    """All that a call needs, and what is looked up by key, costs the same in a hundred times larger store."""
    storage = SQLiteStorage(store, memory=0)
    costs = []
    for count in (300, 3000):
        for number in range(count):
            storage.add(ask(number), take())
        costs.append(
            {name: steps(storage, lambda action=action: action(storage)) for name, action in ACTIONS.items()}
        )
    storage.close()
    assert {} == {
        name: (cost, costs[1][name]) for name, cost in costs[0].items() if costs[1][name] > cost * 1.1 + 20
    }


def test_memory_answers_without_reading(sqlite: SQLiteStorage) -> None:
    """A question that was asked before is answered from memory; SQLite says only that nothing has changed."""
    sqlite.add(ask(1), take(LONG))
    assert steps(sqlite, lambda: sqlite.takes(ask(1).key)) < 12
    assert sqlite.takes(ask(1).key) is sqlite.takes(ask(1).key)


def test_large_answer(sqlite: SQLiteStorage) -> None:
    """Thirty megabytes of noise in many chunks come back as they were."""
    data = random.Random(3).randbytes(1 << 20)
    answer = Answer(Head(200, HEADERS), 0.5, tuple(Chunk(data, 0.5) for _ in range(30)))
    sqlite.add(ask(1), Take(answer, 1000.0))
    assert (Take(answer, 1000.0),) == sqlite.takes(ask(1).key)


def test_damage_is_told(store: Path, sqlite: SQLiteStorage) -> None:
    """An answer that is not what was recorded is left out, and that is said once, with the file's name."""
    sqlite.add(ask(1), take())
    sqlite.close()
    with closing(sqlite3.connect(store)) as db, db:
        db.execute("UPDATE takes SET digest = zeroblob(32)")
    with pytest.warns(AskonceWarning, match="damaged answer") as told:
        assert [(), ()] == [sqlite.takes(ask(1).key) for _ in range(2)]
    assert [True] == [str(store) in str(warning.message) for warning in told]


# --- What is used since a mark --------------------------------------------------------------------------------


def used(path: Path) -> set[bytes]:
    """Return what another process would find used since the mark."""
    other = SQLiteStorage(path)
    mark = other.mark()
    assert mark is not None
    found = {entry.question.key for entry in other.entries(Filter(used=mark))}
    other.close()
    return found


def test_mark(sqlite: SQLiteStorage, store: Path) -> None:
    """After a mark the first hit of a take is seen by other processes at once, the next with a batch."""
    for number in range(3):
        sqlite.add(ask(number), take())
    sqlite.count_hit(ask(2).key, take(), 1500.0)
    other = SQLiteStorage(store)
    other.set_mark(2000.0)
    assert set() == used(store)
    time.sleep(0.02)  # past the moment for which memory is trusted
    sqlite.takes(ask(1).key)
    assert sqlite.is_marked
    sqlite.count_hit(ask(1).key, take(), 2001.0)
    sqlite.count_hit(ask(1).key, take(), 2002.0)
    assert {ask(1).key} == used(store)
    assert 1 == len(sqlite._hits)
    other.set_mark(3000.0)
    assert set() == used(store)
    assert Totals(3, 3, sqlite.totals().size, 3, 1.5, 21) == sqlite.totals()
    other.close()


def test_mark_outlasts_a_lock(sqlite: SQLiteStorage, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A use that cannot be written now is written later: it must not be missing from what is handed out."""
    sqlite.add(ask(1), take())
    sqlite.set_mark(2000.0)
    monkeypatch.setattr(sqlite_storage, "_NOTE_PATIENCE", 1)
    with closing(sqlite3.connect(store, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        sqlite.count_hit(ask(1).key, take(), 2001.0)
        other.execute("ROLLBACK")
    assert set() == used(store)
    sqlite.close()
    assert {ask(1).key} == used(store)
