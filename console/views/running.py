"""The list of jobs at work; it and what it shares with other lists is all that the first picture needs of them."""

from __future__ import annotations

from collections.abc import Sequence

from console.format import age, money
from console.look import Role
from console.views.table import Column, Listing, Row
from runner.snapshot import Attempt, Job

TASK = Column(title="task", width=10, rank=3, grow=1, most=20)
TRY = Column(title="try", width=4, right=True)
COST = Column(title="cost", width=8, right=True)

_RUNNING = (
    Column(title="RUNNING", width=18, grow=2, most=44, middle=True),
    TASK,
    TRY,
    Column(title="elapsed", width=7, right=True),
    COST,
    Column(title="limit", width=8, right=True, rank=2),
    Column(title="waited", width=6, right=True, rank=4),
)


def running(pairs: Sequence[tuple[Job, Attempt]], now: int, *, doubt: str = "") -> Listing:
    """The jobs at work, oldest first. `doubt`: the sign of numbers that may be old, which `now` is the moment of."""
    return Listing(
        columns=_RUNNING,
        rows=tuple(_running(job, attempt, now, doubt) for job, attempt in pairs),
        empty="nothing runs",
    )


def cost(job: Job) -> str:
    """What it cost so far, what is held for it included."""
    return money(job.settled + job.held)


def first_line(text: str | None) -> str:
    """The line of an error that says most."""
    return (text or "").strip().split("\n", 1)[0]


def _running(job: Job, attempt: Attempt, now: int, doubt: str) -> Row:
    started = attempt.started_at
    return Row(
        job.id,
        (
            (job.key, Role.PLAIN),
            (job.task, Role.DIM),
            (f"{job.attempts + 1}/{job.max_attempts}", Role.PLAIN),
            (f"{age(now - started)}{doubt}", Role.PLAIN),
            (f"{cost(job)}{doubt}", Role.PLAIN),
            (money(job.max_usd) if job.max_usd is not None else "-", Role.DIM),
            (age(started - job.created_at), Role.DIM),
        ),
    )
