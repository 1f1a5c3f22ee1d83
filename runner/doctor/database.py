"""The database: sound, of our form, and not grown out of hand."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from runner.doctor.finding import Finding, fail, ok, warn
from runner.doctor.look import Look
from runner.errors import StoreCorrupt, StoreError, StoreMissing, StoreNewer, StoreOlder
from runner.store.db import open_reader, schema_version

QUICK_S = 8.0
"""A large database is not read whole here; `check` does that."""
LONG_WAL_BYTES = 256_000_000
"""A log that long is not being brought back into the file: somebody has been reading for hours."""


def database(look: Look) -> Iterator[Finding]:
    """The version of SQLite, and the file."""
    yield ok("sqlite", sqlite_says(sqlite3.sqlite_version_info))
    path = look.home.db
    try:
        db = open_reader(path)
    except StoreOlder as error:  # as after an upgrade: nothing is wrong
        yield warn("database", str(error), f"end the older runner, then {look.command('run')} brings it up to date")
        return
    except StoreError as error:
        yield fail("database", str(error), _mend(look, error))
        return
    with closing(db):
        said = _quick(db)
        version = 0
        with suppress(sqlite3.Error):
            version = schema_version(db)
    size = _megabytes(path)
    if said is None:
        text = f"{path} can be read, schema {version}, {size:,.0f} MB, too large to be read whole in a moment"
        yield ok("database", text)
    elif said == ["ok"]:
        yield ok("database", f"{path} is sound, schema {version}, {size:,.1f} MB")
    else:
        text = f"{path} is damaged: {'; '.join(said)}"
        yield fail("database", text, _RESTORE)
    wal = Path(f"{path}-wal")
    if wal.exists() and wal.stat().st_size > LONG_WAL_BYTES:
        text = f"{wal} has grown to {_megabytes(wal):,.0f} MB: a program has been reading for a long time"
        yield warn("database", text, f"fuser {path} names who has it open; end the one that is not a runner")


_RESTORE = "stop the runner, keep the file, put the last backup in its place (RUNBOOK, A damaged database)"


def _mend(look: Look, error: StoreError) -> str | None:
    match error:
        case StoreMissing() if look.home.used():
            empty = f"without a backup {look.command('init')} makes an empty one, stopped"
            return f"put it back, or {look.command('restore BACKUP')}; {empty}"
        case StoreMissing():
            return look.command("init")
        case StoreCorrupt():
            return _RESTORE
        case StoreNewer():
            return "install the version that wrote it, or restore the backup from before"
    return None


def _quick(db: sqlite3.Connection) -> list[str] | None:
    """What SQLite finds wrong, `ok` for nothing; None: it would take too long."""
    until = time.monotonic() + QUICK_S
    db.set_progress_handler(lambda: time.monotonic() > until, 100_000)
    try:
        return [str(row[0]) for row in db.execute("PRAGMA quick_check(3)")]
    except sqlite3.Error as error:
        return None if getattr(error, "sqlite_errorname", "") == "SQLITE_INTERRUPT" else [str(error)]
    finally:
        db.set_progress_handler(None, 0)


def sqlite_says(version: tuple[int, ...]) -> str:
    """Source: the WAL-reset bug is fixed in 3.51.3, 3.50.7 and 3.44.6."""
    name = ".".join(str(part) for part in version[:3])
    fixed = version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)
    if fixed:
        return f"SQLite {name}"
    return f"SQLite {name}, which has the WAL-reset bug; our writes take turns and keep clear of it"


def _megabytes(path: Path) -> float:
    return path.stat().st_size / 1_000_000
