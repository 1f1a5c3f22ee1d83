"""Opening the one SQLite file, and the only way to write to it.

Every write of every process passes `Database.write`: the turnstile, then BEGIN IMMEDIATE. Checkpoints happen inside
such a commit or in upkeep, which takes the same turn; readers are read-only. That keeps clear of the WAL-reset bug
(a checkpoint beside another connection's commit can lose it, SQLite before 3.51.3).
"""

from __future__ import annotations

import errno
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib import resources
from pathlib import Path

from runner.errors import (
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreMissing,
    StoreNewer,
    StoreOlder,
    StoreReadOnly,
)
from runner.lock import held_by_another
from runner.store.inplace import InPlace, check_opens
from runner.store.turnstile import Turnstile

APPLICATION_ID = 0x41464B31
"""`AFK1` in the file's header: tells our database from somebody else's."""

WRITE_WAIT_S = 5.0
"""How long a write waits for its turn; after it the database counts as unusable, and the gate refuses."""

AT_ONCE_S = 0.003
"""How long an event loop stands still for somebody else who writes, before it asks a thread to wait."""

READERS_WAIT_S = 0.02
"""How long cutting the log short waits for those who read in it. The next try comes soon."""

MISSING = "there is no database: put it back, or `afk-runner restore` a backup; `afk-runner init` makes an empty {path}"
"""An empty one has forgotten every job and what today has cost, so nothing but `init` makes it."""

EMPTY = "{path} holds no schema; put the right file there, or `afk-runner restore` a backup"

_ERRORS: dict[int, type[StoreError]] = {
    sqlite3.SQLITE_BUSY: StoreBusy,
    sqlite3.SQLITE_LOCKED: StoreBusy,
    sqlite3.SQLITE_FULL: StoreFull,
    sqlite3.SQLITE_READONLY: StoreReadOnly,
    sqlite3.SQLITE_CANTOPEN: StoreReadOnly,
    sqlite3.SQLITE_CORRUPT: StoreCorrupt,
    sqlite3.SQLITE_NOTADB: StoreCorrupt,
}
_SAYS: dict[type[StoreError], str] = {
    StoreBusy: "is locked by another process; try again, or ask `fuser` who has it open",
    StoreFull: "cannot grow: the disk is full",
    StoreReadOnly: "or its folder cannot be written",
    StoreCorrupt: "is not a sound database; keep it, and restore the last backup beside it",
}


def translate(error: sqlite3.Error, path: Path) -> StoreError:
    """The error of ours that says what an SQLite error means for a person."""
    code = getattr(error, "sqlite_errorcode", 0)
    kind = _ERRORS.get(code & 0xFF, StoreError)
    said = _SAYS.get(kind)
    return kind(f"{path} {said}" if said else f"{path}: {error}")


class Database:
    """The one writer connection of a process. Use it from one thread at a time."""

    def __init__(self, path: Path, connection: sqlite3.Connection, turnstile: Turnstile | None) -> None:
        self.path = path
        self.connection = connection
        self._turnstile = turnstile
        self._wait_s = 0.0
        """How long SQLite itself waits for a writer that passed no turnstile."""
        self._in_place = InPlace(path)
        self._fifo = os.fspath(path.parent / "runner.fifo")
        self._ear: int | None = None
        """Our end of the pipe by which the runner is woken, while one listens."""

    @classmethod
    def open(cls, path: Path, *, create: bool = False, wait_s: float = WRITE_WAIT_S) -> Database:
        """Open the file for writing, bringing its schema up to date. `wait_s`: how long one who locks it is waited for.

        Raises StoreMissing, StoreNewer, StoreCorrupt, StoreReadOnly, StoreBusy; StoreOlder for an older schema while
        another process holds the home. A file without a schema is StoreCorrupt: only `create` makes one.
        """
        if not create and not path.exists():
            raise StoreMissing(MISSING.format(path=path))
        check_opens(path)
        try:
            if create:
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
            connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=rw",  # makes no empty one where it was taken away meanwhile
                uri=True,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=256,
                timeout=wait_s,
            )
        except sqlite3.Error as error:
            if not path.exists():
                raise StoreMissing(MISSING.format(path=path)) from error
            raise translate(error, path) from error
        except OSError as error:
            raise StoreReadOnly(f"{path} cannot be opened: {error.strerror}") from error
        try:
            turnstile = Turnstile(path.with_name(path.name + "-turn-a"), path.with_name(path.name + "-turn-b"))
        except OSError as error:
            if error.errno == errno.EROFS:
                connection.close()
                raise StoreReadOnly(f"{path} cannot be written: {error.strerror}") from error
            turnstile, why_not = None, f"{error.filename}: {error.strerror}"
        database = cls(path, connection, turnstile)
        try:
            database._prepare(wait_s, create=create)
        except BaseException:
            database.close()
            raise
        if turnstile is None:
            sys.stderr.write(f"warning: writes do not take turns, {why_not}\n")
        return database

    def _prepare(self, wait_s: float, *, create: bool) -> None:
        try:
            _check_header(self.connection, self.path)
            if not create and schema_version(self.connection) == 0:  # what is left of a lost one, or half a copy
                raise StoreCorrupt(EMPTY.format(path=self.path))
            self._set_wait(wait_s)
            self.connection.execute("PRAGMA foreign_keys = ON")
            self.connection.execute("PRAGMA synchronous = FULL")
            if sys.platform == "darwin":  # plain fsync there stops at the drive's cache
                self.connection.execute("PRAGMA fullfsync = ON")
                self.connection.execute("PRAGMA checkpoint_fullfsync = ON")
            if self.connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                self.connection.execute("PRAGMA journal_mode = WAL")
            version = schema_version(self.connection)
            self._in_place.read()
        except sqlite3.Error as error:
            raise translate(error, self.path) from error
        # A runner of the older program would go on writing rows as its own schema means them.
        if 0 < version < len(_migrations()) and held_by_another(self.path.with_name("runner.lock")):
            raise StoreOlder(_older(self.path, version))
        if version < len(_migrations()):
            self._migrate()

    def _migrate(self) -> None:
        with self.write() as db:
            for number, script in _migrations()[schema_version(db) :]:
                for statement in _statements(script):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {number}")
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")

    def write(self, *, at_once: bool = False, wait_s: float = WRITE_WAIT_S) -> _Write:
        """One transaction: committed when the body ends, rolled back when it raises.

        Raises StoreError when it could not be had or made durable; then nothing was recorded. `at_once`: waits a
        moment and no longer for somebody else who writes, then StoreBusy.
        """
        return _Write(self, AT_ONCE_S if at_once else wait_s)

    def _begin(self, wait_s: float) -> None:
        if self._turnstile is not None:
            self._turnstile.take(wait_s)
        try:
            self.still_there()
            if wait_s != self._wait_s:
                self._set_wait(wait_s)
            self.connection.execute("BEGIN IMMEDIATE")
        except BaseException as error:
            self._leave(error)
            raise

    def _commit(self) -> None:
        try:
            self.connection.execute("COMMIT")
        except BaseException as error:
            self._undo(error)
            raise
        if self._turnstile is not None:
            self._turnstile.release()

    def _undo(self, error: BaseException) -> None:
        with suppress(sqlite3.Error):
            self.connection.execute("ROLLBACK")
        self._leave(error)

    def _leave(self, error: BaseException) -> None:
        """Give the turn back, and raise what an SQLite error means; a broken rule of the schema is the caller's."""
        if self._turnstile is not None:
            self._turnstile.release()
        if isinstance(error, sqlite3.Error) and not isinstance(error, sqlite3.IntegrityError):
            raise translate(error, self.path) from error

    def _set_wait(self, wait_s: float) -> None:
        self.connection.execute(f"PRAGMA busy_timeout = {int(wait_s * 1000)}")
        self._wait_s = wait_s

    def still_there(self, *, index_too: bool = False) -> None:
        """Raise StoreMissing unless the path still leads to the file that was opened, StoreError unless to its log.

        Any thread may ask. `index_too`: the log's index also, for who looks seldom.
        """
        self._in_place.check(index_too=index_too)

    def poke(self) -> None:
        """Wake the runner of this home, if one listens. Never waits, never fails."""
        for _ in range(2):
            try:
                if self._ear is None:
                    self._ear = os.open(self._fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                os.write(self._ear, b".")
            except BlockingIOError:
                return  # it has enough to read
            except OSError:
                if self._ear is None:
                    return  # nobody listens
                self._hang_up()  # that runner has gone; another one may listen at a new pipe
            else:
                return

    def _hang_up(self) -> None:
        if self._ear is not None:
            os.close(self._ear)
            self._ear = None

    def checkpoint(self, *, truncate: bool) -> None:
        """Move the log into the file, in its turn. Does what it can; a reader in the way only leaves work for later.

        With `truncate` it waits for readers, and whoever wants to write for it: a moment, and no longer.
        """
        mode = "TRUNCATE" if truncate else "PASSIVE"
        self.still_there()
        self._set_wait(READERS_WAIT_S)
        if self._turnstile is None:
            self.connection.execute(f"PRAGMA wal_checkpoint({mode})")
            return
        with self._turnstile.turn(WRITE_WAIT_S):
            self.connection.execute(f"PRAGMA wal_checkpoint({mode})")

    def close(self) -> None:
        """Let go of the file and the turnstile."""
        self._hang_up()
        self._in_place.close(self.connection)
        if self._turnstile is not None:
            self._turnstile.close()


class _Write:
    """A transaction as a `with`: a class, for a generator costs each job 5 us more."""

    __slots__ = ("_database", "_wait_s")

    def __init__(self, database: Database, wait_s: float) -> None:
        self._database = database
        self._wait_s = wait_s

    def __enter__(self) -> sqlite3.Connection:
        self._database._begin(self._wait_s)
        return self._database.connection

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            self._database._commit()
        else:
            self._database._undo(error)


def open_reader(path: Path, *, older_too: bool = False) -> sqlite3.Connection:
    """A read-only connection. Broken text decodes with replacement characters, so that a screen can always show it.

    `older_too`: whatever the schema, for whoever copies it and asks nothing of it.
    Raises StoreMissing, StoreNewer, StoreOlder, StoreCorrupt, StoreBusy.
    """
    if not path.exists():
        raise StoreMissing(MISSING.format(path=path))
    check_opens(path)
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False, timeout=0.25
        )
    except sqlite3.Error as error:
        raise translate(error, path) from error
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    try:
        _check_header(connection, path)
        if schema_version(connection) == 0:
            raise StoreCorrupt(EMPTY.format(path=path))
        if schema_version(connection) < len(_migrations()) and not older_too:
            raise StoreOlder(_older(path, schema_version(connection)))
    except sqlite3.Error as error:
        connection.close()
        raise translate(error, path) from error
    except StoreError:
        connection.close()
        raise
    return connection


def schema_version(db: sqlite3.Connection) -> int:
    """The number of the last migration the file has seen; 0 for an empty file."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _older(path: Path, version: int) -> str:
    return (
        f"{path} has schema {version}, this program reads {len(_migrations())}; "
        "end the older runner, and `afk-runner run` brings it up to date"
    )


def _check_header(db: sqlite3.Connection, path: Path) -> None:
    """Refuse a newer database and a file that is somebody else's. Changes nothing."""
    version = schema_version(db)
    theirs = int(db.execute("PRAGMA application_id").fetchone()[0])
    tables = int(db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0])
    if tables and theirs != APPLICATION_ID:
        raise StoreCorrupt(f"{path} is a database of another program; name a home of ours with --home")
    newest = len(_migrations())
    if version > newest:
        raise StoreNewer(
            f"{path} has schema {version}, this program knows {newest}; install the newer version or restore a backup"
        )


@cache
def _migrations() -> list[tuple[int, str]]:
    """Number and SQL of every migration, in order. A fresh file takes the same way as an old one."""
    folder = resources.files("runner.store") / "migrations"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [(number, (folder / name).read_text("utf-8")) for number, name in enumerate(names, start=1)]


def _statements(script: str) -> Iterator[str]:
    """The single statements of a script; triggers hold semicolons, so SQLite itself says where one ends."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
