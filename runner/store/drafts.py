"""Irreversible actions written down for a person to approve instead of being done. Runs in the caller's transaction."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from enum import StrEnum

from runner.store.enough import Enough, never
from runner.units import UnixMs


class DraftState(StrEnum):
    """Where a draft stands."""

    WAITING = "waiting"
    APPROVED = "approved"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDraft:
    """What drafting writes down."""

    job_id: int
    job: str
    """Key of the job that drafts it."""
    task: str
    """Of that job."""
    n: int
    name: str
    """Unique among the drafts of the job: an attempt that comes again finds its draft by it."""
    performs: str
    """The task that approval enqueues."""
    payload: str
    """JSON text, canonical."""
    priority: int
    max_attempts: int
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """One action that waits for a person, or did."""

    id: int
    job_id: int
    job: str
    task: str
    n: int
    name: str
    performs: str
    payload: str
    priority: int
    max_attempts: int
    summary: str
    at: UnixMs
    state: DraftState
    decided_at: UnixMs | None
    by: str | None
    """Who decided."""
    reason: str | None
    became: str | None
    """Key of the job that performs it; None unless approved."""


_COLUMNS = (
    "id, job_id, job_key, task, n, name, performs, payload, priority, max_attempts, summary, at, state, decided_at, "
    "by, reason, became"
)


def add(db: sqlite3.Connection, draft: NewDraft, *, now: UnixMs) -> tuple[Draft, bool]:
    """The draft of that job and name, and whether it is new: the first one of a name stands."""
    made = db.execute(
        "INSERT INTO drafts (job_id, job_key, task, n, name, performs, payload, priority, max_attempts, summary, at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (job_id, name) DO NOTHING",
        (
            *(draft.job_id, draft.job, draft.task, draft.n, draft.name, draft.performs, draft.payload),
            *(draft.priority, draft.max_attempts, draft.summary, now),
        ),
    ).rowcount
    sql = f"SELECT {_COLUMNS} FROM drafts WHERE job_id = ? AND name = ?"  # noqa: S608 - our own constant
    return _draft(db.execute(sql, (draft.job_id, draft.name)).fetchone()), bool(made)


def get(db: sqlite3.Connection, id: int) -> Draft | None:
    """One draft."""
    row = db.execute(f"SELECT {_COLUMNS} FROM drafts WHERE id = ?", (id,)).fetchone()  # noqa: S608 - our own constant
    return _draft(row) if row else None


def approve(db: sqlite3.Connection, id: int, *, became: str, by: str, now: UnixMs) -> bool:
    """Decide that it is done; False, and nothing changes, when it was decided before."""
    return bool(
        db.execute(
            "UPDATE drafts SET state = 'approved', became = ?, by = ?, decided_at = ? WHERE id = ? "
            "AND state = 'waiting'",
            (became, by, now, id),
        ).rowcount
    )


def reject(db: sqlite3.Connection, id: int, *, reason: str, by: str, now: UnixMs) -> bool:
    """Decide that it is not done; False, and nothing changes, when it was decided before."""
    return bool(
        db.execute(
            "UPDATE drafts SET state = 'rejected', reason = ?, by = ?, decided_at = ? WHERE id = ? "
            "AND state = 'waiting'",
            (reason, by, now, id),
        ).rowcount
    )


def waiting(db: sqlite3.Connection, *, limit: int = 500) -> int:
    """How many wait for a person, counted up to `limit`."""
    return int(
        db.execute("SELECT count(*) FROM (SELECT 1 FROM drafts WHERE state = 'waiting' LIMIT ?)", (limit,)).fetchone()[
            0
        ]
    )


def of_job(db: sqlite3.Connection, job_id: int) -> list[Draft]:
    """All that a job drafted, the oldest first."""
    sql = f"SELECT {_COLUMNS} FROM drafts WHERE job_id = ? ORDER BY id"  # noqa: S608 - our own constant
    return [_draft(row) for row in db.execute(sql, (job_id,))]


def newest(db: sqlite3.Connection, *, limit: int, state: DraftState | None = None) -> list[Draft]:
    """The newest drafts, those that wait first."""
    where, values = ("WHERE state = ?", [state.value]) if state is not None else ("", [])
    sql = f"SELECT {_COLUMNS} FROM drafts {where} ORDER BY state = 'waiting' DESC, id DESC LIMIT ?"  # noqa: S608
    return [_draft(row) for row in db.execute(sql, (*values, limit))]


def prunable(db: sqlite3.Connection, *, before: UnixMs, after_id: int, batch: int) -> tuple[list[int], int | None]:
    """Ids among the `batch` after `after_id` that were decided long ago and that no job can ask for again.

    A later attempt of the job that drafted it finds its draft by name, so that it is not approved twice; and what it
    became has to be over. Beside them the id to go on from, None at the end.
    """
    rows = db.execute(
        "SELECT id, state <> 'waiting' AND decided_at < ? AND NOT EXISTS (SELECT 1 FROM jobs WHERE id = drafts.job_id) "
        "AND NOT EXISTS (SELECT 1 FROM jobs WHERE key = became AND (finished_at IS NULL OR status = 'dead')) "
        "FROM drafts WHERE id > ? ORDER BY id LIMIT ?",
        (before, after_id, batch),
    ).fetchall()
    return [id for id, over in rows if over], rows[-1][0] if len(rows) == batch else None


def prune(
    db: sqlite3.Connection, *, before: UnixMs, after_id: int, batch: int, enough: Enough = never
) -> tuple[int, int | None]:
    """Delete decided drafts, one batch; how many, and the id to go on from."""
    found, last = prunable(db, before=before, after_id=after_id, batch=batch)
    for place, id in enumerate(found):
        if place and enough():
            return place, found[place - 1]
        db.execute("DELETE FROM drafts WHERE id = ?", (id,))
    return len(found), last


def _draft(row: tuple[object, ...]) -> Draft:
    fields = dict(zip(Draft.__dataclass_fields__, row, strict=True))
    return Draft(**{**fields, "state": DraftState(str(fields["state"]))})  # type: ignore[arg-type]
