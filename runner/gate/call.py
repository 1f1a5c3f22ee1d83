"""A model call somebody wants to make, and the part of the configuration that decides on it. Values alone."""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from runner.config import BudgetConfig
from runner.store.breakers import CoolDown
from runner.units import MicroUsd


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
    """Of the canonical body without what a client may vary for the same question; empty: not looked at for repetition."""
    tokens: int = 0
    """Upper bound of input and output, for the limit of tokens a minute."""

    @property
    def breaker(self) -> str:
        """The name of the breaker it passes."""
        return f"{self.upstream}/{self.model}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The part of the configuration that decides."""

    zone: ZoneInfo
    budget: BudgetConfig
    cool_down: CoolDown
