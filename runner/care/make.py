"""The database of a home, made when there is none. Where one was lost the new one begins stopped.

A new database has forgotten what today has cost: a lost file must not be a fresh cap.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from runner.errors import Refused
from runner.home import Home
from runner.lock import HomeLock
from runner.store import controls, events
from runner.store.db import Database, schema_version
from runner.units import UnixMs

ANEW = "the database was made anew: what was spent before is not known"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What was done."""

    new: bool
    """False: one was there and is kept."""
    stopped: bool
    """It takes the place of one that was lost, so nothing runs until a person resumes it."""


def make(home: Home, *, by: str, now: UnixMs, first: bool = False) -> Made:
    """See that there is a database. Raises Refused while a runner looks for the lost one, StoreError, OSError.

    `first`: there were no settings until now, so a runner that was here was refused.
    """
    if _is_there(home):
        Database.open(home.db).close()  # brings its schema up to date
        return Made(new=False, stopped=False)
    lock = HomeLock(home.lock)
    try:
        waits = not lock.take()  # a container is started before its home is made, and parks
        if waits and home.worked():
            pid = lock.holder()
            raise Refused(
                f"runner pid {pid} holds {home.root} and waits for its database: put it back, or end the runner first "
                f"with `afk-runner service stop`, or `kill {pid}` where no service keeps it"
            )
        log = home.db.with_name(home.db.name + "-wal")
        if not _size(home.db) and _size(log):
            raise Refused(
                f"{log} holds the last writes of a database that is gone: put that back beside it, or move it away"
            )
        lost = home.worked() if first or waits else home.used()
        if lost:
            _stop(home, by=by)  # before there is a database, so that no moment is without it
        database = Database.open(home.db, create=True)
        try:
            if lost:
                with database.write() as db:
                    controls.set_stop(db, controls.STOP, reason=ANEW, by=by, now=now)
                    text = f"{ANEW}; stopped by {by} until `afk-runner resume`"
                    events.record(db, now=now, level=events.WARN, event="home.anew", text=text)
        finally:
            database.close()
    finally:
        lock.close()
    return Made(new=True, stopped=lost)


def _is_there(home: Home) -> bool:
    """Whether somebody's tables are in it: an empty file is what is left of a lost database."""
    if not _size(home.db):
        return False
    try:
        with closing(sqlite3.connect(f"{home.db.absolute().as_uri()}?mode=ro", uri=True)) as db:
            return schema_version(db) > 0
    except sqlite3.Error:
        return True  # whoever opens it says what is wrong


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def _stop(home: Home, *, by: str) -> None:
    try:
        home.write_stop(f"{ANEW}\nby {by}\n")
    except OSError:
        if not home.stop_set():
            raise
