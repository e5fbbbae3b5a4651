"""One connection to a PostgreSQL, on which nothing waits without a bound.

psycopg's binding of libpq carries the statements: its own execute cannot end a wait after milliseconds. What is
sent and what comes is binary. A statement is prepared once a connection, and one round trip each time.
"""

from __future__ import annotations

import select
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

_PIECES = 40  # after so many times the patience an answer that still comes, bit by bit, is given up
_FLOAT, _INT, _HALF = struct.Struct(">d"), struct.Struct(">q"), struct.Struct(">i")
_READERS: dict[int, Callable[[bytes], Any]] = {
    16: lambda data: data == b"\x01",
    17: bytes,  # which returns what is bytes as it is
    20: lambda data: _INT.unpack(data)[0],
    23: lambda data: _HALF.unpack(data)[0],
    25: bytes,
    701: lambda data: _FLOAT.unpack(data)[0],
    1043: lambda data: str(data, "utf-8"),  # varchar, of which nobody wants bytes
    2278: lambda data: None,  # void
}

Value = bytes | int | float | None
Row = tuple[Any, ...]
_Readers = list[tuple[int, Callable[[bytes], Any]]]
_BINARY = [1] * 32
_WELL = (1, 2)  # no rows, or rows
_COPIES_IN = 4


class Link:
    """One connection."""

    def __init__(self, connection: Any, schema: str) -> None:
        self._schema = schema
        self.connection = connection
        self.pg = connection.pgconn
        self._poll = _poll_of(self.pg.socket)
        self._prepared: dict[str, tuple[bytes, _Readers]] = {}

    def is_quiet(self) -> bool:
        """Tell whether nothing has come unasked; what comes to an idle connection is its end."""
        return not self._poll(0)

    def execute(self, sql: str, values: Sequence[Value], until: float) -> list[Row]:
        """Return the rows of a statement, in which `{s}` is the schema.

        Raises:
            TimeoutError, RefusedError, psycopg.Error: when they do not come in time, or at all.
        """
        name, readers = self._prepared.get(sql) or self._prepare(sql, until)
        sent = [value if isinstance(value, bytes) else _sent(value) for value in values]
        self.pg.send_query_prepared(name, sent, _BINARY[: len(sent)], 1)
        result = self._receive(until)
        get = result.get_value
        return [
            tuple([None if (data := get(row, at)) is None else read(data) for at, read in readers])
            for row in range(result.ntuples)
        ]

    def copy(self, sql: str, lines: Iterable[bytes], until: float) -> None:
        """Have a COPY … FROM STDIN take in lines; raises what `execute` does."""
        self.pg.send_query(sql.replace("{s}", self._schema).encode())
        if (ready := self._next_of(until)).status != _COPIES_IN:
            raise RefusedError(ready)
        for line in lines:
            while not self.pg.put_copy_data(line):
                self._send_all(until)
        while not self.pg.put_copy_end():
            self._send_all(until)
        self._receive(until)

    def _prepare(self, sql: str, until: float) -> tuple[bytes, _Readers]:
        name = b"s%d" % len(self._prepared)
        self.pg.send_prepare(name, sql.replace("{s}", self._schema).encode())
        self._receive(until)
        self.pg.send_describe_prepared(name)
        described = self._receive(until)
        known = name, [(at, _READERS[described.ftype(at)]) for at in range(described.nfields)]
        self._prepared[sql] = known
        return known

    def _receive(self, until: float) -> Any:
        found = self._next_of(until)
        while (more := self._next(until)) is not None:
            found = more
        if found.status not in _WELL:
            raise RefusedError(found)
        return found

    def _next_of(self, until: float) -> Any:
        """Send what is to be sent, and return the first that comes."""
        if self.pg.flush():
            self._send_all(until)
        found = self._next(until)
        if found is None:
            raise RefusedError(None)
        return found

    def _next(self, until: float) -> Any:
        """Return what comes next; of a large answer each piece is waited for as long as a small one."""
        pg = self.pg
        asked_at = time.monotonic()
        patience, end = until - asked_at, asked_at + _PIECES * (until - asked_at)
        while pg.is_busy():
            left = until - time.monotonic()
            if left <= 0 or not self._poll(1000 * left):
                raise TimeoutError("no answer in time")
            pg.consume_input()
            until = min(time.monotonic() + patience, end)
        return pg.get_result()

    def _send_all(self, until: float) -> None:
        """Send what did not go at once, and take in what comes meanwhile: the server may wait for that."""
        poll = _poll_of(self.pg.socket, is_full=True)
        while self.pg.flush():
            left = until - time.monotonic()
            if left <= 0 or not poll(1000 * left):
                raise TimeoutError("not sent in time")
            self.pg.consume_input()

    def has_news(self, seconds: float) -> bool:
        """Wait for what comes unasked, and take it in."""
        if not self._poll(1000 * seconds):
            return False
        self.pg.consume_input()
        return True

    def close(self) -> None:
        with suppress(Exception):
            self.connection.close()


class RefusedError(Exception):
    """The server did not do what it was asked; `state` is the SQLSTATE, if there is one."""

    def __init__(self, result: Any) -> None:
        message = b"the connection is lost" if result is None else result.error_message
        super().__init__(" ".join(message.decode(errors="replace").split()) or "the connection is lost")
        self.state = "" if result is None else (result.error_field(ord("C")) or b"").decode()
        self.keeps_connection = result is not None and result.error_field(ord("S")) == b"ERROR"


def _poll_of(place: int, *, is_full: bool = False) -> Callable[[float], object]:
    """Return what waits, for so many milliseconds, until something comes or, on a full way, something may go."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(place, select.POLLIN | select.POLLOUT if is_full else select.POLLIN)
        return poll.poll
    goes = [place] if is_full else []  # Windows
    return lambda milliseconds: any(select.select([place], goes, [], milliseconds / 1000))


def _sent(value: Value) -> bytes | None:
    if isinstance(value, int):
        return _INT.pack(value)
    if isinstance(value, float):
        return _FLOAT.pack(value)
    return value
