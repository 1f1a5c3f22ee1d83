"""The first and the last transaction of a runner's life."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from runner import schedule, spending, telling, upkeep
from runner.clocks import Jump
from runner.config import Config, TaskConfig
from runner.daemon.switch import ENVIRONMENT
from runner.daemon.watchdog import Stall
from runner.gate.admission import CAP_GATES
from runner.gate.call import policy_of
from runner.heartbeat import Beat
from runner.report import gather
from runner.store import controls, events, jobs, rate_turns, runners
from runner.store.runners import Runner, RunState
from runner.units import HOUR_MS, MINUTE_MS, UnixMs, duration, plural
from runner.work.attempt import CONFINE_GATE

CLOCK_SET_MS = MINUTE_MS
"""A clock set by less while the machine slept is a clock set right."""
STALL_MS = HOUR_MS
"""How long a stall is told of: further ones within that are told with it."""
CLOCK_MS = HOUR_MS
"""How long a clock that was set is told of."""


def lifted(db: sqlite3.Connection, *, config: Config, tasks: Mapping[str, TaskConfig]) -> list[str]:
    """The gates that a start lifts. Their jobs are woken before `begin`, for it writes down that this was done."""
    gates = [CONFINE_GATE, *(f"{jobs.TASK_GATE}{name}" for name in tasks)]  # what was missing may be there again
    if controls.settings(db).get("caps") != _caps(config, tasks):  # who raises a cap wants the parked jobs to run
        gates += [*CAP_GATES, *(f"rate:{name}" for name in config.upstreams)]
    return gates


def _caps(config: Config, tasks: Mapping[str, TaskConfig]) -> str:
    """All that limits spending, as one text to compare."""
    of_tasks = sorted((task.name, task.daily_usd) for task in tasks.values() if task.daily_usd is not None)
    limits = policy_of(config).limits
    return repr((config.budget, of_tasks, sorted((name, repr(limit)) for name, limit in limits.items())))


def begin(
    db: sqlite3.Connection,
    *,
    config: Config,
    tasks: Mapping[str, TaskConfig],
    me: Runner,
    beat: Beat | None,
    stall: Stall | None,
    stopped_by_environment: bool,
    now: UnixMs,
) -> None:
    """Take over the home: what the last runner left, what is configured now, and that we are here.

    `beat`: the last one outside the database. `stall`: how a watchdog ended the last runner, if one did.
    """
    telling.vanished(db, me=me, beat=beat, now=now)
    if stall is not None:
        level, text = _stalled(stall)
        events.record(db, now=now, level=level, event="runner.stalled", text=text)
        telling.tell(db, key="stall", level=level, text=text, now=now, lapses_at=UnixMs(now + STALL_MS))
    budget = config.budget
    irreversible = {name for name, task in tasks.items() if task.irreversible}
    lost = upkeep.take_back(db, runner=me.id, now=now, irreversible=irreversible, blameless=stall is not None)
    caps = _caps(config, tasks)
    if controls.settings(db).get("caps") != caps:
        rate_turns.clear(db)
    controls.put_settings(
        db,
        {
            "timezone": config.zone.key,
            **spending.told(budget, tasks),
            **gather.told(config.report, tasks),
            "caps": caps,
            "rate_window_ms": str(config.breaker.rate_window_ms),
            "workers": str(config.runner.workers),
            "stop_env": "1" if stopped_by_environment else "0",
        },
        now=now,
    )
    schedule.declare(db, tasks, max_attempts=config.retry.max_attempts, now=now)
    found = f", {plural(lost, 'job')} taken back from a runner that vanished" if lost else ""
    events.record(db, now=now, level=events.INFO, event="runner.start", text=f"runner {me.version} started{found}")


def _stalled(stall: Stall) -> tuple[str, str]:
    """Level and text of what is told of it."""
    if stall.frozen:
        what = "the last runner was frozen from outside (SIGSTOP, `docker pause`, a debugger) or starved by its machine"
        return events.WARN, f"{what}, and was ended when it went on; see {stall.dump}"
    what = "the last runner's loop stood still, so it was ended"
    return events.ERROR, f"{what}; it hung in {stall.where}; see {stall.dump}"


def jumped(db: sqlite3.Connection, jump: Jump, *, now: UnixMs) -> None:
    """The machine slept, or its clock was set. Who sets it is told to look: days and schedules go by it."""
    events.record(db, now=now, level=events.WARN, event="clock.jump", text=str(jump))
    if not jump.slept or abs(jump.set_by_ms) > CLOCK_SET_MS:
        telling.tell(db, key="clock", level=events.WARN, text=str(jump), now=now, lapses_at=UnixMs(now + CLOCK_MS))


@dataclass(frozen=True, slots=True)
class Distrust:
    """The database was no good."""

    since: UnixMs
    why: str
    until: UnixMs | None = None
    """When it could be used again, which a stop may outlast; None: it could not be yet."""


def moved(
    db: sqlite3.Connection,
    me: Runner,
    *,
    state: RunState,
    reason: str | None,
    note: str | None,
    by: str | None,
    distrust: Distrust | None = None,
    seq: int,
    now: UnixMs,
) -> None:
    """It took a state. A stop that nobody wrote down, as by a STOP file, is told of here.

    `note`: why it is parked although nobody stopped it. `by`: what somebody stopped it by; None: nobody did,
    or that is told later. `distrust`: since it last ran the database was no good, which nobody could be told of.
    """
    runners.move(db, me.id, state=state, reason=reason, stop_seq=seq, now=now, note=note)
    if by is not None and state in (RunState.DRAINING, RunState.PARKED):
        way = "unset it and restart the runner" if by == ENVIRONMENT else "`afk-runner resume` lifts it"
        text = f"stopped by {by}; {way}"
        telling.tell(db, key=telling.STOP, level=events.INFO, text=text, now=now)
    elif state is RunState.RUNNING:
        telling.settled(db, key=telling.STOP, text="the stop is lifted, the runner goes on", now=now)
        if distrust is not None:
            until = now if distrust.until is None else distrust.until
            text = f"parked for {duration(until - distrust.since)}: {distrust.why}"
            telling.tell(db, key="database", level=events.ERROR, text=text, now=now)
            telling.settled(db, key="database", text="it can be used again, and the runner goes on", now=now)


def leave(db: sqlite3.Connection, me: Runner, *, how: str, now: UnixMs) -> None:
    """Say goodbye. `how`: `signal`, `nothing left to do`, `held back by a stop` or `fault`."""
    runners.leave(db, me.id, ended=how, now=now)
    events.record(db, now=now, level=events.INFO, event="runner.end", text=f"runner ended: {how}")
