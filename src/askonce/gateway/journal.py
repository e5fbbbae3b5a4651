"""What passed through the gateway: a line a call, sums an hour, in an SQLite file beside the store.

Calls are noted in memory and written by a thread, in batches: no request waits for it. Sums are kept while
writing, so that no page adds up a million lines. Hits that are alike in all but their time are one row, as long as
they came within a second (`times`); they have ids and lines of their own all the same.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from askonce.gateway.calls import Again, Call
from askonce.gateway.lines import COLUMNS, RUN_CALLS, RUN_SECONDS, Line, lines_of, runs_of
from askonce.notices import warn_once

HOUR = 3600
_BATCH_SECONDS = 0.2
_MOST_PENDING = 50_000
_TIDY_SECONDS = 60.0
OUTCOMES = ("hit", "shared", "miss", "bypass", "refused", "error")
BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 600.0)
"""Upper bounds, in seconds, of the classes in which latencies are counted."""

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
_SELECT = f"SELECT id, {', '.join(COLUMNS)}, count, times FROM calls"  # noqa: S608
_PLUS = (
    " ON CONFLICT DO UPDATE SET calls = calls + excluded.calls,"
    " input_tokens = input_tokens + excluded.input_tokens, output_tokens = output_tokens + excluded.output_tokens,"
    " seconds = seconds + excluded.seconds, saved_seconds = saved_seconds + excluded.saved_seconds,"
    " cost = cost + excluded.cost, saved = saved + excluded.saved"
)
_SUM = f"INSERT INTO hours VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?){_PLUS}"  # noqa: S608
_TOTAL = f"INSERT INTO totals VALUES (?, ?, ?, ?, ?, ?, ?, ?){_PLUS}"  # noqa: S608
_CLASS = "INSERT INTO classes VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET calls = calls + excluded.calls"
_COUNT = "INSERT INTO latencies VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET calls = calls + excluded.calls"
_NOTHING = (0.0,) * 7


class CallFilter(NamedTuple):
    """Which calls; None (or empty) leaves a field open.

    `model` and `text` match anywhere, without regard to case; `since` and `until` are Unix seconds.
    """

    outcome: str | None = None
    customer: str | None = None
    provider: str | None = None
    model: str | None = None
    status: int | None = None
    since: float | None = None
    until: float | None = None
    text: str | None = None


class HourSum(NamedTuple):
    """What the calls of an hour (Unix time) with one outcome come to."""

    hour: int
    outcome: str
    calls: int
    input_tokens: int
    output_tokens: int
    seconds: float
    saved_seconds: float
    cost: float
    saved: float


class Journal:
    """Write calls, and read them again. `keep` is in seconds, `most` in bytes."""

    def __init__(self, path: Path | None, *, keep: float, most: int) -> None:
        self.path = path
        self.trouble = ""
        """Why the last batch could not be written, if it could not."""
        self.lost = 0
        """Calls that could not be written."""
        self._keep = keep
        self._most = most
        self._pending: deque[Call | Again] = deque()
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None
        self._due = threading.Event()
        self._is_closing = False
        self._tidied = 0.0
        self._writer: threading.Thread | None = None

    # --- Writing ------------------------------------------------------------------------------------------

    def note(self, call: Call | Again) -> None:
        """Have a call written soon."""
        if len(self._pending) >= _MOST_PENDING:
            self.lost += 1
            return
        self._pending.append(call)
        if self._writer is None:
            self._writer = threading.Thread(target=self._write_on, name="askonce-journal", daemon=True)
            self._writer.start()
        if not self._due.is_set():
            self._due.set()

    def _write_on(self) -> None:
        while not self._is_closing:
            self._due.wait()
            if not self._is_closing:
                time.sleep(_BATCH_SECONDS)
            self._due.clear()
            self.flush()

    def flush(self) -> None:
        """Write what is pending."""
        with self._lock:
            calls = [self._pending.popleft() for _ in range(len(self._pending))]
            if not calls:
                return
            try:
                self._write(calls)
            except (sqlite3.Error, OSError) as error:
                self.lost += len(calls)
                self.trouble = f"{self.path} could not be written: {error}"
                warn_once(f"the journal cannot be used: {self.trouble}")
                with suppress(sqlite3.Error):
                    self._open().execute("ROLLBACK")
            else:
                self.trouble = ""

    def _write(self, calls: Sequence[Call | Again]) -> None:
        runs = sorted(runs_of(calls), key=lambda run: run.times[0])
        sums: dict[tuple[int, str], Sequence[float]] = {}
        classes: Counter[tuple[int, str, int]] = Counter()
        for run in runs:
            name = (int(run.times[0]) // HOUR * HOUR, run.outcome)
            sums[name] = [a + b for a, b in zip(sums.get(name, _NOTHING), run.sums(), strict=True)]
            for seconds in run.times[1::2]:
                classes[*name, bisect_left(BUCKETS, seconds)] += 1
        db = self._open()
        db.execute("BEGIN IMMEDIATE")
        found = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'calls'").fetchone()
        last = found[0] if found else 0
        rows = []
        for run in runs:
            if not run.omit:
                times = run.times.tobytes() if run.calls > 1 else None
                rows.append((*run.row, last + 1, run.calls, times))
                last += run.calls
        db.executemany(_INSERT, rows)
        db.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'calls'", (last,))
        db.executemany(_SUM, [(*name, *total) for name, total in sums.items()])
        db.executemany(_COUNT, [(*name, count) for name, count in classes.items()])
        db.executemany(_TOTAL, [(outcome, *total) for (_, outcome), total in sums.items()])
        db.executemany(_CLASS, [(outcome, bucket, count) for (_, outcome, bucket), count in classes.items()])
        db.execute("COMMIT")
        if time.monotonic() - self._tidied > _TIDY_SECONDS:
            self._tidied = time.monotonic()
            self._tidy(db)

    def _tidy(self, db: sqlite3.Connection) -> None:
        """Forget lines that are too old, and of too large a file the oldest."""
        db.execute("DELETE FROM calls WHERE at < ?", (time.time() - self._keep,))
        pages, free, size = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in _PAGES)
        if (pages - free) * size > self._most:
            first, last = db.execute("SELECT ifnull(min(id), 0), ifnull(max(id), 0) FROM calls").fetchone()
            db.execute("DELETE FROM calls WHERE id < ?", (first + (last - first) // 10,))

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            if self.path is not None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            db = sqlite3.connect(
                self.path or ":memory:", isolation_level=None, check_same_thread=False, timeout=5.0
            )
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
        return self._db

    def close(self) -> None:
        """Write what is pending and close the file."""
        self._is_closing = True
        self._due.set()
        if self._writer is not None:
            self._writer.join(5)
        self.flush()
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    # --- Reading ------------------------------------------------------------------------------------------

    def _read(self, read: Callable[[sqlite3.Connection], Any], otherwise: Any) -> Any:
        self.flush()
        with self._lock:
            try:
                return read(self._open())
            except (sqlite3.Error, OSError) as error:
                self.trouble = f"{self.path} could not be read: {error}"
                return otherwise

    def lines(
        self,
        where: CallFilter = CallFilter(),  # noqa: B008 (immutable)
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int = 50,
    ) -> list[Line]:
        """Return calls, the latest first; `before` and `after` are ids between which they lie."""
        conditions, values = ["1"], list[Any]()
        for name, value in (
            ("outcome", where.outcome),
            ("customer", where.customer),
            ("provider", where.provider),
        ):
            if value:
                conditions.append(f"{name} = ?")
                values.append(value)
        for condition, limit_value in (
            ("status = ?", where.status),
            ("at >= ?", where.since and where.since - RUN_SECONDS),
            ("at < ?", where.until),
            ("id < ?", before),
            ("id > ?", after and after - RUN_CALLS),
        ):
            if limit_value is not None:
                conditions.append(condition)
                values.append(limit_value)
        for text, names in ((where.model, ("model",)), (where.text, ("gist", "customer", "model"))):
            if text:
                conditions.append("(" + " OR ".join(f"{name} LIKE ? ESCAPE '\\'" for name in names) + ")")
                values += [_like(text)] * len(names)

        def is_meant(line: Line) -> bool:  # of a row's lines, not all need be
            return (
                (before is None or line.id < before)
                and (after is None or line.id > after)
                and (where.since is None or line.at >= where.since)
                and (where.until is None or line.at < where.until)
            )

        def read(db: sqlite3.Connection) -> list[Line]:
            rows = db.execute(f"{_SELECT} WHERE {' AND '.join(conditions)} ORDER BY id DESC", values)
            lines = (line for row in rows for line in lines_of(row) if is_meant(line))
            return list(islice(lines, limit))

        return list(self._read(read, []))

    def line(self, number: int) -> Line | None:
        """Return one call."""
        sql = f"{_SELECT} WHERE id <= ? ORDER BY id DESC LIMIT 1"
        row = self._read(lambda db: db.execute(sql, (number,)).fetchone(), None)
        return None if row is None else next((line for line in lines_of(row) if line.id == number), None)

    def hours(self, since: float = 0.0) -> list[HourSum]:
        """Return the sums of the hours since then, in order of time."""
        sql = "SELECT * FROM hours WHERE hour >= ? ORDER BY hour"
        return [HourSum(*row) for row in self._read(lambda db: db.execute(sql, (since - HOUR,)).fetchall(), [])]

    def latencies(self, since: float = 0.0) -> list[tuple[int, str, int, int]]:
        """Return hour, outcome, class and count of latencies since then."""
        sql = "SELECT * FROM latencies WHERE hour >= ? ORDER BY hour"
        rows: list[tuple[int, str, int, int]]
        rows = self._read(lambda db: db.execute(sql, (since - HOUR,)).fetchall(), [])
        return rows

    def totals(self) -> list[HourSum]:
        """Return the sums of all calls there were, by their outcome; `hour` is 0."""
        return [
            HourSum(0, *row) for row in self._read(lambda db: db.execute("SELECT * FROM totals").fetchall(), [])
        ]

    def classes(self) -> list[tuple[str, int, int]]:
        """Return outcome, class and count of all latencies there were."""
        rows: list[tuple[str, int, int]]
        rows = self._read(lambda db: db.execute("SELECT * FROM classes").fetchall(), [])
        return rows

    def names(self, column: str, most: int = 100) -> list[str]:
        """Return the values of `provider`, `model` or `customer` that there are."""
        if column not in ("provider", "model", "customer"):
            raise ValueError(column)
        # Hops from value to value through the index: no scan of a million lines.
        sql = (
            f"WITH RECURSIVE v(x) AS (SELECT min({column}) FROM calls UNION ALL"  # noqa: S608
            f" SELECT (SELECT min({column}) FROM calls WHERE {column} > x) FROM v WHERE x IS NOT NULL LIMIT ?)"
            " SELECT x FROM v WHERE x IS NOT NULL AND x != ''"
        )
        return [row[0] for row in self._read(lambda db: db.execute(sql, (most,)).fetchall(), [])]


_PAGES = ("page_count", "freelist_count", "page_size")


def _like(text: str) -> str:
    for special in "\\%_":
        text = text.replace(special, "\\" + special)
    return f"%{text}%"
