"""Acts on drafts: approving one queues the job that performs it, once; rejecting one leaves it undone for good."""

from __future__ import annotations

import sqlite3

from runner.commands.base import Acts
from runner.enqueue import Enqueued, insert_jobs
from runner.errors import NotFound, Refused, UsageError
from runner.store import drafts, events
from runner.store.drafts import Draft, DraftState
from runner.store.jobs import NewJob
from runner.units import UnixMs, iso

MOST_REASON = 500


class DraftActs(Acts):
    """What a person decides on actions that cannot be undone."""

    def approve(self, id: int) -> Enqueued:
        """Queue the job that performs a draft, in the commit that approves it: approved means queued, and once.

        Raises NotFound, and Refused when it was decided before, saying by whom and what became of it.
        """

        def act(db: sqlite3.Connection, now: UnixMs) -> Enqueued:
            draft = _waiting(db, id)
            job = NewJob(
                key=_key(draft),
                task=draft.performs,
                payload=draft.payload,
                not_before=now,
                max_attempts=draft.max_attempts,
                priority=draft.priority,
            )
            drafts.approve(db, id, became=job.key, by=self._by, now=now)
            queued = insert_jobs(db, [job], now=now, by=f"{self._by}, who approved draft {id}")[0]
            if not queued.created:
                raise Refused(f"draft {id} was not approved: there is a job {job.key} already; remove it first")
            text = f"draft {id} approved by {self._by}: {draft.performs} is queued as {job.key}"
            self._event(db, now, "draft.approved", text, task=draft.performs)
            return queued

        return self._transact(act)

    def reject(self, id: int, *, reason: str) -> None:
        """Decide that a draft is not performed. Raises UsageError, NotFound, Refused when it was decided before."""
        said = reason.strip()
        if not 0 < len(said) <= MOST_REASON:
            raise UsageError(f"rejecting a draft wants a reason of 1 to {MOST_REASON} characters")

        def act(db: sqlite3.Connection, now: UnixMs) -> None:
            draft = _waiting(db, id)
            drafts.reject(db, id, reason=said, by=self._by, now=now)
            text = f"draft {id} rejected by {self._by}: {said}"
            self._event(db, now, "draft.rejected", text, task=draft.performs, level=events.WARN)

        self._transact(act)


def _waiting(db: sqlite3.Connection, id: int) -> Draft:
    draft = drafts.get(db, id)
    if draft is None:
        raise NotFound(f"there is no draft {id}; `afk-runner drafts` lists them")
    if draft.state is DraftState.APPROVED:
        raise Refused(f"draft {id} was approved by {draft.by} at {iso(draft.decided_at)} and became job {draft.became}")
    if draft.state is DraftState.REJECTED:
        raise Refused(f"draft {id} was rejected by {draft.by} at {iso(draft.decided_at)}: {draft.reason}")
    return draft


def _key(draft: Draft) -> str:
    """The key of the job a draft becomes; ids of drafts are never reused."""
    return f"{draft.performs}-draft-{draft.id}"
