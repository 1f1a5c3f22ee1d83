"""A report as plain text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from runner.report import rows
from runner.report.values import STATUSES, Report
from runner.report.words import (
    drills_line,
    gate_words,
    happened_words,
    incident_line,
    needs,
    runner_words,
    skip_line,
)
from runner.text import one_line
from runner.units import plural, usd

WIDE = 160
"""Characters of a text from outside."""


def lines(report: Report) -> Iterator[str]:
    """Its lines."""
    yield f"report   {report.wall(report.since)} to {report.wall(report.at)} ({report.zone})"
    yield f"runner   {one_line(runner_words(report), WIDE)}; {report.pending:,} pending, {report.running:,} running"
    for words in gate_words(report):
        yield f"waiting  {one_line(words, WIDE)}"
    yield f"earned   {_total(report)}"
    yield from _heading("WAITS FOR YOU")
    yield from _waits(report)
    yield from _heading("DAYS")
    yield from table(
        ("DAY", "COST", "OF", "SETTLED", "HELD", "DONE", "FAILED"),
        rows.days(report),
    )
    yield from _heading("OUTCOMES")
    yield from table(
        ("OUTCOME", "ENDINGS", "COST", "EACH"),
        rows.outcomes(report),
    )
    yield from _heading("TASKS")
    if report.tasks:
        yield from table(
            ("TASK", *(status.upper() for status in STATUSES), "RETRIES", "COST", "SAVED", "EARNED"),
            rows.tasks(report, lambda name: one_line(name, 64)),
        )
    else:
        yield "nothing ran"
    yield from _heading("SKIPPED")
    for skip in report.skipped:
        what = f"{plural(skip.slots, 'slot')} of {one_line(skip.schedule, 64)} ({skip_line(report, skip)})"
        yield f"{what}: {one_line(skip.reason, WIDE)}"
    if not report.skipped:
        yield "no slot"
    yield from _heading("WHAT HAPPENED")
    yield ", ".join(happened_words(report)) or "nothing of note"
    for event in report.story:
        yield f"{report.wall(event.at)}  {event.event:<14}  {one_line(event.text, WIDE)}"
    if report.story_cut:
        yield "and more before; `afk-runner logs` has them"
    for incident in report.closed:
        by = one_line(incident.closed_by or "", 80)
        yield (
            f"incident {incident.id} ({one_line(incident.subject, 80)}) closed by {by}: "
            f"cause: {one_line(incident.cause or '', WIDE)}; fix: {one_line(incident.fix or '', WIDE)}"
        )
    yield ""
    yield f"drills   {one_line(drills_line(report.drills, now=report.at, zone=report.tz)[0], WIDE)}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows in columns as wide as they need; numbers stand to the right, the first column to the left."""
    cells = [tuple(header), *(tuple(row) for row in rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(header))]
    for row in cells:
        first, *others = (
            cell.ljust(width) if not place else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join((first, *others)).rstrip()


def _heading(text: str) -> Iterator[str]:
    yield ""
    yield text


def _total(report: Report) -> str:
    ended = f"{plural(report.jobs, 'ending')} of jobs, {usd(report.cost)} spent or held"
    if report.earned is not None:
        return f"{usd(report.earned)}: hours saved at their rate, less the cost; {ended}"
    return f"not known: [report] hourly_rate and a task's hours_saved tell it; {ended}"


def _waits(report: Report) -> Iterator[str]:
    if report.waits.nothing and not report.stop.set:
        yield "nothing"
        return
    for need in needs(report):
        yield f"{'!' if need.bad else ' '} {one_line(need.text, WIDE)}; `{need.command}`"
    for error in report.waits.errors:
        yield f"    dead      {error.jobs:,}, the last {report.wall(error.last_at)}: {one_line(error.error, WIDE)}"
    for incident in report.waits.incidents:
        yield f"    incident  {incident_line(report, incident)}: {one_line(incident.last_text, WIDE)}"
    for alert in report.waits.alerts:
        yield f"    alert     {alert.level} since {report.wall(alert.at)}: {one_line(alert.text, WIDE)}"
