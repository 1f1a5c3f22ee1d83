"""What happened to the money: calls whose hold still counts, for nobody knows what they cost."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from runner.home import Home
from runner.store.db import open_reader, translate
from runner.units import MicroUsd, UnixMs


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldCall:
    """One call that was not settled."""

    day: str
    """The day it counts to."""
    held_at: UnixMs
    task: str
    job: str | None
    """Its key; None: the job was removed."""
    model: str
    hold: MicroUsd
    note: str | None
    """Why its cost is not known; None: it is in flight, or its runner died in it and none has started since."""


HELD = """
SELECT charges.day, held_at, charges.task, jobs.key, model, hold, note
  FROM charges LEFT JOIN jobs ON jobs.id = charges.job_id
 WHERE state = 'held' ORDER BY charges.id DESC LIMIT ?
"""


def held_calls(home: Home, *, limit: int) -> tuple[HeldCall, ...]:
    """The newest of them, newest first. Raises StoreError."""
    db = open_reader(home.db)
    try:
        rows = db.execute(HELD, (limit,)).fetchall()
    except sqlite3.Error as error:
        raise translate(error, home.db) from error
    finally:
        db.close()
    names = ("day", "held_at", "task", "job", "model", "hold", "note")
    return tuple(HeldCall(**dict(zip(names, row, strict=True))) for row in rows)
