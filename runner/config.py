"""The settings of one home, read from `afk.toml` and checked whole.

Only values live here: what a setting means is decided by the room that uses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from zoneinfo import ZoneInfo

from runner.units import MicroUsd, UnixMs, duration, iso, local

TOOLS = ("read_file", "fetch_url", "write_output", "draft")
"""What an agent may be given; each is off unless its task names it."""
MOST_CRITERIA = 20
LONGEST_CRITERION = 500
"""Characters of one."""
SERVER_TOOLS = ("web_search", "web_fetch")
"""Tools at the vendor that a task may allow its calls."""


class TaskKind(StrEnum):
    """What a task is made of."""

    PROMPT = "prompt"
    PYTHON = "python"
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class Hours:
    """A part of the day by the wall clock; one that ends before it begins goes over midnight."""

    begin: int
    """Minutes after midnight, the first that is inside."""
    end: int
    """The first that is outside; 1440 is midnight."""

    def cover(self, at: int, zone: ZoneInfo) -> bool:
        """Whether an instant is inside, by the clock on the wall of a zone."""
        wall = local(at, zone)
        return self.has(wall.hour * 60 + wall.minute)

    def has(self, minute: int) -> bool:
        """Whether a minute of the day is inside."""
        if self.begin < self.end:
            return self.begin <= minute < self.end
        return minute >= self.begin or minute < self.end

    def __str__(self) -> str:
        return "-".join(f"{minute // 60:02}:{minute % 60:02}" for minute in (self.begin, self.end))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleConfig:
    """When a task becomes due by itself. Exactly one of `cron`, `every_ms` and `at` is set."""

    cron: str | None = None
    """A five-field cron line, as cron means it."""
    every_ms: int | None = None
    """Counted from midnight of 1970-01-01 UTC, so that a restart never moves the grid."""
    at: UnixMs | None = None
    """Once."""
    zone: ZoneInfo
    catch_up: str = "latest"
    """`latest`, `none`, `all`: what becomes of slots that came due while nobody could deal with them.

    With `all` a slot is not skipped for an earlier one's job either: it waits for its turn.
    """
    catch_up_limit: int = 10
    """Most slots that `all` keeps waiting; older ones are skipped."""
    max_lateness_ms: int | None = None
    """A slot dealt with later than this is skipped; None: however late."""
    overlap: int = 1
    """Jobs of its slots that may be unfinished at the same time."""
    hours: Hours | None = None
    """A slot outside them starts nothing; None: all day."""

    @property
    def spec(self) -> str:
        """The declaration in one word group, as listings show it; a change of it starts the schedule anew."""
        when = self.cron or (f"every {duration(self.every_ms)}" if self.every_ms else f"at {iso(self.at)}")
        return f"{when} {self.zone.key}"

    @property
    def policy(self) -> str:
        """What holds of its slots beside the usual, in words; empty where all is usual."""
        words = [f"hours {self.hours}"] if self.hours else []
        if self.catch_up != "latest":
            words.append(f"catch-up {self.catch_up}{f' of {self.catch_up_limit}' if self.catch_up == 'all' else ''}")
        if self.max_lateness_ms is not None:
            words.append(f"at most {duration(self.max_lateness_ms)} late")
        if self.overlap > 1:
            words.append(f"{self.overlap} at a time")
        return ", ".join(words)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskConfig:
    """A kind of work. For a Python task the same fields come from its `@task` decorator."""

    name: str
    kind: TaskKind
    model: str | None = None
    prompt: str | None = None
    inputs: str | None = None
    """A glob below the home; its files are appended to the prompt, or listed in it where the agent may read them."""
    tools: tuple[str, ...] = ()
    """Of `TOOLS`."""
    domains: tuple[str, ...] = ()
    """Hosts that `fetch_url` may ask: `example.org`, `*.example.net` for all below it, either with a port."""
    criteria: tuple[str, ...] = ()
    """Sentences each of which must hold of the answer."""
    command: tuple[str, ...] = ()
    cwd: Path | None = None
    """Absolute; None: the home's `work/`."""
    env: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Plain words added to a command's environment; never a secret."""
    confine: str | None = None
    """`network`: the command can reach the gate and nothing else, or is not run; None: not confined."""
    schedule: ScheduleConfig | None = None
    priority: int = 0
    """-9 (last) to 9 (first)."""
    max_usd: MicroUsd | None = None
    """Most one job may cost in all its attempts; None: the budget's `per_job_usd`."""
    daily_usd: MicroUsd | None = None
    """Most all jobs of this task may cost in a day."""
    max_seconds_ms: int = 1_800_000
    """An attempt that runs longer has its process group ended."""
    on_timeout: str = "halt"
    """`halt` or `retry`: what becomes of a job that ran longer than `max_seconds_ms`."""
    max_attempts: int | None = None
    """None: the retry section's."""
    max_output_tokens: int | None = None
    """Clamp on the output of every call of the task; written into calls that name none."""
    server_tools: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Of `SERVER_TOOLS`: how often one call may use each. The vendor runs them, and bills what they read."""
    max_tool_calls: int | None = None
    """Most tool calls a model may ask for in one job; None: no limit of its own."""
    irreversible: bool = False
    """It does what cannot be undone: a person starts it, or approves the draft that names it. What was begun is not
    begun again by itself: `max_attempts` is 1 where it is not written, and an attempt cut short is a dead letter."""
    hours_saved: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerConfig:
    """How the runner process works."""

    workers: int = 2
    stop_grace_ms: int = 20_000
    """How long calls and attempts in flight may go on after a stop or a TERM."""
    recycle_after: int = 2_000
    """Jobs after which a worker process is replaced."""
    keep_finished_ms: int = 30 * 86_400_000
    keep_finished: int = 100_000
    """Finished rows older than the first or beyond the second are pruned; never dead or unsettled ones."""
    keep_calls_ms: int = 90 * 86_400_000
    """Settled calls older than this, of jobs that are gone, become part of a sum; sums of days are kept for ever."""
    keep_output_mb: int = 1_000
    """Most that the files of what attempts printed take together. Those of unfinished and dead jobs all stay."""
    log_mb: int = 60
    """Most that the runner's log takes, its older files included."""
    disk_low_mb: int | None = None
    """Less free space than this on the home's volume parks the runner; 0: nothing does.

    None: 200, or a tenth of a volume smaller than 2 GB.
    """

    @property
    def end_within_s(self) -> int:
        """Whole seconds after which a runner that was asked to end has ended, or must be ended by whoever keeps it.

        The grace, 5 s to settle the ledger, 5 s to end children, and 15 s for a busy machine.
        """
        return -(-self.stop_grace_ms // 1_000) + 5 + 5 + 15


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceConfig:
    """How the machine keeps the runner going. What is None follows from the home and the machine."""

    name: str | None = None
    """Of the unit, and the end of the launchd label."""
    program: Path | None = None
    """The `afk-runner` that is started."""
    path: tuple[str, ...] = ()
    """Folders in which commands are looked for, before the usual ones."""
    lang: str | None = None
    session: str | None = None
    """launchd: `gui`, the desktop session, or `user`, which also exists after a login over ssh."""
    hardening: str = "standard"
    """systemd: `strict` lets a user unit write nowhere but to the home, where the machine has user namespaces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchConfig:
    """Who notices when the runner itself is not well."""

    ping_url: str | None = field(default=None, repr=False)
    """Pinged while the runner is well or parked, without a trailing slash; a secret. None: nothing is."""
    ping_every_ms: int = 60_000
    stall_ms: int = 45_000
    """A loop that stands still for longer is ended."""
    stay_awake: str = "on_power"
    """A Mac is kept from idle sleep while a job runs: `on_power`, `always`, on battery as well, or `never`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetConfig:
    """The caps. None: no such cap."""

    daily_usd: MicroUsd
    per_job_usd: MicroUsd | None = None
    hourly_usd: MicroUsd | None = None
    rolling_24h_usd: MicroUsd | None = None
    monthly_usd: MicroUsd | None = None
    alert_at: tuple[int, ...] = (50, 80, 100)
    """Percent of a cap at which a person is told; at 100 also when a call is refused for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryConfig:
    """Exponential backoff with full jitter: a wait is uniform in [0, min(cap, base * 2**(attempt - 1))]."""

    max_attempts: int = 4
    base_ms: int = 1_000
    cap_ms: int = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerConfig:
    """When calls to one upstream and model stop."""

    failures: int = 5
    """Consecutive failures that open it; so many bad requests in a row of one attempt end its job."""
    failure_rate: int = 50
    """Percent of the calls of the last `rate_window_ms`, of at least `rate_calls`, whose failure opens it too."""
    rate_calls: int = 10
    rate_window_ms: int = 60_000
    cooldown_ms: int = 300_000
    """The first cool-down; each failed trial doubles it, up to `max_cooldown_ms`."""
    max_cooldown_ms: int = 3_600_000
    usd_per_minute: MicroUsd | None = None
    """Settled in 60 seconds by all models together: more trips the one that cost most, until a person resets it."""
    same_request: int = 20
    """Answers to the very same request of one job within an hour that trip its model; 0: never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamConfig:
    """A place model calls are sent to."""

    name: str
    url: str
    """Scheme, host and optional path prefix, without a trailing slash."""
    wire: str = "anthropic"
    key: str | None = field(default=None, repr=False)
    """The secret itself, resolved from `env:NAME` or `file:PATH`. None: the upstream wants none."""
    local: bool = False
    """Its models cost nothing. Only loopback addresses may say so."""
    timeout_ms: int = 600_000
    """Longest silence of one call."""
    requests_per_minute: int | None = None
    """Most calls in any 60 seconds; None: as many as there are."""
    tokens_per_minute: int | None = None
    """Most tokens in and out in any 60 seconds, without those read from a cache. A call in flight counts its bound."""
    default_output_tokens: int = 16_384
    """Most an answer may have where neither the client nor the task names a limit; wire `openai` alone needs it."""
    hold_overloaded: bool = False
    """Whether an answer of 503 or 529 may have cost something: its hold then stands. Most vendors bill none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportConfig:
    """What a report reckons with, and the file of the morning."""

    hourly_rate: MicroUsd | None = None
    """What an hour of the owner is worth; None: what a task earned is not reckoned."""
    at: int | None = 6 * 60 + 30
    """Minutes after midnight, by the clock of the home's zone, from which on the day's file is due; None: no file."""
    keep: int = 60
    """Files kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceConfig:
    """An owner's price of one model, USD per million tokens, over or beside the price list."""

    input: Decimal
    output: Decimal
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None
    context: int | None = None
    """The model's context window in tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything `afk.toml` says."""

    zone: ZoneInfo
    """Of the cap's day and of schedules without their own."""
    budget: BudgetConfig
    runner: RunnerConfig = field(default_factory=RunnerConfig)
    service: ServiceConfig = field(default_factory=ServiceConfig)
    watch: WatchConfig = field(default_factory=WatchConfig)
    retry: RetryConfig = field(default_factory=RetryConfig)
    breaker: BreakerConfig = field(default_factory=BreakerConfig)
    upstreams: Mapping[str, UpstreamConfig] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    """Model id, or a prefix ending in `*`, to upstream name."""
    prices: Mapping[str, PriceConfig] = field(default_factory=dict)
    tasks: Mapping[str, TaskConfig] = field(default_factory=dict)
    """`prompt` and `command` tasks; Python tasks are found by `runner.work.loader`."""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Every secret value that was resolved, for redaction."""
    alert_urls: tuple[str, ...] = field(default=(), repr=False)
    report: ReportConfig = field(default_factory=ReportConfig)
