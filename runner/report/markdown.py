"""A report as Markdown, for a file that is read in the morning.

Texts from outside stand in code spans, so that none of them is a heading, a link, a picture or a table of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from runner.report import rows
from runner.report.lines import WIDE
from runner.report.values import STATUSES, Report
from runner.report.words import (
    drill_words,
    gate_words,
    happened_words,
    incident_line,
    needs,
    runner_words,
    skip_line,
)
from runner.text import one_line
from runner.units import plural, usd


def markdown(report: Report) -> str:
    """The whole file."""
    return "".join(f"{line}\n" for line in _lines(report))


def code(text: str, limit: int = WIDE) -> str:
    """A text that nothing in it turns into anything else."""
    shown = one_line(text, limit).strip() or " "
    fence = "`" * (max((len(run) for run in re.findall("`+", shown)), default=0) + 1)
    pad = " " if shown[0] == "`" or shown[-1] == "`" else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def _lines(report: Report) -> Iterator[str]:
    yield f"# {report.wall(report.at)[:10]}: {_title(report)}"
    yield ""
    yield f"From {report.wall(report.since)} to {report.wall(report.at)}, {report.zone}."
    yield ""
    yield f"- Runner: {code(runner_words(report))}; {report.pending:,} pending, {report.running:,} running."
    for words in gate_words(report):
        yield f"- Waiting: {code(words)}."
    yield f"- Spent or held: **{usd(report.cost)}**."
    if report.earned is not None:
        yield f"- Earned: **{usd(report.earned)}**, hours saved at their rate, less the cost."
    yield from _heading("Waits for you")
    yield from _waits(report)
    yield from _heading("Days")
    yield from _table(
        ("Day", "Cost", "Of", "Settled", "Held", "Done", "Failed"),
        rows.days(report),
    )
    yield from _heading("Outcomes")
    yield from _table(
        ("Outcome", "Endings", "Cost", "Each"),
        rows.outcomes(report),
    )
    yield from _heading("Tasks")
    if report.tasks:
        yield from _table(
            ("Task", *(status.capitalize() for status in STATUSES), "Retries", "Cost", "Saved", "Earned"),
            rows.tasks(report, code),
        )
    else:
        yield "Nothing ran."
    yield from _heading("Skipped")
    for skip in report.skipped:
        what = f"{plural(skip.slots, 'slot')} of {code(skip.schedule)}"
        yield f"- {what}, {skip_line(report, skip)}: {code(skip.reason)}"
    if not report.skipped:
        yield "No slot."
    yield from _heading("What happened")
    yield f"{', '.join(happened_words(report)) or 'Nothing of note'}."
    if report.story:
        yield ""
    for event in report.story:
        yield f"- {report.wall(event.at)} {event.event}: {code(event.text)}"
    if report.story_cut:
        yield "- and more before; `afk-runner logs` has them"
    for incident in report.closed:
        yield (
            f"- incident {incident.id}, {code(incident.subject)}, closed by {code(incident.closed_by or '')}: "
            f"cause {code(incident.cause or '')}, fix {code(incident.fix or '')}"
        )
    yield from _heading("Drills")
    for drill in report.drills:
        said, worn = drill_words(drill, now=report.at, zone=report.tz)
        yield f"- {drill.name}: {code(said) if drill.failing else said}{' (run `afk-runner drill`)' if worn else ''}"


def _title(report: Report) -> str:
    waiting = len(needs(report))
    todo = f"{plural(waiting, 'thing waits', 'things wait')} for you" if waiting else "nothing waits for you"
    return f"{plural(report.jobs, 'ending')} of jobs, {todo}"


def _waits(report: Report) -> Iterator[str]:
    waits = report.waits
    found = needs(report)
    if not found:
        yield "Nothing."
        return
    for need in found:
        words = code(need.text) if need.command == "afk-runner resume" else need.text
        yield f"- {'**!** ' if need.bad else ''}{words}; `{need.command}`"
    for error in waits.errors:
        yield f"  - dead letters: {error.jobs:,}, the last {report.wall(error.last_at)}: {code(error.error)}"
    for incident in waits.incidents:
        yield f"  - incident {incident_line(report, incident)}: {code(incident.last_text)}"
    for alert in waits.alerts:
        yield f"  - alert, {alert.level}, since {report.wall(alert.at)}: {code(alert.text)}"


def _heading(text: str) -> Iterator[str]:
    yield from ("", f"## {text}", "")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"| --- |{' ---: |' * (len(header) - 1)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
