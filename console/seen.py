"""What the console has seen of one home: one frozen value a tick, and nothing else is drawn."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from runner.snapshot import Event, Reader, Vitals
from runner.units import UnixMs

PAGE = 200
"""Rows of one page."""


class View(StrEnum):
    """What the body shows. Digits are the keys, fixed by the design."""

    HOME = "1"
    JOBS = "2"
    DEAD = "3"
    APPROVALS = "4"
    SCHEDULES = "5"
    LOG = "6"
    JOB = "job"
    """One job, opened from a list."""
    SPEND = "m"
    """Money, opened over any other by its letter."""
    BREAKERS = "b"
    REPORT = "i"
    """What happened and what was earned, and the incidents."""

    @property
    def tab(self) -> str:
        """Its name there."""
        return self.name.capitalize()


OVERLAYS = (View.SPEND, View.BREAKERS, View.REPORT)
"""They have no tab: a letter opens one over whatever is open, and q leads back there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What the open pane needs read beside the vitals; each pane has its own kind. This one needs nothing.

    Two that are equal ask for the same, so a page is read again only when the home changed.
    """

    def read(self, reader: Reader, *, now: UnixMs) -> object:  # noqa: ARG002 - what the other kinds are given
        """The page: a frozen value. Runs in the thread that looks, in one short read. Raises StoreError."""
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside(Ask):
    """What two panes side by side need. The page is a pair of theirs."""

    left: Ask
    right: Ask

    def read(self, reader: Reader, *, now: UnixMs) -> tuple[object, object]:
        return self.left.read(reader, now=now), self.right.read(reader, now=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why the database cannot be read."""

    word: str
    """`LOCKED`, `MISSING`, ..."""
    text: str
    since: UnixMs


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPart:
    """What the log has gained since the value before."""

    fresh: bool = False
    """True: forget what was there, these are all."""
    events: tuple[Event, ...] = ()
    skipped: int = 0
    """Events between the last one shown and these, not read because they were too many."""

    def after(self, before: LogPart) -> LogPart:
        """All there is of both, for one who begins now: what lies before a gap is left out."""
        if self.fresh or self.skipped:
            return LogPart(fresh=True, events=self.events)
        return LogPart(fresh=True, events=(*before.events, *self.events)) if self.events else before


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
    page: object | None = None
    """What `ask` reads; None: it could not be read."""
    log: LogPart = field(default_factory=LogPart)
    back_after_ms: int | None = None
    """Set once, when the database can be read again: how long it could not."""

    def sides(self) -> tuple[Seen, Seen]:
        """What each of two panes side by side is to draw."""
        assert isinstance(self.ask, Beside)
        left, right = self.page if isinstance(self.page, tuple) else (None, None)
        return replace(self, ask=self.ask.left, page=left), replace(self, ask=self.ask.right, page=right)

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

    def waits(self, view: View) -> int:
        """How many things of a view wait for a person: the number on its tab."""
        if self.vitals is None:
            return 0
        return {View.DEAD: self.vitals.counts.dead, View.APPROVALS: self.vitals.drafts_waiting}.get(view, 0)
