"""A report as one JSON document: times ISO UTC, money whole micro-dollars. Its words are stable."""

from __future__ import annotations

from typing import Any

from runner.report.values import Report, TaskRow
from runner.status import drill_document
from runner.store.incidents import Incident
from runner.units import iso


def document(report: Report) -> dict[str, Any]:
    """The whole of it."""
    waits, row = report.waits, report.runner.row
    return {
        "at": iso(report.at),
        "since": iso(report.since),
        "timezone": report.zone,
        "runner": {
            "health": report.runner.health.value,
            "state": row.state.value if row else None,
            "reason": row.reason if row else None,
        },
        "stopped": report.stop.set,
        "queue": {"pending": report.pending, "running": report.running},
        "held_back": [{"gate": gate.gate, "jobs": gate.jobs, "until": iso(gate.until)} for gate in report.gates],
        "cost_microusd": report.cost,
        "earned_microusd": report.earned,
        "days": [
            {
                "day": day.day,
                "cost_microusd": day.cost,
                "settled_microusd": day.settled,
                "held_microusd": day.held,
                "cap_microusd": day.cap,
                "raised": day.raised,
                "done": day.done,
                "failed": day.failed,
            }
            for day in report.days
        ],
        "outcomes": [
            {
                "outcome": outcome.status,
                "jobs": outcome.jobs,
                "cost_microusd": outcome.cost,
                "each_microusd": outcome.each,
            }
            for outcome in report.outcomes
        ],
        "tasks": [_task(task) for task in report.tasks],
        "skipped": [
            {
                "schedule": skip.schedule,
                "reason": skip.reason,
                "slots": skip.slots,
                "first": iso(skip.first),
                "last": iso(skip.last),
            }
            for skip in report.skipped
        ],
        "happened": dict(report.happened),
        "story": [
            {"ts": iso(event.at), "event": event.event, "level": event.level, "text": event.text}
            for event in report.story
        ],
        "waiting": {
            "drafts": waits.drafts,
            "oldest_draft": iso(waits.oldest_draft),
            "dead": waits.dead,
            "errors": [
                {"error": error.error, "jobs": error.jobs, "last_at": iso(error.last_at)} for error in waits.errors
            ],
            "alerts_open": waits.alerts_open,
            "alerts_undelivered": waits.undelivered,
            "alerts": [
                {"key": alert.key, "level": alert.level, "text": alert.text, "at": iso(alert.at)}
                for alert in waits.alerts
            ],
            "incidents_open": waits.incidents_open,
            "incidents": [incident_document(incident) for incident in waits.incidents],
            "holds": {"calls": waits.holds, "microusd": waits.held},
        },
        "incidents_closed": [incident_document(incident) for incident in report.closed],
        "drills": [drill_document(drill) for drill in report.drills],
    }


def incident_document(incident: Incident) -> dict[str, Any]:
    """One incident."""
    return {
        "id": incident.id,
        "subject": incident.subject,
        "level": incident.level,
        "text": incident.text,
        "last_text": incident.last_text,
        "alerts": incident.alerts,
        "opened_at": iso(incident.opened_at),
        "last_at": iso(incident.last_at),
        "settled_at": iso(incident.settled_at),
        "closed_at": iso(incident.closed_at),
        "closed_by": incident.closed_by,
        "cause": incident.cause,
        "fix": incident.fix,
    }


def _task(row: TaskRow) -> dict[str, Any]:
    return {
        "task": row.task,
        "done": row.done,
        "halted": row.halted,
        "cancelled": row.cancelled,
        "dead": row.dead,
        "retries": row.retries,
        "cost_microusd": row.cost,
        "hours_saved": None if row.hours is None else str(row.hours),
        "earned_microusd": row.earned,
    }
