"""Copying a database while others write to it, and making sure of the copy.

A copy is made in steps within one read transaction: writers are not held up, and the copy is of one moment. What they
write meanwhile waits in the -wal file, so a copy does not dawdle. VACUUM INTO is no way: it fails on generated columns.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from runner.errors import StoreCorrupt, StoreError, StoreFull
from runner.store.db import translate

PAGES = 4_096
"""Of one step: 16 MB, some tens of milliseconds."""
SIDES = ("-wal", "-shm", "-journal")
"""What SQLite may keep beside a database file."""

Progress = Callable[[int, int], None]
"""Told after each step: pages done, pages in all."""


def copy(source: sqlite3.Connection, path: Path, *, progress: Progress) -> None:
    """Copy a database into an empty file, as one file that needs none beside it. Raises StoreError.

    The file's content is synced by whoever puts it in place.
    """
    target = sqlite3.connect(path, isolation_level=None)
    try:
        target.execute("PRAGMA synchronous = OFF")
        # Somebody else's commit would otherwise begin the copy anew, for ever.
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        source.backup(target, pages=PAGES, progress=lambda _, left, whole: progress(whole - left, whole))
        source.execute("ROLLBACK")
        target.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        # An error of the copy has no code: it may be either file's.
        full = "full" in str(error)
        raise (StoreFull if full else StoreError)(f"the copy to {path.parent} failed: {error}") from error
    finally:
        target.close()


def verify(path: Path) -> None:
    """Read all of a copy that nobody has open. Raises StoreCorrupt."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as db:
            said = [row[0] for row in db.execute("PRAGMA integrity_check(3)")]
            if said != ["ok"]:
                raise StoreCorrupt(f"{path} is not sound: {'; '.join(said)}")
            broken = db.execute("PRAGMA foreign_key_check").fetchone()
            if broken is not None:
                raise StoreCorrupt(f"{path} is not sound: a row of {broken[0]} belongs to none of {broken[2]}")
    except sqlite3.Error as error:
        raise translate(error, path) from error


def digest(path: Path) -> str:
    """SHA-256 of a file that nobody has connected: closing it would drop SQLite's locks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_file(path: Path) -> None:
    """Make the content of a file durable that nobody has connected. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable. Some file systems cannot, and need not."""
    with suppress(OSError):
        fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def forget(path: Path) -> None:
    """Delete a database that nobody has open, with what is beside it."""
    for name in (path, *(path.with_name(path.name + side) for side in SIDES)):
        with suppress(OSError):
            name.unlink()
