"""A model call somebody wants to make, and the part of the configuration that decides on it. Values alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from runner.config import BudgetConfig, Config
from runner.store.breakers import CoolDown
from runner.units import MicroUsd

ALL_MODELS = "*"
"""In the place of a model: the whole upstream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A model call somebody wants to make."""

    job_id: int
    job: str
    """Its key."""
    n: int
    task: str
    lease: str
    job_cap: MicroUsd | None
    """Most the job may cost in all its attempts."""
    task_cap: MicroUsd | None
    """Most the task may cost in a day."""
    upstream: str
    model: str
    runner: str
    hold: MicroUsd
    request_hash: str = ""
    """Of the canonical body without what may differ for the same question; empty: not looked at for repetition."""
    tokens: int = 0
    """Upper bound of input and output, for the limit of tokens a minute."""
    step: str | None = None
    """The step that is to record its answer, which is kept until then; None: its client records none."""

    @property
    def breaker(self) -> str:
        """The name of its model's breaker, and of its model's pauses."""
        return f"{self.upstream}/{self.model}"

    @property
    def upstream_breaker(self) -> str:
        """The name of the breaker that all models of its upstream pass."""
        return f"{self.upstream}/{ALL_MODELS}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """What an upstream is given in any 60 seconds. None: no such limit."""

    requests: int | None = None
    tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Runaway:
    """What trips a model although its calls succeed, until a person resets it."""

    usd_per_minute: MicroUsd | None = None
    """Of all models together; None: no such limit."""
    same_request: int = 20
    """Answers to one request of one job within an hour; 0: no such limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The part of the configuration that decides."""

    zone: ZoneInfo
    budget: BudgetConfig
    cool_down: CoolDown
    runaway: Runaway = Runaway()
    limits: Mapping[str, RateLimit] = field(default_factory=dict)
    """By the name of their upstream; one that has none is not in it."""


def policy_of(config: Config) -> Policy:
    """What the settings of a home decide by."""
    settings = config.breaker
    return Policy(
        zone=config.zone,
        budget=config.budget,
        cool_down=CoolDown(
            failures=settings.failures,
            first_ms=settings.cooldown_ms,
            longest_ms=settings.max_cooldown_ms,
            rate_percent=settings.failure_rate,
            rate_calls=settings.rate_calls,
            window_ms=settings.rate_window_ms,
        ),
        runaway=Runaway(usd_per_minute=settings.usd_per_minute, same_request=settings.same_request),
        limits={
            name: RateLimit(requests=upstream.requests_per_minute, tokens=upstream.tokens_per_minute)
            for name, upstream in config.upstreams.items()
            if upstream.requests_per_minute is not None or upstream.tokens_per_minute is not None
        },
    )
