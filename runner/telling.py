"""Telling somebody of an edge, and that it is over. In the transaction of what it reports; nothing here waits.

What is told is a row of the outbox until it is delivered; see `runner.notify`.
"""

from __future__ import annotations

import sqlite3

from runner.heartbeat import Beat
from runner.store import alerts, events, incidents, jobs, runners
from runner.store.runners import Runner
from runner.units import MINUTE_MS, UnixMs, duration, iso

STOP = "stop"
"""The key of the alert that a home is stopped."""
MOST_DEAD = 1_000
"""With more dead letters than that none of their alerts settles: nobody has begun to deal with them."""
LOST_MS = MINUTE_MS
"""A runner that is back sooner, as after a crash under a supervisor, is an event and no alert."""
_LINE = 300
_DEAD, _POISON = "dead:", "poison:"


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


def dead(db: sqlite3.Connection, *, task: str, job: str, error: str | None, now: UnixMs, poison: bool = False) -> None:
    """Tell of a dead letter, or of a `poison` pill: one alert a task, with a count."""
    first = (error or "without an error").strip().split("\n", 1)[0][:_LINE]
    what, way = "is a dead letter", "`afk-runner dead` lists it, and `replay` gives it a new life"
    if poison:
        what, way = "is set aside", "mend what ends its runner before `afk-runner replay`"
    text = f"task {task}: job {job} {what}: {first}; {way}"
    tell(db, key=f"{_POISON if poison else _DEAD}{task}", level=events.ERROR, text=text, now=now, counted=True)


def vanished(db: sqlite3.Connection, *, me: Runner, beat: Beat | None, now: UnixMs) -> None:
    """Tell of a runner that went without a word, and of how long nobody was there; both edges, for it is over.

    For the holder of the home's lock, before it buries anybody. `beat`: the last one outside the database before ours.
    """
    last = runners.unended(db, but=me.id)
    if last is None:
        return
    heard_at = max(last.heartbeat_at, beat.at if beat is not None and beat.pid == last.pid else 0)
    gone_ms = now - heard_at
    how = ", and the machine was started anew" if last.boot and me.boot and last.boot != me.boot else ""
    text = f"runner pid {last.pid} on {last.host} went without a word at {iso(UnixMs(heard_at))}{how}"
    events.record(db, now=now, level=events.WARN, event="runner.lost", text=text)
    if gone_ms > LOST_MS:
        text = f"{text}: no heartbeat for {duration(gone_ms)}"
        tell(db, key="heartbeat", level=events.ERROR, text=text, now=now)
        back = f"the heartbeat is back after {duration(gone_ms)}: runner pid {me.pid} on {me.host}"
        settled(db, key="heartbeat", text=back, now=now)


def dead_no_more(db: sqlite3.Connection, *, now: UnixMs) -> None:
    """Settle the alerts of tasks whose dead letters were all dealt with; a person did that, so nobody is told."""
    keys = [*alerts.open_keys(db, _DEAD), *alerts.open_keys(db, _POISON)]
    tasks = jobs.tasks_of_dead(db, most=MOST_DEAD) if keys else None
    if tasks is not None:
        for key in keys:
            if key.partition(":")[2] not in tasks:
                settled(db, key=key, now=now, quiet=True)
