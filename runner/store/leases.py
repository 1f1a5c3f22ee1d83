"""What holds a running job: the claim, its lease, and what ends it or puts it back. Every write names the lease token.

All functions run in the caller's transaction.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from runner.errors import LeaseLost
from runner.fingerprint import fingerprint
from runner.store.jobs import COLUMNS, Job, JobStatus, job_of
from runner.units import UnixMs

MAX_RESCUES = 3
"""A job whose runner vanished under it more often than this is a poison pill; from there on it runs alone, so that
no other one ever is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A runner's time-limited claim."""

    runner: str
    token: str
    until: UnixMs


def _fingerprint_of(db: sqlite3.Connection, id: int, error: str | None) -> str | None:
    """The same for an error of a job; None for none, which costs nothing."""
    if not error:
        return None
    row = db.execute("SELECT task FROM jobs WHERE id = ?", (id,)).fetchone()
    return fingerprint(error, task=row[0]) if row else None


TAKE = """
UPDATE jobs SET status = 'running', lease = ?, lease_until = ?, runner = ?, starts = starts + 1,
                waiting_gate = NULL, waiting_on = NULL
 WHERE id = ? AND status = 'pending'
"""
_AS_TAKEN = {
    **{"status": "'running'", "lease": "?", "lease_until": "?", "runner": "?", "starts": "starts + 1"},
    **{"waiting_gate": "NULL", "waiting_on": "NULL"},
}
_TAKEN = ", ".join(_AS_TAKEN.get(name, name) for name in COLUMNS.split(", "))
"""The columns as they are once it is taken: a RETURNING opens a tree of its own, which costs as much as the update."""

_SUSPECT_RUNS = "EXISTS (SELECT 1 FROM jobs INDEXED BY jobs_suspect WHERE status = 'running' AND rescues > 0)"

# What nearly every claim takes: the head of the queue, found by one seek and without a recursion.
HEAD = f"""
SELECT {_TAKEN}, not_before <= ? AND rescues = 0 AND NOT {_SUSPECT_RUNS} FROM jobs
 WHERE status = 'pending' ORDER BY priority DESC, not_before, id LIMIT 1
"""  # noqa: S608 - our own constants

# One seek a priority in use, so that urgent jobs of next week do not slow down the claims of today.
# A job whose runner vanished under it is a suspect: beside it runs no other suspect, and nothing at all on its last
# chance. So what kills runners is found out, and what only ran beside it is not taken for it.
DUE = f"""
WITH RECURSIVE step (priority) AS (
    SELECT max(priority) FROM jobs WHERE status = 'pending'
    UNION ALL
    SELECT (SELECT max(priority) FROM jobs WHERE status = 'pending' AND priority < step.priority)
      FROM step WHERE step.priority IS NOT NULL
)
SELECT {_TAKEN}, TRUE FROM jobs
 WHERE id = (SELECT (SELECT id FROM jobs WHERE status = 'pending' AND priority = step.priority AND not_before <= ?
                        AND (rescues = 0 OR rescues >= {MAX_RESCUES} OR NOT {_SUSPECT_RUNS})
                     ORDER BY not_before, id LIMIT 1) AS due
               FROM step WHERE due IS NOT NULL LIMIT 1)
   AND (rescues < {MAX_RESCUES} OR NOT EXISTS (SELECT 1 FROM jobs WHERE status = 'running'))
   AND NOT EXISTS (SELECT 1 FROM jobs WHERE status = 'running' AND rescues >= {MAX_RESCUES})
"""  # noqa: S608 - our own constants


def claim(db: sqlite3.Connection, *, now: UnixMs, lease: Lease) -> Job | None:
    """Lease the most urgent due job (priority, due time, id) to the caller; None when nothing may be started now.

    Taking names the status that was found, so two runners cannot leave with the same job.
    """
    values = (lease.token, lease.until, lease.runner, now)
    row = db.execute(HEAD, values).fetchone()
    if row is not None and not row[-1]:
        row = db.execute(DUE, values).fetchone()
    if row is None:
        return None
    job = job_of(row[:-1])
    return job if db.execute(TAKE, (*values[:3], job.id)).rowcount else None


def suspect_running(db: sqlite3.Connection) -> Job | None:
    """The running job that a runner was lost under before, if there is one."""
    row = db.execute(f"SELECT {COLUMNS} FROM jobs WHERE status = 'running' AND rescues > 0").fetchone()  # noqa: S608 - our own constant
    return job_of(row) if row else None


def renew(db: sqlite3.Connection, *, runner: str, until: UnixMs) -> int:
    """Move the lease end of all a runner's jobs; how many."""
    return db.execute(
        "UPDATE jobs SET lease_until = ? WHERE status = 'running' AND runner = ?", (until, runner)
    ).rowcount


def check_lease(db: sqlite3.Connection, *, id: int, token: str) -> None:
    """Raises LeaseLost unless the job is running under that token."""
    row = db.execute("SELECT 1 FROM jobs WHERE id = ? AND status = 'running' AND lease = ?", (id, token)).fetchone()
    if row is None:
        raise LeaseLost(f"job {id} is not leased under this token any more; nothing was written")


FINISH = """
UPDATE jobs SET status = ?, finished_at = ?, attempts = attempts + ?, result = ?, error = ?, fingerprint = ?,
                lease = NULL, lease_until = NULL, runner = NULL, waiting_gate = NULL, waiting_on = NULL
 WHERE id = ? AND status = 'running' AND lease = ?
"""


def finish(
    db: sqlite3.Connection,
    *,
    id: int,
    token: str,
    status: JobStatus,
    now: UnixMs,
    counted: bool = True,
    result: str | None = None,
    error: str | None = None,
) -> None:
    """End a job for good. Raises LeaseLost, and changes nothing, when the token is not the job's any more."""
    changed = db.execute(
        FINISH,
        (status, now, int(counted), result, error, _fingerprint_of(db, id, error), id, token),
    ).rowcount
    if not changed:
        raise LeaseLost(f"job {id} is not leased under this token any more; its outcome {status} was not written")


PUT_BACK = """
UPDATE jobs SET status = 'pending', not_before = :not_before, attempts = attempts + :counted,
                rescues = rescues + :rescued,
                error = coalesce(:error, error), fingerprint = coalesce(:fingerprint, fingerprint),
                lease = NULL, lease_until = NULL, runner = NULL, waiting_gate = :gate, waiting_on = :fact
 WHERE id = :id AND status = 'running' AND lease = :token
"""


def put_back(
    db: sqlite3.Connection,
    *,
    id: int,
    token: str,
    not_before: UnixMs,
    gate: str,
    fact: str,
    counted: bool,
    rescued: bool = False,
    error: str | None = None,
) -> None:
    """Return a job to the queue with the reason and the time it lifts. `counted`: this was an attempt.

    Raises LeaseLost, and changes nothing, when the token is not the job's any more.
    """
    changed = db.execute(
        PUT_BACK,
        {
            "id": id,
            "token": token,
            "not_before": not_before,
            "counted": int(counted),
            "rescued": int(rescued),
            "error": error,
            "fingerprint": _fingerprint_of(db, id, error),
            "gate": gate,
            "fact": fact,
        },
    ).rowcount
    if not changed:
        raise LeaseLost(f"job {id} is not leased under this token any more; it was not put back")


def unclaim(db: sqlite3.Connection, *, id: int, not_before: UnixMs, gate: str, fact: str) -> None:
    """Undo a claim of this very transaction: the job goes behind a gate as if it had never been started."""
    db.execute(
        "UPDATE jobs SET status = 'pending', lease = NULL, lease_until = NULL, runner = NULL, starts = starts - 1, "
        "not_before = ?, waiting_gate = ?, waiting_on = ? WHERE id = ? AND status = 'running'",
        (not_before, gate, fact, id),
    )


def orphans(db: sqlite3.Connection, *, runner: str) -> list[Job]:
    """Running jobs that no live runner works on, given that `runner` holds the home's lock."""
    rows = db.execute(
        f"SELECT {COLUMNS} FROM jobs WHERE status = 'running' AND runner <> ?",  # noqa: S608 - our own constant
        (runner,),
    ).fetchall()
    return [job_of(row) for row in rows]


def cancel_asked(db: sqlite3.Connection, *, id: int) -> bool:
    """Whether a person asked for the end of a running job."""
    return db.execute("SELECT 1 FROM jobs WHERE id = ? AND cancel = 1", (id,)).fetchone() is not None


def cancel_requests(db: sqlite3.Connection, *, runner: str) -> list[int]:
    """Ids of running jobs of this runner that a person asked to end."""
    rows = db.execute("SELECT id FROM jobs WHERE status = 'running' AND cancel = 1 AND runner = ?", (runner,))
    return [int(row[0]) for row in rows]
