"""What was written of the calls, and how it is read again: alike in SQLite and in PostgreSQL.

Rows of calls, and beside them sums, kept while writing, so that no page adds up a million lines.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

from askonce.gateway.calls import Again, Call
from askonce.gateway.lines import COLUMNS, RUN_CALLS, RUN_SECONDS, Line, Run, lines_of, plain, runs_of

Row = tuple[Any, ...]
HOUR = 3600
OUTCOMES = ("hit", "shared", "miss", "bypass", "refused", "error")
BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 600.0)
"""Upper bounds, in seconds, of the classes in which latencies are counted."""

_LINES = f"id, {', '.join(COLUMNS)}, count, times"
_NOTHING = (0,) * 7


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


class Batch(NamedTuple):
    """Calls that are written together, and what they come to: rows of the tables of these names."""

    number: int
    """Larger than that of any batch of this gateway before."""
    calls: int
    runs: Sequence[Run]
    """In order of time."""
    hours: Sequence[Row]
    latencies: Sequence[Row]
    totals: Sequence[Row]
    classes: Sequence[Row]

    @classmethod
    def of(cls, number: int, calls: Iterable[Call | Again]) -> Batch:
        runs = sorted(runs_of(calls), key=lambda run: run.times[0])
        hours: dict[Row, Sequence[float]] = {}
        totals: dict[Row, Sequence[float]] = {}
        latencies: Counter[Row] = Counter()
        classes: Counter[Row] = Counter()
        for run in runs:
            hour, outcome = int(run.times[0]) // HOUR * HOUR, run.outcome
            for sums, name in ((hours, (hour, outcome)), (totals, (outcome,))):
                sums[name] = [a + b for a, b in zip(sums.get(name, _NOTHING), run.sums(), strict=True)]
            for seconds in run.times[1::2]:
                bucket = bisect_left(BUCKETS, seconds)
                latencies[hour, outcome, bucket] += 1
                classes[outcome, bucket] += 1
        sums_of = [[(*name, *total) for name, total in sums.items()] for sums in (hours, totals)]
        counts_of = [[(*name, count) for name, count in counts.items()] for counts in (latencies, classes)]
        count = sum(run.calls for run in runs)
        return cls(number, count, runs, sums_of[0], counts_of[0], sums_of[1], counts_of[1])

    @property
    def traces(self) -> int:
        """How many of the calls leave a trace, and have an id."""
        return sum(run.calls for run in self.runs if not run.omit)

    def rows(self, last: int) -> list[Row]:
        """Return what is written of calls that leave a trace: COLUMNS, id, count, times; ids follow the last."""
        rows = []
        for run in self.runs:
            if not run.omit:
                rows.append((*run.row, last + 1, run.calls, run.times.tobytes() if run.calls > 1 else None))
                last += run.calls
        return rows


class Ledger(ABC):
    """Where batches are written. Every method raises StorageError when it cannot do what it is asked."""

    place: str
    """Where it is, without a password."""

    @abstractmethod
    def exists(self) -> bool:
        """Tell whether one has been written."""

    @abstractmethod
    def write(self, batch: Batch) -> None:
        """Write all of a batch or nothing; one that is written again, since nobody knows, is there once.

        Raises:
            ValueError, OverflowError: when something in it can never be written.
        """

    @abstractmethod
    def tidy(self, keep: float, most: int) -> None:
        """Forget lines that are older than so many seconds, and the oldest if all take more bytes than that."""

    @abstractmethod
    def closing(self) -> AbstractContextManager[None]:
        """Close what is open, after what is done inside, for which there is little time."""

    @abstractmethod
    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Return the rows of a statement, in which `?` stands for a value and `{s}` is before a table's name.

        LIKE takes no account of case.
        """

    def lines(self, where: CallFilter, before: int | None, after: int | None, limit: int) -> list[Line]:
        """Return calls, the latest first; `before` and `after` are ids between which they lie."""
        conditions, values = _conditions(where)
        if after is not None:
            conditions.append("id > ?")
            values.append(after - RUN_CALLS)

        def is_meant(line: Line) -> bool:  # of a row's lines, not all need be
            return (
                (before is None or line.id < before)
                and (after is None or line.id > after)
                and (where.since is None or line.at >= where.since)
                and (where.until is None or line.at < where.until)
            )

        found: list[Line] = []
        below = before
        while True:
            meant, given = ([*conditions, "id < ?"], [*values, below]) if below else (conditions, values)
            sql = f"SELECT {_LINES} FROM {{s}}calls WHERE {' AND '.join(meant)} ORDER BY id DESC LIMIT ?"  # noqa: S608
            rows = self.rows(sql, [*given, limit])
            found += [line for row in rows for line in lines_of(row) if is_meant(line)]
            if len(found) >= limit or len(rows) < limit:
                return found[:limit]
            below = rows[-1][0]

    def line(self, number: int) -> Line | None:
        """Return one call."""
        sql = f"SELECT {_LINES} FROM {{s}}calls WHERE id <= ? ORDER BY id DESC LIMIT 1"  # noqa: S608
        for row in self.rows(sql, [number]):
            return next((line for line in lines_of(row) if line.id == number), None)
        return None

    def hours(self, since: float) -> list[HourSum]:
        """Return the sums of the hours since then, in order of time."""
        sql = "SELECT * FROM {s}hours WHERE hour >= ? ORDER BY hour"
        return [HourSum(*row) for row in self.rows(sql, [int(since) - HOUR])]

    def latencies(self, since: float) -> list[tuple[int, str, int, int]]:
        """Return hour, outcome, class and count of latencies since then."""
        sql = "SELECT * FROM {s}latencies WHERE hour >= ? ORDER BY hour"
        return [(hour, *rest) for hour, *rest in self.rows(sql, [int(since) - HOUR])]

    @abstractmethod
    def totals(self) -> list[HourSum]:
        """Return the sums of all calls that this gateway ever had, by their outcome; `hour` is 0."""

    @abstractmethod
    def classes(self) -> list[tuple[str, int, int]]:
        """Return outcome, class and count of all latencies that this gateway ever had."""

    def names(self, column: str, most: int) -> list[str]:
        """Return the values of `provider`, `model` or `customer` that there are."""
        if column not in ("provider", "model", "customer"):
            raise ValueError(column)
        # Hops from value to value through the index: no scan of a million lines.
        sql = (
            f"WITH RECURSIVE v(x) AS (SELECT min({column}) FROM {{s}}calls UNION ALL"  # noqa: S608
            f" SELECT (SELECT min({column}) FROM {{s}}calls WHERE {column} > x) FROM v WHERE x IS NOT NULL)"
            " SELECT CAST(x AS varchar) FROM v WHERE x != '' LIMIT ?"
        )
        return [row[0] for row in self.rows(sql, [most])]


def open_ledger(place: Path | str | None) -> Ledger:
    """Open the ledger in a file or at a URL; None is one in memory.

    Raises:
        SettingsError: when a URL names nothing, or psycopg is not installed.
    """
    if isinstance(place, str):
        from askonce.gateway.ledger_postgres import PostgresLedger

        return PostgresLedger(place)
    from askonce.gateway.ledger_sqlite import SQLiteLedger

    return SQLiteLedger(place)


def adding(table: str, rows: str, names: str, *columns: str) -> str:
    """Return SQL that adds rows to what a table has under their names."""
    sums = ", ".join(f"{name} = s.{name} + excluded.{name}" for name in columns)
    return f"INSERT INTO {table} AS s {rows} ON CONFLICT ({names}) DO UPDATE SET {sums}"


def _conditions(where: CallFilter) -> tuple[list[str], list[Any]]:
    conditions, values = ["true"], list[Any]()
    for condition, value in (
        ("outcome = ?", where.outcome or None),
        ("customer = ?", where.customer or None),
        ("provider = ?", where.provider or None),
        ("status = ?", where.status),
        ("at >= ?", where.since and where.since - RUN_SECONDS),
        ("at < ?", where.until),
    ):
        if value is not None:
            conditions.append(condition)
            values.append(plain(value) if isinstance(value, str) else value)
    for text, names in ((where.model, ("model",)), (where.text, ("gist", "customer", "model"))):
        if text:
            conditions.append("(" + " OR ".join(f"{name} LIKE ? ESCAPE '\\'" for name in names) + ")")
            values += [_anywhere(plain(text))] * len(names)
    return conditions, values


def _anywhere(text: str) -> str:
    for special in "\\%_":
        text = text.replace(special, "\\" + special)
    return f"%{text}%"
