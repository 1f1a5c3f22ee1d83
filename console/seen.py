"""What the console has seen of one home: one frozen value a tick, and nothing else is drawn."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from runner.snapshot import Attempt, Event, Job, JobDetail, ScheduleView, Vitals
from runner.units import UnixMs

PAGE = 200
"""Rows of one page."""


class View(StrEnum):
    """What the body shows. Digits are the keys, fixed by the design; 4 is kept for approvals."""

    HOME = "1"
    JOBS = "2"
    DEAD = "3"
    SCHEDULES = "5"
    LOG = "6"
    JOB = "job"
    """One job, opened from a list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What the screen needs read beside the vitals."""

    view: View = View.HOME
    job_id: int | None = None
    """Of `View.JOB`."""
    upto: int | None = None
    """Of `View.JOBS`: jobs with this id and older ones; None: the newest."""
    after: int | None = None
    """Of `View.JOBS`, instead: the oldest of the jobs newer than this id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why the database cannot be read."""

    word: str
    """`LOCKED`, `MISSING`, ..."""
    text: str
    since: UnixMs


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What the visible view asked for; the fields of other views are empty."""

    running: tuple[tuple[Job, Attempt], ...] = ()
    jobs: tuple[Job, ...] = ()
    schedules: tuple[ScheduleView, ...] = ()
    job: JobDetail | None = None
    """None of `View.JOB`: it was removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPart:
    """What the log has gained since the value before."""

    fresh: bool = False
    """True: forget what was there, these are all."""
    events: tuple[Event, ...] = ()
    skipped: int = 0
    """Events between the last one shown and these, not read because they were too many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One look at the home."""

    at: UnixMs
    ask: Ask = field(default_factory=Ask)
    generation: int = 0
    """Counts the database files seen; ids of one generation mean nothing in the next."""
    vitals: Vitals | None = None
    """The last that could be read; None: none yet."""
    trouble: Trouble | None = None
    stop_file: bool = False
    """Looked up without the database."""
    page: Page | None = None
    """None: what was asked for could not be read."""
    log: LogPart = field(default_factory=LogPart)
    back_after_ms: int | None = None
    """Set once, when the database can be read again: how long it could not."""

    @property
    def stale(self) -> bool:
        """True when the numbers may be old: they get a `?`."""
        return self.trouble is not None or self.vitals is None or not self.vitals.runner.trusted

    @property
    def as_of(self) -> UnixMs | None:
        """The moment the numbers were true: the last good look, or the last word of a runner that went silent."""
        if self.vitals is None:
            return None
        row = self.vitals.runner.row
        if self.trouble is None and row is not None and not self.vitals.runner.trusted:
            return row.heartbeat_at
        return self.vitals.read_at

    @property
    def stopped(self) -> bool:
        """Whether any source of a stop is known to be set."""
        return self.stop_file or (self.vitals is not None and self.vitals.stop.set)
