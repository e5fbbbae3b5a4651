"""Entries in an SQLite file: one look-up by key, the same at a hundred entries and at a million."""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from askonce._core.entry import Entry, Key, Question, Take
from askonce._core.record import digest, pack
from askonce.errors import DamagedStoreError, StorageError
from askonce.forks import renew_in_children
from askonce.notices import warn_once
from askonce.storage.claims import shared_claims
from askonce.storage.lru import LRU
from askonce.storage.packed import expand, read_answer, squeeze
from askonce.storage.pool import FAULTS, Connection, Pool
from askonce.storage.protocol import Filter, ModelTotals, Totals

_SAMPLE = 64  # takes looked at for one eviction
_HITS_PENDING = 512
_FLUSH_SECONDS = 5.0
_FLUSH_PATIENCE = 20  # milliseconds that a hit waits for another writer
_NOTE_PATIENCE = 200  # the same, for one that must not be lost to a mark
_SURE_SECONDS = 0.01  # for which what is in memory is not compared with what other connections have written
_PAGE = 256
_NEAR = 20_000  # questions, the latest, among which similar ones are looked for
_END = 1 << 62
_NO_HITS = (0, 0.0, 0.0, 0)

_Row: TypeAlias = tuple[Any, ...]
_Name: TypeAlias = tuple[Key, str | None, int]  # of a take
_Hits: TypeAlias = tuple[int, float, float, int]  # how many, when last, and the seconds and tokens that they saved

# One flipped bit makes a blob a text, and a text that is none would fail the whole query.
_TAKES = (
    "SELECT t.seed, t.slot, t.recorded, t.ttl, CAST(t.digest AS BLOB), t.coding, CAST(t.answer AS BLOB)"
    " FROM takes t"
)
# Whose row has no uses was not used since it was recorded.
_USES = "takes LEFT JOIN uses ON take = id"
_USED = "max(ifnull(used, 0.0), recorded)"
# The index of takes has the seed as this expression, and so the answer's row is not looked at.
_COUNT = (
    "INSERT INTO uses SELECT id, ?, ? FROM takes WHERE question = (SELECT id FROM questions WHERE key = ?)"
    " AND ifnull('=' || seed, '') = ? AND slot = ?"
    " ON CONFLICT(take) DO UPDATE SET hits = hits + excluded.hits, used = max(used, excluded.used)"
)
_DELETE = "DELETE FROM takes WHERE question = ? AND seed IS ? AND slot = ?"
_QUESTION = (
    "SELECT q.id, q.key, q.head, q.coding, q.body, q.provider, q.kind, q.model, q.partition, CAST(q.tags AS BLOB)"
    " FROM questions q"
)


class SQLiteStorage:
    """Keep entries in the SQLite file at `path`, with the latest in memory up to `memory` bytes.

    With `max_size` (bytes of content), takes that were used longest ago are forgotten.
    """

    def __init__(self, path: Path, *, max_size: int | None = None, memory: int = 32 << 20) -> None:
        self.path = path
        self.url = str(path)
        self.max_size = max_size
        self.damaged = 0
        """How many takes were left out because their digest did not match."""
        self._pool = Pool(path)
        self._claims = shared_claims(path.with_name(path.name + "-flights"))
        self._near: LRU[Key, tuple[Take, ...]] = LRU(memory)
        self._sure_until = 0.0
        self._hits: dict[_Name, _Hits] = {}
        self._hits_lock = threading.Lock()
        self._flushed = time.monotonic()
        self._mark: float | None = None
        self._noted: set[_Name] = set()
        """Takes of which is written that they are used since the mark."""
        self._note_again = 0.0
        renew_in_children(self)

    def renew(self) -> None:
        """Begin anew in a forked child; the hits that were not yet written are the parent's to write."""
        self._pool.renew()
        self._near = LRU(self._near.limit)
        self._hits = {}
        self._hits_lock = threading.Lock()

    # --- Looking up ---------------------------------------------------------------------------------------

    def takes(self, key: Key) -> Sequence[Take]:
        if time.monotonic() < self._sure_until:
            found = self._near.get(key)
            if found is not None:
                return found
        with self._pool.lend(create=False) as connection:
            if connection is None:
                return ()
            self._notice_changes(connection)
            found = self._near.get(key)
            if found is None:
                generation = self._near.generation
                rows = connection.db.execute(
                    f"{_TAKES} JOIN questions q ON t.question = q.id WHERE q.key = ? ORDER BY t.id", (key,)
                ).fetchall()
                found = tuple(take for take in (self._read_take(key, row) for row in rows) if take is not None)
                if found:
                    self._near.put(key, found, sum(take.footprint for take in found), generation)
        return found

    def _notice_changes(self, connection: Connection) -> None:
        """Drop what is in memory when any other connection, of any process, has written to the file."""
        version = connection.db.execute("PRAGMA data_version").fetchone()[0]
        if version != connection.version:
            connection.version = version
            self._near.clear()
            self._see_mark(_read_mark(connection.db))
        self._sure_until = time.monotonic() + _SURE_SECONDS

    def _read_take(self, key: Key, row: _Row) -> Take | None:
        seed, slot, recorded, ttl, vouched, coding, data = row
        try:
            answer = read_answer(key, seed, coding, data, vouched)
            return Take(answer, recorded + 0.0, seed, None if ttl is None else ttl + 0.0, slot + 0)
        except (DamagedStoreError, TypeError):  # the latter: a value of another type than it was written with
            self.damaged += 1
            warn_once(
                f"{self.path} holds a damaged answer, which is left out and asked for again. If there are many, "
                "move the file away, and a new one is begun.",
                cause=f"damaged: {self.path}",
            )
            return None

    # --- Keeping ------------------------------------------------------------------------------------------

    def add(self, question: Question, take: Take, *, replace: bool = False) -> bool:
        packed = pack(take.answer)
        coding, data = squeeze(packed)
        body = squeeze(question.body)
        if self.max_size is not None and len(question.head) + len(body[1]) + len(data) > self.max_size:
            return False
        values = (
            take.seed,
            take.slot,
            take.recorded,
            take.ttl,
            None if take.ttl is None else take.recorded + take.ttl,
            take.answer.seconds,
            *take.answer.usage,
            digest(question.key, take.seed, packed),
            coding,
            data,
        )
        with self._pool.lend(create=True) as connection:
            assert connection is not None
            db = connection.db
            db.execute("BEGIN IMMEDIATE")
            row = self._question_row(db, question, body)
            place = (row, take.seed, take.slot)
            if replace:
                db.execute(_DELETE, place)
            else:
                self._forget_damaged(db, question.key, place)
            inserted = db.execute(
                "INSERT OR IGNORE INTO takes(question, seed, slot, recorded, ttl, expires, seconds,"
                " input_tokens, output_tokens, cached_tokens, written_tokens, digest, coding, answer)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (row, *values),
            )
            kept = inserted.rowcount == 1
            if kept:
                db.execute(
                    "UPDATE questions SET tags = ?1 WHERE id = ?2 AND tags IS NOT ?1", (_tagged(question), row)
                )
            if kept and self.max_size is not None:
                self._evict(db, inserted.lastrowid)
            db.execute("COMMIT")
        self._near.pop(question.key)
        return kept

    def _question_row(self, db: sqlite3.Connection, question: Question, body: tuple[int, bytes]) -> int:
        row = db.execute("SELECT id FROM questions WHERE key = ?", (question.key,)).fetchone()
        if row is not None:
            return int(row[0])
        cursor = db.execute(
            "INSERT INTO questions(key, provider, kind, model, partition, url, head, coding, body)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                question.key,
                question.provider,
                question.kind,
                question.model,
                question.partition,
                question.url,
                question.head,
                *body,
            ),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def _forget_damaged(self, db: sqlite3.Connection, key: Key, place: tuple[int, str | None, int]) -> None:
        """Make room for a good take where a damaged one lies."""
        for row in db.execute(f"{_TAKES} WHERE question = ? AND seed IS ? AND slot = ?", place).fetchall():
            if self._read_take(key, row) is None:
                db.execute(_DELETE, place)

    def _evict(self, db: sqlite3.Connection, newest: int | None) -> None:
        """Forget takes until the size is below the cap: of each sample, those that are unused for longest."""
        assert self.max_size is not None
        if (size := _counter(db, "size")) <= self.max_size:
            return
        self._near.clear()
        while size > self.max_size:
            sample = self._sample(db, newest)
            if not sample:
                return
            for _, take in sorted(sample)[: max(1, len(sample) // 4)]:
                _delete_takes(db, "id = ?", (take,))
                size = _counter(db, "size")
                if size <= self.max_size:
                    return

    def _sample(self, db: sqlite3.Connection, newest: int | None) -> set[tuple[float, int]]:
        """Return the time of last use and the id of some takes, all if there are few, but not of the newest."""
        first, last = db.execute("SELECT (SELECT min(id) FROM takes), (SELECT max(id) FROM takes)").fetchone()
        starts, run = {first}, _SAMPLE
        if last - first > _SAMPLE:
            starts, run = {random.randint(first, last) for _ in range(_SAMPLE // 4)}, 4  # noqa: S311 (no secret)
        sql = f"SELECT {_USED}, id FROM {_USES} WHERE id >= ? AND id != ? ORDER BY id LIMIT ?"  # noqa: S608
        return {row for start in starts for row in db.execute(sql, (start, newest, run))}

    # --- Claiming -----------------------------------------------------------------------------------------

    def claim(self, name: bytes) -> bool:
        self._sure_until = 0.0  # whoever had the claim before may have written just now
        try:
            try:
                return self._claims.claim(name)
            except FileNotFoundError:
                self._pool.make_folder()
                return self._claims.claim(name)
        except (OSError, StorageError):  # where nobody can claim, everybody asks
            return True

    def release(self, name: bytes) -> None:
        self._claims.release(name)

    # --- Counting -----------------------------------------------------------------------------------------

    def count_hit(self, key: Key, take: Take, now: float, times: int = 1) -> None:
        """Note a hit in memory; written by the next batch, so that a hit costs no transaction."""
        name = (key, take.seed, take.slot)
        hit = (times, now, times * take.answer.seconds, times * take.answer.usage.tokens)
        with self._hits_lock:
            self._hits[name] = _plus(self._hits.get(name, _NO_HITS), hit)
            due = len(self._hits) >= _HITS_PENDING or time.monotonic() - self._flushed > _FLUSH_SECONDS
            notable = self._mark is not None and name not in self._noted and time.monotonic() >= self._note_again
        if notable:  # at once: whoever asks what is used is another process
            self._write_hits(_NOTE_PATIENCE)
        elif due:
            self._write_hits(_FLUSH_PATIENCE)

    def _write_hits(self, patience: int = 2000) -> None:
        """Write the hits that are pending, waiting for another writer for so many milliseconds at the most."""
        with self._hits_lock:
            hits, self._hits = self._hits, {}
            self._flushed = time.monotonic()
        if not hits:
            return
        try:
            with self._pool.lend(create=False) as connection:
                if connection is None:
                    return
                db = connection.db
                before = db.execute("PRAGMA busy_timeout").fetchone()[0]
                db.execute(f"PRAGMA busy_timeout = {patience}")
                db.execute("BEGIN IMMEDIATE")
                for (key, seed, slot), (count, used, _, _) in hits.items():
                    db.execute(_COUNT, (count, used, key, "" if seed is None else f"={seed}", slot))
                for name, amount in (
                    ("hits", sum(hit[0] for hit in hits.values())),
                    ("seconds_saved", sum(hit[2] for hit in hits.values())),
                    ("tokens_saved", sum(hit[3] for hit in hits.values())),
                ):
                    db.execute("UPDATE counters SET value = value + ? WHERE name = ?", (amount, name))
                db.execute("COMMIT")
                db.execute(f"PRAGMA busy_timeout = {before}")
        except StorageError:
            # Read-only, locked or full: the count of hits is a courtesy, and no call may suffer for it.
            with self._hits_lock:
                if self._mark is not None:
                    self._note_again = time.monotonic() + _FLUSH_SECONDS
                    for take, hit in hits.items():
                        self._hits[take] = _plus(hit, self._hits.get(take, _NO_HITS))
            return
        if self._mark is not None:
            with self._hits_lock:
                self._noted.update(name for name, hit in hits.items() if hit[1] >= (self._mark or 0.0))

    def totals(self) -> Totals:
        self._write_hits()
        with self._pool.lend(create=False) as connection:
            if connection is None:
                return Totals()
            counters = connection.db.execute("SELECT name, value FROM counters WHERE name != 'mark'")
            return Totals(**dict(counters))

    # --- What is used since a mark ------------------------------------------------------------------------

    @property
    def is_marked(self) -> bool:
        return self._mark is not None

    def mark(self) -> float | None:
        with self._pool.lend(create=False) as connection:
            self._see_mark(None if connection is None else _read_mark(connection.db))
        return self._mark

    def set_mark(self, moment: float | None) -> None:
        self._write_hits()
        with self._pool.lend(create=True) as connection:
            assert connection is not None
            if moment is None:
                connection.db.execute("DELETE FROM counters WHERE name = 'mark'")
            else:
                connection.db.execute("INSERT OR REPLACE INTO counters VALUES ('mark', ?)", (moment,))
        self._near.clear()
        self._see_mark(moment)

    def _see_mark(self, moment: float | None) -> None:
        with self._hits_lock:
            if moment != self._mark:
                self._mark = moment
                self._noted.clear()

    def by_model(self) -> Sequence[ModelTotals]:
        self._write_hits()
        with self._pool.lend(create=False) as connection:
            if connection is None:
                return ()
            return [ModelTotals(*row) for row in connection.db.execute(_BY_MODEL)]

    # --- Listing and removing -----------------------------------------------------------------------------

    def similar(self, question: Question, limit: int) -> Sequence[Question]:
        with self._pool.lend(create=False) as connection:
            if connection is None:
                return ()
            url = question.url
            for where, values in (
                ("q.url = ? AND q.model = ?", (url, question.model)),
                ("q.url = ?", (url,)),
                ("q.provider = ?", (question.provider,)),
                ("1", ()),
            ):
                rows = connection.db.execute(
                    f"{_QUESTION} WHERE {where} AND q.id > (SELECT max(id) FROM questions) - {_NEAR}"  # noqa: S608
                    " ORDER BY q.id DESC LIMIT ?",
                    (*values, limit),
                ).fetchall()
                if rows:
                    return [one for one in map(_read_question, rows) if one is not None]
        return ()

    def entries(self, where: Filter = Filter()) -> Iterator[Entry]:
        self._write_hits()
        before = _END
        while before > 0:
            with self._pool.lend(create=False) as connection:
                if connection is None:
                    return
                rows = self._page(connection.db, where, before)
                page = [self._read_entry(connection.db, row[1:]) for row in rows]
            before = rows[-1][0] if len(rows) == _PAGE else 0
            yield from (entry for entry in page if entry is not None and where.matches(entry))

    def _page(self, db: sqlite3.Connection, where: Filter, before: int) -> list[_Row]:
        """Return a page of questions, in the order of their latest takes, before each the id of that take."""
        conditions = ["t.id < ?", "t.id = (SELECT max(id) FROM takes WHERE question = q.id)"]
        values: list[object] = [before]
        for column, value in (("provider", where.provider), ("partition", where.partition)):
            if value is not None:
                conditions.append(f"q.{column} = ?")
                values.append(value)
        if where.model is not None and where.model.isascii():  # SQLite knows of no other letters' cases
            conditions.append("instr(lower(q.model), lower(?))")
            values.append(where.model)
        if where.key is not None:
            try:
                values += (bytes.fromhex(where.key.ljust(64, "0")), bytes.fromhex(where.key.ljust(64, "f")))
            except ValueError:
                return []
            conditions.append("q.key BETWEEN ? AND ?")
        if where.tag is not None:
            conditions.append("q.tags IS NOT NULL AND instr(q.tags, ?)")
            values.append(f"\n{where.tag}\n")
        if where.used is not None:
            conditions.append(f"(SELECT max({_USED}) FROM {_USES} WHERE question = q.id) >= ?")  # noqa: S608
            values.append(where.used)
        sql = _QUESTION.replace("SELECT", "SELECT t.id,").replace(
            " questions q", " takes t JOIN questions q ON q.id = t.question"
        )
        return db.execute(
            f"{sql} WHERE {' AND '.join(conditions)} ORDER BY t.id DESC LIMIT {_PAGE}", values
        ).fetchall()

    def _read_entry(self, db: sqlite3.Connection, row: _Row) -> Entry | None:
        """Return an entry, or None when nothing of it is whole."""
        question = _read_question(row)
        if question is None:
            return None
        rows = db.execute(f"{_TAKES} WHERE t.question = ? ORDER BY t.id", (row[0],)).fetchall()
        takes = tuple(take for take in (self._read_take(question.key, r) for r in rows) if take is not None)
        sql = f"SELECT sum(hits), max({_USED}) FROM {_USES} WHERE question = ?"  # noqa: S608
        hits, used = db.execute(sql, (row[0],)).fetchone()
        return Entry(question, takes, hits or 0, used or 0.0) if takes else None

    def remove(self, keys: Iterable[Key]) -> int:
        removed = 0
        with self._changing() as db:
            if db is not None:
                for key in keys:
                    removed += _delete_takes(db, "question = (SELECT id FROM questions WHERE key = ?)", (key,)) > 0
        return removed

    def prune(self, now: float) -> int:
        with self._changing() as db:
            return 0 if db is None else _delete_takes(db, "expires <= ?", (now,))

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection | None]:
        """Lend a connection inside a transaction; afterwards give free pages back to the disk."""
        with self._pool.lend(create=False) as connection:
            if connection is None:
                yield None
                return
            connection.db.execute("BEGIN IMMEDIATE")
            try:
                yield connection.db
            except BaseException:
                connection.db.execute("ROLLBACK")
                raise
            connection.db.execute("COMMIT")
            connection.db.execute("PRAGMA incremental_vacuum").fetchall()
        self._near.clear()

    def close(self) -> None:
        """Write what is pending and close the connections; using it again opens it again."""
        self._write_hits()
        self._near.clear()
        self._pool.close()
        self._claims.tidy()


_BY_MODEL = f"""
    SELECT q.provider, q.model, count(*) entries, sum(takes), sum(length(q.head) + length(q.body) + answered),
        sum(hits), sum(read), sum(written), sum(seconds), sum(1.0 * hits * read / takes),
        sum(1.0 * hits * written / takes), sum(1.0 * hits * cached / takes), sum(1.0 * hits * stored / takes),
        sum(iif(read + written = 0, hits, 0))
    FROM questions q JOIN
        (SELECT question, count(*) takes, sum(length(answer)) answered, ifnull(sum(hits), 0) hits,
            sum(input_tokens) read, sum(output_tokens) written, sum(cached_tokens) cached,
            sum(written_tokens) stored, sum(seconds) seconds FROM {_USES} GROUP BY question) ON question = q.id
    GROUP BY q.provider, q.model ORDER BY entries DESC, q.provider, q.model"""  # noqa: S608


def _plus(one: _Hits, other: _Hits) -> _Hits:
    return one[0] + other[0], max(one[1], other[1]), one[2] + other[2], one[3] + other[3]


def _read_mark(db: sqlite3.Connection) -> float | None:
    try:
        row = db.execute("SELECT value FROM counters WHERE name = 'mark'").fetchone()
    except FAULTS:  # a store that is damaged there can still answer
        return None
    return row[0] if row is not None and isinstance(row[0], int | float) else None


def _counter(db: sqlite3.Connection, name: str) -> int:
    return int(db.execute("SELECT value FROM counters WHERE name = ?", (name,)).fetchone()[0])


def _delete_takes(db: sqlite3.Connection, condition: str, values: tuple[object, ...]) -> int:
    """Delete takes, and the questions that are left without any; return how many takes there were."""
    gone = db.execute(f"DELETE FROM takes WHERE {condition} RETURNING question", values).fetchall()  # noqa: S608
    for question in {row[0] for row in gone}:
        db.execute(
            "DELETE FROM questions WHERE id = ? AND NOT EXISTS (SELECT 1 FROM takes WHERE question = ?)",
            (question, question),
        )
    return len(gone)


def _tagged(question: Question) -> str | None:
    """Return tags as they lie in their column: each between ends of lines, so that one is found whole."""
    return "\n" + "\n".join(question.tags) + "\n" if question.tags else None


def _read_question(row: _Row) -> Question | None:
    _, key, head, coding, body, provider, kind, model, partition, tagged = row
    tags = tuple(tagged.decode(errors="replace").strip("\n").split("\n")) if tagged else ()
    try:
        return Question(key, head, expand(coding, body), provider, kind, model, partition, tags)
    except DamagedStoreError:
        return None
