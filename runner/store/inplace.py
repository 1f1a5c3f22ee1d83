"""Whether an open database is still the files that its path leads to: SQLite goes on in deleted ones without a word.

Beside the file lie its log, which holds what was committed lately, and the log's index. While a connection is open no
other one deletes them, so other inodes there are somebody's hand. Who opens the path then works on another log.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import suppress
from pathlib import Path

from runner.errors import StoreCorrupt, StoreError, StoreMissing

MOVED = "the file was moved, deleted or replaced while in use"
LOG_MOVED = "it was moved, deleted or replaced while in use"
_MEND = "put it back, or end what has {path} open and start it again"

_LEFT: dict[tuple[str, int], tuple[str, int]] = {}
"""Databases, by path and inode, whose log this process lost sight of: the log it had, by path and inode.

All connections of a process to one database share the index of the log that the first of them opened: one opened now
would read another log by it.
"""


def check_opens(path: Path) -> None:
    """Raise StoreError if this process must not open the database any more, StoreCorrupt where there is no file."""
    with suppress(OSError):
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            what = "a folder" if stat.S_ISDIR(mode) else "no file of data"
            raise StoreCorrupt(f"{path} is {what}; move it away, and `afk-runner restore` a backup")
    if not _LEFT:
        return
    log = _LEFT.get((os.fspath(path), _inode(os.fspath(path)) or 0))
    if log is not None and _inode(log[0]) != log[1]:
        raise StoreError(f"{log[0]}: {LOG_MOVED}; {_MEND.format(path=path)}")


class InPlace:
    """The files of one open connection, by their inodes. Any thread may ask."""

    def __init__(self, path: Path) -> None:
        """The file is open; see `read`. Raises OSError."""
        self._path = path
        self._file = os.fspath(path)
        self._inode = os.stat(path).st_ino
        self._log = f"{path}-wal"
        self._index = f"{path}-shm"
        self._log_inode: int | None = None
        self._index_inode: int | None = None

    def read(self) -> None:
        """Something was read, so the log and its index are open, where there are any."""
        self._log_inode, self._index_inode = _inode(self._log), _inode(self._index)

    def check(self, *, index_too: bool = False) -> None:
        """Raise StoreMissing unless the path leads to the file that was opened, StoreError unless to its log too."""
        if _inode(self._file) != self._inode:
            raise StoreMissing(f"{MOVED}: {self._path}")
        if self._log_inode is not None and _inode(self._log) != self._log_inode:
            _LEFT[self._file, self._inode] = self._log, self._log_inode
            raise StoreError(f"{self._log}: {LOG_MOVED}; {_MEND.format(path=self._path)}")
        if index_too and self._index_inode is not None and _inode(self._index) != self._index_inode:
            _LEFT[self._file, self._inode] = self._index, self._index_inode
            raise StoreError(f"{self._index}: {LOG_MOVED}; {_MEND.format(path=self._path)}")

    def close(self, connection: sqlite3.Connection) -> None:
        """Close the connection; where others have written to another log in the place of its own, let it be instead.

        Who closes a database last moves its own log into the file, and deletes the one of that name.
        """
        if self._others_have_written():
            import ctypes  # noqa: PLC0415 - costs each start, and is needed hardly ever

            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
            return
        with suppress(sqlite3.Error):
            connection.close()

    def _others_have_written(self) -> bool:
        if self._log_inode is None:
            return False
        try:
            there = os.stat(self._log)
        except OSError:
            return False
        return there.st_ino != self._log_inode and there.st_size > 0  # one who only reads makes an empty one


def _inode(path: str) -> int | None:
    try:
        return os.stat(path).st_ino
    except OSError:
        return None
