"""The open database of a reader: one read-only connection, one short read transaction a look."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from runner.errors import StoreNewer
from runner.home import Home
from runner.store.db import open_reader, schema_version, translate
from runner.store.inplace import InPlace


class Opened:
    """One database, open for reading. Use it from one thread at a time."""

    def __init__(self, home: Home, *, db: Path | None = None) -> None:
        """Open the database of a home, or the one named. Raises StoreError."""
        self.home = home
        self.path = db or home.db
        self._connection = open_reader(self.path)
        self._in_place = InPlace(self.path)
        self._in_place.read()
        self._version = -1
        self._schema = schema_version(self._connection)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def changed(self) -> bool:
        """True when another process committed since the last call; costs 3 us.

        Raises StoreMissing when the file was replaced, StoreNewer when its schema was changed: open it anew. StoreError
        when its log was, which only another process can read.
        """
        self._in_place.check(index_too=True)
        try:
            version = int(self._connection.execute("PRAGMA data_version").fetchone()[0])
            if version != self._version and schema_version(self._connection) != self._schema:
                raise StoreNewer(f"{self.path} was upgraded by another program; open it anew")
        except sqlite3.Error as error:
            raise translate(error, self.path) from error
        seen, self._version = self._version, version
        return version != seen

    def reading(self) -> _Look:
        """What one look sees: nothing changes below it. Raises StoreError."""
        # Open, read, close: a read transaction held open lets the -wal file grow without bound.
        return _Look(self, whole=True)

    def glance(self) -> _Look:
        """The same for a body of one statement, which sees one moment by itself. Raises StoreError."""
        return _Look(self, whole=False)


class _Look:
    """A look as a `with`: a class, as `_Write` in the store is, for a generator costs more."""

    __slots__ = ("_opened", "_whole")

    def __init__(self, opened: Opened, *, whole: bool) -> None:
        self._opened = opened
        self._whole = whole

    def __enter__(self) -> sqlite3.Connection:
        self._opened._in_place.check(index_too=True)
        connection = self._opened._connection
        if self._whole:
            try:
                connection.execute("BEGIN")
            except sqlite3.Error as error:
                raise translate(error, self._opened.path) from error
        return connection

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._whole:
            try:
                self._opened._connection.execute("ROLLBACK")
            except sqlite3.Error as again:
                first = error if isinstance(error, sqlite3.Error) else again  # it says what is wrong
                raise translate(first, self._opened.path) from first
        if isinstance(error, sqlite3.Error):
            raise translate(error, self._opened.path) from error
