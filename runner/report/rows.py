"""The cells of a report's tables, the same in every form of it."""

from __future__ import annotations

from collections.abc import Callable

from runner.report.values import STATUSES, Report
from runner.report.words import hours_words
from runner.units import usd

Cells = list[tuple[str, ...]]


def days(report: Report) -> Cells:
    """Day, cost, cap, settled, held, done, failed."""
    return [
        (
            day.day,
            usd(day.cost),
            "-" if day.cap is None else f"{usd(day.cap)}{' raised' if day.raised else ''}",
            usd(day.settled),
            usd(day.held),
            f"{day.done:,}",
            f"{day.failed:,}",
        )
        for day in report.days
    ]


def outcomes(report: Report) -> Cells:
    """Outcome, endings, cost, cost of each."""
    return [(row.status, f"{row.jobs:,}", usd(row.cost), usd(row.each) if row.jobs else "-") for row in report.outcomes]


def tasks(report: Report, named: Callable[[str], str]) -> Cells:
    """Task, how many jobs of it ended in each status, retries, cost, hours saved, earned. `named`: a name made safe."""
    return [
        (
            named(row.task),
            *(f"{getattr(row, status):,}" for status in STATUSES),
            f"{row.retries:,}",
            usd(row.cost),
            hours_words(row.hours),
            "-" if row.earned is None else usd(row.earned),
        )
        for row in report.tasks
    ]
