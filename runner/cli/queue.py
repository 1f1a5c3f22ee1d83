"""The verbs that put jobs in, take them out, and give dead ones a new life."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from runner.bulk import BulkDoor
from runner.cli.lines import When, money, payload_of, requests, seconds
from runner.cli.rows import cost_of, job_json
from runner.cli.shell import (
    AsJson,
    HomeDir,
    Keys,
    Limit,
    example,
    find_home,
    first_line,
    reading,
    remark,
    say,
    say_bulk,
    say_json,
    say_table,
    stamp,
    writing,
)
from runner.cli.tasks import KnownTasks
from runner.commands import Enqueued, JobRequest
from runner.errors import Exit, NotFound, StoreError, UsageError
from runner.home import Home
from runner.snapshot import Health, Job, JobStatus, Reader, Runner
from runner.snapshot.why import lifts
from runner.text import one_line
from runner.units import SystemClock, plural, usd

DRY_RUN_SHOWS = 1_000_000
NAMED = 3
"""Keys that a remark on many names."""


def register(app: typer.Typer) -> None:
    app.command(
        epilog=example(
            """afk-runner enqueue triage '{"box": "inbox"}' --in 5m""",
            "afk-runner enqueue triage --lines < jobs.jsonl",
            """where a line is {"payload": {"box": "inbox"}, "key": "monday", "priority": 1}""",
        )
    )(enqueue)
    app.command(epilog=example("afk-runner cancel triage-4f2a90c1d2e3b4a5"))(cancel)
    app.command(epilog=example("afk-runner remove triage-4f2a90c1d2e3b4a5"))(remove)
    app.command(epilog=example("afk-runner dead"))(dead)
    app.command(epilog=example("afk-runner replay --error 4f2a90c1 --dry-run", "afk-runner replay --all"))(replay)


def enqueue(  # noqa: PLR0917 - typer reads the flags from the signature
    task: Annotated[
        str | None, typer.Argument(metavar="TASK", help="A task; with --lines the one of lines that name none.")
    ] = None,
    payload: Annotated[
        str | None, typer.Argument(metavar="[PAYLOAD|-]", help="JSON; - reads it from stdin; {} when absent.")
    ] = None,
    lines: Annotated[
        bool, typer.Option("--lines", help="One JSON job a line from stdin, all or nothing; flags are its defaults.")
    ] = False,
    key: Annotated[
        str | None, typer.Option("--key", metavar="K", help="Else made from task and payload: asking twice is one job.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Make a fresh key on purpose.")] = False,
    priority: Annotated[
        int | None, typer.Option("--priority", min=-9, max=9, metavar="N", help="-9 (last) to 9 (first).")
    ] = None,
    at: Annotated[str | None, typer.Option("--at", metavar="T", help="Not before, such as 2027-01-01T06:00.")] = None,
    wait: Annotated[str | None, typer.Option("--in", metavar="D", help="Not before, such as 90s, 5m or 6h.")] = None,
    max_usd: Annotated[
        str | None, typer.Option("--max-usd", metavar="X", help="The most it may cost in all its attempts.")
    ] = None,
    max_seconds: Annotated[
        str | None, typer.Option("--max-seconds", metavar="N", help="The longest one attempt may run.")
    ] = None,
    max_attempts: Annotated[
        int | None, typer.Option("--max-attempts", min=1, max=100, metavar="N", help="Then it is dead.")
    ] = None,
    max_output_tokens: Annotated[
        int | None, typer.Option("--max-output-tokens", min=1, max=1_000_000_000, metavar="N", help="Of each call.")
    ] = None,
    max_tool_calls: Annotated[
        int | None, typer.Option("--max-tool-calls", min=0, max=1_000_000_000, metavar="N", help="Then it is halted.")
    ] = None,
    criteria: Annotated[
        list[str] | None, typer.Option("--criteria", metavar="TEXT", help="Its answer must meet it; give one or more.")
    ] = None,
    home: HomeDir = None,
    as_json: AsJson = False,
) -> None:
    """Add a job. The same key is never added twice; the answer says what became of the first."""
    if lines and (payload is not None or key is not None):
        raise UsageError("--lines takes payloads and keys from stdin; leave PAYLOAD and --key out")
    if not lines and task is None:
        raise UsageError("enqueue wants a TASK; `afk-runner enqueue --help` shows an example")
    place = find_home(home)
    place.check()
    tasks = KnownTasks(place, environ=os.environ)
    when = When(now=SystemClock().now(), zone=tasks.config.zone)
    request = JobRequest(
        task=task or "",
        payload={} if lines else payload_of(payload, _stdin()),
        key=key,
        again=again,
        priority=priority,
        not_before=when.moment(at, wait),
        max_usd=money(max_usd),
        max_seconds_ms=seconds(max_seconds),
        max_attempts=max_attempts,
        max_output_tokens=max_output_tokens,
        max_tool_calls=max_tool_calls,
        criteria=tuple(criteria or ()),
    )
    if lines:
        _enqueue_lines(place, tasks, request, when, as_json=as_json)
        return
    with writing(home) as door:
        answer = door.enqueue(tasks, [request], max_attempts=tasks.config.retry.max_attempts)[0]
    if as_json:
        say_json(answer._asdict())
    elif answer.created:
        say(f"queued {answer.key}")
        _say_waits(place)
    else:
        say(f"exists {answer.key}")
        of = f" as a job of {answer.other_task}" if answer.other_task else ""
        other = ", and has another payload" if answer.other_payload else ""
        remark(f"nothing was added: it is {answer.status.value}{of}{other}; --again makes a fresh key")


def _enqueue_lines(home: Home, tasks: KnownTasks, defaults: JobRequest, when: When, *, as_json: bool) -> None:
    door = BulkDoor(home)
    try:
        added = door.enqueue_all(
            tasks,
            requests(_stdin(), defaults=defaults, when=when),
            max_attempts=tasks.config.retry.max_attempts,
        )
    finally:
        door.close()
    if as_json:
        say_json(
            {
                "created": added.created,
                "existing": added.existing,
                "other_payload": sum(job.other_payload for job in added.keys),
                "other_task": sum(job.other_task is not None for job in added.keys),
                "jobs": [job._asdict() for job in added.keys],
            }
        )
    else:
        say(f"queued {added.created:,}")
        if added.created:
            _say_waits(home)
        if added.existing:
            remark(f"{added.existing:,} existed already and were not added again")
            _say_others([job for job in added.keys if job.other_payload or job.other_task])
        if not added.keys:
            remark("there were no lines")


def _say_others(others: list[Enqueued]) -> None:
    """Of lines whose keys existed, whether somebody meant another job by one: it is not the one that was added."""
    if others:
        named = list(dict.fromkeys(job.key for job in others))
        first = ", ".join(one_line(key) for key in named[:NAMED])
        more = ", ..." if len(named) > NAMED else ""
        have = "has" if len(others) == 1 else "have"
        what = " or task" if any(job.other_task for job in others) else ""
        remark(f"{len(others):,} of them {have} another payload{what}, of which nothing was added: {first}{more}")


def _say_waits(home: Home) -> None:
    """Whether nothing will run what was queued, or the runner may not know it as it is written now."""
    try:
        with reading(home.root) as reader:
            vitals = reader.vitals(now=SystemClock().now())
    except StoreError:
        return  # the job is in; whoever asks about the runner is told what is wrong
    view, row = vitals.runner, vitals.runner.row
    if vitals.stop.set:
        remark(f"nothing starts: {vitals.stop.reason}; {lifts(vitals.stop)}")
    elif view.health in (Health.NEVER, Health.DEAD) or (view.health is Health.STOPPED and not _comes_again(row)):
        remark("no runner is live to do it; `afk-runner run` starts one")
    elif row is not None and view.health in (Health.LIVE, Health.LATE) and home.declared_at() > row.started_at:
        remark("the runner was started before afk.toml or tasks/*.py was changed; restart the runner")


def _comes_again(row: Runner | None) -> bool:
    """Whether it ended as `run --once` does, which cron starts again and again."""
    from runner.check import COMES_AGAIN  # noqa: PLC0415 - light verbs start fast

    return row is not None and row.ended in COMES_AGAIN


def cancel(keys: Keys, home: HomeDir = None, as_json: AsJson = False) -> None:
    """Cancel jobs that have not finished. A running one is ended; attempts and charges are kept."""
    with writing(home) as door:
        bulk = door.cancel(keys)
    ending = _still_running(bulk.done, home)
    for key in ending:
        remark(f"{key} is running; its runner ends it")
    say_bulk(bulk.done, bulk.refused, verb="cancelled", as_json=as_json)


def _still_running(keys: tuple[str, ...], home: Path | None) -> list[str]:
    with reading(home) as reader:
        running = {job.key for job, _ in reader.running(limit=1_000)}
    return [key for key in keys if key in running]


def remove(keys: Keys, home: HomeDir = None, as_json: AsJson = False) -> None:
    """Delete finished or dead jobs. What they cost stays in the ledger."""
    with writing(home) as door:
        bulk = door.remove(keys)
    say_bulk(bulk.done, bulk.refused, verb="removed", as_json=as_json)


def dead(home: HomeDir = None, limit: Limit = 50, as_json: AsJson = False) -> None:
    """List the dead letters, the newest first.

    They used up their attempts or cannot succeed, and wait for a person.
    """
    with reading(home) as reader:
        found = reader.dead(limit=limit, cut=not as_json)
    if as_json:
        say_json([job_json(job) for job in found])
        return
    _say_dead(found)
    if found:
        remark("replay one with `afk-runner replay KEY`, all of one error with `afk-runner replay --error ERROR`")
    else:
        remark("no dead letters")


def _say_dead(found: tuple[Job, ...]) -> None:
    if found:
        rows = [
            (
                *(job.key, job.task, f"{job.attempts}", cost_of(job), stamp(job.finished_at), job.fingerprint or "-"),
                first_line(job.error),
            )
            for job in found
        ]
        say_table(("KEY", "TASK", "TRIES", "COST", "DIED", "ERROR", "WHAT IT SAID"), rows)


def replay(  # noqa: PLR0917 - typer reads the flags from the signature
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="KEY...", help="As `afk-runner dead` prints them.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All dead letters there are now.")] = False,
    error: Annotated[
        str | None, typer.Option("--error", metavar="ERROR", help="Those of one error, as `dead` prints it.")
    ] = None,
    canary: Annotated[
        bool, typer.Option("--canary", help="Only the newest of the error, to see first whether it lives.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say which, and change nothing.")] = False,
    home: HomeDir = None,
    as_json: AsJson = False,
) -> None:
    """Give dead jobs a new life.

    Attempts count from 0; history and recorded steps are kept.
    """
    if sum((bool(keys), every, error is not None)) != 1:
        raise UsageError("replay wants KEYs, or --all, or --error ERROR")
    if canary and error is None:
        raise UsageError("--canary takes one of many that share an error: it belongs to --error ERROR")
    rest = 0
    with reading(home) as reader:
        ids = None if keys else _frozen(reader, error)
        if canary and ids is not None:
            ids, rest = ids[-1:], len(ids) - 1
        if dry_run:
            _say_dry_run(reader, keys or [], set(ids or ()), as_json=as_json)
            return
    with writing(home) as door:
        bulk = door.replay(keys or []) if ids is None else door.replay_ids(ids)
    if rest and bulk.done:
        remark(f"{plural(rest, 'other')} of this error stay dead until you replay them without --canary")
    say_bulk(bulk.done, bulk.refused, verb="replayed", as_json=as_json)


def _frozen(reader: Reader, error: str | None) -> tuple[int, ...]:
    """The ids there are at this moment; one that dies later is not swept along. Raises NotFound."""
    ids = reader.dead_ids(fingerprint=error)
    if not ids:
        raise NotFound("there is no dead letter" if error is None else f"no dead letter has the error {error!r}")
    return ids


def _say_dry_run(reader: Reader, keys: list[str], ids: set[int], *, as_json: bool) -> None:
    refused: list[tuple[str, str]] = []
    found: list[Job] = []
    if keys:
        for key in keys:
            try:
                job = reader.job(key, now=SystemClock().now()).job
            except NotFound:
                refused.append((key, "there is no such job"))
                continue
            if job.status is JobStatus.DEAD:
                found.append(job)
            else:
                refused.append((key, job.no_replay))
    else:
        found = [job for job in reader.dead(limit=DRY_RUN_SHOWS, cut=True) if job.id in ids]
    if as_json:
        say_json(
            {
                "would_replay": [job.key for job in found],
                "refused": [{"key": key, "reason": reason} for key, reason in refused],
            }
        )
    else:
        _say_dead(tuple(found))
        spent = sum(job.settled + job.held for job in found)
        remark(f"would replay {plural(len(found), 'job')}, which cost {usd(spent)} so far; nothing was changed")
    for key, reason in refused:
        remark(f"afk-runner: would not replay {key}: {reason}")
    if refused:
        raise typer.Exit(Exit.REFUSED)


def _stdin() -> BinaryIO:
    if sys.stdin is None:
        raise UsageError("stdin is closed; pipe something in")
    return sys.stdin.buffer
