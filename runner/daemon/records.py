"""The first and the last transaction of a runner's life."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from runner import schedule, spending, telling, upkeep
from runner.clocks import Jump
from runner.config import Config, TaskConfig
from runner.gate.admission import CAP_GATES
from runner.gate.call import policy_of
from runner.report import gather
from runner.store import controls, events, jobs, rate_turns, runners
from runner.store.runners import Runner, RunState
from runner.units import HOUR_MS, MINUTE_MS, UnixMs, plural
from runner.work.attempt import CONFINE_GATE
from runner.work.register import known_again

CLOCK_SET_MS = MINUTE_MS
"""A clock set by less while the machine slept is a clock set right."""
CLOCK_MS = HOUR_MS
"""How long a clock that was set is told of."""


def begin(
    db: sqlite3.Connection,
    *,
    config: Config,
    tasks: Mapping[str, TaskConfig],
    me: Runner,
    stopped_by_environment: bool,
    now: UnixMs,
) -> None:
    """Take over the home: what the last runner left, what is configured now, and that we are here."""
    budget = config.budget
    irreversible = {name for name, task in tasks.items() if task.irreversible}
    lost = upkeep.take_back(db, runner=me.id, now=now, irreversible=irreversible)
    of_tasks = sorted((task.name, task.daily_usd) for task in tasks.values() if task.daily_usd is not None)
    limits = policy_of(config).limits
    caps = repr((budget, of_tasks, sorted((name, repr(limit)) for name, limit in limits.items())))
    if controls.settings(db).get("caps") != caps:  # who raises a cap and restarts wants the parked jobs to run
        rate_turns.clear(db)
        for gate in (*CAP_GATES, *(f"rate:{name}" for name in config.upstreams)):
            jobs.wake(db, gate=gate, now=now, limit=-1)
    jobs.wake(db, gate=CONFINE_GATE, now=now, limit=-1)  # the machine may have been mended
    known_again(db, tasks, now=now)
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


def jumped(db: sqlite3.Connection, jump: Jump, *, now: UnixMs) -> None:
    """The machine slept, or its clock was set. Who sets it is told to look: days and schedules go by it."""
    events.record(db, now=now, level=events.WARN, event="clock.jump", text=str(jump))
    if not jump.slept or abs(jump.set_by_ms) > CLOCK_SET_MS:
        telling.tell(db, key="clock", level=events.WARN, text=str(jump), now=now, lapses_at=UnixMs(now + CLOCK_MS))


def moved(
    db: sqlite3.Connection, me: Runner, *, state: RunState, reason: str | None, by: str, seq: int, now: UnixMs
) -> None:
    """It took a state. A stop that nobody wrote down, as by a STOP file, is told of here. `by`: what stops it."""
    runners.move(db, me.id, state=state, reason=reason, stop_seq=seq, now=now)
    if reason == telling.STOP and state in (RunState.DRAINING, RunState.PARKED):
        text = f"stopped by {by}; `afk-runner resume` lifts it"
        telling.tell(db, key=telling.STOP, level=events.INFO, text=text, now=now)
    elif state is RunState.RUNNING:
        telling.settled(db, key=telling.STOP, text="the stop is lifted, the runner goes on", now=now)


def leave(db: sqlite3.Connection, me: Runner, *, how: str, now: UnixMs) -> None:
    """Say goodbye. `how`: `signal`, `nothing left to do` or `fault`."""
    runners.leave(db, me.id, ended=how, now=now)
    events.record(db, now=now, level=events.INFO, event="runner.end", text=f"runner ended: {how}")
