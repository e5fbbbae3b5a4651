"""Connections to a PostgreSQL, on which nothing waits without a bound.

psycopg connects; its pool, as its execute, cannot end a wait after milliseconds.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from askonce.errors import SettingsError, StorageError
from askonce.forks import renew_in_children
from askonce.storage.postgres_address import Address
from askonce.storage.postgres_link import Link, RefusedError, Row, Value
from askonce.storage.postgres_schema import STORE, Layout

PATIENCE = 10.0  # seconds, for what no call waits for
_SHARE = 0.5  # of the time that a call may be kept waiting, as long as it may begin to ask something
_HURRY = 1.0  # the same while closing: a program is about to end
_LOOK = 0.001  # seconds between looks for one that is idle
_LOCK = 0x61736B6F6E6365  # under which steps are made
_parents: list[Any] = []  # connections that a forked child must neither use nor close

_SHAPE = "postgresql://user:password@host/database."

_GONE = ("42P01", "42883", "3F000")  # no such table, function or schema: somebody has dropped it

T = TypeVar("T")


class Server:
    """Have a PostgreSQL do things. Every method raises StorageError with the cause and the cure."""

    def __init__(self, address: Address, layout: Layout = STORE) -> None:
        self.address = address
        self._layout = layout
        self._psycopg = _psycopg()
        self._is_made = False
        self._patience = PATIENCE
        self._idle: deque[Link] = deque()
        self.renew()
        renew_in_children(self)
        weakref.finalize(self, _close_all, self._idle)

    def renew(self) -> None:
        """Begin without connections, in a forked child too: those there are stay the parent's."""
        _parents.extend(self._idle)
        self._idle.clear()
        self._places = threading.BoundedSemaphore(self.address.connections)
        self._making = threading.Lock()

    def ask(self, sql: str, *values: Value) -> list[Row]:
        """Return the rows of a statement, or give up after the time that a call may be kept waiting."""
        return self._run(lambda link, until: link.execute(sql, values, until), _SHARE * self.address.timeout)

    def do(self, sql: str, *values: Value) -> list[Row]:
        """Return the rows of a statement that no call waits for."""
        return self._try_twice(lambda link, until: link.execute(sql, values, until))

    def transact(self, work: Callable[[Link, float], T]) -> T:
        """Do work in one transaction, for which no call waits; it gets a connection, and the end of its time."""

        def whole(link: Link, until: float) -> T:
            link.execute("BEGIN", (), until)
            try:
                found = work(link, until)
                link.execute("COMMIT", (), until)
            except RefusedError as refused:
                refused.keeps_connection = False  # on which a transaction is open
                raise
            return found

        return self._try_twice(whole)

    def _try_twice(self, work: Callable[[Link, float], T]) -> T:
        """Do what no call waits for; what was dropped meanwhile is made anew."""
        try:
            return self._run(work, self._patience)
        except StorageError as error:
            if not isinstance(error.__cause__, RefusedError) or error.__cause__.state not in _GONE:
                raise
            return self._run(work, self._patience)

    def _run(self, work: Callable[[Link, float], T], seconds: float) -> T:
        until = time.monotonic() + seconds
        try:
            link = self._take(until)
            try:
                found = work(link, until)
            except RefusedError as refused:
                if refused.state in _GONE:
                    self._is_made = False  # the next connection makes all anew
                    self._drop(link)
                    self.close()
                elif refused.keeps_connection:
                    self._idle.append(link)
                else:
                    self._drop(link)
                raise
            except BaseException:  # what comes now would be taken for the answer to the next statement
                self._drop(link)
                raise
            self._idle.append(link)
        except (RefusedError, self._psycopg.Error, OSError) as error:
            raise self._explain(error) from error
        else:
            return found

    def _take(self, until: float) -> Link:
        """Return an idle connection or, while there are not too many, a new one; each in use has a place."""
        while True:
            while self._idle:
                with suppress(IndexError):  # another thread was quicker
                    link = self._idle.pop()
                    if link.is_quiet():
                        return link
                    self._drop(link)
            if self._places.acquire(blocking=False):
                try:
                    return self.connect(until)
                except BaseException:
                    self._places.release()
                    raise
            if time.monotonic() >= until:
                raise TimeoutError(
                    f"all {self.address.connections} connections are in use; ?connections= allows more"
                )
            time.sleep(_LOOK)

    def _drop(self, link: Link) -> None:
        link.close()
        self._places.release()

    def connect(self, until: float) -> Link:
        """Connect in another thread, since looking up a name knows no time-out; what comes late is kept."""
        made: list[Link | Exception] = []
        is_made, lock, idle = threading.Event(), threading.Lock(), self._idle

        def connect() -> None:
            outcome: Link | Exception
            try:
                outcome = self._connect()
            except Exception as error:
                outcome = error
            with lock:
                if made:  # nobody waits any more
                    if isinstance(outcome, Link):
                        self._keep(outcome, idle)
                else:
                    made.append(outcome)
            is_made.set()

        try:
            threading.Thread(target=connect, name="askonce-connect", daemon=True).start()
        except RuntimeError:  # no more threads
            connect()
        if not is_made.wait(max(0.0, until - time.monotonic())):
            with lock:
                if not made:
                    made.append(TimeoutError("no connection in time"))
        if isinstance(made[0], Exception):
            raise made[0]
        return made[0]

    def _keep(self, link: Link, idle: deque[Link]) -> None:
        """Keep a connection that came late for the next who asks, if there is a place for it."""
        if idle is self._idle and self._places.acquire(blocking=False):
            idle.append(link)
        else:
            link.close()

    def exists(self) -> bool:
        """Tell whether anything was made here, and make nothing."""
        try:
            with self._open() as connection:
                return self._has_steps(connection)
        except self._psycopg.Error as error:
            raise self._explain(error) from error

    def _open(self) -> Any:
        options = f"-c statement_timeout={1000 * PATIENCE:.0f} -c synchronous_commit=on"
        given = {"application_name": "askonce", "connect_timeout": "5", "tcp_user_timeout": "10000"}
        return self._psycopg.connect(
            **(given | self.address.connection), options=options, autocommit=True, client_encoding="utf8"
        )

    def _connect(self) -> Link:
        connection = self._open()
        try:
            with self._making:
                if not self._is_made:
                    self._make(connection)
                    self._is_made = True
        except BaseException:
            connection.close()
            raise
        return Link(connection, self.address.schema)

    def _make(self, connection: Any) -> None:
        """Make the steps that are not there yet; one process does, and others wait for it."""
        schema, steps = self.address.schema, self._layout.steps
        if self._has_steps(connection) and _step(connection, schema) >= len(steps):
            return
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
            connection.execute(
                f"CREATE TABLE IF NOT EXISTS {schema}.steps (step int PRIMARY KEY, made timestamptz DEFAULT now())"
            )
            for number in range(_step(connection, schema), len(steps)):
                connection.execute(steps[number].replace("{s}", schema))
                connection.execute(f"INSERT INTO {schema}.steps VALUES (%s)", [number + 1])  # noqa: S608 (checked)

    def _has_steps(self, connection: Any) -> bool:
        sql = "SELECT to_regclass(%s) IS NOT NULL"
        return bool(connection.execute(sql, [f"{self.address.schema}.steps"]).fetchone()[0])

    def _explain(self, error: object) -> StorageError:
        told = " ".join(str(error).split())
        secret = self.address.connection.get("password")
        if secret:
            told = told.replace(secret, "***")
        return StorageError(
            f"{self._layout.what} at {self.address.url} {_cure(error, told, self._layout.setting)}"
        )

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Close what is idle, after what is done inside, which has less time than otherwise."""
        self._patience = _HURRY
        try:
            yield
        finally:
            self._patience = PATIENCE
            self.close()

    def close(self) -> None:
        """Close the connections that are idle; using it again opens it again."""
        with suppress(IndexError):
            while True:
                self._drop(self._idle.pop())


def _cure(error: object, told: str, setting: str) -> str:
    """Say what PostgreSQL did not do, and what to do; a failed connection has no code, only a text."""
    state, said = getattr(error, "state", None) or getattr(error, "sqlstate", None) or "", f"({told})"

    def says(*parts: str) -> bool:
        return not state and any(part in told for part in parts)

    if isinstance(error, TimeoutError) or state in ("57014", "55P03"):
        return f"does not answer in time {said}. Check it and the network; ?timeout= sets the time."
    if state == "42501":
        return f"does not allow that {said}. Give its user the right to make and use the schema."
    if state == "25006":
        return f"is a standby, which keeps nothing {said}. Name its primary."
    if state == "53100":
        return f"is full {said}. Make room on its disk."
    if state == "53300" or says("too many clients", "connection slots", "too many connections"):
        return f"has no connection left {said}. Raise max_connections, or lower ?connections=."
    if state[:2] == "28" or says("authentication", "pg_hba.conf", "no password supplied"):
        return f"lets nobody in with this name and password {said}. Put them in its URL: {_SHAPE}"
    if state == "3D000" or says("does not exist"):
        return f"does not have what its URL names {said}. Make it, or name another: {_SHAPE}"
    if state[:2] in ("", "08", "57"):
        return f"cannot be reached {said}. Start it, or name another with {setting}."
    return f"could not do what it was asked {said}. Look into its log."


def _close_all(idle: deque[Link]) -> None:
    with suppress(IndexError):
        while True:
            idle.pop().close()


def _step(connection: Any, schema: str) -> int:
    found: int = connection.execute(f"SELECT coalesce(max(step), 0) FROM {schema}.steps").fetchone()[0]  # noqa: S608
    return found


def _psycopg() -> Any:
    try:
        import psycopg
    except ImportError:
        raise SettingsError("store: PostgreSQL needs psycopg. Run pip install 'askonce[postgres]'.") from None
    return psycopg
