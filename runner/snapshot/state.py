"""How the runner stands and whether it is stopped, as both the board and a job's "why" tell it."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import replace
from pathlib import Path

from runner.heartbeat import last_beat
from runner.home import Home
from runner.lock import holder_of, lock_is_held
from runner.snapshot.locked import unwritten
from runner.store import controls, runners
from runner.store.controls import Everything
from runner.store.inplace import MOVED
from runner.store.runners import Runner, RunState
from runner.units import UnixMs
from runner.views import LATE_MS, SILENT_MS, UNSAID_MS, Health, RunnerView, StopView


def runner_view(db: sqlite3.Connection, home: Home, *, now: UnixMs) -> RunnerView:
    """The runner that holds, or last held, the home, by its row, its lock and its beat outside the database."""
    row = runners.latest(db)
    held = lock_is_held(home.lock)
    if row is None:
        return _unknown_here(home, now=now) if held else RunnerView(health=Health.NEVER)
    age = max(0, now - row.heartbeat_at)
    if held and (age > LATE_MS or row.ended is not None):
        lives = _beside_the_database(row, home, age=age, now=now)
        if lives is not None:
            return lives
    if row.ended is not None and not held:
        health = Health.STOPPED if row.ended != "lost" else Health.DEAD
    elif row.state is RunState.STANDBY:
        health = Health.LIVE if age <= LATE_MS else Health.DEAD
    elif not held:
        health = Health.DEAD
    elif age > SILENT_MS or row.ended is not None:
        health = Health.SILENT
    else:
        health = Health.LATE if age > LATE_MS else Health.LIVE
    return RunnerView(health=health, row=row, heartbeat_age_ms=age)


def _beside_the_database(row: Runner, home: Home, *, age: int, now: UnixMs) -> RunnerView | None:
    """A runner that lives, and says in its heartbeat file what it cannot write down; None: it does not even there.

    `age`: of the heartbeat in the database. The file may be old, or not be the runner's: it is believed while it is
    of now, and without a fault only of the runner that the database knows, for as long as one has no word for it.
    """
    beat = last_beat(home.heartbeat)
    if beat is None or abs(now - beat.at) > LATE_MS:
        return None
    known = beat.pid == row.pid and row.ended is None and row.state is not RunState.STANDBY
    if beat.fault is None and not known:  # it has just begun, or it is another database that it works on
        return _unknown_here(home, now=now) if holder_of(home.lock) == beat.pid else None
    if beat.fault is None and age > UNSAID_MS:
        return None
    held_up = unwritten(home.db, runner=beat.pid, for_ms=age) if known else None
    said = replace(row, heartbeat_at=beat.at)
    if beat.fault is not None:
        if held_up is not None and (held_up.by is None or MOVED in beat.fault):
            held_up = None  # the fault says more
        reason = held_up.text if held_up is not None else beat.fault
        said = replace(said, pid=beat.pid, ended=None, state=RunState.PARKED, reason=reason)
    elif held_up is not None and row.state in (RunState.STARTING, RunState.RUNNING):
        said = replace(said, reason=held_up.text)
    return RunnerView(health=Health.LIVE, row=said, heartbeat_age_ms=max(0, now - beat.at), unwritten=held_up)


def _unknown_here(home: Home, *, now: UnixMs) -> RunnerView:
    """A runner that the database knows nothing of: it has just begun, or it is another database that it works on."""
    beat = last_beat(home.heartbeat)
    if beat is None or abs(now - beat.at) > LATE_MS:
        return RunnerView(health=Health.SILENT)
    row = Runner(
        id="",
        pid=beat.pid,
        pid_started="",
        boot="",
        host=os.uname().nodename,
        version="unknown",
        state=RunState.STARTING if beat.fault is None else RunState.PARKED,
        reason=beat.fault,
        started_at=beat.at,
        heartbeat_at=beat.at,
        stop_seq=0,
        ended=None,
    )
    return RunnerView(health=Health.LIVE, row=row, heartbeat_age_ms=max(0, now - beat.at))


def stop_view(home: Home, switches: Everything, runner: RunnerView) -> StopView:
    """Every source that is set now; the environment counts while a runner of it lives."""
    row = switches.stop
    by_env = switches.settings.get("stop_env") == "1" and runner.health in (Health.LIVE, Health.LATE, Health.SILENT)
    sources = (
        *(("file",) if home.stop_set() else ()),
        *(("row",) if row.is_set else ()),
        *(("env",) if by_env else ()),
    )
    folder = "file" in sources and _holds_something(home.stop)
    words = controls.stop_words(home.stop) if "file" in sources and not (row.is_set and row.by) else None
    told = words or row
    reason = told.reason
    if not row.is_set and words is None:
        outside = "a STOP folder that holds something" if folder else "a STOP file"
        reason = outside if "file" in sources else "AFK_STOP in the runner's environment" if sources else None
    named = row.is_set or words is not None
    return StopView(
        sources=sources,
        now=row.value == controls.STOP_NOW,
        reason=reason,
        by=told.by if named else None,
        at=told.at if named else None,
        seq=row.seq,
        folder=folder,
    )


def _holds_something(folder: Path) -> bool:
    """Whether it is a folder that cannot simply be removed; one that cannot be looked into may be."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    try:
        return any(os.scandir(folder))
    except OSError:
        return True
