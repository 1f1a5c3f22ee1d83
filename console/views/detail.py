"""One job with all that is kept of it."""

from __future__ import annotations

import json

from console.clean import clean
from console.format import clock_s, money, plural, took, when
from console.line import EMPTY, Line, Span, line, wrap
from console.look import Role
from console.views.jobs import STATUS_ROLES
from runner.snapshot import Attempt, Job, JobDetail, JobStatus

LINES = 400
"""Lines of one text that are shown: of payload, result and error."""
FEW = 12
"""Lines of a text that others come after."""
_INDENT = 3
_OUTCOMES = {"done": Role.GOOD, "retry": Role.WARN, "dead": Role.BAD, "halted": Role.WARN, "rescued": Role.WARN}


def detail(view: JobDetail, width: int, *, now: int) -> tuple[Line, ...]:
    """Head, why, timeline, attempts, steps, payload, result."""
    job = view.job
    lines = [_head(job), *_text(view.why, width, most=FEW), EMPTY, *_facts(job, now)]
    lines += [EMPTY, _title("ATTEMPTS", f"{job.attempts} of {job.max_attempts} counted, {plural(job.starts, 'start')}")]
    for attempt in view.attempts:
        lines += _attempt(attempt, width, now)
    if job.error and job.status is not JobStatus.DONE:
        lines += [EMPTY, _title("ERROR", ""), *_text(job.error, width, Role.BAD)]
    lines += [EMPTY, _title("STEPS", plural(len(view.steps), "recorded step") if view.steps else "none recorded")]
    for name, result in view.steps.items():
        lines += _text(f"{name}: {_json(result)}", width, most=FEW)
    lines += [EMPTY, _title("PAYLOAD", ""), *_text(_json(job.payload), width)]
    if job.result is not None:
        lines += [EMPTY, _title("RESULT", ""), *_text(_json(job.result), width)]
    return tuple(lines)


def _head(job: Job) -> Line:
    return line((f" {job.key} ", Role.STRONG), f" {job.task}  ", (job.status.value.upper(), STATUS_ROLES[job.status]))


def _title(word: str, rest: str) -> Line:
    return line((f" {word}  ", Role.DIM), rest)


def _facts(job: Job, now: int) -> list[Line]:
    rows = [("queued", when(job.created_at, now))]
    if job.status is JobStatus.PENDING:
        rows.append(("not before", when(job.not_before, now)))
    if job.finished_at is not None:
        rows.append((job.status.value, when(job.finished_at, now)))
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


def _attempt(attempt: Attempt, width: int, now: int) -> list[Line]:
    outcome = attempt.outcome.value if attempt.outcome else "running"
    until = attempt.ended_at if attempt.ended_at is not None else now
    span = took(until - attempt.started_at) if attempt.ended_at is not None else "so far"
    lines = [
        line(
            f" {attempt.n:>2}  {clock_s(attempt.started_at)}  ",
            (f"{outcome:<9}", _OUTCOMES.get(outcome, Role.PLAIN)),
            f"  {span:>7}  {money(attempt.cost):>9}",
        )
    ]
    if attempt.error:
        lines += _text(attempt.error, width, Role.BAD, indent=5, most=FEW)
    if attempt.tail:
        lines += _text(attempt.tail, width, Role.DIM, indent=5, most=2 * FEW)
    return lines


def _text(text: str, width: int, role: Role = Role.PLAIN, *, indent: int = _INDENT, most: int = LINES) -> list[Line]:
    wrapped = wrap(text.rstrip("\n"), max(10, width - indent - 1))  # texts are cut by `clean`, so this is bounded
    shown: list[Line] = [(Span(" " * indent + one, role),) for one in wrapped[:most]]
    if len(wrapped) > most:
        shown.append(line((f"{' ' * indent}{len(wrapped) - most} more lines: afk-runner job KEY --json", Role.DIM)))
    return shown


def _json(text: str) -> str:
    """JSON with line breaks, where it is JSON and not one short line; cleaned again, for escapes were undone."""
    if len(text) < 60:
        return text
    try:
        return clean(json.dumps(json.loads(text), indent=2, ensure_ascii=False))
    except (ValueError, RecursionError):
        return text
