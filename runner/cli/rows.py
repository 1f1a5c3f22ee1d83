"""Rows as listings show them and as JSON carries them: times ISO UTC, money whole micro-dollars."""

from __future__ import annotations

import json
from typing import Any

from runner.nesting import is_too_deep, openings
from runner.snapshot import Attempt, Event, Job, JobDetail
from runner.units import iso, usd


def cost_of(job: Job) -> str:
    """What a job cost so far, held calls included."""
    return usd(job.settled + job.held) if job.settled or job.held else "-"


def job_json(job: Job) -> dict[str, Any]:
    """One row of `jobs`."""
    return {
        "id": job.id,
        "key": job.key,
        "task": job.task,
        "status": job.status.value,
        "payload": parsed(job.payload),
        "priority": job.priority,
        "attempts": job.attempts,
        "max_attempts": job.max_attempts,
        "starts": job.starts,
        "rescues": job.rescues,
        "cancel_asked": job.cancel,
        "created_at": iso(job.created_at),
        "not_before": iso(job.not_before),
        "finished_at": iso(job.finished_at),
        "settled_microusd": job.settled,
        "held_microusd": job.held,
        "cost_microusd": job.settled + job.held,
        "max_usd_microusd": job.max_usd,
        "max_seconds": None if job.max_seconds_ms is None else job.max_seconds_ms / 1000,
        "max_output_tokens": job.max_output_tokens,
        "max_tool_calls": job.max_tool_calls,
        "waiting_gate": job.waiting_gate,
        "waiting_on": job.waiting_on,
        "error": job.error,
        "fingerprint": job.fingerprint,
        "result": None if job.result is None else parsed(job.result),
    }


def detail_json(detail: JobDetail) -> dict[str, Any]:
    """The row with its history."""
    return {
        **job_json(detail.job),
        "attempts_log": [attempt_json(attempt) for attempt in detail.attempts],
        "steps": {name: parsed(result) for name, result in detail.steps.items()},
        "criteria": [
            {"criterion": verdict.criterion, "met": verdict.met, "reason": verdict.reason}
            for verdict in detail.verdicts
        ],
        "drafts": [{"id": draft.id, "state": draft.state.value, "became": draft.became} for draft in detail.drafts],
        "why": detail.why,
    }


def attempt_json(attempt: Attempt) -> dict[str, Any]:
    return {
        "n": attempt.n,
        "outcome": attempt.outcome.value if attempt.outcome else None,
        "error": attempt.error,
        "started_at": iso(attempt.started_at),
        "ended_at": iso(attempt.ended_at),
        "cost_microusd": attempt.cost,
        "tail": attempt.tail,
    }


def event_json(event: Event) -> dict[str, Any]:
    return {
        "seq": event.id,
        "ts": iso(event.at),
        "level": event.level,
        "event": event.event,
        "task": event.task,
        "job": event.job,
        "attempt": event.attempt,
        "text": event.text,
    }


def parsed(text: str) -> Any:
    """The JSON value of a column; the text itself where it is nested too deep or is no JSON, as a hand may write."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text if is_too_deep(value, openings=openings(text)) else value
