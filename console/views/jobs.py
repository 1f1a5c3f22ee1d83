"""Lists of jobs: running, all, dead."""

from __future__ import annotations

from collections.abc import Sequence

from console.format import age, money
from console.look import Role
from console.views.table import Column, Listing, Row
from runner.snapshot import Attempt, Job, JobStatus

STATUS_ROLES = {
    JobStatus.PENDING: Role.PLAIN,
    JobStatus.RUNNING: Role.ACCENT,
    JobStatus.DONE: Role.GOOD,
    JobStatus.HALTED: Role.WARN,
    JobStatus.CANCELLED: Role.DIM,
    JobStatus.DEAD: Role.BAD,
}

_KEY = Column(title="job", width=18, grow=2, most=44)
_TASK = Column(title="task", width=10, rank=3, grow=1, most=20)
_TRY = Column(title="try", width=4, right=True)
_COST = Column(title="cost", width=8, right=True)

_RUNNING = (
    Column(title="RUNNING", width=18, grow=2, most=44),
    _TASK,
    _TRY,
    Column(title="elapsed", width=7, right=True),
    _COST,
    Column(title="limit", width=8, right=True, rank=2),
    Column(title="waited", width=6, right=True, rank=4),
)
_ALL = (
    _KEY,
    _TASK,
    Column(title="state", width=9),
    _TRY,
    Column(title="age", width=5, right=True, rank=2),
    _COST,
    Column(title="what holds it, or its error", width=24, rank=1, grow=4),
)


def running(pairs: Sequence[tuple[Job, Attempt]], now: int) -> Listing:
    """The jobs at work, oldest first."""
    return Listing(
        columns=_RUNNING,
        rows=tuple(_running(job, attempt, now) for job, attempt in pairs),
        empty="nothing runs",
    )


def all_jobs(jobs: Sequence[Job], now: int, *, newest: bool, full: bool) -> Listing:
    """A page of all jobs, newest first. `newest`: none is newer; `full`: there may be older ones."""
    return Listing(
        columns=_ALL,
        rows=tuple(_any(job, now) for job in jobs),
        empty="no job was ever queued: afk-runner enqueue TASK",
        more_above=not newest,
        more_below=full,
    )


def cost(job: Job) -> str:
    """What it cost so far, what is held for it included."""
    return money(job.settled + job.held)


def first_line(text: str | None) -> str:
    """The line of an error that says most."""
    return (text or "").strip().split("\n", 1)[0]


def _running(job: Job, attempt: Attempt, now: int) -> Row:
    started = attempt.started_at
    return Row(
        job.id,
        (
            (job.key, Role.PLAIN),
            (job.task, Role.DIM),
            (f"{job.attempts + 1}/{job.max_attempts}", Role.PLAIN),
            (age(now - started), Role.PLAIN),
            (cost(job), Role.PLAIN),
            (money(job.max_usd) if job.max_usd is not None else "-", Role.DIM),
            (age(started - job.created_at), Role.DIM),
        ),
    )


def _any(job: Job, now: int) -> Row:
    held_by = job.waiting_on if job.status is JobStatus.PENDING else job.error
    return Row(
        job.id,
        (
            (job.key, Role.PLAIN),
            (job.task, Role.DIM),
            (job.status.value, STATUS_ROLES[job.status]),
            (f"{job.attempts}/{job.max_attempts}", Role.PLAIN),
            (age(now - job.created_at), Role.DIM),
            (cost(job), Role.PLAIN),
            (first_line(held_by), Role.DIM),
        ),
    )
