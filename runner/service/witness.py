"""What is observed of a home's runner: who holds the lock, what it wrote down, when its heart beat last.

A supervisor's word is never the proof that something started or ended: this is.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from runner.errors import StoreError
from runner.heartbeat import last_beat
from runner.home import Home
from runner.lock import holder_of, lock_is_held
from runner.service.machine import as_owner
from runner.store import runners
from runner.store.db import open_reader
from runner.store.runners import Runner, RunState
from runner.units import SystemClock
from runner.work.processes import start_time

_T = TypeVar("_T")

FRESH_MS = 15_000
"""A heartbeat older than this says nothing about now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A home's runners at one moment."""

    held: bool
    """Somebody holds the home's lock, so a runner lives."""
    pid: int | None = None
    """Of the holder, or of a runner that waits for better settings without it."""
    runner: Runner | None = None
    """What the holder wrote down; None: it did not yet, or the database cannot be read."""
    standing_by: tuple[Runner, ...] = ()
    last: Runner | None = None
    """Who held the home last, alive or not."""
    refused: bool = False
    """A runner lives that waits for settings it can accept."""

    @property
    def key(self) -> str | None:
        """Differs between two starts; None where nobody runs."""
        if self.runner is not None:
            return self.runner.id
        return f"pid {self.pid}" if self.pid is not None else None

    @property
    def works(self) -> bool:
        """It is past its start: it runs, or says why it does not."""
        return self.refused or (
            self.held and self.runner is not None and self.runner.state not in (RunState.STARTING, RunState.STOPPED)
        )

    @property
    def text(self) -> str:
        """A few words."""
        if self.refused:
            return f"pid {self.pid} is parked: its settings are refused"
        if not self.held:
            return "no runner holds the home"
        if self.runner is None:
            return f"pid {self.pid or 'unknown'} holds the home"
        why = f" ({self.runner.reason})" if self.runner.reason else ""
        return f"pid {self.runner.pid} is {self.runner.state}{why}"


def look(home: Home) -> Seen:
    """Look once. Never raises for a home that cannot be read: then the lock alone speaks."""
    with as_owner(home):
        held = lock_is_held(home.lock)
        holder = holder_of(home.lock)
        rows: list[Runner] = []
        last = None
        with suppress(StoreError, sqlite3.Error), closing(open_reader(home.db)) as db:
            rows, last = runners.present(db), runners.latest(db)
        beat = last_beat(home.heartbeat)
    here = [row for row in rows if start_time(row.pid) == row.pid_started]
    working = [row for row in here if row.state is not RunState.STANDBY]
    runner = next((row for row in working if holder is None or row.pid == holder), None) if held else None
    fresh = beat is not None and SystemClock().now() - beat.at < FRESH_MS and start_time(beat.pid) is not None
    waits = not held and fresh and beat is not None and beat.fault is not None
    return Seen(
        held=held,
        pid=holder or (runner.pid if runner else None) or (beat.pid if waits and beat is not None else None),
        runner=runner,
        standing_by=tuple(row for row in here if row.state is RunState.STANDBY),
        last=last,
        refused=waits,
    )


def in_unit(name: str, pid: int | None = None) -> bool:
    """Whether the kernel counts a process to a unit: also what left the runner's tree stays in it (Linux).

    `pid`: None for ourselves.
    """
    try:
        groups = Path(f"/proc/{pid or 'self'}/cgroup").read_text("utf-8", "surrogateescape")
    except OSError:
        return False
    return any(f"/{name}.service" in line for line in groups.splitlines())


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for what must come to be, and how."""

    start_s: float = 60.0
    """For the first heartbeat of a new runner."""
    race_s: float = 15.0
    """For launchd to get over a job that is still going."""
    poll_s: float = 0.2
    sleep: Callable[[float], None] = field(default=time.sleep)
    now: Callable[[], float] = field(default=time.monotonic)

    def until(self, look: Callable[[], _T | None], *, within_s: float) -> _T | None:
        """The first answer of `look` that is not None; None when there was none in time."""
        deadline = self.now() + within_s
        while True:
            answer = look()
            if answer is not None or self.now() >= deadline:
                return answer
            self.sleep(self.poll_s)
