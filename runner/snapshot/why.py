"""Why a job is not running: one sentence that names every gate holding it, and when each lifts."""

from __future__ import annotations

import sqlite3

from runner.store import breakers, controls, jobs, leases, rate_pauses
from runner.store.breakers import BreakerState
from runner.store.jobs import TASK_GATE, Job, JobStatus
from runner.store.leases import MAX_RESCUES
from runner.store.runners import RunState
from runner.units import UnixMs, iso
from runner.views import Health, RunnerView, StopView

_RESUME = "`afk-runner resume`"


def why(db: sqlite3.Connection, job: Job, runner: RunnerView, stop: StopView, *, now: UnixMs) -> str:
    """The sentence, for a job in any state."""
    if job.status is JobStatus.RUNNING:
        return _at_work(job, runner, stop)
    if job.status is not JobStatus.PENDING:
        return _over(job)
    holds = []
    if stop.set:
        holds.append(_stopped(stop))
    holds += _held_by_runner(runner, stop)
    pause = controls.paused(db, job.task)
    if pause:
        holds.append(f"task {job.task} is paused by {pause.by} ({pause.reason}) until `afk-runner unpause {job.task}`")
    if job.not_before > now and not (pause and job.waiting_gate == f"pause:{job.task}"):
        paused = _paused(db, job.waiting_gate, now=now)
        fact = paused or job.waiting_on or "it was asked for a later time"
        told = paused or _for_a_person(db, job.waiting_gate)
        holds.append(fact if told else f"{fact}{_until_when(fact, job)}")
    elif company := _company(db, job):
        holds.append(company)
    if not holds:
        ahead = jobs.ahead_of(db, job, now=now)
        holds.append(f"it is due and {ahead or '0 jobs are ahead of it'}")
        if ahead:
            holds.append(jobs.first_by(job))
    return f"{job.key} waits: {'; '.join(holds)}."


def _held_by_runner(runner: RunnerView, stop: StopView) -> list[str]:
    if runner.health not in (Health.LIVE, Health.LATE):
        return [f"no runner works on this home (it is {runner.health}); start one with `afk-runner run`"]
    row = runner.row
    if row is None or not row.reason:
        return []
    if row.state is RunState.RUNNING:
        return [row.reason]
    return [f"the runner is parked ({row.note or row.reason})"] if row.state is RunState.PARKED and not stop.set else []


def _until_when(fact: str, job: Job) -> str:
    """What the time on its row means, after the fact that it waits for."""
    at = iso(job.not_before)
    if "; it lifts at " in fact:  # there it is by the clock of the cap's zone
        return f", which is {at}"
    return f"; it looks again at {at}" if "; it does not lift by itself" in fact else f", until {at}"


def lifts(stop: StopView) -> str:
    """What lifts a stop, as the end of a sentence. `resume` cannot reach into the environment of a process."""
    if resumable(stop):
        return f"{_RESUME} lifts it"
    return f"it holds until {_until(stop)}"


def resumable(stop: StopView) -> bool:
    """Whether `resume` alone lifts it."""
    return "env" not in stop.sources and not stop.folder


def _until(stop: StopView) -> str:
    steps = ["AFK_STOP is unset in the runner's environment and the runner restarted"] if "env" in stop.sources else []
    if stop.folder:
        steps.append("the folder STOP in the home is removed by hand")
    if set(stop.sources) - {"env"} - ({"file"} if stop.folder else set()):
        steps.append(_RESUME)
    return ", then ".join(steps)


def _stopped(stop: StopView) -> str:
    by = f" by {stop.by}" if stop.by else ""
    return f"everything is stopped ({', '.join(stop.sources)}{by}: {stop.reason}) until {_until(stop)}"


def _at_work(job: Job, runner: RunnerView, stop: StopView) -> str:
    """The sentence for a job that is running as far as its row knows."""
    if runner.health in (Health.LIVE, Health.LATE):
        return f"{job.key} is running now."
    if runner.health is Health.SILENT:
        said = "it holds the home and says nothing, so it hangs or is frozen; `afk-runner kill --force` ends it"
        return f"{job.key} is at work as far as its runner said: {said}."
    back = "the next runner takes it back: `afk-runner run` starts one"
    held = f"; {_stopped(stop)}" if stop.set else ""
    return f"{job.key} was at work when its runner ended; {back}{held}."


def _over(job: Job) -> str:
    """The sentence for a job that ended."""
    ended = f"{job.key} is {job.status} since {iso(job.finished_at)}"
    if job.status is JobStatus.DEAD:
        return f"{ended}: {_first_line(job.error)}; `afk-runner replay {job.key}` gives it a new life."
    if job.status is JobStatus.HALTED:
        return f"{ended}: {_first_line(job.error)}; {job.way_on}."
    if job.status is JobStatus.DONE and job.error:
        again = f"if its work is not done, `afk-runner enqueue {job.task} PAYLOAD --again` queues it anew"
        return f"{ended}, but {_first_line(job.error)}; {again}."
    return f"{ended}{': ' + _first_line(job.error) if job.error else ''}."


def _paused(db: sqlite3.Connection, gate: str | None, *, now: UnixMs) -> str | None:
    """The pause of a rate as it stands now; the job's own turn may come a little after it lifts."""
    if gate is None or not gate.startswith("rate:"):
        return None
    pause = rate_pauses.holding(db, gate.removeprefix("rate:"), now=now)
    return f"calls to {pause.name} are paused until {iso(pause.until)} ({pause.reason})" if pause else None


def _for_a_person(db: sqlite3.Connection, gate: str | None) -> bool:
    """Whether only a person lifts a gate; the time on the row is then no more than when the job looks again."""
    if gate is not None and gate.startswith(TASK_GATE):
        return True
    if gate is None or not gate.startswith("breaker:"):
        return False
    breaker = breakers.get(db, gate.removeprefix("breaker:"))
    return breaker is not None and breaker.state is BreakerState.OPEN and breaker.retry_at is None


def _company(db: sqlite3.Connection, job: Job) -> str | None:
    """Whom a due job must not run beside; see `leases.DUE`."""
    beside = leases.suspect_running(db)
    if beside is None:
        return None
    if beside.rescues >= MAX_RESCUES:
        return f"{beside.key} runs alone, as runners were lost under it before"
    if job.rescues:
        return f"a runner was lost under it and under {beside.key}, and such jobs run one at a time"
    return None


def _first_line(text: str | None) -> str:
    return (text or "no error was kept").strip().split("\n", 1)[0][:300]
