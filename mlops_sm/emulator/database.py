"""The account's SQLite file: opened, proved to be ours and intact, written in transactions by one process."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, LifoQueue
from typing import Any, Final

from mlops_sm.errors import Problem, RefusedError

FILE_NAME: Final = "account.db"

_APPLICATION_ID: Final = 0x6D6C736D  # "mlsm": tells our file from any other SQLite database
_SCHEMA_VERSION: Final = 2
_SCHEMA: Final = """
CREATE TABLE entities (
  account TEXT NOT NULL, region TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
  parent TEXT NOT NULL, arn TEXT NOT NULL, status TEXT NOT NULL,
  created REAL NOT NULL, modified REAL NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY (account, region, kind, name)
);
CREATE UNIQUE INDEX entities_arn ON entities (arn);
CREATE INDEX entities_created ON entities (account, region, kind, parent, created, name);
CREATE INDEX entities_status ON entities (kind, status);
CREATE TABLE steps (
  execution TEXT NOT NULL, position INTEGER NOT NULL, name TEXT NOT NULL, status TEXT NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY (execution, position)
) WITHOUT ROWID;
CREATE TABLE tags (
  arn TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
  PRIMARY KEY (arn, key)
);
CREATE TABLE tokens (
  account TEXT NOT NULL, region TEXT NOT NULL, operation TEXT NOT NULL, token TEXT NOT NULL,
  request TEXT NOT NULL, answer TEXT NOT NULL,
  PRIMARY KEY (account, region, operation, token)
) WITHOUT ROWID;
CREATE TABLE buckets (
  account TEXT NOT NULL, partition TEXT NOT NULL, name TEXT NOT NULL PRIMARY KEY, state BLOB NOT NULL
);
CREATE TABLE objects (
  bucket TEXT NOT NULL, key TEXT NOT NULL, contents TEXT NOT NULL, state BLOB NOT NULL,
  PRIMARY KEY (bucket, key)
);
CREATE TABLE uploads (
  bucket TEXT NOT NULL, id TEXT NOT NULL, state BLOB NOT NULL,
  PRIMARY KEY (bucket, id)
);
CREATE TABLE parts (
  bucket TEXT NOT NULL, upload TEXT NOT NULL, number INTEGER NOT NULL, contents TEXT NOT NULL, state BLOB NOT NULL,
  PRIMARY KEY (bucket, upload, number)
);
"""
_ADDED_IN_2: Final = """
CREATE TABLE outbox (
  id INTEGER PRIMARY KEY AUTOINCREMENT, due REAL NOT NULL, slow INTEGER NOT NULL, body TEXT NOT NULL
);
CREATE INDEX outbox_due ON outbox (slow, due, id);
CREATE TABLE backends (
  service TEXT NOT NULL, account TEXT NOT NULL, region TEXT NOT NULL, moto TEXT NOT NULL, state BLOB NOT NULL,
  PRIMARY KEY (service, account, region)
);
CREATE TABLE slices (
  service TEXT NOT NULL, account TEXT NOT NULL, region TEXT NOT NULL, shelf TEXT NOT NULL, position INTEGER NOT NULL,
  state BLOB NOT NULL,
  PRIMARY KEY (service, account, region, shelf, position)
);
CREATE TABLE associations (
  account TEXT NOT NULL, region TEXT NOT NULL, source TEXT NOT NULL, destination TEXT NOT NULL,
  type TEXT NOT NULL, created REAL NOT NULL, automatic INTEGER NOT NULL,
  PRIMARY KEY (source, destination)
) WITHOUT ROWID;
CREATE INDEX associations_destination ON associations (destination, source);
CREATE TABLE memberships (
  trial TEXT NOT NULL, component TEXT NOT NULL, created REAL NOT NULL,
  PRIMARY KEY (trial, component)
) WITHOUT ROWID;
CREATE INDEX memberships_component ON memberships (component, trial);
CREATE TABLE metrics (
  component TEXT NOT NULL, name TEXT NOT NULL, source TEXT NOT NULL, step INTEGER, time REAL NOT NULL,
  value REAL NOT NULL
);
CREATE INDEX metrics_component ON metrics (component, name);
CREATE TABLE clock (
  id INTEGER PRIMARY KEY CHECK (id = 1), ahead REAL NOT NULL
);
CREATE TABLE schedules (
  arn TEXT NOT NULL PRIMARY KEY, body TEXT NOT NULL
);
CREATE TABLE alarms (
  account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL, period INTEGER NOT NULL,
  PRIMARY KEY (account, region, name)
) WITHOUT ROWID;
CREATE TABLE alarm_history (
  id INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL,
  type TEXT NOT NULL, item TEXT NOT NULL, time REAL NOT NULL, summary TEXT NOT NULL, data TEXT NOT NULL
);
CREATE INDEX alarm_history_time ON alarm_history (account, region, time, id);
"""
_MIGRATIONS: Final[Mapping[int, str]] = {1: _ADDED_IN_2}
"""What turns the schema of a version into the next one's."""

Row = tuple[Any, ...]


class Database:
    """One connection writes, under a lock; others read what was committed and wait for nobody.

    Every statement outside `transaction` is a transaction of its own. Inside one its thread reads what it has written.

    Args:
        path: The file; made when it is not there.

    Raises:
        RefusedError: E542, the file is damaged; E543, it is not ours or was written by another version; E541, the
            file system refuses.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._depth = 0
        self._writer: int | None = None
        self._readers: LifoQueue[sqlite3.Connection] = LifoQueue()
        self._closed = False
        if path.exists() and not os.access(path, os.W_OK):
            # SQLite would open it for reading, and tell whoever makes the first change.
            raise RefusedError(_unusable(path, sqlite3.OperationalError("the file may not be written")))
        try:
            self._connection = self._connect()
        except sqlite3.OperationalError as error:
            raise RefusedError(_unusable(path, error)) from error
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """All rows of a SELECT."""
        if self._writer == threading.get_ident():
            return self._connection.execute(sql, parameters).fetchall()
        reader = self._reader()
        try:
            return reader.execute(sql, parameters).fetchall()
        finally:
            self._readers.put(reader)
            if self._closed:
                self._close_readers()

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run one statement that writes; returns how many rows it changed."""
        with self._lock:
            return self._connection.execute(sql, parameters).rowcount

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside is written together or not at all; transactions may be nested and are then one."""
        with self._lock:
            if self._depth:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            self._depth = 1
            self._writer = threading.get_ident()
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                # SQLite has rolled back by itself when the disk was full.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            finally:
                self._depth = 0
                self._writer = None

    def close(self) -> None:
        """Fold the log back into the file and let go."""
        with self._lock:
            self._closed = True
            # SQLite folds the log when the last connection is closed.
            self._close_readers()
            self._connection.close()

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=5.0)

    def _reader(self) -> sqlite3.Connection:
        """A connection that nobody else uses now: as many are made as ever read at once."""
        try:
            return self._readers.get_nowait()
        except Empty:
            if self._closed:
                raise sqlite3.ProgrammingError("the account's database is closed") from None
            return self._connect()

    def _close_readers(self) -> None:
        while True:
            try:
                self._readers.get_nowait().close()
            except Empty:
                return

    def _prepare(self) -> None:
        try:
            (damage,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
            if damage != "ok":
                raise RefusedError(damaged(self.path, damage))
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            (application,) = self._connection.execute("PRAGMA application_id").fetchone()
            (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            # A write that is in the log survives the death of this process; NORMAL spares a disk flush per write.
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            if tables == 0:
                self._run(_SCHEMA + _ADDED_IN_2, _SCHEMA_VERSION)
            elif application != _APPLICATION_ID:
                raise RefusedError(_foreign(self.path, application, version))
            else:
                self._migrate(version)
        except sqlite3.OperationalError as error:
            raise RefusedError(_unusable(self.path, error)) from error
        except sqlite3.DatabaseError as error:
            raise RefusedError(damaged(self.path, str(error))) from error

    def _migrate(self, version: int) -> None:
        """Bring the state of an earlier version up to this one's schema, one version at a time."""
        while version != _SCHEMA_VERSION:
            if version not in _MIGRATIONS:
                raise RefusedError(_foreign(self.path, _APPLICATION_ID, version))
            self._run(_MIGRATIONS[version], version + 1)
            version += 1

    def _run(self, script: str, version: int) -> None:
        self._connection.executescript(
            f"BEGIN IMMEDIATE;\n{script}\n"
            f"PRAGMA application_id = {_APPLICATION_ID}; PRAGMA user_version = {version};\nCOMMIT;"
        )


def _aside(path: Path) -> str:
    return f"mv {path.parent} {path.parent}.old"


def damaged(path: Path, detail: str) -> Problem:
    """E542: the file is there but cannot be read as what it was written as."""
    return Problem(
        "E542",
        str(path),
        f"the local account's database is damaged: {detail}",
        f"It was left as it is. To start with an empty account: {_aside(path)}. What SQLite can still read of it: "
        f'sqlite3 "{path}" .recover. The contents of S3 objects are plain files in {path.parent / "objects"}.',
    )


def _foreign(path: Path, application: int, version: int) -> Problem:
    if application != _APPLICATION_ID:
        what = "this SQLite file was not written by the local account"
    else:
        what = f"the state was written by another version of mlops-sm (schema {version}, not {_SCHEMA_VERSION})"
    return Problem(
        "E543",
        str(path),
        what,
        "It was left as it is. Use the version that wrote it, name another folder with --state, or start anew: "
        + _aside(path),
    )


def _unusable(path: Path, error: sqlite3.OperationalError) -> Problem:
    return Problem(
        "E541",
        str(path),
        f"the local account's database cannot be used: {error}",
        "Make sure that the folder can be written to and the disk has room, or name another folder with --state.",
    )
