"""One job with all that is kept of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from console.clean import clean, one_line
from console.format import clock_s, count, money, plural, took, when
from console.line import EMPTY, Line, Span, line, wrap
from console.look import Role
from console.views.jobs import STATUS_ROLES
from runner.snapshot import Attempt, Draft, DraftState, Job, JobDetail, JobStatus, Printed, Verdict, told
from runner.units import DAY_MS

LINES = 400
"""Lines of one text that are shown: of payload, result and error."""
FEW = 12
"""Lines of a text that others come after."""
SHORT = 400
"""Characters of an error that its attempt shows whole."""
STARTS = 40
"""Attempts that are told of; of more the first and the newest."""
_INDENT = 3
_OUTCOMES = {
    "running": Role.ACCENT,
    "done": Role.GOOD,
    "failed": Role.WARN,
    "dead": Role.BAD,
    "halted": Role.WARN,
    "rescued": Role.WARN,
}
_DRAFTS = {DraftState.WAITING: Role.WARN, DraftState.APPROVED: Role.GOOD, DraftState.REJECTED: Role.DIM}


@dataclass(slots=True)
class Detail:
    """The page of a job: its lines, and where its sections begin."""

    lines: list[Line] = field(default_factory=list)
    sections: list[tuple[str, int]] = field(default_factory=list)

    def section(self, word: str, rest: str = "") -> None:
        """Begin one."""
        self.lines.append(EMPTY)
        self.sections.append((word, len(self.lines)))
        self.lines.append(line((f" {word}  ", Role.DIM), rest))

    def text(self, text: str, width: int, role: Role = Role.PLAIN, *, indent: int = _INDENT, most: int = LINES) -> None:
        """Add a text on as many lines as it needs."""
        wrapped = wrap(text.rstrip("\n"), max(10, width - indent - 1))  # texts are cut by `clean`, so this is bounded
        self.lines += [(Span(" " * indent + one, role),) for one in wrapped[:most]]
        if len(wrapped) > most:
            rest = f"{' ' * indent}{len(wrapped) - most} more lines: afk-runner job KEY --json"
            self.lines.append(line((rest, Role.DIM)))


def detail(view: JobDetail, width: int, *, now: int, printed: Printed | None = None) -> Detail:
    """Head and why; timeline, attempts, verdicts, drafts, steps, payload, result, output."""
    job, page = view.job, Detail()
    page.lines.append(_head(job))
    page.text(view.why, width, most=FEW)
    page.lines += [EMPTY, *_facts(job, now)]
    _timeline(page, view, now)
    page.section("ATTEMPTS", f"{job.attempts} of {job.max_attempts} counted, {plural(job.starts, 'start')}")
    for attempt in _told_of(view.attempts):
        if attempt is None:
            page.lines.append(line((f"   {len(view.attempts) - STARTS} not shown", Role.DIM)))
        else:
            _attempt(page, attempt, width, now, tail=printed is None or printed.n != attempt.n)
    last = view.attempts[-1].error if view.attempts else None
    if job.error and (job.error != last or len(job.error) > SHORT) and job.status is not JobStatus.DONE:
        page.section("ERROR")
        page.text(job.error, width, Role.BAD)
    if view.verdicts:
        met = sum(verdict.met for verdict in view.verdicts)
        page.section("CRITERIA", f"{met} of {len(view.verdicts)} met by its newest answer")
        for verdict in view.verdicts:
            _verdict(page, verdict, width)
    if view.drafts:
        page.section("DRAFTS", "what it wrote down for a person; 4 lists those that wait")
        for draft in view.drafts:
            _draft(page, draft, width, now)
    page.section("STEPS", plural(len(view.steps), "recorded step") if view.steps else "none recorded")
    for name, result in view.steps.items():
        words = told(name, result)
        page.text(f"{name}: {_json(result) if words == result else clean(words)}", width, most=FEW)
    page.section("PAYLOAD")
    page.text(_json(job.payload), width)
    if job.result is not None:
        page.section("RESULT")
        page.text(_json(job.result), width)
    if printed is not None:
        page.section("OUTPUT", f"of start {printed.n}, the end of {count(printed.size)} bytes")
        page.text(printed.path, width, Role.DIM)
        wrapped = wrap(printed.text.rstrip("\n"), max(10, width - _INDENT - 1))
        page.lines += [(Span(" " * _INDENT + one),) for one in wrapped[-LINES:]]  # the end is what is new
    return page


def _head(job: Job) -> Line:
    return line((f" {job.key} ", Role.STRONG), f" {job.task}  ", (job.status.value.upper(), STATUS_ROLES[job.status]))


def _facts(job: Job, now: int) -> list[Line]:
    rows = []
    if job.status is JobStatus.PENDING:
        rows.append(("not before", when(job.not_before, now)))
    limit = f" of {money(job.max_usd)}" if job.max_usd is not None else ""
    held = f", {money(job.held)} of it held" if job.held else ""
    rows.append(("cost", f"{money(job.settled + job.held)}{limit}{held}"))
    if job.rescues:
        rows.append(("rescued", plural(job.rescues, "time")))
    if job.priority:
        rows.append(("priority", str(job.priority)))
    if job.cancel:
        rows.append(("cancel", "asked for"))
    return [line((f" {word:<11}", Role.DIM), text) for word, text in rows]


def _timeline(page: Detail, view: JobDetail, now: int) -> None:
    """What happened when, and how long it waited in between."""
    job = view.job
    ended = job.finished_at if job.finished_at is not None else now
    page.section("TIMELINE", f"{took(max(0, ended - job.created_at))} {'in all' if job.finished_at else 'so far'}")
    page.lines.append(_moment(job.created_at, now, "queued"))
    before: int = job.created_at
    for attempt in _told_of(view.attempts):
        if attempt is None:
            page.lines.append(line((f"   {plural(2 * (len(view.attempts) - STARTS), 'more line')}", Role.DIM)))
            continue
        n, waited = attempt.n, max(0, attempt.started_at - before)
        page.lines.append(_moment(attempt.started_at, now, f"start {n}", told=f"after {took(waited)}"))
        if attempt.ended_at is None:
            page.lines.append(_moment(None, now, "running", cost=attempt.cost))
            before = now
        else:
            word = attempt.outcome.word if attempt.outcome else "ended"
            span = took(attempt.ended_at - attempt.started_at)
            page.lines.append(_moment(attempt.ended_at, now, word, told=span, cost=attempt.cost))
            before = attempt.ended_at
    if job.status is JobStatus.PENDING:
        waits = took(max(0, now - before))
        page.lines.append(
            _moment(None, now, "waits", told=f"{waits} so far, until {when(job.not_before, now)} at least")
        )
    elif job.finished_at is not None and (not view.attempts or job.finished_at != view.attempts[-1].ended_at):
        page.lines.append(_moment(job.finished_at, now, job.status.value))


def _moment(at: int | None, now: int, word: str, *, told: str = "", cost: int = 0) -> Line:
    clock = "now" if at is None else clock_s(at) if abs(now - at) < DAY_MS else when(at, now)
    spent = money(cost) if cost else ""
    return line((f"   {clock:<12} ", Role.DIM), (f"{word:<10}", _OUTCOMES.get(word, Role.PLAIN)), f" {told:<9} {spent}")


def _told_of(attempts: tuple[Attempt, ...]) -> tuple[Attempt | None, ...]:
    """All of them, or the first and the newest with None between."""
    if len(attempts) <= STARTS:
        return attempts
    return (attempts[0], None, *attempts[1 - STARTS :])


def _attempt(page: Detail, attempt: Attempt, width: int, now: int, *, tail: bool) -> None:
    outcome = attempt.outcome.word if attempt.outcome else "running"
    until = attempt.ended_at if attempt.ended_at is not None else now
    span = took(until - attempt.started_at) if attempt.ended_at is not None else "so far"
    page.lines.append(
        line(
            f" {attempt.n:>2}  {clock_s(attempt.started_at)}  ",
            (f"{outcome:<9}", _OUTCOMES.get(outcome, Role.PLAIN)),
            f"  {span:>7}  {money(attempt.cost):>9}",
        )
    )
    if attempt.error:
        page.text(attempt.error, width, Role.BAD, indent=5, most=FEW)
    if attempt.tail and tail:
        page.text(attempt.tail, width, Role.DIM, indent=5, most=2 * FEW)


def _verdict(page: Detail, verdict: Verdict, width: int) -> None:
    word, role = ("met  ", Role.GOOD) if verdict.met else ("UNMET", Role.BAD)
    page.lines.append(line("   ", (word, role), f" {one_line(verdict.criterion)}"))
    page.text(verdict.reason, width, Role.DIM, indent=9, most=FEW)


def _draft(page: Detail, draft: Draft, width: int, now: int) -> None:
    decided = f" by {draft.by} {when(draft.decided_at, now)}" if draft.decided_at is not None else ""
    became = f", as {draft.became}" if draft.became else f": {draft.reason}" if draft.reason else ""
    page.lines.append(
        line(
            f"   {draft.id:>3} ",
            (draft.state.value.upper(), _DRAFTS[draft.state]),
            f"{decided}{became}  {draft.name} performs {draft.performs}",
        )
    )
    page.text(draft.summary, width, indent=7, most=FEW)


def _json(text: str) -> str:
    """JSON with line breaks, where it is JSON and not one short line; cleaned again, for escapes were undone."""
    if len(text) < 60:
        return text
    try:
        return clean(json.dumps(json.loads(text), indent=2, ensure_ascii=False))
    except (ValueError, RecursionError):
        return text
