"""`status --json`: how a home stands, as one document for other programs. Its words are stable."""

from __future__ import annotations

from typing import Any

from runner.store.drills import Drill
from runner.store.runners import RunState
from runner.units import iso
from runner.views import Health, RunnerView, ScheduleView, Vitals


def status_json(
    vitals: Vitals, schedule_views: tuple[ScheduleView, ...], *, incidents: int, drills: tuple[Drill, ...]
) -> dict[str, Any]:
    """The stable answer of `status --json`. `incidents`: how many are open."""
    runner, spend, stop = vitals.runner, vitals.spend, vitals.stop
    row, lately = runner.row, vitals.lately
    counts = vitals.counts
    return {
        "runner": {
            "state": _state_word(runner),
            "reason": row.reason if row else None,
            "pid": row.pid if row else None,
            "host": row.host if row else None,
            "heartbeat_age_s": runner.heartbeat_age_ms / 1000 if runner.heartbeat_age_ms is not None else None,
            "version": row.version if row else None,
            "note": row.note if row else None,
        },
        "queue": {
            "pending": counts.pending,
            "running": counts.running,
            "done": counts.done,
            "halted": counts.halted,
            "cancelled": counts.cancelled,
            "dead": counts.dead,
            "oldest_pending_s": counts.oldest_pending_ms / 1000 if counts.oldest_pending_ms is not None else None,
        },
        "spend": {
            "day": spend.day,
            "timezone": spend.zone,
            "cap_microusd": spend.cap,
            "settled_microusd": spend.settled,
            "held_microusd": spend.held,
            "free_microusd": spend.free,
            "reached_at": iso(spend.reached_at),
        },
        "breakers": [
            {
                "name": breaker.name,
                "state": breaker.state.value,
                "failures": breaker.failures,
                "retry_at": iso(breaker.retry_at),
                "reason": breaker.reason,
            }
            for breaker in vitals.breakers
        ],
        "stop": {
            "set": stop.set,
            "sources": list(stop.sources),
            "reason": stop.reason,
            "by": stop.by,
            "at": iso(stop.at),
        },
        "schedules": [
            {
                "name": view.schedule.name,
                "next_at": iso(view.schedule.next_at),
                "last_slot": iso(view.schedule.last_slot),
                "paused": view.paused is not None,
                "overdue_s": view.overdue_ms / 1000,
            }
            for view in schedule_views
        ],
        "lately": {
            "job_done_at": iso(lately.done_at),
            "job_done": lately.done_key,
            "call_settled_at": iso(lately.called_at),
            "call_model": lately.called_model,
            "ping_answered_at": iso(lately.ping.at) if lately.ping else None,
            "ping_fault": lately.ping.fault if lately.ping else None,
        },
        "drafts": {"waiting": vitals.drafts_waiting},
        "alerts": {"undelivered": vitals.alerts.undelivered, "open": vitals.alerts.open},
        "incidents": {"open": incidents},
        "drills": [drill_document(drill) for drill in drills],
    }


def _state_word(runner: RunnerView) -> str:
    """The state it told, unless what is observed says otherwise."""
    if runner.health in (Health.LIVE, Health.LATE) and runner.row:
        return runner.row.state.value
    return runner.health.value if runner.health is not Health.NEVER else RunState.STOPPED.value


def drill_document(drill: Drill) -> dict[str, Any]:
    """One drill."""
    return {
        "name": drill.name,
        "proven_at": iso(drill.proven_at),
        "proven_by": drill.proven_by,
        "version": drill.version,
        "failed_at": iso(drill.failed_at),
        "fault": drill.fault,
    }
