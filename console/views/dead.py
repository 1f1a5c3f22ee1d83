"""Dead letters by their error: a line for each error, and below it those of its letters that are unfolded."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from console.format import age, count
from console.look import Look, Role
from console.views.running import cost, first_line
from console.views.table import Column, Listing, Row, RowId
from runner.snapshot import DeadGroup, DeadPage, Job

_COLUMNS = (
    Column(title="error, and its jobs", width=22, grow=9),
    Column(title="task", width=10, rank=3, grow=1, most=16),
    Column(title="n/try", width=5, right=True),
    Column(title="first", width=5, right=True, rank=2),
    Column(title="last", width=5, right=True, rank=1),
    Column(title="cost", width=8, right=True),
)


def group_row(group: DeadGroup) -> RowId:
    """The id of the line of an error."""
    return f"error {group.fingerprint}"


def more_row(group: DeadGroup) -> RowId:
    """The id of the line below the letters that are listed, which lists more of them."""
    return f"more {group.fingerprint}"


def letters(page: DeadPage, now: int, look: Look, *, marks: AbstractSet[RowId] = frozenset()) -> Listing:
    """The page as a list."""
    rows: list[Row] = []
    for group in page.groups:
        rows.append(_group(group, now, marks))
        rows += [_letter(job, now) for job in group.listed]
        if group.listed and len(group.listed) < group.jobs:
            rows.append(_more(group, look))
    return Listing(columns=_COLUMNS, rows=tuple(rows), empty="no dead letters", more_below=page.more_groups)


def _group(group: DeadGroup, now: int, marks: AbstractSet[RowId]) -> Row:
    known = {*group.ids, *(job.id for job in group.listed)}
    marked = len(known & marks)
    sign = "-" if group.listed else "+"
    said = first_line(group.error) or "no error was kept"
    tasks = group.tasks[0] if group.tasks else ""
    if len(group.tasks) > 1:
        tasks = f"{tasks} +{len(group.tasks) - 1}"
    return Row(
        group_row(group),
        (
            (f"{sign} {f'({count(marked)} marked) ' if marked else ''}{said}", Role.STRONG),
            (tasks, Role.DIM),
            (count(group.jobs), Role.STRONG),
            (age(now - group.first_at), Role.DIM),
            (age(now - group.last_at), Role.PLAIN),
            ("", Role.PLAIN),
        ),
    )


def _letter(job: Job, now: int) -> Row:
    return Row(
        job.id,
        (
            (f"  {job.key}", Role.PLAIN),
            (job.task, Role.DIM),
            (f"{job.attempts}/{job.max_attempts}", Role.DIM),
            ("", Role.PLAIN),
            (age(now - job.finished_at) if job.finished_at is not None else "-", Role.DIM),
            (cost(job), Role.PLAIN),
        ),
    )


def _more(group: DeadGroup, look: Look) -> Row:
    rest = group.jobs - len(group.listed)
    blank = ("", Role.PLAIN)
    return Row(more_row(group), ((f"  {look.more} {count(rest)} more: Enter", Role.DIM), *(blank,) * 5))
