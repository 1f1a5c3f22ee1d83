"""Schedules and their slots: one row for every due time that was dealt with. Runs in the caller's transaction."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from runner.units import DAY_MS, MINUTE_MS, UnixMs

KEEP = 2_000
"""Slots of each schedule that are kept whatever their age."""
RECENT_MS = 2 * DAY_MS
"""Slots younger than this are all kept: a clock that is set back meets them again."""
GRACE_MS = 2 * MINUTE_MS
"""A slot that nobody dealt with for so long is overdue."""
SKIPS, SKIPS_MS = 3, DAY_MS
"""A schedule of which so many slots in a row, over so long, were skipped does not do its work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One schedule as the last runner declared it."""

    name: str
    """Of its task."""
    spec: str
    policy: str
    """What holds of its slots beside the usual, in words; may be empty."""
    since: UnixMs
    """No slot before this was ever owed. Later than now when a clock that was ahead wrote it."""
    dealt_to: UnixMs
    """Every slot up to here was dealt with. Later than now when a clock that was ahead wrote it."""
    next_at: UnixMs | None
    """The first due time after the last look. None: nothing more to come."""
    waiting: int
    """Slots before `next_at` that wait until an earlier one's job has ended."""
    last_slot: UnixMs | None
    """The newest due time up to now that was dealt with, fired or skipped."""
    skips: int
    """Slots in a row that were skipped although nobody wanted it, as a pause or the running hours would."""
    skips_since: UnixMs | None
    """When the first of them was due."""
    overlap: int
    """Jobs of its slots that may be unfinished at the same time."""
    priority: int
    """Of its jobs, as is the next."""
    max_attempts: int

    def overdue_ms(self, now: UnixMs) -> int:
        """How long a slot has been due that nobody dealt with; 0: there is none, or none to speak of yet."""
        late = now - self.next_at if self.next_at is not None else 0
        return late if late > GRACE_MS else 0

    def skips_all(self, now: UnixMs) -> bool:
        """Whether every slot has been skipped for so long that somebody should know."""
        return self.skips >= SKIPS and self.skips_since is not None and now - self.skips_since >= SKIPS_MS


def declare(
    db: sqlite3.Connection,
    *,
    name: str,
    spec: str,
    now: UnixMs,
    policy: str = "",
    overlap: int = 1,
    priority: int = 0,
    max_attempts: int = 4,
    next_at: UnixMs | None = None,
) -> None:
    """Write a schedule down; one whose declaration changed starts anew and owes nothing of the past.

    `next_at`: its first due time from now on; one that stands as it was keeps its own.
    """
    db.execute(
        "INSERT INTO schedules (name, spec, policy, since, dealt_to, next_at, overlap, priority, max_attempts) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET since = iif(spec = excluded.spec, since, excluded.since), "
        "dealt_to = iif(spec = excluded.spec, dealt_to, excluded.dealt_to), "
        "waiting = iif(spec = excluded.spec, waiting, 0), skips = iif(spec = excluded.spec, skips, 0), "
        "next_at = iif(spec = excluded.spec, next_at, excluded.next_at), spec = excluded.spec, "
        "policy = excluded.policy, overlap = excluded.overlap, priority = excluded.priority, "
        "max_attempts = excluded.max_attempts",
        (name, spec, policy, now, now, next_at, overlap, priority, max_attempts),
    )


def forget_others(db: sqlite3.Connection, names: list[str]) -> None:
    """Drop schedules that are declared no more; their slots stay."""
    marks = ", ".join("?" * len(names))
    db.execute(f"DELETE FROM schedules WHERE name NOT IN ({marks})", names)  # noqa: S608 - marks only


def set_next(db: sqlite3.Connection, *, name: str, at: UnixMs | None) -> None:
    """Say when the schedule is due next."""
    db.execute("UPDATE schedules SET next_at = ? WHERE name = ? AND next_at IS NOT ?", (at, name, at))


def dealt(db: sqlite3.Connection, *, name: str, to: UnixMs, waiting: int) -> None:
    """Every slot up to a time is settled, and so many after it wait for their turn."""
    db.execute(
        "UPDATE schedules SET dealt_to = ?, waiting = ? WHERE name = ? AND (dealt_to <> ? OR waiting <> ?)",
        (to, waiting, name, to, waiting),
    )


def skipped(db: sqlite3.Connection, *, name: str, slots: int, first: UnixMs) -> None:
    """Count slots that nobody wanted skipped, the first of them due then."""
    db.execute(
        "UPDATE schedules SET skips_since = iif(skips, min(skips_since, :first), :first), skips = skips + :slots "
        "WHERE name = :name",
        {"name": name, "slots": slots, "first": first},
    )


def forget_skips(db: sqlite3.Connection, *, name: str) -> None:
    """Begin to count anew: it fired, or a person chose that it does not."""
    db.execute("UPDATE schedules SET skips = 0 WHERE name = ? AND skips <> 0", (name,))


def take_slot(
    db: sqlite3.Connection,
    *,
    schedule: str,
    due_at: UnixMs,
    now: UnixMs,
    job_key: str | None = None,
    skipped: str | None = None,
) -> bool:
    """Deal with one due time, once; False when it was dealt with before. Only `forget_ahead` takes a skip back."""
    return bool(
        db.execute(
            "INSERT INTO slots (schedule, due_at, at, job_key, skipped, open) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT DO NOTHING",
            (schedule, due_at, now, job_key, skipped, job_key is not None),
        ).rowcount
    )


def all_of(db: sqlite3.Connection, *, now: UnixMs) -> list[Schedule]:
    """Every declared schedule by name."""
    rows = db.execute(
        "SELECT name, spec, policy, since, dealt_to, next_at, waiting, "
        "(SELECT max(due_at) FROM slots WHERE schedule = name AND due_at <= ?), overlap, priority, max_attempts, "
        "skips, iif(skips, skips_since, NULL) FROM schedules ORDER BY name",
        (now,),
    )
    return [
        Schedule(
            name=row[0],
            spec=row[1],
            policy=row[2],
            since=row[3],
            dealt_to=row[4],
            next_at=row[5],
            waiting=row[6],
            last_slot=row[7],
            overlap=row[8],
            priority=row[9],
            max_attempts=row[10],
            skips=row[11],
            skips_since=row[12],
        )
        for row in rows
    ]


def get(db: sqlite3.Connection, name: str, *, now: UnixMs) -> Schedule | None:
    """One schedule."""
    return next((schedule for schedule in all_of(db, now=now) if schedule.name == name), None)


def forget_ahead(db: sqlite3.Connection, *, name: str, now: UnixMs) -> None:
    """Take back what a clock that was ahead did: what lies in the future is not over, and slots it skipped come again.

    Slots that became a job stay, whenever they are due: they must not fire twice.
    """
    db.execute(
        "UPDATE schedules SET since = min(since, :now), dealt_to = min(dealt_to, :now), "
        "skips = iif(skips_since > :now, 0, skips) "
        "WHERE name = :name AND max(since, dealt_to) > :now",
        {"name": name, "now": now},
    )
    db.execute("DELETE FROM slots WHERE schedule = ? AND due_at > ? AND job_key IS NULL", (name, now))


def settled_since(db: sqlite3.Connection, name: str, due_at: UnixMs) -> set[UnixMs]:
    """Due times from one on that were dealt with."""
    rows = db.execute("SELECT due_at FROM slots WHERE schedule = ? AND due_at >= ?", (name, due_at))
    return {UnixMs(row[0]) for row in rows}


def open_slots(db: sqlite3.Connection, name: str) -> list[tuple[UnixMs, str]]:
    """Due time and job key of the slots whose job was not over when it was last looked at, in order."""
    rows = db.execute(  # by name, as SQLite prefers the key of the table, under which there may be 170,000
        "SELECT due_at, job_key FROM slots INDEXED BY slots_open WHERE schedule = ? AND open = 1 ORDER BY due_at",
        (name,),
    )
    return [(UnixMs(row[0]), row[1]) for row in rows]


def close_slot(db: sqlite3.Connection, *, schedule: str, due_at: UnixMs) -> None:
    """The job of a slot is over."""
    db.execute("UPDATE slots SET open = 0 WHERE schedule = ? AND due_at = ?", (schedule, due_at))


def reopen(db: sqlite3.Connection) -> None:
    """Open every slot whose job is not over: an older program writes down none as open, and a replay opens none."""
    db.execute(
        "UPDATE slots SET open = 1 WHERE open = 0 "
        "AND job_key IN (SELECT key FROM jobs WHERE status = 'pending' OR status = 'running')"
    )


_TOO_OLD = """
  FROM slots WHERE schedule = :name AND due_at < min(
    :recent,
    coalesce((SELECT due_at FROM slots WHERE schedule = :name AND due_at <= :now
               ORDER BY due_at DESC LIMIT 1 OFFSET :others), 0),
    coalesce((SELECT max(due_at) FROM slots
               WHERE schedule = :name AND due_at <= :now AND job_key IS NOT NULL), :now))
   AND open = 0
"""


def too_old(db: sqlite3.Connection, *, now: UnixMs, keep: int = KEEP) -> int:
    """How many slots `prune` would delete, until it finds no more."""
    found = 0
    name = _next_name(db, "")
    while name is not None:
        found += db.execute(
            f"SELECT count(*) {_TOO_OLD}",
            {"name": name, "recent": now - RECENT_MS, "now": now, "others": keep - 1},
        ).fetchone()[0]
        name = _next_name(db, name)
    return found


def prune(db: sqlite3.Connection, *, now: UnixMs, keep: int = KEEP, batch: int) -> int:
    """Delete the oldest slots beyond the newest `keep` of their schedule, at most `batch`; how many went.

    None that keeps another from firing goes: not the newest, not the newest that fired, none whose job is not over,
    nothing ahead of the clock.
    """
    gone = 0
    name = _next_name(db, "")
    while name is not None and gone < batch:
        gone += db.execute(
            f"DELETE FROM slots WHERE schedule = :name AND due_at IN (SELECT due_at {_TOO_OLD} "  # noqa: S608
            "ORDER BY due_at LIMIT :most)",
            {"name": name, "recent": now - RECENT_MS, "now": now, "others": keep - 1, "most": batch - gone},
        ).rowcount
        name = _next_name(db, name)
    return gone


def _next_name(db: sqlite3.Connection, name: str) -> str | None:
    """One seek, where DISTINCT would read every slot."""
    row = db.execute("SELECT min(schedule) FROM slots WHERE schedule > ?", (name,)).fetchone()
    return None if row[0] is None else str(row[0])
