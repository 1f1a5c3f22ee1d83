"""The part of the log that is at hand: a run of events without a gap, and what to read to make it longer.

Event ids grow by one and are never given twice, so two runs whose ids touch are one. What the feed skipped because it
was too much is therefore no hole: the run begins anew behind it, and whoever scrolls back reads it from the database.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace

from console.feed import LOG_LINES
from console.seen import PAGE, Ask, LogPart
from runner.snapshot import Event, Reader
from runner.units import UnixMs

LEVELS = ("info", "warn", "error")

_ASCII_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sieve:
    """Which events are wanted."""

    level: str = "info"
    """The mildest."""
    job: str | None = None
    """The key of the only job; None: any."""

    @property
    def levels(self) -> tuple[str, ...]:
        """This and worse."""
        return LEVELS[LEVELS.index(self.level) :]

    def admits(self, event: Event) -> bool:
        """Whether it is wanted."""
        return (self.level == "info" or event.level in self.levels) and self.job in (None, event.job)

    def within(self, other: Sieve) -> bool:
        """Whether everything it admits is admitted by the other too."""
        return LEVELS.index(self.level) >= LEVELS.index(other.level) and other.job in (None, self.job)


@dataclass(frozen=True, slots=True)
class Run:
    """Every event of one sieve with `since` < id <= `upto`, oldest first."""

    since: int = 0
    upto: int = 0
    events: tuple[Event, ...] = ()

    def touches(self, other: Run) -> bool:
        """Whether no event can be between them."""
        return self.since <= other.upto and other.since <= self.upto

    def joined(self, other: Run) -> Run:
        """Both as one; they must touch."""
        first, second = (self, other) if self.since <= other.since else (other, self)
        rest = second.events[second.place(first.upto) + 1 :]
        return Run(first.since, max(first.upto, second.upto), (*first.events, *rest))

    def sieved(self, sieve: Sieve) -> Run:
        """What a finer sieve leaves."""
        return (
            self
            if sieve == Sieve()
            else replace(self, events=tuple(event for event in self.events if sieve.admits(event)))
        )

    def newest(self, most: int) -> Run:
        """The end of it."""
        if len(self.events) <= most:
            return self
        return Run(self.events[-most - 1].id, self.upto, self.events[-most:])

    def oldest(self, most: int) -> Run:
        """The beginning of it."""
        if len(self.events) <= most:
            return self
        return Run(self.since, self.events[most].id - 1, self.events[:most])

    def place(self, id: int) -> int:
        """Index of the event with this id, or of the one before; -1: all are newer."""
        return bisect_right(self.events, id, key=lambda event: event.id) - 1


def begun(part: LogPart, before: Run) -> Run:
    """The newest run of all events, after the log has gained this."""
    events = part.events
    if part.fresh:
        full = len(events) >= LOG_LINES
        return Run(events[0].id - 1 if full else 0, events[-1].id if events else 0, events)
    if not events:
        return before
    since = events[0].id - 1 if part.skipped else before.upto
    run = Run(since, events[-1].id, events)
    return before.joined(run) if before.touches(run) else run


def has(event: Event, text: str) -> bool:
    """Whether a text is in what is shown of an event, as the database compares it: a to z are A to Z."""
    sought = text.translate(_ASCII_LOWER)
    shown = (event.text, event.job or "", event.task or "", event.event)
    return any(sought in one.translate(_ASCII_LOWER) for one in shown)


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """What the database is asked for. One of `before` and `after` is given."""

    sieve: Sieve
    before: int | None = None
    """The newest events older than this id."""
    after: int | None = None
    """The oldest events newer than this id."""
    text: str | None = None
    """Not these, but the nearest of them with this text, and what is around it."""
    errors: bool = False
    """The same with the nearest error."""
    around: bool = False
    """What is around `before`, itself included."""

    @property
    def seeks(self) -> bool:
        """Whether it looks for one event."""
        return self.text is not None or self.errors


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPage:
    """What was found."""

    run: Run | None = None
    """None: nothing of the kind is there."""
    hit: int | None = None
    """The event that was looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogAsk(Ask):
    """Events that are not at hand, found by id."""

    want: Want

    def read(self, reader: Reader, *, now: UnixMs) -> LogPage:  # noqa: ARG002 - it needs no ages
        want = self.want
        newest = reader.events(limit=1)
        top = newest[-1].id if newest else 0
        if want.seeks:
            levels = ("error",) if want.errors else want.sieve.levels
            found = reader.events(
                before=want.before, after=want.after, limit=1, levels=levels, job=want.sieve.job, text=want.text
            )
            if not found:
                return LogPage()
            return LogPage(run=_around(reader, want.sieve, found[0].id, top), hit=found[0].id)
        if want.around and want.before is not None:
            return LogPage(run=_around(reader, want.sieve, want.before, top), hit=want.before)
        if want.before is not None:
            return LogPage(run=_older(reader, want.sieve, want.before))
        return LogPage(run=_newer(reader, want.sieve, want.after or 0, top))


def _around(reader: Reader, sieve: Sieve, id: int, top: int) -> Run:
    return _older(reader, sieve, id + 1).joined(_newer(reader, sieve, id, top))


def _older(reader: Reader, sieve: Sieve, before: int) -> Run:
    events = reader.events(before=before, limit=PAGE, levels=sieve.levels, job=sieve.job)
    return Run(events[0].id - 1 if len(events) == PAGE else 0, before - 1, events)


def _newer(reader: Reader, sieve: Sieve, after: int, top: int) -> Run:
    events = reader.events(after=after, limit=PAGE, levels=sieve.levels, job=sieve.job)
    last = events[-1].id if events else after
    return Run(after, last if len(events) == PAGE else max(top, last), events)


def nearest(events: Iterable[Event], *, text: str | None) -> Event | None:
    """The first of them with the text, or the first error when there is none to look for."""
    return next((one for one in events if (one.level == "error" if text is None else has(one, text))), None)
