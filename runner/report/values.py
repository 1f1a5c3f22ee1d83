"""What a report says, as frozen values. Reads nothing by itself."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from zoneinfo import ZoneInfo

from runner.store.drills import Drill
from runner.store.events import Event
from runner.store.incidents import Incident
from runner.units import MicroUsd, UnixMs, local
from runner.views import NOTHING, RunnerView, StopView, Waiting

STATUSES = ("done", "halted", "cancelled", "dead")
"""How a job can end, in the order of every table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayRow:
    """One calendar day of the cap's zone."""

    day: str
    settled: MicroUsd
    held: MicroUsd
    cap: MicroUsd | None
    """As it is configured now, or as it was raised to for that day; None: no runner has told one."""
    raised: bool
    done: int
    failed: int
    """Halted and dead."""

    @property
    def cost(self) -> MicroUsd:
        """Settled and held."""
        return MicroUsd(self.settled + self.held)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeRow:
    """Endings of one kind."""

    status: str
    jobs: int
    """A job counts once for each life that ended so: a dead one that was replayed ends again."""
    cost: MicroUsd
    """Of the attempts of those lives, when they ended."""

    @property
    def each(self) -> MicroUsd:
        """What one of them cost, rounded down."""
        return MicroUsd(self.cost // self.jobs if self.jobs else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """One task."""

    task: str
    done: int = 0
    halted: int = 0
    cancelled: int = 0
    dead: int = 0
    retries: int = 0
    """Attempts that failed and were not the last."""
    cost: MicroUsd = NOTHING
    """All that the ledger counts for it in these days, holds and failures included."""
    hours_saved: Decimal | None = None
    """By each job that is done; None: its task does not say."""
    rate: MicroUsd | None = None
    """What an hour is worth; None: it is not configured."""

    @property
    def hours(self) -> Decimal | None:
        """Saved by all of them."""
        return None if self.hours_saved is None else self.hours_saved * self.done

    @property
    def earned(self) -> MicroUsd | None:
        """Hours saved at their rate, less the cost, rounded down; None where nobody says what an hour is worth."""
        if self.hours is None or self.rate is None:
            return None
        worth = (self.hours * Decimal(self.rate)).to_integral_value(ROUND_FLOOR)
        return MicroUsd(int(worth) - self.cost)


@dataclass(frozen=True, slots=True, kw_only=True)
class SkipRow:
    """Slots of one schedule that were skipped for one reason."""

    schedule: str
    reason: str
    """Without what differs from slot to slot."""
    slots: int
    first: UnixMs
    last: UnixMs


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadRow:
    """Dead letters that share an error."""

    error: str
    """First line of the newest; cut."""
    jobs: int
    last_at: UnixMs


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAlert:
    """What was told and still holds."""

    key: str
    level: str
    text: str
    at: UnixMs


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """What waits for a person."""

    drafts: int = 0
    oldest_draft: UnixMs | None = None
    dead: int = 0
    errors: tuple[DeadRow, ...] = ()
    """The newest of them."""
    alerts: tuple[OpenAlert, ...] = ()
    """The newest of those that hold, but for what an open incident tells."""
    alerts_open: int = 0
    undelivered: int = 0
    incidents: tuple[Incident, ...] = ()
    """Open, the newest."""
    incidents_open: int = 0
    holds: int = 0
    """Calls whose cost nobody knows."""
    held: MicroUsd = NOTHING

    @property
    def nothing(self) -> bool:
        """Nobody need do anything."""
        counted = (self.drafts, self.dead, self.alerts_open, self.incidents_open, self.holds)
        return not any(counted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Some days up to now."""

    at: UnixMs
    """When it was read; the last day goes up to here."""
    since: UnixMs
    """A midnight of the zone."""
    zone: str
    runner: RunnerView
    stop: StopView
    pending: int
    running: int
    gates: tuple[Waiting, ...]
    """What holds pending jobs back."""
    days: tuple[DayRow, ...]
    """Every one of them, the newest first."""
    outcomes: tuple[OutcomeRow, ...]
    """In the order of `STATUSES`."""
    tasks: tuple[TaskRow, ...]
    """Those that ran or cost anything, the dearest first."""
    skipped: tuple[SkipRow, ...]
    """By schedule, the commonest reason first."""
    happened: tuple[tuple[str, int], ...]
    """Event words and how often, of all that did not only say that a job went its usual way."""
    story: tuple[Event, ...]
    """Stops, trips, raises and starts, the newest first."""
    story_cut: bool
    """There were more."""
    waits: Waits
    closed: tuple[Incident, ...]
    """Incidents of these days that a person has closed."""
    drills: tuple[Drill, ...]
    known_from: str = ""
    """The first day of which anything is kept."""
    reckons: bool
    """It is configured what an hour is worth, and some task says how many it saves."""

    @property
    def jobs(self) -> int:
        """Endings: a job that was replayed counts once for each of its lives."""
        return sum(row.jobs for row in self.outcomes)

    @property
    def cost(self) -> MicroUsd:
        """All that the ledger counts for these days."""
        return MicroUsd(sum(day.cost for day in self.days))

    @property
    def earned(self) -> MicroUsd | None:
        """Of the tasks that say what they save; None: none does, or nobody says what an hour is worth."""
        return MicroUsd(sum(row.earned or 0 for row in self.tasks)) if self.reckons else None

    def number(self, event: str) -> int:
        """How often something happened."""
        return dict(self.happened).get(event, 0)

    @property
    def tz(self) -> ZoneInfo:
        """Of its days."""
        return ZoneInfo(self.zone)

    def wall(self, at: UnixMs) -> str:
        """A time as the clock of the zone shows it."""
        return f"{local(at, self.tz):%Y-%m-%d %H:%M}"
