"""Telling somebody of an edge, and that it is over. In the transaction of what it reports; nothing here waits.

What is told is a row of the outbox until it is delivered; see `runner.notify`.
"""

from __future__ import annotations

import sqlite3

from runner.store import alerts, incidents
from runner.units import UnixMs


def tell(
    db: sqlite3.Connection, *, key: str, level: str, text: str, now: UnixMs, lapses_at: UnixMs | None = None
) -> bool:
    """Tell of an edge; False when it was told before and still holds.

    `key` names the edge, `level` is as of an event. `lapses_at`: when it stops holding by itself; None: `settled`
    or a person closes it. The text must be free of secrets already.
    """
    fresh = alerts.raise_alert(db, key=key, level=level, text=text, now=now, lapses_at=lapses_at)
    if fresh:
        incidents.open(db, alert_key=key, text=text, level=level, now=now)
    else:
        incidents.again(db, alert_key=key, text=text, now=now)
    return fresh


def settled(db: sqlite3.Connection, *, key: str, now: UnixMs) -> bool:
    """What was told of holds no more; False when nothing was told of it, or it was settled before."""
    return alerts.close(db, key=key, now=now)
