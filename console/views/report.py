"""The report: what ran and what it was worth, what was skipped, what happened, and the incidents that are open."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from console.clean import one_line
from console.format import age, count, money, percent, plural, when
from console.line import EMPTY, Line, Span, cell, fit, line
from console.look import Look, Role
from console.seen import Seen
from console.views.table import GAP, Column, Listing, Row, place
from runner.snapshot import Incident, Report, drill_words, gate_words, happened_words, hours_words, needs, skip_line
from runner.units import usd

_DAYS = (
    Column(title="DAY", width=10),
    Column(title="cost", width=8, right=True),
    Column(title="of", width=8, right=True),
    Column(title="", width=4, right=True),
    Column(title="held", width=8, right=True, rank=3),
    Column(title="done", width=6, right=True),
    Column(title="failed", width=6, right=True),
    Column(title="", width=6, rank=2),
)
_OUTCOMES = (
    Column(title="OUTCOME", width=10),
    Column(title="endings", width=8, right=True),
    Column(title="cost", width=8, right=True),
    Column(title="each", width=8, right=True),
)
_TASKS = (
    Column(title="TASK", width=12, grow=1, most=40),
    Column(title="done", width=6, right=True),
    Column(title="halted", width=6, right=True, rank=4),
    Column(title="cancelled", width=9, right=True, rank=5),
    Column(title="dead", width=5, right=True),
    Column(title="retries", width=7, right=True, rank=3),
    Column(title="cost", width=8, right=True),
    Column(title="saved", width=8, right=True, rank=2),
    Column(title="earned", width=9, right=True, rank=1),
)
_INCIDENTS = (
    Column(title="INCIDENT", width=8, right=True),
    Column(title="state", width=5),
    Column(title="since", width=5, right=True),
    Column(title="times", width=5, right=True, rank=3),
    Column(title="about", width=14, grow=1, most=30, rank=2),
    Column(title="what", width=16, grow=4),
)
_SHOWN = 20
"""Tasks named; the rest is one line."""


def overview(seen: Seen, report: Report, width: int, look: Look) -> tuple[Line, ...]:
    """All of it but the incidents, from what is looked for first."""
    doubt = "?" if seen.stale else ""
    return tuple(
        fit(one, width, look)
        for one in (
            *_head(report, doubt),
            EMPTY,
            *_needs(report),
            EMPTY,
            *_days(report, doubt, width, look),
            EMPTY,
            *_outcomes(report, width, look),
            EMPTY,
            *_tasks(report, width, look),
            EMPTY,
            *_skipped(report),
            *_story(report),
            *_drills(report),
        )
    )


def incidents(report: Report, now: int) -> Listing:
    """Those that are open, the newest first."""
    return Listing(
        columns=_INCIDENTS,
        rows=tuple(_incident(one, now) for one in report.waits.incidents),
        empty="no incident is open",
        more_below=report.waits.incidents_open > len(report.waits.incidents),
    )


def state_word(one: Incident) -> tuple[str, Role]:
    """Whether what it tells of still holds."""
    if one.settled_at is not None:
        return "over", Role.DIM
    return "holds", Role.BAD if one.level == "error" else Role.WARN


def _incident(one: Incident, now: int) -> Row:
    word, role = state_word(one)
    return Row(
        one.id,
        (
            (str(one.id), Role.PLAIN),
            (word, role),
            (age(now - one.opened_at), Role.PLAIN),
            (count(one.alerts), Role.DIM),
            (one.subject, Role.DIM),
            (one.last_text, Role.PLAIN),
        ),
    )


def _head(report: Report, doubt: str) -> Iterator[Line]:
    span = plural(len(report.days), "day")
    yield line(
        (" REPORT   ", Role.DIM), (span, Role.STRONG), f"  {report.wall(report.since)} to {report.wall(report.at)} "
    ) + line((f"({report.zone})", Role.DIM))
    worth = line((" earned   ", Role.DIM))
    if report.earned is not None:
        role = Role.GOOD if report.earned > 0 else Role.WARN
        worth += line((f"{usd(report.earned)}{doubt}", role), ("  hours saved at their rate, less the cost", Role.DIM))
    else:
        worth += line(("not known: [report] hourly_rate and a task's hours_saved tell it", Role.DIM))
    yield worth
    ended = f"{plural(report.jobs, 'ending')} of jobs{doubt}"
    yield line((" ended    ", Role.DIM), f"{ended}, {usd(report.cost)}{doubt} spent or held")
    for words in gate_words(report):
        yield line((" waiting  ", Role.DIM), words)


def _needs(report: Report) -> Iterator[Line]:
    found = needs(report)
    yield line((" NEEDS YOU", Role.DIM), ("  nothing" if not found else "", Role.DIM))
    for need in found:
        sign = ("!", Role.BAD) if need.bad else (" ", Role.DIM)
        yield line(" ", sign, f" {need.text}  ", (need.command, Role.DIM))
    for error in report.waits.errors[:5]:
        yield line((f"     {count(error.jobs):>5} dead  ", Role.DIM), error.error)


def _days(report: Report, doubt: str, width: int, look: Look) -> Iterator[Line]:
    rows = []
    for day in report.days:
        part = "" if day.cap is None else percent(day.cost, day.cap)
        full = day.cap is not None and day.cost >= day.cap > 0
        rows.append(
            (
                Role.BAD if full else Role.PLAIN,
                (
                    day.day,
                    f"{usd(day.cost)}{doubt if day is report.days[0] else ''}",
                    "-" if day.cap is None else usd(day.cap),
                    part,
                    money(day.held),
                    count(day.done),
                    count(day.failed),
                    "raised" if day.raised else "",
                ),
            )
        )
    return _table(_DAYS, rows, width, look)


def _outcomes(report: Report, width: int, look: Look) -> Iterator[Line]:
    rows = [
        (
            Role.PLAIN if row.jobs else Role.DIM,
            (row.status, count(row.jobs), money(row.cost), money(row.each)),
        )
        for row in report.outcomes
    ]
    return _table(_OUTCOMES, rows, width, look)


def _tasks(report: Report, width: int, look: Look) -> Iterator[Line]:
    rows = [
        (
            Role.PLAIN,
            (
                row.task,
                *(count(number) for number in (row.done, row.halted, row.cancelled, row.dead, row.retries)),
                money(row.cost),
                hours_words(row.hours),
                "-" if row.earned is None else usd(row.earned),
            ),
        )
        for row in report.tasks[:_SHOWN]
    ]
    yield from _table(_TASKS, rows, width, look)
    rest = report.tasks[_SHOWN:]
    if rest:
        yield line((f" and {plural(len(rest), 'task')} more, {usd(sum(row.cost for row in rest))}", Role.DIM))
    if not rows:
        yield line(("   nothing ran", Role.DIM))


def _skipped(report: Report) -> Iterator[Line]:
    yield line((" SKIPPED", Role.DIM), ("  no slot" if not report.skipped else "", Role.DIM))
    for skip in report.skipped:
        what = f"   {plural(skip.slots, 'slot')} of {skip.schedule}: {skip.reason}"
        yield line(what, (f"  {skip_line(report, skip)}", Role.DIM))
    yield EMPTY


def _story(report: Report) -> Iterator[Line]:
    words = ", ".join(happened_words(report))
    yield line((" HAPPENED  ", Role.DIM), words or ("nothing of note", Role.DIM))
    for event in report.story:
        role = Role.BAD if event.level == "error" else Role.WARN if event.level == "warn" else Role.PLAIN
        yield line((f"   {report.wall(event.at)[5:]}  ", Role.DIM), (f"{event.event:<14}", role), f"  {event.text}")
    if report.story_cut:
        yield line(("   and more before: 6 shows the log", Role.DIM))
    for one in report.closed:
        yield line((f"   incident {one.id} closed  ", Role.DIM), f"{one.subject}: {one.cause}; {one.fix}")
    yield EMPTY


def _drills(report: Report) -> Iterator[Line]:
    yield line((" DRILLS  ", Role.DIM), ("afk-runner drill proves them, in a sandbox", Role.DIM))
    for drill in report.drills:
        said, worn = drill_words(drill, now=report.at, zone=report.tz)
        yield line(f"   {drill.name:<8}", (said, Role.BAD if drill.failing else Role.WARN if worn else Role.GOOD))


def _table(
    columns: Sequence[Column], rows: Sequence[tuple[Role, Sequence[str]]], width: int, look: Look
) -> Iterator[Line]:
    placed = place(columns, width + 1)  # `place` keeps a margin for a cursor; here a blank does
    for role, texts in ((Role.DIM, [column.title for column in columns]), *rows):
        cells = [cell(one_line(texts[one.index]), one.width, look, right=one.column.right) for one in placed]
        yield (Span(f" {(' ' * GAP).join(cells)}".rstrip(), role),)


def closed_words(one: Incident, now: int) -> str:
    """For a dialog: since when it is open, and whether it is over."""
    over = f"over since {when(one.settled_at, now)}" if one.settled_at is not None else "still holds"
    return f"{over}, open for {age(now - one.opened_at)}, told {plural(one.alerts, 'time')}"
