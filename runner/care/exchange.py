"""One database in the place of another: while nobody writes, with no log left that belongs to neither."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from runner.care.copying import SIDES, forget
from runner.errors import Refused
from runner.home import Home
from runner.store.db import translate
from runner.store.turnstile import Turnstile
from runner.units import UnixMs, iso

READERS_WAIT_MS = 5_000
"""How long somebody who reads the replaced database is waited for."""
TURN_S = 5.0


@contextmanager
def turn(home: Home) -> Iterator[None]:
    """Nobody writes to the replaced database from here on."""
    name = home.db.name
    turnstile = Turnstile(home.db.with_name(f"{name}-turn-a"), home.db.with_name(f"{name}-turn-b"))
    try:
        with turnstile.turn(TURN_S):
            yield
    finally:
        turnstile.close()


def swap(home: Home, copied: Path, *, there: bool, sound: bool, now: UnixMs) -> Path:
    """Put the copy in place; where the replaced database is from then on.

    Its log must not lie beside the new one: SQLite would take it for that one's, also if nothing but the log is there.
    """
    stamp = (iso(now) or "")[:19].replace("-", "").replace(":", "")
    kept = home.db.with_name(f"{home.db.name}.before-restore-{stamp}Z")
    if os.path.lexists(kept):
        raise Refused(f"{kept} is in the way; move it and try again")
    empty = there and _empty_log(home.db, sound=sound)
    if there:
        try:
            os.link(home.db, kept)  # unlike a rename it leaves no moment without a database
        except OSError:
            os.rename(home.db, kept)
    for side in SIDES:
        beside = home.db.with_name(home.db.name + side)
        with suppress(FileNotFoundError):
            if empty or side == "-shm":
                beside.unlink()
            else:
                os.rename(beside, kept.with_name(kept.name + side))
    os.replace(copied, home.db)
    return kept


def _empty_log(database: Path, *, sound: bool) -> bool:
    """Move the log of a database into it; False for one that is not sound, whose log goes where it goes.

    Raises Refused while somebody reads in it: then it cannot be emptied.
    """
    try:
        with closing(sqlite3.connect(database, isolation_level=None)) as db:
            db.execute(f"PRAGMA busy_timeout = {READERS_WAIT_MS}")
            busy = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except sqlite3.Error as error:
        if sound:
            raise translate(error, database) from error
        return False
    if busy:
        raise Refused(f"another program keeps reading {database}; `fuser {database}` names it")
    return True


def forget_all(copied: Path) -> None:
    """Delete a copy and all that lies beside it."""
    forget(copied)
    for lock in ("-turn-a", "-turn-b"):
        with suppress(OSError):
            copied.with_name(copied.name + lock).unlink()
