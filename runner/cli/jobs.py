"""The verbs that look at jobs."""

from __future__ import annotations

from typing import Annotated

import typer

from runner.cli.rows import cost_of, detail_json, job_json, parsed
from runner.cli.shell import (
    AsJson,
    HomeDir,
    Limit,
    OneKey,
    example,
    first_line,
    reading,
    remark,
    say,
    say_json,
    say_table,
    say_under,
    stamp,
)
from runner.snapshot import (
    Attempt,
    Field,
    Filter,
    Job,
    JobDetail,
    JobStatus,
    Reader,
    Term,
    parse,
    told,
)
from runner.text import one_line
from runner.units import SystemClock, duration, plural, usd

SHOWS_CHARS = 4_000
"""Of a payload, a result or a tail on the terminal; `--json` gives them whole."""
LOOK = 100_000
"""Rows gone over in one read transaction."""
STEP_CHARS = 160
"""Of a recorded step."""


def register(app: typer.Typer) -> None:
    app.command(
        epilog=example(
            "afk-runner jobs --status pending --task digest", "afk-runner jobs --filter 'err:timeout age<2h'"
        )
    )(jobs)
    app.command(epilog=example("afk-runner job digest-4f2a90c1d2e3b4a5"))(job)
    app.command(epilog=example("afk-runner why digest-4f2a90c1d2e3b4a5"))(why)


def jobs(  # noqa: PLR0917 - typer reads the flags from the signature
    home: HomeDir = None,
    status: Annotated[JobStatus | None, typer.Option("--status", help="Only these.")] = None,
    task: Annotated[str | None, typer.Option("--task", metavar="T", help="Only of this task.")] = None,
    wanted: Annotated[
        str, typer.Option("--filter", metavar="F", help="As / in the console: 'state:dead err:timeout age<2h'.")
    ] = "",
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List jobs, the newest first."""
    meant = parse(wanted)
    with reading(home) as reader:
        if meant:
            found = _matching(reader, meant, status=status, task=task, limit=limit, cut=not as_json)
        else:
            found = reader.jobs(status=status, task=task, limit=limit, cut=not as_json)
    if as_json:
        say_json([job_json(each) for each in found])
        return
    if not found:
        remark("no job is meant by that" if meant else "no jobs")
        return
    now = SystemClock().now()
    rows = [
        (
            *(each.key, each.task, each.status.value, f"{each.attempts}/{each.max_attempts}", cost_of(each)),
            *(duration(max(now - each.created_at, 1_000)), _note(each, now=now)),
        )
        for each in found
    ]
    say_table(("KEY", "TASK", "STATUS", "TRIES", "COST", "AGE", "NOTE"), rows)
    if len(found) == limit:
        remark(f"the newest {limit}; --limit shows more")


def _matching(
    reader: Reader, meant: Filter, *, status: JobStatus | None, task: str | None, limit: int, cut: bool
) -> tuple[Job, ...]:
    if status is not None:
        meant = meant.and_(Term(field=Field.STATE, values=(status.value,)))
    if task is not None:
        meant = meant.and_(Term(field=Field.TASK, values=(task,)))
    now = SystemClock().now()
    ids: list[int] = []
    beyond: int | None = None
    while len(ids) < limit:
        found = reader.find(meant, now=now, beyond=beyond, limit=limit - len(ids), most=LOOK)
        ids += found.ids
        beyond = found.go_on
        if beyond is None:
            break
    return reader.listed(ids, meant, now=now, cut=cut)


def job(key: OneKey, home: HomeDir = None, as_json: AsJson = False) -> None:
    """Show one job with all that is kept of it."""
    with reading(home) as reader:
        detail = reader.job(key, now=SystemClock().now())
    if as_json:
        say_json(detail_json(detail))
    else:
        _say_detail(detail)


def why(key: OneKey, home: HomeDir = None, as_json: AsJson = False) -> None:
    """Say why a job is not running: every gate that holds it, and when each lifts."""
    with reading(home) as reader:
        detail = reader.job(key, now=SystemClock().now())
    if as_json:
        say_json({"key": detail.job.key, "status": detail.job.status.value, "why": detail.why})
    else:
        say(detail.why)


def _note(job: Job, *, now: int) -> str:
    if job.status is JobStatus.PENDING and job.not_before > now:
        if job.waiting_on and (job.waiting_gate or "").startswith("task:"):
            return job.waiting_on  # only a restart lifts it; the time is when it is looked at again
        return f"{job.waiting_on or 'asked for later'}, until {stamp(job.not_before)}"
    if job.status is JobStatus.RUNNING and job.cancel:
        return "is being cancelled"
    return first_line(job.error)


def _say_detail(detail: JobDetail) -> None:
    job = detail.job
    say(detail.why)
    held = f", of it {usd(job.held)} held" if job.held else ""
    cap = f" of {usd(job.max_usd)}" if job.max_usd is not None else ""
    starts = plural(job.starts, "start")
    for name, value in (
        ("task", job.task),
        ("status", job.status.value),
        ("attempts", f"{job.attempts} of {job.max_attempts} counted, {starts}, {plural(job.rescues, 'rescue')}"),
        ("cost", f"{usd(job.settled + job.held)}{cap}{held}"),
        ("priority", f"{job.priority}"),
        ("created", stamp(job.created_at)),
        ("finished", stamp(job.finished_at)),
        ("payload", _short(job.payload)),
    ):
        say(f"{name:<9} {value}")
    for attempt in detail.attempts:
        _say_attempt(attempt)
    for name, result in detail.steps.items():
        say(f"step      {name}: {one_line(told(name, result), STEP_CHARS)}")
    for verdict in detail.verdicts:
        say(f"criterion {'met' if verdict.met else 'NOT met'}: {verdict.criterion} ({verdict.reason})")
    for draft in detail.drafts:
        became = f", became {draft.became}" if draft.became else ""
        say(f"draft     {draft.id} {draft.state.value}{became}: {draft.performs}: {_short(draft.summary, 300)}")
    if job.result is not None:
        result = parsed(job.result)
        say("result")
        say_under(_short(result if isinstance(result, str) else job.result))


def _say_attempt(attempt: Attempt) -> None:
    took = duration(attempt.ended_at - attempt.started_at) if attempt.ended_at is not None else "so far"
    outcome = attempt.outcome.word if attempt.outcome else "running"
    error = f": {first_line(attempt.error)}" if attempt.error else ""
    say(f"attempt {attempt.n} {outcome}, {stamp(attempt.started_at)}, {took}, {usd(attempt.cost)}{error}")
    if attempt.tail and attempt.tail.strip():
        for line in attempt.tail.strip().splitlines()[-5:]:
            say(f"  | {_short(line, 300)}")


def _short(text: str, limit: int = SHOWS_CHARS) -> str:
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text):,} characters; --json shows them all)"
