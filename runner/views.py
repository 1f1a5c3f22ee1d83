"""What a screen or a listing is shown: frozen values. Reads nothing by itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from runner.store import jobs
from runner.store.addresses import Address
from runner.store.attempts import Attempt
from runner.store.breakers import Breaker
from runner.store.controls import Pause, Ping
from runner.store.drafts import Draft
from runner.store.jobs import Job
from runner.store.raises import Raise
from runner.store.rate_pauses import RatePause
from runner.store.runners import Runner
from runner.store.schedules import Schedule
from runner.units import MicroUsd, UnixMs, duration, plural

if TYPE_CHECKING:
    from runner.work.conversation import Verdict

LATE_MS = 5_000
"""A heartbeat older than this is late: two beats were missed."""
SILENT_MS = 10_000
"""A heartbeat older than this, with the lock still held and none in the file beside it, is a runner that hangs."""
UNSAID_MS = 30_000
"""So long the file is believed without a word of what is wrong: one that cannot write says it there by then."""
MOST_WAITING = 500
"""How many waiting jobs are counted: a screen says "500 or more" as usefully as a number."""
CUT = 500
"""Characters of a long text that a list shows."""
NOTHING = MicroUsd(0)


def beginning(column: str) -> str:
    """SQL for the first CUT characters of a text; of one with a NUL among its first CUT bytes, those bytes.

    To `substr` a text ends at a NUL, so there its bytes are cut; a letter that is broken by that shows as such.
    """
    head = f"substr(CAST({column} AS BLOB), 1, {CUT})"
    return f"iif(instr({head}, x'00'), CAST({head} AS TEXT), substr({column}, 1, {CUT}))"


def columns(*, cut: bool, of: str = "") -> str:
    """Of a job; `cut`: its long texts shortened to CUT characters, as a list needs no more.

    `of`: what stands before each name.
    """
    cuts = {
        **{json: f"substr({of}{json}, 1, {CUT})" for json in ("payload", "result")},  # in JSON there is no NUL
        **{text: beginning(f"{of}{text}") for text in ("error", "waiting_on")},
    }
    names = jobs.COLUMNS.split(", ")
    return ", ".join(cuts.get(name, f"{of}{name}") if cut else f"{of}{name}" for name in names)


class Health(StrEnum):
    """What can be observed of the runner, whatever it last said of itself."""

    LIVE = "live"
    LATE = "late"
    SILENT = "silent"
    """It holds the lock and says nothing: hung or frozen."""
    DEAD = "dead"
    """It holds no lock and did not say goodbye."""
    STOPPED = "stopped"
    """It said goodbye."""
    NEVER = "never"
    """No runner was ever started on this home."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unwritten:
    """The database takes no write of a runner that lives."""

    for_ms: int
    """Since the last heartbeat in it."""
    locked: bool = False
    """Somebody else has it locked, or it cannot be told; False: nobody has, so its disk is to blame."""
    by: str | None = None
    """Who: `pid 4121 (python3)`."""
    text: str
    """A sentence's worth of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerView:
    """The runner that holds, or last held, the home."""

    health: Health = Health.NEVER
    row: Runner | None = None
    """As it wrote it down last; where it cannot write, with what its heartbeat file tells and why."""
    heartbeat_age_ms: int | None = None
    unwritten: Unwritten | None = None
    """What the row alone would take for a runner that hangs."""

    @property
    def trusted(self) -> bool:
        """False when the numbers beside it may be old: show them with a `?`."""
        return self.health in (Health.LIVE, Health.STOPPED, Health.NEVER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Jobs by status."""

    pending: int = 0
    running: int = 0
    done: int = 0
    halted: int = 0
    cancelled: int = 0
    dead: int = 0
    oldest_pending_ms: int | None = None
    """How long the longest waiting due job has been due; None when none is due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendView:
    """Today's money against the day's cap."""

    day: str
    zone: str
    cap: MicroUsd | None
    """None: no runner has told its configuration yet."""
    settled: MicroUsd = NOTHING
    held: MicroUsd = NOTHING
    last_hour: MicroUsd = NOTHING
    """Committed in the last 60 minutes: the burn rate per hour."""
    resets_at: UnixMs
    reached_at: UnixMs | None = None
    """When the cap is reached at the burn rate of the last hour; None: not before it resets, or it was already."""
    raised: Raise | None = None
    """Who raised the cap of today until midnight, and why."""
    reached: bool = False
    """Calls are refused for want of money: all is committed, or the next call's bound did not fit."""

    @property
    def free(self) -> MicroUsd | None:
        """What may still be held today, never below zero; None without a cap."""
        return None if self.cap is None else MicroUsd(max(0, self.cap - self.settled - self.held))


@dataclass(frozen=True, slots=True, kw_only=True)
class StopView:
    """Whether anything stops the runner, and who said so."""

    sources: tuple[str, ...] = ()
    """Of `file`, `row`, `env`."""
    now: bool = False
    """Without grace for calls in flight."""
    reason: str | None = None
    by: str | None = None
    at: UnixMs | None = None
    seq: int = 0
    folder: bool = False
    """STOP is a folder that holds something: `resume` removes an empty one alone."""

    @property
    def set(self) -> bool:
        """Any source is enough."""
        return bool(self.sources)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Jobs that one gate holds back."""

    gate: str
    """`cap:day`, `breaker:NAME`, `pause:TASK`, `rate:UPSTREAM`, `retry`, ..."""
    jobs: int
    """Counted up to `MOST_WAITING` over all gates."""
    until: UnixMs
    """When the first of them looks again."""


@dataclass(frozen=True, slots=True)
class Alerts:
    """What somebody has to be told."""

    undelivered: int = 0
    open: int = 0
    """Told or not: what they tell of still holds."""
    untold_since: UnixMs | None = None
    """When the oldest undelivered one came. A moment ago is no cause for worry."""
    failing: tuple[Address, ...] = ()
    """Addresses that took none for long."""
    last_error: str | None = None
    """Of an address that does not take them now, for however short a time."""
    addressed: bool = True
    """False: there is no address that one was ever sent to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrakeView:
    """What holds back the calls of one upstream's model, or lately did."""

    breaker: Breaker
    """Closed where no call has failed and only a pause holds."""
    calls: int
    """That succeeded or failed within the window of the breaker's rate."""
    failed: int
    """Of these."""
    window_ms: int
    pause: RatePause | None
    """The upstream asked for no call before a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lately:
    """What last went well: a runner may live and achieve nothing."""

    done_at: UnixMs | None = None
    """When a job was last done."""
    done_key: str | None = None
    called_at: UnixMs | None = None
    """When a model call last came to a known cost."""
    called_model: str | None = None
    ping: Ping | None = None
    """None: none was ever sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """What is always on the screen."""

    read_at: UnixMs
    change_seq: int
    runner: RunnerView
    counts: Counts
    spend: SpendView
    breakers: tuple[Breaker, ...]
    pauses: tuple[RatePause, ...] = ()
    """Of rates, in force now."""
    paused: tuple[Pause, ...] = ()
    """Tasks that take no new work, by name."""
    stop: StopView
    waiting: tuple[Waiting, ...] = ()
    """What holds jobs back, by gate."""
    alerts: Alerts = Alerts()
    lately: Lately = Lately()
    drafts_waiting: int = 0
    """Actions that wait for a person, counted up to `MOST_WAITING`."""
    workers: int | None
    """As the runner was configured; None before the first run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDetail:
    """One job with all that is kept of it."""

    job: Job
    attempts: tuple[Attempt, ...]
    steps: dict[str, str] = field(default_factory=dict)
    """Name to recorded JSON."""
    verdicts: tuple[Verdict, ...] = ()
    """How its newest answer was judged, one a criterion; empty where none was."""
    drafts: tuple[Draft, ...] = ()
    """What it wrote down for a person."""
    why: str = ""
    """One sentence: why it is not running, with every gate that holds it and when each lifts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleView:
    """One schedule and whether it is paused."""

    schedule: Schedule
    paused: str | None
    """The reason of the pause."""
    last_skipped: str | None
    """Why the newest slot was not run; None when it was."""
    overdue_ms: int = 0
    """How long a slot has been due that nobody dealt with; 0: there is none, or none to speak of yet."""
    late_key: str | None = None
    """The job of its oldest slot that is not over, when that was due a minute ago and more and has not begun."""

    @property
    def when(self) -> str:
        """When it is due and what holds of its slots."""
        return ", ".join(part for part in (self.schedule.spec, self.schedule.policy) if part)

    @property
    def note(self) -> str | None:
        """What is not as usual; None: nothing."""
        if self.overdue_ms:
            return f"overdue: no runner has dealt with its slot for {duration(self.overdue_ms)}"
        if self.paused is not None:
            return f"paused: {self.paused}"
        late = f"{self.late_key} has not begun; `afk-runner why {self.late_key}` says what holds it"
        if self.schedule.waiting:
            waits = f"{plural(self.schedule.waiting, 'slot waits', 'slots wait')} for its job to end"
            return f"{waits}: {late}" if self.late_key else waits
        one = self.schedule
        if one.next_at is None and (one.last_slot is None or one.last_slot < one.since):
            return "never: its time was past before a runner knew of it"
        if self.last_skipped is not None:
            return f"last one skipped: {self.last_skipped}"
        return late if self.late_key else None
