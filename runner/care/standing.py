"""Jobs that do what cannot be undone: a restored database knows of each what the replaced one knew.

One that is done stays done, and one that was begun is not begun again by itself.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass

from runner import telling
from runner.errors import Refused
from runner.fingerprint import fingerprint
from runner.store.attempts import Outcome
from runner.store.jobs import UNKNOWN_EFFECT, JobStatus
from runner.units import UnixMs

AT_WORK = f"it was begun since the backup, and its end is not known; {UNKNOWN_EFFECT}"
PRUNED = f"it ended since the backup and was let go of, so how is not known; {UNKNOWN_EFFECT}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What came along of such jobs."""

    ended: tuple[str, ...] = ()
    """Keys of those that ended since, and stay ended."""
    unknown: tuple[str, ...] = ()
    """Keys of those that were begun since, and nobody knows what became of them: dead letters."""


# What went further in the replaced database than in the backup, and not the other way round: that one may itself have
# been restored. A job that it has no more has ended there.
FURTHER = """
SELECT m.id, m.key, m.task, o.status, m.finished_at IS NULL FROM main.jobs AS m LEFT JOIN old.jobs AS o ON o.id = m.id
 WHERE m.task IN (SELECT value FROM json_each(:tasks))
   AND (m.finished_at IS NULL OR m.status = 'dead' AND o.id IS NOT NULL) AND (o.id IS NULL OR o.key = m.key)
   AND (o.id IS NULL OR o.starts > m.starts
        OR o.starts = m.starts AND o.status <> m.status AND o.status <> 'running'
           AND NOT (m.status = 'dead' AND o.status = 'pending'))
 ORDER BY m.id
"""
TASKS = "SELECT DISTINCT task FROM main.jobs WHERE finished_at IS NULL OR status = 'dead'"
ATTEMPTS = """
INSERT INTO attempts (job_id, n, runner, started_at, ended_at, outcome, error, tail, cost)
SELECT job_id, n, runner, started_at, ended_at, outcome, error, tail,
       (SELECT coalesce(sum(counted), 0) FROM main.charges AS c WHERE c.job_id = o.job_id AND c.n = o.n)
  FROM old.attempts AS o WHERE job_id = ?
ON CONFLICT DO UPDATE SET ended_at = excluded.ended_at, outcome = excluded.outcome, error = excluded.error,
                          tail = excluded.tail
"""
CLOSE = "UPDATE attempts SET outcome = ?, ended_at = ?, error = ? WHERE job_id = ? AND outcome IS NULL"
STEPS = "INSERT OR IGNORE INTO steps SELECT * FROM old.steps WHERE job_id = ?"
ALIKE = """
UPDATE main.jobs SET status = o.status, attempts = o.attempts, starts = o.starts, rescues = o.rescues,
       not_before = o.not_before, cancel = o.cancel, lease = NULL, lease_until = NULL, runner = NULL,
       waiting_gate = o.waiting_gate, waiting_on = o.waiting_on, result = o.result, error = o.error,
       fingerprint = o.fingerprint, finished_at = o.finished_at
  FROM old.jobs AS o WHERE o.id = main.jobs.id AND o.id = ?
"""
DIE = """
UPDATE main.jobs SET status = 'dead', finished_at = ?, attempts = attempts + 1, error = ?, fingerprint = ?,
       starts = max(starts, coalesce((SELECT max(n) FROM attempts WHERE job_id = main.jobs.id), 0)),
       lease = NULL, lease_until = NULL, runner = NULL, waiting_gate = NULL, waiting_on = NULL
 WHERE id = ?
"""


def bring_along(db: sqlite3.Connection, irreversible: Collection[str] | None, *, now: UnixMs) -> Standing:
    """Let the jobs of such tasks stand as in `old`, attached, which is of the same home and no older.

    In the caller's transaction, after the calls came along. None: which tasks they are is not known; raises Refused
    where that matters.
    """
    tasks = irreversible if irreversible is not None else [row[0] for row in db.execute(TASKS)]
    found = db.execute(FURTHER, {"tasks": json.dumps(sorted(tasks))}).fetchall()
    if found and irreversible is None:
        raise Refused(
            f"which tasks are irreversible is not known, and job {found[0][1]} went on since the backup: mend afk.toml "
            "and tasks/*.py first"
        )
    ended: list[str] = []
    unknown: list[str] = []
    for id, key, task, status, was_open in found:
        db.execute(ATTEMPTS, (id,))
        db.execute(STEPS, (id,))
        if status is None or status == JobStatus.RUNNING:
            error = AT_WORK if status else PRUNED
            db.execute(CLOSE, (Outcome.RESCUED, now, "its runner vanished", id))
            db.execute(DIE, (now, error, fingerprint(error, task=task), id))
            telling.dead(db, task=task, job=key, error=error, now=now)
            unknown.append(key)
        else:
            db.execute(ALIKE, (id,))
            if was_open and status != JobStatus.PENDING:
                ended.append(key)
    return Standing(ended=tuple(ended), unknown=tuple(unknown))
