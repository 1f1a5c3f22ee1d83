"""The sentences of a report that every form of it says alike."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from zoneinfo import ZoneInfo

from runner.report.values import Report, SkipRow
from runner.store.drills import FRESH_MS, Drill
from runner.store.incidents import Incident
from runner.store.runners import RunState
from runner.units import DAY_MS, UnixMs, day_of, duration, exact_usd, plural
from runner.views import MOST_WAITING, Health

HAPPENED = {
    "stop.set": ("stop", "stops"),
    "stop.cleared": ("resume", "resumes"),
    "breaker.open": ("breaker opened", "breakers opened"),
    "breaker.closed": ("breaker closed", "breakers closed"),
    "call.refused": ("call refused", "calls refused"),
    "call.runaway": ("runaway", "runaways"),
    "call.over_bound": ("answer above its bound", "answers above their bound"),
    "cap.level": ("cap level reached", "cap levels reached"),
    "cap.raised": ("cap raised", "caps raised"),
    "cap.lowered": ("raise taken back", "raises taken back"),
    "rate.paused": ("rate pause", "rate pauses"),
    "hold.orphan": ("call lost in flight", "calls lost in flight"),
    "job.retry": ("retry", "retries"),
    "job.rescued": ("rescue", "rescues"),
    "job.unanswered": ("job done without an answer of a model", "jobs done without an answer of a model"),
    "job.lease_lost": ("lease lost", "leases lost"),
    "slot.skipped": ("slot skipped", "slots skipped"),
    "clock.jump": ("sleep or clock jump", "sleeps or clock jumps"),
    "runner.start": ("runner start", "runner starts"),
    "runner.forced": ("runner ended by force", "runners ended by force"),
    "guard.restarted": ("guard restarted", "guards restarted"),
}
"""What is counted aloud, in this order; the JSON form counts every word."""


@dataclass(frozen=True, slots=True)
class Need:
    """One thing that waits for a person."""

    text: str
    command: str
    """That shows it."""
    bad: bool = False


def needs(report: Report) -> tuple[Need, ...]:
    """What waits for a person, the worst first; the details come with each form."""
    waits = report.waits
    found = []
    if report.stop.set:
        by = f" by {report.stop.by}" if report.stop.by else ""
        found.append(Need(f"it is stopped{by}: {report.stop.reason}", "afk-runner resume", bad=True))
    if untold := min(waits.undelivered, waits.alerts_open):  # what is over is nobody's need any more
        told = plural(untold, "alert reached nobody yet", "alerts reached nobody yet")
        found.append(Need(told, "afk-runner alerts", bad=True))
    if waits.incidents_open:
        one = plural(waits.incidents_open, "incident is open", "incidents are open")
        found.append(Need(f"{one}: each wants a cause and a fix", "afk-runner incidents", bad=True))
    if waits.dead:
        found.append(Need(plural(waits.dead, "dead letter"), "afk-runner dead", bad=True))
    if waits.alerts_open:
        still = plural(waits.alerts_open, "alert still holds", "alerts still hold")
        found.append(Need(still, "afk-runner alerts"))
    if waits.holds:
        calls = plural(waits.holds, "call has a cost", "calls have a cost")
        found.append(
            Need(f"{calls} nobody knows: {exact_usd(waits.held)} is held for that", "afk-runner spend --holds")
        )
    if waits.drafts:
        many = "or more " if waits.drafts >= MOST_WAITING else ""
        old = f", the oldest for {duration(max(0, report.at - waits.oldest_draft))}" if waits.oldest_draft else ""
        found.append(Need(f"{plural(waits.drafts, f'{many}draft')} to approve or reject{old}", "afk-runner drafts"))
    return tuple(found)


def runner_words(report: Report) -> str:
    """How the runner stands."""
    row, health = report.runner.row, report.runner.health
    if row is None:
        return "never started"
    if health in (Health.LIVE, Health.LATE):
        why = f" ({row.reason})" if row.reason else ""
        return f"{row.state.value}{why}"
    if health is Health.STOPPED:
        return f"{RunState.STOPPED.value} ({row.ended or 'no reason kept'})"
    return f"{health.value}, its last heartbeat {duration(report.runner.heartbeat_age_ms or 0)} ago"


def gate_words(report: Report) -> tuple[str, ...]:
    """What holds pending jobs back: `8 jobs wait for cap:day until 2027-01-02 00:00`."""
    many = sum(gate.jobs for gate in report.gates) >= MOST_WAITING
    return tuple(
        f"{plural(gate.jobs, 'job waits', 'jobs wait')}{' or more' if many else ''} for {gate.gate} "
        f"until {report.wall(gate.until)}"
        for gate in report.gates
    )


def happened_words(report: Report) -> tuple[str, ...]:
    """What is counted aloud: `2 stops`, `1 breaker opened`."""
    return tuple(plural(number, *HAPPENED[word]) for word in HAPPENED if (number := report.number(word)))


def hours_words(hours: Decimal | None) -> str:
    """Hours as a column shows them."""
    return "-" if hours is None else f"{hours.normalize():f} h"


def drill_words(drill: Drill, *, now: UnixMs, zone: ZoneInfo) -> tuple[str, bool]:
    """When it was last proven, and whether that is to be had again."""
    if drill.failing:
        return f"FAILED on {day_of(drill.failed_at or now, zone)}: {drill.fault}", True
    if drill.proven_at is None:
        return "never proven", True
    age = max(0, now - drill.proven_at) // DAY_MS
    ago = "today" if age == 0 else f"{plural(age, 'day')} ago"
    old = f", longer ago than {FRESH_MS // DAY_MS} days" if not drill.fresh(now) else ""
    return f"proven {ago}{old}", not drill.fresh(now)


def drills_line(drills: tuple[Drill, ...], *, now: UnixMs, zone: ZoneInfo) -> tuple[str, bool]:
    """All drills in one sentence, and whether any is to be had again."""
    if all(drill.proven_at is None and not drill.failing for drill in drills):
        return "never proven; `afk-runner drill` takes less than a minute and a sandbox", True
    worn = [drill for drill in drills if not drill.fresh(now)]
    if not worn:
        oldest = min(drills, key=lambda drill: drill.proven_at or 0)
        said = drill_words(oldest, now=now, zone=zone)[0]
        return f"all {said}{'' if said.endswith('today') else ', or since'}", False
    return "; ".join(f"{drill.name} {drill_words(drill, now=now, zone=zone)[0]}" for drill in worn), True


def incident_line(report: Report, incident: Incident) -> str:
    """Of an open one: which, since when, whether it is over, and how often it came. Not what was told."""
    over = "still holds" if incident.settled_at is None else f"over since {report.wall(incident.settled_at)}"
    often = f", came {incident.alerts} times" if incident.alerts > 1 else ""
    return f"{incident.id} of {report.wall(incident.opened_at)}, {over}{often}"


def skip_line(report: Report, skip: SkipRow) -> str:
    """When slots were skipped. Not why."""
    upto = f" to {report.wall(skip.last)}" if skip.slots > 1 else ""
    return f"{report.wall(skip.first)}{upto}"
