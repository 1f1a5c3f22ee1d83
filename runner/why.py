"""Why a job is not running: one sentence that names every gate holding it, and when each lifts."""

from __future__ import annotations

import sqlite3

from runner.store import controls
from runner.store.jobs import Job, JobStatus
from runner.units import UnixMs, iso
from runner.views import Health, RunnerView, StopView


def why(db: sqlite3.Connection, job: Job, runner: RunnerView, stop: StopView, *, now: UnixMs) -> str:
    if job.status is JobStatus.RUNNING:
        return f"{job.key} is running now."
    if job.status is not JobStatus.PENDING:
        ended = f"{job.key} is {job.status} since {iso(job.finished_at)}"
        if job.status is JobStatus.DEAD:
            return f"{ended}: {_first_line(job.error)}; `afk-runner replay {job.key}` gives it a new life."
        return f"{ended}{': ' + _first_line(job.error) if job.error else ''}."
    holds = []
    if stop.set:
        by = f" by {stop.by}" if stop.by else ""
        holds.append(f"everything is stopped ({', '.join(stop.sources)}{by}: {stop.reason}) until `afk-runner resume`")
    if runner.health not in (Health.LIVE, Health.LATE):
        holds.append(f"no runner works on this home (it is {runner.health}); start one with `afk-runner run`")
    pause = controls.paused(db, job.task)
    if pause:
        holds.append(f"task {job.task} is paused by {pause.by} ({pause.reason}) until `afk-runner unpause {job.task}`")
    if job.not_before > now and job.waiting_gate != "pause":
        fact = f"{job.waiting_on}, " if job.waiting_on else "it was asked for a later time, "
        holds.append(f"{fact}until {iso(job.not_before)}")
    if not holds:
        ahead = db.execute(
            "SELECT count(*) FROM (SELECT 1 FROM jobs WHERE status = 'pending' AND not_before <= ? AND "
            "(priority, -not_before, -id) > (?, ?, ?) LIMIT 1000)",
            (now, job.priority, -job.not_before, -job.id),
        ).fetchone()[0]
        holds.append(f"it is due and {ahead if ahead < 1000 else 'over 1000'} jobs are ahead of it")
    return f"{job.key} waits: {'; '.join(holds)}."


def _first_line(text: str | None) -> str:
    return (text or "no error was kept").strip().split("\n", 1)[0][:300]
