"""What is written down of attempts: claims, and how they ended. A finish and the next claim share a transaction."""

from __future__ import annotations

import json
import os
import random
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from runner import telling
from runner.config import Config, TaskConfig, TaskKind
from runner.errors import LeaseLost
from runner.gate.passes import Pass
from runner.redact import Redactor
from runner.store import answers, attempts, controls, events, jobs, leases, raises, steps, tool_calls
from runner.store.attempts import Outcome
from runner.store.jobs import TASK_GATE, Job, JobStatus
from runner.store.leases import Lease
from runner.units import Clock, UnixMs
from runner.work.attempt import Live
from runner.work.conversation import text_so_far
from runner.work.outcome import FAR_MS, Cut, Decision, Ending, decide, not_again

LEASE_MS = 60_000
"""How long a silent runner keeps its jobs; renewed with each heartbeat."""
PARKED_AT_ONCE = 64
"""Jobs that may not start which one claim moves out of its way."""

DECLARE_IT = "see that afk.toml or tasks/*.py declares it, and restart the runner"
"""The way out for a job whose task the runner does not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """What a claim found."""

    found: list[Live] = field(default_factory=list)
    again_at: UnixMs | None = None
    """When to claim again; None: not before something changes."""
    exhausted: bool = False
    """It looked, and left nothing due behind that may be started."""


class Register:
    """Every method runs in the caller's transaction, in whatever thread it is."""

    def __init__(
        self,
        *,
        config: Config,
        tasks: Mapping[str, TaskConfig],
        runner: str,
        redactor: Redactor,
        may_claim: Callable[[], bool],
        clock: Clock,
        rng: random.Random,
    ) -> None:
        """`may_claim` looks for a stop outside the database."""
        self._config = config
        self._tasks = tasks
        self._performers = tuple(sorted(name for name, task in tasks.items() if task.irreversible))
        self._runner = runner
        self._redact = redactor
        self._may_claim = may_claim
        self._clock = clock
        self._rng = rng

    def claim(self, db: sqlite3.Connection, count: int) -> Claimed:
        """Claim up to `count` due jobs, and say when the next one comes due."""
        found: list[Live] = []
        now = self._clock.now()
        if not self._may_claim():
            return Claimed(exhausted=True)
        may_start, any_paused = controls.claims(db)
        if not may_start:
            return Claimed(exhausted=True)
        parked = 0
        while len(found) < count and parked < PARKED_AT_ONCE:
            lease = Lease(runner=self._runner, token=os.urandom(8).hex(), until=UnixMs(now + LEASE_MS))
            job = leases.claim(db, now=now, lease=lease)
            if job is None:
                return Claimed(found=found, again_at=jobs.next_due(db, after=now), exhausted=True)
            pause = controls.paused(db, job.task) if any_paused else None
            task = self._tasks.get(job.task)
            if pause is not None or task is None:
                if pause is not None:
                    gate, fact = f"pause:{job.task}", f"task {job.task} is paused ({pause.reason})"
                else:  # declared after this runner was started, or not any more: only a start can tell
                    gate, fact = (
                        f"{TASK_GATE}{job.task}",
                        f"the runner was started without a task {job.task}; {DECLARE_IT}",
                    )
                leases.unclaim(db, id=job.id, not_before=UnixMs(now + FAR_MS), gate=gate, fact=fact)
                parked += 1
                continue
            attempts.start(db, job_id=job.id, n=job.starts, runner=self._runner, now=now)
            recorded = steps.of_job(db, job.id) if job.starts > 1 else {}
            found.append(self._live(db, job, task, recorded))
        return Claimed(found=found, again_at=now if parked else None)

    def _live(self, db: sqlite3.Connection, job: Job, task: TaskConfig, recorded: dict[str, str]) -> Live:
        budget = self._config.budget
        own = job.max_usd if job.max_usd is not None else task.max_usd
        most_tools = job.max_tool_calls if job.max_tool_calls is not None else task.max_tool_calls
        asked_tools = tool_calls.of_job(db, job.id) if most_tools is not None and job.starts > 1 else 0
        granted = Pass(
            job_id=job.id,
            job=job.key,
            n=job.starts,
            task=job.task,
            lease=job.lease or "",
            runner=self._runner,
            job_cap=own if own is not None else budget.per_job_usd,
            task_cap=task.daily_usd,
            max_output_tokens=job.max_output_tokens or task.max_output_tokens,
            server_tools=task.server_tools,
            max_tool_calls=most_tools,
            tool_calls=asked_tools,
            kept=answers.of_job(db, job.id) if job.starts > 1 and task.kind is not TaskKind.COMMAND else {},
        )
        return Live(job=job, task=task, granted=granted, recorded=recorded, performers=self._performers)

    def close(self, db: sqlite3.Connection, live: Live, ending: Ending, tail: str | None) -> None:
        """Write down how an attempt ended and what becomes of its job."""
        now = self._clock.now()
        if ending.outcome != "done" and leases.cancel_asked(db, id=live.job.id):  # also when it came too late to cut it
            ending = replace(ending, cut=Cut.CANCEL)
        decision = decide(
            ending,
            attempts=live.job.attempts,
            max_attempts=live.job.max_attempts,
            limit_ms=live.max_seconds_ms,
            on_timeout=live.task.on_timeout,
            retry=self._config.retry,
            now=now,
            rng=self._rng,
        )
        if live.task.irreversible:
            decision = not_again(decision, ending)
        self._write(db, live, decision, ending, tail, now=now)

    def _write(
        self, db: sqlite3.Connection, live: Live, decision: Decision, ending: Ending, tail: str | None, *, now: UnixMs
    ) -> None:
        job = live.job
        error = self._redact(decision.error) if decision.error else None
        result = ending.result
        if result is None and decision.status is JobStatus.HALTED:  # what it had so far, whoever ended it
            text = text_so_far(steps.of_job(db, job.id))
            result = None if text is None else json.dumps(text, ensure_ascii=False)
        result = self._redact(result) if result is not None else None
        token = job.lease or ""
        try:
            if decision.status is JobStatus.PENDING:
                leases.put_back(
                    db,
                    id=job.id,
                    token=token,
                    not_before=now if self._raised_meanwhile(db, job, decision) else decision.not_before or now,
                    gate=decision.gate or "retry",
                    fact=self._redact(decision.fact or ""),
                    counted=decision.counted,
                    error=error if decision.counted else None,
                )
            else:
                leases.finish(
                    db,
                    id=job.id,
                    token=token,
                    status=decision.status,
                    now=now,
                    counted=decision.counted,
                    result=result,
                    error=error,
                )
        except LeaseLost as lost:
            self._event(db, job, events.ERROR, "job.lease_lost", str(lost), now=now)
            return
        if live.granted.keeps and ending.unusable:
            answers.drop(db, job.id)
        attempts.end(db, job_id=job.id, n=job.starts, outcome=decision.outcome, now=now, error=error, tail=tail or None)
        level, word, text = _told(decision, error)
        if decision.status is JobStatus.DEAD:
            telling.dead(db, task=job.task, job=job.key, error=error, now=now)
        self._event(db, job, level, word, text, now=now)
        if decision.status is JobStatus.DONE and error:
            self._event(db, job, events.WARN, "job.unanswered", f"it is done, but {error}", now=now)

    def _raised_meanwhile(self, db: sqlite3.Connection, job: Job, decision: Decision) -> bool:
        """Whether the day's cap was raised while it ran: that woke those that waited, and this one did not wait yet."""
        if decision.gate != "cap:day":
            return False
        began = attempts.started_at(db, job_id=job.id, n=job.starts)
        return began is not None and raises.made_since(db, began)

    def _event(self, db: sqlite3.Connection, job: Job, level: str, event: str, text: str, *, now: UnixMs) -> None:
        events.record(db, now=now, level=level, event=event, text=text, task=job.task, job=job.key, attempt=job.starts)


def _told(decision: Decision, error: str | None) -> tuple[str, str, str]:
    """Level, word and text of the event that an attempt's end leaves."""
    first = (error or "").split("\n", 1)[0]
    if decision.status is JobStatus.DONE:
        return events.INFO, "job.done", "done"
    if decision.status is JobStatus.DEAD:
        return events.ERROR, "job.dead", f"dead: {first}"
    if decision.status is not JobStatus.PENDING:
        return events.WARN, f"job.{decision.status}", f"{decision.status}: {first}"
    if decision.outcome is Outcome.SNOOZED:
        return events.INFO, "job.snoozed", f"put back unburnt: {decision.fact}"
    return events.WARN, "job.retry", f"{decision.fact}: {first}"
