"""Telling somebody of an edge, and that it is over. In the transaction of what it reports; nothing here waits.

What is told is a row of the outbox until it is delivered; see `runner.notify`.
"""

from __future__ import annotations

import sqlite3

from runner.store import alerts, incidents
from runner.units import UnixMs


def tell(
    db: sqlite3.Connection,
    *,
    key: str,
    level: str,
    text: str,
    now: UnixMs,
    lapses_at: UnixMs | None = None,
    counted: bool = False,
) -> bool:
    """Tell of an edge; False when it was told before and still holds.

    `key` names the edge, `level` is as of an event. `lapses_at`: when it stops holding by itself; None: `settled`
    or a person closes it. `counted`: while it holds, each further one is counted and told of in bundles; otherwise
    it changes nothing. The text must be free of secrets already.
    """
    fresh = alerts.raise_alert(db, key=key, level=level, text=text, now=now, lapses_at=lapses_at, counted=counted)
    if fresh:
        incidents.open(db, alert_key=key, text=text, level=level, now=now)
    else:
        incidents.again(db, alert_key=key, text=text, now=now)
    return fresh


def settled(db: sqlite3.Connection, *, key: str, now: UnixMs, text: str | None = None, quiet: bool = False) -> bool:
    """What was told of holds no more; False when nothing was told of it, or it was settled before.

    Whoever was told of it is told that too, once. `text`: in which words. `quiet`: nobody is, for a person did it.
    """
    return alerts.close(db, key=key, now=now, ending=alerts.CLOSED if quiet else alerts.SETTLED, end_text=text)
