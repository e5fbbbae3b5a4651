"""A ledger in PostgreSQL, which gateways share: lines in a partition a month, which goes as a whole.

Ids are given out under the lock of one row, so that they come to be seen in their order: whoever follows the calls
by id misses none. A batch has its writer's name and a number, so that one that is sent again is there once.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, NamedTuple

from askonce.gateway.ledger import Batch, HourSum, Ledger, Row, adding
from askonce.gateway.lines import COLUMNS, plain
from askonce.storage.postgres_address import read_address
from askonce.storage.postgres_link import Link, Value
from askonce.storage.postgres_schema import Layout
from askonce.storage.postgres_server import Server

# Text is varchar, and so read as text; COLLATE "C" has names in one order everywhere.
_TABLES = """
CREATE TABLE {s}.calls(
    id bigint NOT NULL, at float8 NOT NULL, outcome varchar NOT NULL, status bigint NOT NULL,
    upstream varchar NOT NULL, provider varchar COLLATE "C" NOT NULL, kind varchar NOT NULL,
    model varchar COLLATE "C" NOT NULL, customer varchar COLLATE "C" NOT NULL, method varchar NOT NULL,
    path varchar NOT NULL, key bytea, seconds float8 NOT NULL, first float8, size bigint NOT NULL,
    input_tokens bigint NOT NULL, output_tokens bigint NOT NULL, cached_tokens bigint NOT NULL,
    cost float8, saved float8, saved_seconds float8 NOT NULL, gist varchar NOT NULL, why varchar NOT NULL,
    count bigint NOT NULL, times bytea) PARTITION BY RANGE (at);
CREATE INDEX ON {s}.calls(id);
CREATE INDEX ON {s}.calls(at);
CREATE INDEX ON {s}.calls(outcome, id);
CREATE INDEX ON {s}.calls(customer, id);
CREATE INDEX ON {s}.calls(model, id);
CREATE INDEX ON {s}.calls(provider, id);
CREATE INDEX ON {s}.calls(status, id);
CREATE TABLE {s}.hours(
    hour bigint, outcome varchar, calls bigint NOT NULL, input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL, seconds float8 NOT NULL, saved_seconds float8 NOT NULL, cost float8 NOT NULL,
    saved float8 NOT NULL, PRIMARY KEY(hour, outcome));
CREATE TABLE {s}.latencies(
    hour bigint, outcome varchar, bucket bigint, calls bigint NOT NULL, PRIMARY KEY(hour, outcome, bucket));
CREATE TABLE {s}.totals(
    gateway varchar, outcome varchar, calls bigint NOT NULL, input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL, seconds float8 NOT NULL, saved_seconds float8 NOT NULL, cost float8 NOT NULL,
    saved float8 NOT NULL, PRIMARY KEY(gateway, outcome));
CREATE TABLE {s}.classes(
    gateway varchar, outcome varchar, bucket bigint, calls bigint NOT NULL,
    PRIMARY KEY(gateway, outcome, bucket));
CREATE TABLE {s}.ids(last bigint NOT NULL);
INSERT INTO {s}.ids VALUES (0);
CREATE TABLE {s}.writers(name varchar PRIMARY KEY, batch bigint NOT NULL, at float8 NOT NULL);
"""
_JOURNAL = Layout((_TABLES,), "the journal", "journal=")
_LOCK = 0x61736B6F6E6366  # under which one at a time forgets
_NEVER = ("22", "54")  # what begins the codes of what is refused whenever it comes: data, and limits
_WRITER_SECONDS = 86_400.0  # after which nobody sends a batch again
_ADDED = HourSum._fields[2:]
_IS_NEW = (
    "INSERT INTO {s}.writers AS w VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE"
    " SET batch = excluded.batch, at = excluded.at WHERE w.batch < excluded.batch RETURNING 1::bigint"
)
_COPY = f"COPY {{s}}.calls({', '.join((*COLUMNS, 'id', 'count', 'times'))}) FROM STDIN"


def _adding(table: str, types: str, names: str, *columns: str) -> str:
    """Return SQL that takes the columns of rows as arrays of these types."""
    arrays = ", ".join(f"?::{each}[]" for each in types.split())
    return adding(f"{{s}}.{table}", f"SELECT * FROM unnest({arrays})", names, *columns)  # noqa: S608


_SUM_TYPES = "bigint bigint bigint float8 float8 float8 float8"
_SUMS = (
    _adding("hours", f"bigint text {_SUM_TYPES}", "hour, outcome", *_ADDED),
    _adding("latencies", "bigint text bigint bigint", "hour, outcome, bucket", "calls"),
    _adding("totals", f"text text {_SUM_TYPES}", "gateway, outcome", *_ADDED),
    _adding("classes", "text text bigint bigint", "gateway, outcome, bucket", "calls"),
)
"""For the last four fields of a batch, with the gateway before those of the last two."""
_MONTHS = (
    "SELECT c.relname::varchar, pg_total_relation_size(c.oid) FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid"
    " WHERE inhparent = '{s}.calls'::regclass ORDER BY c.relname"
)
_MONTH = re.compile(r"calls_(\d{4})_(\d\d)")
_FORGET = "DELETE FROM {s}.calls WHERE id < (SELECT min(id) + (max(id) - min(id)) / 10 FROM {s}.calls)"
_TYPES = {str: "text", int: "bigint", float: "float8"}
_ESCAPED = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


class PostgresLedger(Ledger):
    """Write to the database that a URL names, in a schema of its own, beside other gateways."""

    def __init__(self, url: str) -> None:
        address = read_address(url, "journal")
        self.place = address.url
        self._server = Server(address._replace(schema=f"{address.schema}_journal"), _JOURNAL)
        self._gateway = plain(socket.gethostname())
        self._name = os.urandom(16).hex()
        self._months: set[str] = set()

    def exists(self) -> bool:
        return self._server.exists()

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        sql = sql.replace("{s}", "{s}.").replace(" LIKE ", " ILIKE ")
        return self._server.do(_numbered(sql, values), *map(_sent, values))

    def totals(self) -> list[HourSum]:
        sql = f"SELECT {', '.join(HourSum._fields[1:])} FROM {{s}}totals WHERE gateway = ?"  # noqa: S608
        return [HourSum(0, *row) for row in self.rows(sql, [self._gateway])]

    def classes(self) -> list[tuple[str, int, int]]:
        rows = self.rows("SELECT outcome, bucket, calls FROM {s}classes WHERE gateway = ?", [self._gateway])
        return [(outcome, bucket, calls) for outcome, bucket, calls in rows]

    def write(self, batch: Batch) -> None:
        try:
            self._server.transact(lambda link, until: self._write(_Work(link, until), batch))
        except BaseException as error:
            self._months.clear()  # of which another may have dropped one
            state = getattr(error.__cause__, "state", "")
            if state.startswith(_NEVER):
                raise ValueError(str(error)) from error
            raise

    def _write(self, work: _Work, batch: Batch) -> None:
        if not work.do(_IS_NEW, self._name, batch.number, time.time()):
            return
        # From here on no other gateway writes, until this one has.
        last = work.do("UPDATE {s}.ids SET last = last + ? RETURNING last", batch.traces)[0][0]
        rows = batch.rows(last - batch.traces)
        for month in sorted({_month_of(row[0]) for row in rows} - self._months):
            first, end = _bounds(month)
            partition = f"CREATE TABLE IF NOT EXISTS {{s}}.{month} PARTITION OF {{s}}.calls"
            work.do(f"{partition} FOR VALUES FROM ({first}) TO ({end})")
            self._months.add(month)
        if rows:
            work.link.copy(_COPY, map(_line, rows), work.until)
        own = [[(self._gateway, *row) for row in rows] for rows in (batch.totals, batch.classes)]
        for statement, added in zip(_SUMS, (batch.hours, batch.latencies, *own), strict=True):
            work.do(statement, *map(_array, zip(*added, strict=True)))

    def tidy(self, keep: float, most: int) -> None:
        self._server.transact(lambda link, until: self._tidy(_Work(link, until), time.time() - keep, most))

    def _tidy(self, work: _Work, oldest: float, most: int) -> None:
        if not work.do("SELECT pg_try_advisory_xact_lock(?)", _LOCK)[0][0]:
            return
        work.do("SET LOCAL lock_timeout = '1s'")  # others wait behind us while we wait for one who reads
        work.do("DELETE FROM {s}.writers WHERE at < ?", time.time() - _WRITER_SECONDS)
        months = [(name, size) for name, size in work.do(_MONTHS) if _MONTH.fullmatch(name)]
        total = sum(size for _, size in months)
        for name, size in months:
            if _bounds(name)[1] <= oldest or (total > most and name != months[-1][0]):
                work.do(f"DROP TABLE {{s}}.{name}")
                self._months.discard(name)
                total -= size
        if total > most:
            work.do(_FORGET)

    def closing(self) -> AbstractContextManager[None]:
        return self._server.closing()


class _Work(NamedTuple):
    """A transaction under way."""

    link: Link
    until: float

    def do(self, sql: str, *values: Any) -> list[Row]:
        return self.link.execute(_numbered(sql, values), [_sent(value) for value in values], self.until)


def _numbered(sql: str, values: Sequence[Any]) -> str:
    """Return SQL with PostgreSQL's placeholders, and the types of the values."""
    first, *parts = sql.split("?")
    pairs = enumerate(zip(values, parts, strict=True), start=1)
    return first + "".join(f"${number}::{_TYPES[type(value)]}{part}" for number, (value, part) in pairs)


def _sent(value: Any) -> Value:
    return value.encode() if isinstance(value, str) else value


def _line(row: Row) -> bytes:
    """Return a row as COPY takes it: https://www.postgresql.org/docs/current/sql-copy.html, text format."""
    return ("\t".join(map(_field, row)) + "\n").encode()


def _field(value: Any) -> str:
    if value is None:
        return r"\N"
    if isinstance(value, bytes):
        return rf"\\x{value.hex()}"
    return value.translate(_ESCAPED) if isinstance(value, str) else repr(value)


def _array(values: Sequence[Any]) -> str:
    """Return numbers, or names without quotes, as PostgreSQL writes an array."""
    return "{" + ",".join(f'"{value}"' if isinstance(value, str) else repr(value) for value in values) + "}"


def _month_of(at: float) -> str:
    return f"calls_{datetime.fromtimestamp(at, UTC):%Y_%m}"


def _bounds(month: str) -> tuple[float, float]:
    """Return when a month begins, and when it is over, in Unix seconds."""
    year, number = int(month[6:10]), int(month[11:])
    first = datetime(year, number, 1, tzinfo=UTC)
    return first.timestamp(), datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC).timestamp()
