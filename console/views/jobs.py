"""The list of all jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from console.clean import clean, one_line
from console.format import age, count, plural
from console.line import Line, Span, fit, line, spread, width_of
from console.look import Look, Role
from console.paging import Window
from console.searching import MOST, JobsPage, Order
from console.views.running import COST, TRY, cost, first_line
from console.views.table import Column, Listing, Row
from runner.snapshot import Job, JobStatus
from runner.units import SECOND_MS

STATUS_ROLES = {
    JobStatus.PENDING: Role.PLAIN,
    JobStatus.RUNNING: Role.ACCENT,
    JobStatus.DONE: Role.GOOD,
    JobStatus.HALTED: Role.WARN,
    JobStatus.CANCELLED: Role.DIM,
    JobStatus.DEAD: Role.BAD,
}

SEARCH_SHOWN_MS = 2 * SECOND_MS
"""A search that ended longer ago than this is told."""

_KEY = Column(title="job", width=18, grow=2, most=44, middle=True)
_ALL = (
    _KEY,
    Column(title="task", width=8, rank=3, grow=1, most=20),
    Column(title="state", width=9),
    replace(TRY, rank=4),
    Column(title="age", width=4, right=True, rank=2),
    COST,
    Column(title="what holds it, or its error", width=15, rank=1, grow=4),
)


def all_jobs(
    jobs: Sequence[Job], now: int, *, empty: str, more_above: bool = False, more_below: bool = False
) -> Listing:
    """A page of all jobs."""
    return Listing(
        columns=_ALL,
        rows=tuple(_any(job, now) for job in jobs),
        empty=empty,
        more_above=more_above,
        more_below=more_below,
    )


def jobs_title(
    page: JobsPage,
    window: Window,
    *,
    wanted: str,
    order: Order,
    marks: int,
    pushed: int,
    view: tuple[int, int],
    now: int | None,
    width: int,
    look: Look,
) -> Line:
    """What is listed and how, and which rows of how many are in view."""
    among = f" of the newest {count(MOST)}" if order is Order.DEAREST and page.more and not page.searching else ""
    right = line(
        (f"{count(marks)} marked  " if marks else "", Role.ACCENT),
        (_searched(page, now), Role.WARN),
        (f"{look.up}{count(pushed)} newer above  " if pushed else "", Role.ACCENT),
        (_rows(page, window, view), Role.DIM),
    )
    room = max(0, width - width_of(right) - 1)
    sorted_by = line((f"  {order.value}{among}", Role.DIM))
    what = line((" JOBS", Role.DIM), (f"  {one_line(clean(wanted))}" if wanted else "", Role.ACCENT))
    left = fit(what, max(0, room - width_of(sorted_by) - 1), look) if wanted else what
    return spread((*left, *sorted_by), (*right, Span(" ")), width, look)


def _searched(page: JobsPage, now: int | None) -> str:
    if page.searching:
        return f"searching, {count(page.looked)} looked at  "
    if page.searched_at is not None and now is not None and now - page.searched_at >= SEARCH_SHOWN_MS:
        return f"searched {age(now - page.searched_at)} ago  "
    return ""


def _rows(page: JobsPage, window: Window, view: tuple[int, int]) -> str:
    """`rows 1-14 of 131`; with a `~` where rows above are not counted one by one, and a `+` where there may be more."""
    loaded, (top, end) = len(page.jobs), view
    if end <= top:
        return ""
    before = window.before
    if before is None and window.at_end and page.total is not None:
        before = max(0, page.total - loaded)
    if before is None:
        return plural(end - top, "row") + (f" of {count(page.total)}" if page.total is not None else "")
    total = count(page.total) if page.total is not None else f"{count(before + loaded)}{'+' if page.more else ''}"
    about = "~" if before else ""
    return f"rows {about}{count(before + top + 1)}-{count(before + end)} of {total}"


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
