"""How far a stop has come: sent, recorded, answered. Said only from what was observed."""

from __future__ import annotations

from console.format import clock_s, exact_age, plural
from console.line import Part, line
from console.seen import Seen
from runner.snapshot import Health, RunnerView, RunState, StopView


def stop_parts(seen: Seen, *, sending: bool, readonly: bool = False) -> list[Part]:
    """The stop line; empty when nothing stops the runner. `sending`: our own stop is on its way."""
    way_out = [] if readonly else [_part("u Resume")]
    if not seen.stopped:
        return [_part("STOP SENT"), _part("waiting for the database", 1)] if sending else []
    if seen.vitals is None or seen.trouble is not None:
        word = "STOP SENT" if sending else "STOP IS SET" if seen.stop_file else "STOP IS SET?"
        return [_part(word), _part("by the STOP file" if seen.stop_file else "by the database", 1), *way_out]
    stop, runner = seen.vitals.stop, seen.vitals.runner
    running = seen.vitals.counts.running
    parts = [_part(stop_word(stop, runner, sending=sending) + (" without grace" if stop.now else ""))]
    if stop.by is not None and stop.at is not None:
        parts.append(_part(f"by {stop.by} {clock_s(stop.at)}", 3))
    elif stop.reason:
        parts.append(_part(f"by {stop.reason}", 3))
    if runner.health is Health.SILENT:
        parts.append(_part(f"runner not reading, silent {exact_age(runner.heartbeat_age_ms or 0)}"))
    elif not _alive(runner):
        parts.append(_part("no runner is running", 2))
    elif not answered(stop, runner):
        parts.append(_part("the runner has not answered yet", 2))
    elif running:
        parts.append(_part(f"{plural(running, 'job')} still finishing", 1))
    else:
        parts.append(_part("nothing runs, nothing is spent", 4))
    return [*parts, *way_out]


def stop_word(stop: StopView, runner: RunnerView, *, sending: bool = False) -> str:
    """`STOP SENT`, `STOP RECORDED` or `STOPPED`."""
    if runner.health is Health.SILENT:
        return "STOP RECORDED"
    if _alive(runner):
        return "STOPPED" if answered(stop, runner) else "STOP SENT"
    return "STOP SENT" if sending else "STOPPED"


def answered(stop: StopView, runner: RunnerView) -> bool:
    """Whether the runner has acted on the newest turn of the switch. A file has no turns: there its state tells."""
    if runner.row is None:
        return False
    if "row" in stop.sources:
        return runner.row.stop_seq >= stop.seq
    return runner.row.state in (RunState.PARKED, RunState.DRAINING)


def _alive(runner: RunnerView) -> bool:
    return runner.health in (Health.LIVE, Health.LATE)


def _part(text: str, rank: int = 0) -> Part:
    return Part(spans=line(text), rank=rank)
