"""Connections to one SQLite file: opened when needed, shared by threads in turn, never carried across a fork."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import suppress
from pathlib import Path

from askonce import forks
from askonce.errors import DamagedStoreError, NewerStoreError, StorageError
from askonce.storage.disk import make_folder
from askonce.storage.migrations import APPLICATION_ID, STEPS

_BUSY_SECONDS = 2.0
_LOOK_SECONDS = 0.5  # between looks at whether the file is still the same
_MOST = 16  # open at once; a connection is three file descriptors, and the program needs its own

_PRAGMAS = {
    "journal_mode": "WAL",  # readers never wait for a writer
    "synchronous": "NORMAL",  # a killed process loses nothing; a power cut may lose the last commits, whole
    "cache_size": -2048,
    "temp_store": "MEMORY",
}
# No `mmap_size`: a store that another process truncates would kill this one with SIGBUS.


FAULTS = (sqlite3.Error, UnicodeDecodeError)
"""What SQLite raises; a damaged store can make an error message of its that is no UTF-8."""


class Connection:
    """One connection, and the `data_version` under which it last looked."""

    __slots__ = ("db", "file", "version")

    def __init__(self, db: sqlite3.Connection, file: int) -> None:
        self.db = db
        self.file = file
        self.version = -1

    def close(self) -> None:
        with suppress(sqlite3.Error):
            self.db.close()


class _Loan:
    """A connection lent for a `with` block. A class, since a generator would cost a hit two microseconds."""

    __slots__ = ("_connection", "_create", "_pool")

    def __init__(self, pool: Pool, create: bool) -> None:
        self._pool = pool
        self._create = create
        self._connection: Connection | None = None

    def __enter__(self) -> Connection | None:
        forks.begin(self)  # SQLite has locks of the process's, which a child would find held for ever
        try:
            self._connection = self._pool.enter(create=self._create)
        except BaseException:
            forks.end(self)
            raise
        return self._connection

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            self._pool.leave(self._connection, error)
        finally:
            forks.end(self)


class Pool:
    """Lend connections to the file at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._inherited: list[Connection] = []
        self._reset()

    def _reset(self) -> None:
        self._idle: list[Connection] = []
        self._opened = 0
        self._waiting = 0
        self._given_back = threading.Condition()
        self._migration = threading.Lock()
        self._checked = False
        self._file = 0
        self._look_again = 0.0

    def renew(self) -> None:
        """Leave the parent process's connections alone, in a forked child."""
        self._inherited += self._idle  # kept from the garbage collector, which would close them
        self._reset()

    def lend(self, *, create: bool) -> _Loan:
        """Lend a connection for a `with` block; None when there is no file and none is to be created.

        Entering or leaving the block raises StorageError when the file cannot be opened, is no store, or an
        operation on it failed.
        """
        return _Loan(self, create)

    def enter(self, *, create: bool) -> Connection | None:
        """Take a connection, waiting for one if all are lent."""
        if time.monotonic() > self._look_again:
            self._look()
        try:
            return self._idle.pop()
        except IndexError:
            pass
        if not create and not os.path.exists(self.path):  # noqa: PTH110 (Path.exists raises where it may not look)
            return None
        with self._given_back:
            self._waiting += 1  # before looking, so that who gives back now sees that somebody waits
            try:
                while not self._idle and self._opened >= _MOST:
                    self._given_back.wait()
                if self._idle:
                    return self._idle.pop()
                self._opened += 1
            finally:
                self._waiting -= 1
        try:
            return self._open()
        except BaseException as error:
            self._forget()
            if isinstance(error, FAULTS):
                raise explain(error, self.path) from error
            raise

    def leave(self, connection: Connection | None, error: BaseException | None) -> None:
        """Give a connection back; one on which something failed, or whose file has gone, is closed instead."""
        if connection is None:
            return
        if error is None and connection.file == self._file:
            self._idle.append(connection)
            if self._waiting:
                with self._given_back:
                    self._given_back.notify()
            return
        with suppress(sqlite3.Error):
            connection.db.rollback()
        connection.close()
        self._forget()
        if isinstance(error, FAULTS):
            raise explain(error, self.path) from error

    def _forget(self) -> None:
        with self._given_back:
            self._opened -= 1
            self._given_back.notify()

    def _look(self) -> None:
        """Notice a file that was removed or replaced; connections to the old one are of no more use."""
        self._look_again = time.monotonic() + _LOOK_SECONDS
        file = _identity(self.path)
        if self._file and file != self._file:
            self._file, self._checked = file, False
            while self._idle:
                self._idle.pop().close()
                self._forget()

    def make_folder(self) -> None:
        """Make the folder of the file, if there is none; raises StorageError where that cannot be done."""
        if not os.path.exists(self.path.parent):  # noqa: PTH110
            make_folder(self.path.parent)

    def _open(self) -> Connection:
        self.make_folder()
        db = _connect(self.path)
        try:
            with self._migration:
                if not self._checked:
                    _migrate(db, self.path)
                    self._checked = True
        except BaseException:
            db.close()
            raise
        self._file = _identity(self.path)
        return Connection(db, self._file)

    def close(self) -> None:
        """Close what is idle."""
        closing = object()
        forks.begin(closing)
        try:
            with suppress(IndexError):
                while True:
                    self._idle.pop().close()
                    self._forget()
        finally:
            forks.end(closing)
        self._checked = False


def _identity(path: Path) -> int:
    """Return what tells a file from another of the same name; 0 when there is none."""
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        try:
            _check(db, path)  # first of all, for in another program's database not a byte may change
            _configure(db)
        except sqlite3.OperationalError as error:
            if not _is_read_only(error):
                raise
            # A store on a read-only disk: WAL cannot make its index file there, so read it as it lies.
            db.close()
            db = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=ro&immutable=1",
                uri=True,
                timeout=_BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            _check(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _configure(db: sqlite3.Connection) -> None:
    if not db.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone():
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    deadline = time.monotonic() + _BUSY_SECONDS
    for name, value in _PRAGMAS.items():
        while True:
            try:
                db.execute(f"PRAGMA {name} = {value}")
                break
            except sqlite3.OperationalError as error:
                # Of many that change to WAL at once, SQLite refuses some without the patience it has otherwise.
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
            time.sleep(0.005)


def _is_read_only(error: sqlite3.OperationalError) -> bool:
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    version = _check(db, path)
    if version == len(STEPS):
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        version = _check(db, path)  # another process may have been first
        for step in STEPS[version:]:
            step(db)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {len(STEPS)}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _check(db: sqlite3.Connection, path: Path) -> int:
    # In this order: another process may lay out the store between two looks.
    is_empty = db.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone() is None
    application = db.execute("PRAGMA application_id").fetchone()[0]
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION_ID and not (is_empty and application == 0):
        raise StorageError(
            f"{path} is an SQLite database, but not a store of askonce. Name another file with store= or "
            "ASKONCE_STORE."
        )
    if version > len(STEPS):
        raise NewerStoreError(
            f"{path} was made by a newer askonce (layout {version}; this one reads up to {len(STEPS)}). "
            "Upgrade askonce, or name another file with store= or ASKONCE_STORE."
        )
    return version


def explain(error: sqlite3.Error | UnicodeDecodeError, path: Path) -> StorageError:
    """Return SQLite's error as one that says what to do; the one place where they are translated."""
    default = sqlite3.SQLITE_CORRUPT if isinstance(error, UnicodeDecodeError) else 0
    code = getattr(error, "sqlite_errorcode", default) & 0xFF
    match code:
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return DamagedStoreError(
                f"{path} is damaged or no database ({error}). Move it away (nothing was changed in it), "
                "and a new one is begun."
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StorageError(f"{path} is locked by another program ({error}). Close what holds it.")
        case sqlite3.SQLITE_FULL:
            return StorageError(f"the disk of {path} is full ({error}). Make room; nothing recorded is lost.")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return StorageError(
                f"{path} cannot be opened or written ({error}). Check its permissions, or name another file "
                "with store= or ASKONCE_STORE."
            )
        case _:
            return StorageError(
                f"{path} could not be read or written ({error}). Check its disk, or name another file with store= "
                "or ASKONCE_STORE."
            )
