"""The queue: one row a job. What claims one, and writes while it runs, is in `leases`.

All functions run in the caller's transaction.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Any, NamedTuple

from runner.store.rows import filler
from runner.units import MicroUsd, UnixMs, plural

TASK_GATE = "task:"
"""What stands before a task's name in the gate of a job whose task the runner does not know."""
UNKNOWN_EFFECT = "it does what cannot be undone and may have done it, so look what became of it before you replay it"


class JobStatus(StrEnum):
    """Where a job stands."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    HALTED = "halted"
    CANCELLED = "cancelled"
    DEAD = "dead"


class NewJob(NamedTuple):
    """What enqueueing writes down: columns of the table. A tuple, for a bulk makes a hundred thousand."""

    key: str
    task: str
    payload: str
    """JSON text."""
    not_before: UnixMs
    max_attempts: int
    priority: int = 0
    max_usd: MicroUsd | None = None
    max_seconds_ms: int | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    criteria: str | None = None
    """A JSON list of sentences; None: the task's."""


class Existing(NamedTuple):
    """What stands where a new job of the same key was to be."""

    status: JobStatus
    other_payload: bool
    """It was queued with another payload than the new one would have."""
    other_task: str | None
    """Its task, where that is another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One unit of work as it stands in the table."""

    id: int
    key: str
    task: str
    payload: str
    status: JobStatus
    priority: int
    not_before: UnixMs
    attempts: int
    """Attempts that ended and counted; a snooze leaves it as it was."""
    starts: int
    """Every start, counted or not; the number of the last attempt row."""
    rescues: int
    max_attempts: int
    max_usd: MicroUsd | None
    max_seconds_ms: int | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    criteria: str | None
    lease: str | None
    lease_until: UnixMs | None
    runner: str | None
    cancel: bool
    settled: MicroUsd
    held: MicroUsd
    waiting_gate: str | None
    """Which gate it was put back for; None: never put back since it was queued."""
    waiting_on: str | None
    result: str | None
    error: str | None
    fingerprint: str | None
    created_at: UnixMs
    finished_at: UnixMs | None

    @property
    def way_on(self) -> str:
        """The way out of a halt: its own limit ended it, so it needs more room, and a new key."""
        return f"`afk-runner enqueue {self.task} PAYLOAD --again` with more room, such as --max-usd, queues it anew"

    @property
    def no_replay(self) -> str:
        """Why a job that is not dead is given no new life."""
        way = f"; {self.way_on}" if self.status is JobStatus.HALTED else ""
        return f"it is {self.status}, not dead{way}"


COLUMNS = (
    "id, key, task, payload, status, priority, not_before, attempts, starts, rescues, max_attempts, max_usd, "
    "max_seconds_ms, max_output_tokens, max_tool_calls, criteria, lease, lease_until, runner, cancel, settled, held, "
    "waiting_gate, waiting_on, result, error, fingerprint, created_at, finished_at"
)
# The index is named, for without numbers on the home SQLite may take another one and sort every letter there is.
NEWEST_DEAD = (
    "SELECT {} FROM jobs INDEXED BY jobs_dead WHERE status = 'dead' ORDER BY finished_at DESC, id DESC LIMIT ?"
)


_filled = filler(Job)
_set_status, _set_cancel = (getattr(Job, name).__set__ for name in ("status", "cancel"))
_STATUS = {status.value: status for status in JobStatus}


def job_of(row: Sequence[Any]) -> Job:
    """The value of one row selected as `COLUMNS`."""
    job = _filled(row)
    _set_status(job, _STATUS[job.status])
    _set_cancel(job, job.cancel != 0)
    return job


def content_key(task: str, payload: str) -> str:
    """The key of a job that was given none: the same task and canonical payload are the same job."""
    digest = hashlib.sha256(f"{task}\n{payload}".encode()).hexdigest()
    return f"{task}-{digest[:16]}"


canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
"""JSON text in which equal payloads are equal. Raises ValueError for NaN and infinities, TypeError, RecursionError."""


AT_ONCE = 50
"""Jobs one statement inserts: each costs half of what it does alone, and more of them hardly less."""


def _insert(rows: int) -> str:
    row = f"({', '.join('?' * len(NewJob._fields))}, ?)"
    names = ", ".join(NewJob._fields)
    return f"INSERT INTO jobs ({names}, created_at) VALUES {', '.join([row] * rows)} ON CONFLICT (key) DO NOTHING"  # noqa: S608 - our own constants


INSERT, INSERT_MANY = _insert(1), _insert(AT_ONCE)


def insert(db: sqlite3.Connection, new: NewJob, *, now: UnixMs) -> int | None:
    """Write one pending job; its id, or None when the key exists already."""
    cursor = db.execute(INSERT, (*new, now))
    return cursor.lastrowid if cursor.rowcount else None


def insert_all(db: sqlite3.Connection, new: Sequence[NewJob], *, now: UnixMs) -> list[Existing | None]:
    """Write pending jobs, in their order. For each None, or what had its key before.

    One that stands twice among them is added once.
    """
    became: list[Existing | None] = []
    at = (now,)
    for start in range(0, len(new), AT_ONCE):
        some = new[start : start + AT_ONCE]
        if len(some) < AT_ONCE:
            became += [_existing(db, job) if insert(db, job, now=now) is None else None for job in some]
            continue
        newest = db.execute("SELECT max(id) FROM jobs").fetchone()[0] or 0
        added = db.execute(INSERT_MANY, [*chain.from_iterable(chain.from_iterable((job, at) for job in some))]).rowcount
        became += [None] * AT_ONCE if added == AT_ONCE else _became(db, some, newest)
    return became


def _existing(db: sqlite3.Connection, job: NewJob) -> Existing:
    """What has the key of a job that was not added. Payloads are compared where they lie: one may have a megabyte."""
    row = db.execute(
        "SELECT status, payload <> ?, nullif(task, ?) FROM jobs WHERE key = ?", (job.payload, job.task, job.key)
    ).fetchone()
    return Existing(_STATUS[row[0]], row[1] != 0, row[2])


def _became(db: sqlite3.Connection, some: Sequence[NewJob], newest: int) -> list[Existing | None]:
    """What `insert_all` says of jobs, of which those with an id above `newest` were added just now."""
    marks = ", ".join("?" * len(some))
    rows = db.execute(f"SELECT key, id FROM jobs WHERE key IN ({marks})", [job.key for job in some])  # noqa: S608 - marks only
    added = {key for key, id in rows if id > newest}
    became: list[Existing | None] = []
    for job in some:
        became.append(None if job.key in added else _existing(db, job))
        added.discard(job.key)
    return became


def last_beginning(db: sqlite3.Connection, prefix: str) -> Job | None:
    """The job whose key begins like this and is the last in order; found in the index of keys."""
    sql = f"SELECT {COLUMNS} FROM jobs WHERE key >= ? AND key < ? ORDER BY key DESC LIMIT 1"  # noqa: S608 - our own constant
    row = db.execute(sql, (prefix, f"{prefix[:-1]}{chr(ord(prefix[-1]) + 1)}")).fetchone()
    return job_of(row) if row else None


def by_key(db: sqlite3.Connection, key: str) -> Job | None:
    """The job of that key."""
    row = db.execute(f"SELECT {COLUMNS} FROM jobs WHERE key = ?", (key,)).fetchone()  # noqa: S608 - our own constant
    return job_of(row) if row else None


def by_id(db: sqlite3.Connection, id: int) -> Job | None:
    """The job of that id, which no other job ever gets."""
    row = db.execute(f"SELECT {COLUMNS} FROM jobs WHERE id = ?", (id,)).fetchone()  # noqa: S608 - our own constant
    return job_of(row) if row else None


MOST_AHEAD = 1_000
"""How far the jobs ahead of a due one are counted."""
_AHEAD = """
SELECT task, count(*) FROM (
    SELECT * FROM (SELECT task FROM jobs WHERE status = 'pending' AND priority > :priority AND not_before <= :now
                    LIMIT :most)
    UNION ALL
    SELECT * FROM (SELECT task FROM jobs WHERE status = 'pending' AND priority = :priority
                      AND (not_before, id) < (:not_before, :id) LIMIT :most))
 GROUP BY task ORDER BY count(*) DESC, task
"""


def ahead_of(db: sqlite3.Connection, job: Job, *, now: UnixMs) -> str | None:
    """How many due jobs are claimed before this one, and whose they are, in words; None when there is none."""
    known = {"priority": job.priority, "now": now, "not_before": job.not_before, "id": job.id, "most": MOST_AHEAD}
    found = db.execute(_AHEAD, known).fetchall()
    jobs = min(MOST_AHEAD, sum(number for _, number in found))
    if not jobs:
        return None
    most = "at least " if jobs == MOST_AHEAD else ""
    task, number = found[0]
    all_of_it = number == jobs < MOST_AHEAD
    whose = f", all of {task}" if all_of_it else f", most of them of {task}" if 2 * number > jobs else ""
    return f"{most}{plural(jobs, 'job is', 'jobs are')} ahead of it{whose}"


def first_by(job: Job) -> str:
    """How one like it gets ahead of such jobs, in words."""
    return f"`priority` of task {job.task}, or `enqueue --priority`, puts the next one ahead"


def wake(db: sqlite3.Connection, *, gate: str, now: UnixMs, limit: int = 500) -> int:
    """Make jobs that wait for a gate due at once, as a person lifted it; how many. Call again while it is `limit`."""
    return db.execute(
        "UPDATE jobs SET not_before = ?, waiting_gate = NULL, waiting_on = NULL WHERE id IN "
        "(SELECT id FROM jobs WHERE status = 'pending' AND waiting_gate = ? LIMIT ?)",
        (now, gate, limit),
    ).rowcount


def cancel(db: sqlite3.Connection, *, id: int, now: UnixMs) -> JobStatus | None:
    """Cancel a pending job, or ask for the end of a running one; its status after, None when it has finished."""
    row = db.execute(
        "UPDATE jobs SET status = 'cancelled', finished_at = ?, waiting_gate = NULL, waiting_on = NULL "
        "WHERE id = ? AND status IN ('pending') RETURNING status",
        (now, id),
    ).fetchone()
    if row is None:
        row = db.execute(
            "UPDATE jobs SET cancel = 1 WHERE id = ? AND status = 'running' RETURNING status", (id,)
        ).fetchone()
    return JobStatus(row[0]) if row else None


def remove(db: sqlite3.Connection, *, id: int) -> bool:
    """Delete a finished or dead job with its attempts and steps; False when it is unfinished or gone."""
    return bool(db.execute("DELETE FROM jobs WHERE id = ? AND status NOT IN ('pending', 'running')", (id,)).rowcount)


def replay(db: sqlite3.Connection, *, id: int, now: UnixMs) -> bool:
    """Give a dead job a new life: attempts to 0, history and steps kept; False when it is not dead."""
    return bool(
        db.execute(
            "UPDATE jobs SET status = 'pending', attempts = 0, rescues = 0, cancel = 0, not_before = ?, "
            "finished_at = NULL, waiting_gate = NULL, waiting_on = NULL WHERE id = ? AND status = 'dead'",
            (now, id),
        ).rowcount
    )


UNREPLAY = """
UPDATE jobs SET status = 'dead', not_before = :not_before, attempts = :attempts, rescues = :rescues, cancel = :cancel,
                finished_at = :died_at, waiting_gate = NULL, waiting_on = NULL
 WHERE id = :id AND status = 'pending' AND starts = :starts
"""


def unreplay(
    db: sqlite3.Connection,
    *,
    id: int,
    starts: int,
    not_before: UnixMs,
    attempts: int,
    rescues: int,
    cancel: bool,
    died_at: UnixMs,
) -> bool:
    """Make a replayed job dead again, as it was; False when it was claimed since or does not wait any more."""
    values = {"id": id, "starts": starts, "not_before": not_before, "attempts": attempts, "rescues": rescues}
    return bool(db.execute(UNREPLAY, {**values, "cancel": int(cancel), "died_at": died_at}).rowcount)


def waiting_by_gate(db: sqlite3.Connection, *, now: UnixMs, limit: int) -> list[tuple[str, int, UnixMs]]:
    """Gate, jobs that wait for it and when the first of them looks again, among the first `limit` that were put back.

    One that is due by now waits for a worker and for no gate, whatever it was put back for.
    """
    rows = db.execute(
        "SELECT waiting_gate, count(*), min(not_before) FROM (SELECT waiting_gate, not_before FROM jobs "
        "WHERE status = 'pending' AND waiting_gate IS NOT NULL LIMIT ?) WHERE not_before > ? "
        "GROUP BY waiting_gate ORDER BY waiting_gate",
        (limit, now),
    )
    return [(gate, count, UnixMs(at)) for gate, count, at in rows]


def next_due(db: sqlite3.Connection, *, after: UnixMs) -> UnixMs | None:
    """When the earliest pending job that is not due yet becomes due. One seek a priority in use."""
    row = db.execute(
        """
        WITH RECURSIVE step (priority) AS (
            SELECT max(priority) FROM jobs WHERE status = 'pending'
            UNION ALL
            SELECT (SELECT max(priority) FROM jobs WHERE status = 'pending' AND priority < step.priority)
              FROM step WHERE step.priority IS NOT NULL)
        SELECT min((SELECT min(not_before) FROM jobs WHERE status = 'pending' AND priority = step.priority
                    AND not_before > ?)) FROM step
        """,
        (after,),
    ).fetchone()
    return UnixMs(row[0]) if row and row[0] is not None else None


def tasks_of_dead(db: sqlite3.Connection, *, most: int) -> set[str] | None:
    """Tasks that have dead letters; None when there are more than `most` letters to look at."""
    if int(db.execute("SELECT dead FROM board").fetchone()[0]) > most:
        return None
    rows = db.execute("SELECT task FROM jobs INDEXED BY jobs_dead_error WHERE status = 'dead'")
    return {row[0] for row in rows}


def finished(db: sqlite3.Connection) -> int:
    """How many jobs have finished and are not dead."""
    return int(db.execute("SELECT done + halted + cancelled FROM board").fetchone()[0])


class Prunable(NamedTuple):
    """What pruning finds among a stretch of ids."""

    ids: list[int]
    """Of jobs that go."""
    ended: int
    """Jobs of the stretch that go now or once they are old."""
    last: int | None
    """The id to go on from; None at the end."""


def prunable(db: sqlite3.Connection, *, before: UnixMs, over: int, after_id: int, batch: int) -> Prunable:
    """What pruning takes of the `batch` jobs after an id. `over`: how many more there are than are kept."""
    rows = db.execute(
        "SELECT id, status IN ('done', 'halted', 'cancelled') AND held = 0, finished_at FROM jobs "
        "WHERE id > ? ORDER BY id LIMIT ?",
        (after_id, batch),
    ).fetchall()
    ids: list[int] = []
    for id, ended, finished_at in rows:
        if ended and (finished_at < before or len(ids) < over):
            ids.append(id)
    return Prunable(ids, sum(row[1] for row in rows), rows[-1][0] if len(rows) == batch else None)


def protected(db: sqlite3.Connection, ids: Sequence[int]) -> set[int]:
    """Those among some ids whose job is unfinished, dead, or has a hold open: nothing of them is let go of."""
    marks = ", ".join("?" * len(ids))
    rows = db.execute(
        f"SELECT id FROM jobs WHERE id IN ({marks}) AND (status IN ('pending', 'running', 'dead') OR held > 0)",  # noqa: S608
        tuple(ids),
    )
    return {row[0] for row in rows}
