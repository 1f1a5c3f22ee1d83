"""Who runs, or ran. A description only: the truth of who holds the home is the lock file."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from enum import StrEnum

from runner.units import DAY_MS, UnixMs


class RunState(StrEnum):
    """Run states; the same words everywhere."""

    STARTING = "starting"
    STANDBY = "standby"
    RUNNING = "running"
    DRAINING = "draining"
    PARKED = "parked"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """One runner process."""

    id: str
    pid: int
    pid_started: str
    """Start time of the pid as the system tells it; tells a recycled pid."""
    boot: str
    host: str
    version: str
    state: RunState
    reason: str | None
    """Why it is parked or draining."""
    started_at: UnixMs
    heartbeat_at: UnixMs
    stop_seq: int
    """The last turn of the stop switch it has acted on."""
    ended: str | None
    """How it went, in its own words; `lost`: nobody said; `forced by ...`: who ended it says so. None: not yet told."""
    note: str | None = None
    """A sentence on why it is parked and what makes it go on, where the reason is not somebody's stop."""


_COLUMNS = "id, pid, pid_started, boot, host, version, state, reason, started_at, heartbeat_at, stop_seq, ended, note"


def announce(db: sqlite3.Connection, runner: Runner) -> None:
    """Write a new runner down."""
    db.execute(
        f"INSERT INTO runners ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - our own constant
        (
            runner.id,
            runner.pid,
            runner.pid_started,
            runner.boot,
            runner.host,
            runner.version,
            runner.state,
            runner.reason,
            runner.started_at,
            runner.heartbeat_at,
            runner.stop_seq,
            runner.ended,
            runner.note,
        ),
    )


def beat(db: sqlite3.Connection, id: str, *, now: UnixMs) -> None:
    """The runner's loop turns."""
    db.execute("UPDATE runners SET heartbeat_at = ? WHERE id = ?", (now, id))


def move(
    db: sqlite3.Connection,
    id: str,
    *,
    state: RunState,
    reason: str | None,
    stop_seq: int,
    now: UnixMs,
    note: str | None = None,
) -> None:
    """Say what the runner is doing."""
    db.execute(
        "UPDATE runners SET state = ?, reason = ?, note = ?, stop_seq = ?, heartbeat_at = ? WHERE id = ?",
        (state, reason, note, stop_seq, now, id),
    )


def leave(db: sqlite3.Connection, id: str, *, ended: str, now: UnixMs) -> None:
    """Say how it went."""
    db.execute("UPDATE runners SET state = 'stopped', ended = ?, heartbeat_at = ? WHERE id = ?", (ended, now, id))


def forced(
    db: sqlite3.Connection, *, pid: int, pid_started: str, boot: str, host: str, ended: str, now: UnixMs
) -> None:
    """Say how a runner went that was ended by force and is gone, also where it had said that TERM came."""
    db.execute(
        "UPDATE runners SET state = 'stopped', ended = :ended, heartbeat_at = :now WHERE pid = :pid "
        "AND pid_started = :pid_started AND boot = :boot AND host = :host AND (ended IS NULL OR ended = 'signal')",
        {"pid": pid, "pid_started": pid_started, "boot": boot, "host": host, "ended": ended, "now": now},
    )


def bury(db: sqlite3.Connection, *, but: str) -> int:
    """Mark runners that did not say goodbye, given that `but` holds the lock; standby ones say so themselves."""
    return db.execute(
        "UPDATE runners SET state = 'stopped', ended = 'lost' WHERE ended IS NULL AND id <> ? AND state <> 'standby'",
        (but,),
    ).rowcount


def unended(db: sqlite3.Connection, *, but: str) -> Runner | None:
    """The runner that held the home last, if it did not say goodbye and `but` holds it now."""
    row = db.execute(
        f"SELECT {_COLUMNS} FROM runners WHERE ended IS NULL AND id <> ? AND state <> 'standby' "  # noqa: S608
        "ORDER BY started_at DESC LIMIT 1",
        (but,),
    ).fetchone()
    return runner_of(row) if row else None


def latest(db: sqlite3.Connection) -> Runner | None:
    """The runner that holds or last held the home; a standby only when there was never another."""
    # Nearly always there is one that has not ended: found without sorting the many that have.
    row = db.execute(
        f"SELECT {_COLUMNS}, max(started_at) FROM runners WHERE ended IS NULL AND state <> 'standby'"  # noqa: S608
    ).fetchone()
    if row[0] is None:
        row = db.execute(
            f"SELECT {_COLUMNS} FROM runners ORDER BY state = 'standby', ended IS NOT NULL, started_at DESC LIMIT 1"  # noqa: S608
        ).fetchone()
    return runner_of(row) if row else None


def first_started(db: sqlite3.Connection) -> UnixMs | None:
    """When the oldest was started that is still known; None: there was never one."""
    return db.execute("SELECT min(started_at) FROM runners").fetchone()[0]  # type: ignore[no-any-return]


def present(db: sqlite3.Connection) -> list[Runner]:
    """Runners that did not say goodbye, those that stand by first; whether they live is for the system to say."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM runners WHERE ended IS NULL ORDER BY state <> 'standby', started_at"  # noqa: S608
    )
    return [runner_of(row) for row in rows]


def prune(db: sqlite3.Connection, *, now: UnixMs, keep: int = 200) -> int:
    """Forget the oldest ended runners beyond `keep`, and those that were killed a day ago while they stood by."""
    return db.execute(
        "DELETE FROM runners WHERE (state = 'standby' AND heartbeat_at < ?) OR (ended IS NOT NULL AND id NOT IN "
        "(SELECT id FROM runners ORDER BY started_at DESC LIMIT ?))",
        (now - DAY_MS, keep),
    ).rowcount


def runner_of(
    row: tuple[str, int, str, str, str, str, str, str | None, int, int, int, str | None, str | None],
) -> Runner:
    """The value of one row."""
    return Runner(
        id=row[0],
        pid=row[1],
        pid_started=row[2],
        boot=row[3],
        host=row[4],
        version=row[5],
        state=RunState(row[6]),
        reason=row[7],
        started_at=UnixMs(row[8]),
        heartbeat_at=UnixMs(row[9]),
        stop_seq=row[10],
        ended=row[11],
        note=row[12],
    )
