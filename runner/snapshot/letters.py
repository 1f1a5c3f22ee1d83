"""Dead letters by their error, and what a replay of some of them would mean."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from runner.store import jobs
from runner.store.jobs import UNKNOWN_EFFECT, Job, JobStatus
from runner.units import MicroUsd, UnixMs
from runner.views import beginning, columns

MOST = 1_000
"""Letters of one act, and the newest that are known by their ids."""
MOST_GROUPS = 100
"""Errors that are listed; there are few, unless every error has a first line of its own."""
SAMPLE = 50
"""Newest letters of an error that are known by their ids though the error is folded."""
FEWEST = 10
"""Letters that an unfolded error lists, however many errors there are."""
FEW = 20
"""Letters that are all shown at once; when there are more, it begins with the errors alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadGroup:
    """The dead letters that share an error."""

    fingerprint: str
    """Empty: they died without an error."""
    error: str
    """Of the newest; cut."""
    jobs: int
    tasks: tuple[str, ...]
    """Of the newest `SAMPLE`, by name."""
    first_at: UnixMs
    """When the oldest of them died."""
    last_at: UnixMs
    """When the newest died."""
    ids: tuple[int, ...]
    """The newest `SAMPLE`, newest first."""
    died: tuple[UnixMs, ...]
    """When these died."""
    listed: tuple[Job, ...] = ()
    """The newest, as many as were asked for; long texts are cut. Empty: folded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadPage:
    """Every dead letter, as a screen shows them."""

    groups: tuple[DeadGroup, ...] = ()
    """The one with the newest death first."""
    more_groups: bool = False
    """There are errors whose last death was longer ago than that of all these."""
    total: int = 0
    unfolded: bool = False
    """The errors that nobody folded or unfolded list their letters."""
    ids: tuple[int, ...] = ()
    """The newest `MOST` letters of any error, newest first: what "all" means."""
    died: tuple[UnixMs, ...] = ()
    """When these died."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayPlan:
    """A set of dead jobs, frozen, and what there is to know before they live or go."""

    ids: tuple[int, ...]
    """Newest first; all of them were dead when this was read."""
    keys: tuple[str, ...]
    gone: int = 0
    """Of those that were named, dead no more: not in the set."""
    older: int = 0
    """Of the same error, left out because one act takes `MOST`."""
    newer: int = 0
    """Of the same error, dead since the list was shown, and not in the set. Counted up to `MOST`."""
    spent: MicroUsd
    """What they cost so far, holds included."""
    estimate: MicroUsd
    """What they cost if each does once more what its dearest attempt did."""
    effects: int
    """How many have recorded steps, which are kept."""
    unknown: int
    """How many may have done what cannot be undone, and nobody knows."""


_NEWEST = "ORDER BY finished_at DESC, id DESC LIMIT ?"
_OF_GROUP = "FROM jobs INDEXED BY jobs_dead_error WHERE status = 'dead' AND fingerprint IS ?"


_OLDEST_FIRST = "WHERE status = 'dead' {} ORDER BY finished_at, id"
_ALL_IDS = f"SELECT id FROM jobs INDEXED BY jobs_dead {_OLDEST_FIRST.format('')}"  # noqa: S608 - our own words
_IDS_OF_ERROR = f"SELECT id FROM jobs INDEXED BY jobs_dead_error {_OLDEST_FIRST.format('AND fingerprint = ?')}"  # noqa: S608


def ids(db: sqlite3.Connection, *, fingerprint: str | None) -> tuple[int, ...]:
    """Every dead letter, or those of an error; the newest death last, whatever was queued last."""
    rows = db.execute(_ALL_IDS) if fingerprint is None else db.execute(_IDS_OF_ERROR, (fingerprint,))
    return tuple(int(row[0]) for row in rows)


def page(
    db: sqlite3.Connection,
    *,
    unfolded: bool | None = None,
    turned: frozenset[str] = frozenset(),
    reach: dict[str, int] | None = None,
) -> DeadPage:
    """The groups, and the letters of those that are unfolded.

    `unfolded`: whether groups list their letters; None: when there are few of them. `turned`: the groups that are the
    other way round. `reach`: how many letters a group lists; others list `SAMPLE`, or fewer where groups are many.
    """
    total = int(db.execute("SELECT dead FROM board").fetchone()[0])
    unfolded = total <= FEW if unfolded is None else unfolded
    rows = db.execute(
        "SELECT fingerprint, jobs, last_at FROM dead_groups ORDER BY last_at DESC, fingerprint DESC LIMIT ?",
        (MOST_GROUPS + 1,),
    ).fetchall()
    shown = max(FEWEST, min(SAMPLE, MOST // max(1, len(rows))))
    groups = []
    for fingerprint, number, last_at in rows[:MOST_GROUPS]:
        listing = unfolded != (fingerprint in turned)
        limit = min(MOST, (reach or {}).get(fingerprint, shown)) if listing else 0
        groups.append(_group(db, fingerprint, number, last_at, limit))
    newest = db.execute(jobs.NEWEST_DEAD.format("id, finished_at"), (MOST,)).fetchall()
    return DeadPage(
        groups=tuple(groups),
        more_groups=len(rows) > MOST_GROUPS,
        total=total,
        unfolded=unfolded,
        ids=tuple(row[0] for row in newest),
        died=tuple(row[1] for row in newest),
    )


def _group(db: sqlite3.Connection, fingerprint: str, number: int, last_at: UnixMs, limit: int) -> DeadGroup:
    value = fingerprint or None
    newest = f"SELECT id, finished_at, task {_OF_GROUP} {_NEWEST}"
    sample = db.execute(newest, (value, SAMPLE)).fetchall()
    first = db.execute(f"SELECT min(finished_at) {_OF_GROUP}", (value,)).fetchone()[0]
    error = db.execute(f"SELECT {beginning('error')} FROM jobs WHERE id = ?", (sample[0][0],)).fetchone()[0]  # noqa: S608
    sql = f"SELECT {columns(cut=True)} {_OF_GROUP} {_NEWEST}"
    listed = tuple(jobs.job_of(row) for row in db.execute(sql, (value, limit))) if limit else ()
    return DeadGroup(
        fingerprint=fingerprint,
        error=error or "",
        jobs=number,
        tasks=tuple(sorted({row[2] for row in sample})),
        first_at=first,
        last_at=last_at,
        ids=tuple(row[0] for row in sample),
        died=tuple(row[1] for row in sample),
        listed=listed,
    )


def plan_of(db: sqlite3.Connection, ids: Sequence[int]) -> ReplayPlan:
    """What there is to know of these; those that are dead no more are left out and counted."""
    return _plan(db, ids)


def plan_of_group(db: sqlite3.Connection, fingerprint: str, *, died: UnixMs, id: int) -> ReplayPlan:
    """The letters of an error up to the one that was the newest when the list was shown, `MOST` at the most."""
    value = fingerprint or None
    upto = f"SELECT id {_OF_GROUP} AND (finished_at, id) <= (?, ?) {_NEWEST}"
    ids = [row[0] for row in db.execute(upto, (value, died, id, MOST))]
    since = f"SELECT count(*) FROM (SELECT 1 {_OF_GROUP} AND (finished_at, id) > (?, ?) LIMIT ?)"  # noqa: S608
    newer = int(db.execute(since, (value, died, id, MOST)).fetchone()[0])
    row = db.execute("SELECT jobs FROM dead_groups WHERE fingerprint = ?", (fingerprint,)).fetchone()
    number = int(row[0]) if row else 0
    older = number - len(ids) - newer if len(ids) == MOST else 0
    return _plan(db, ids, older=max(0, older), newer=newer)


def _plan(db: sqlite3.Connection, ids: Sequence[int], *, older: int = 0, newer: int = 0) -> ReplayPlan:
    marks = ", ".join("?" * len(ids))
    rows = db.execute(
        f"""
        SELECT id, key, settled + held,
               coalesce((SELECT nullif(max(cost), 0) FROM attempts WHERE job_id = jobs.id), settled + held),
               EXISTS (SELECT 1 FROM steps WHERE job_id = jobs.id), coalesce(instr(error, ?) > 0, FALSE)
          FROM jobs NOT INDEXED WHERE id IN ({marks}) AND status = '{JobStatus.DEAD.value}'
         ORDER BY finished_at DESC, id DESC
        """,  # noqa: S608 - marks only
        (UNKNOWN_EFFECT, *ids),
    ).fetchall()
    return ReplayPlan(
        ids=tuple(row[0] for row in rows),
        keys=tuple(row[1] for row in rows),
        gone=len(ids) - len(rows),
        older=older,
        newer=newer,
        spent=MicroUsd(sum(row[2] for row in rows)),
        estimate=MicroUsd(sum(row[3] for row in rows)),
        effects=sum(row[4] for row in rows),
        unknown=sum(row[5] for row in rows),
    )
