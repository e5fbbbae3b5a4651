"""A ledger in an SQLite file."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from askonce.errors import StorageError
from askonce.gateway.ledger import Batch, HourSum, Ledger, Row, adding
from askonce.gateway.lines import COLUMNS

_TABLES = """
CREATE TABLE calls(
    id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, outcome TEXT NOT NULL, status INTEGER NOT NULL,
    upstream TEXT NOT NULL, provider TEXT NOT NULL, kind TEXT NOT NULL, model TEXT NOT NULL,
    customer TEXT NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL, key BLOB,
    seconds REAL NOT NULL, first REAL, size INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL,
    cost REAL, saved REAL, saved_seconds REAL NOT NULL, gist TEXT NOT NULL, why TEXT NOT NULL);
CREATE INDEX calls_by_time ON calls(at);
CREATE INDEX calls_by_outcome ON calls(outcome, id);
CREATE INDEX calls_by_customer ON calls(customer, id);
CREATE INDEX calls_by_model ON calls(model, id);
CREATE INDEX calls_by_provider ON calls(provider, id);
CREATE INDEX calls_by_status ON calls(status, id);
CREATE TABLE hours(
    hour INTEGER NOT NULL, outcome TEXT NOT NULL, calls INTEGER NOT NULL, input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL, seconds REAL NOT NULL, saved_seconds REAL NOT NULL, cost REAL NOT NULL,
    saved REAL NOT NULL, PRIMARY KEY(hour, outcome)) WITHOUT ROWID;
CREATE TABLE latencies(
    hour INTEGER NOT NULL, outcome TEXT NOT NULL, bucket INTEGER NOT NULL, calls INTEGER NOT NULL,
    PRIMARY KEY(hour, outcome, bucket)) WITHOUT ROWID;
"""
# What each layout adds to the one before.
_LAYOUTS = (
    _TABLES,
    "ALTER TABLE calls ADD COLUMN count INTEGER NOT NULL DEFAULT 1;\nALTER TABLE calls ADD COLUMN times BLOB;\n",
    """CREATE TABLE totals(
    outcome TEXT PRIMARY KEY, calls INTEGER NOT NULL, input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL, seconds REAL NOT NULL, saved_seconds REAL NOT NULL, cost REAL NOT NULL,
    saved REAL NOT NULL) WITHOUT ROWID;
INSERT INTO totals SELECT outcome, sum(calls), sum(input_tokens), sum(output_tokens), sum(seconds),
    sum(saved_seconds), sum(cost), sum(saved) FROM hours GROUP BY outcome;
CREATE TABLE classes(
    outcome TEXT NOT NULL, bucket INTEGER NOT NULL, calls INTEGER NOT NULL, PRIMARY KEY(outcome, bucket)
    ) WITHOUT ROWID;
INSERT INTO classes SELECT outcome, bucket, sum(calls) FROM latencies GROUP BY outcome, bucket;
""",
)
_WRITTEN = (*COLUMNS, "id", "count", "times")
_INSERT = f"INSERT INTO calls({', '.join(_WRITTEN)}) VALUES ({', '.join('?' * len(_WRITTEN))})"  # noqa: S608
_ADDED = HourSum._fields[2:]
_SUMS = (
    adding("hours", "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", "hour, outcome", *_ADDED),
    adding("latencies", "VALUES (?, ?, ?, ?)", "hour, outcome, bucket", "calls"),
    adding("totals", "VALUES (?, ?, ?, ?, ?, ?, ?, ?)", "outcome", *_ADDED),
    adding("classes", "VALUES (?, ?, ?)", "outcome, bucket", "calls"),
)
"""For the last four fields of a batch."""
_PAGES = ("page_count", "freelist_count", "page_size")


class SQLiteLedger(Ledger):
    """Write to a file, or without one to memory."""

    def __init__(self, path: Path | None) -> None:
        self.place = str(path or "memory")
        self._path = path
        self._db: sqlite3.Connection | None = None

    def exists(self) -> bool:
        return self._path is None or self._path.exists()

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        with self._telling("read") as db:
            return db.execute(sql.replace("{s}", ""), values).fetchall()

    def totals(self) -> list[HourSum]:
        return [HourSum(0, *row) for row in self.rows("SELECT * FROM totals")]

    def classes(self) -> list[tuple[str, int, int]]:
        return [(outcome, bucket, calls) for outcome, bucket, calls in self.rows("SELECT * FROM classes")]

    def write(self, batch: Batch) -> None:
        with self._telling("written") as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                self._write(db, batch)
                db.execute("COMMIT")
            except BaseException:  # else the next one would be part of it
                with suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
                raise

    def _write(self, db: sqlite3.Connection, batch: Batch) -> None:
        found = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'calls'").fetchone()
        last = found[0] if found else 0
        db.executemany(_INSERT, batch.rows(last))
        db.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'calls'", (last + batch.traces,))
        for statement, rows in zip(_SUMS, batch[-4:], strict=True):
            db.executemany(statement, rows)

    def tidy(self, keep: float, most: int) -> None:
        with self._telling("written") as db:
            db.execute("DELETE FROM calls WHERE at < ?", (time.time() - keep,))
            pages, free, size = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in _PAGES)
            if (pages - free) * size > most:
                first, last = db.execute("SELECT ifnull(min(id), 0), ifnull(max(id), 0) FROM calls").fetchone()
                db.execute("DELETE FROM calls WHERE id < ?", (first + (last - first) // 10,))

    @contextmanager
    def _telling(self, done: str) -> Iterator[sqlite3.Connection]:
        try:
            yield self._open()
        except (sqlite3.Error, OSError) as error:
            raise StorageError(f"{self.place} could not be {done}: {error}") from error

    def _open(self) -> sqlite3.Connection:
        if self._db is not None:
            return self._db
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(self._path or ":memory:", isolation_level=None, check_same_thread=False, timeout=5.0)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("BEGIN IMMEDIATE")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        for layout in _LAYOUTS[version:]:
            for statement in layout.split(";\n"):
                db.execute(statement)
        if version < len(_LAYOUTS):
            db.execute(f"PRAGMA user_version = {len(_LAYOUTS)}")
        db.execute("COMMIT")
        if version > len(_LAYOUTS):
            db.close()
            raise sqlite3.DatabaseError("it was made by a newer askonce")
        self._db = db
        return db

    @contextmanager
    def closing(self) -> Iterator[None]:
        try:
            yield
        finally:
            if self._db is not None:
                self._db.close()
                self._db = None
