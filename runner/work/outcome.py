"""What becomes of a job when an attempt of it ends. Pure: what is known of the attempt in, one decision out."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

from runner.config import RetryConfig
from runner.gate.admission import ENDING_GATES, Refusal
from runner.store.attempts import Outcome
from runner.store.jobs import UNKNOWN_EFFECT, JobStatus
from runner.units import HOUR_MS, UnixMs, duration

FAR_MS = 24 * HOUR_MS
"""How long a job waits for a gate that only a person lifts before it looks again by itself."""


class Cut(StrEnum):
    """Why the runner itself ended an attempt."""

    STOP = "stop"
    SHUTDOWN = "shutdown"
    CANCEL = "cancel"
    TIMEOUT = "timeout"
    UNSTARTED = "unstarted"
    """Its worker was gone before the attempt could begin."""


_CUT_FACTS = {
    Cut.STOP: "everything was stopped while it ran",
    Cut.SHUTDOWN: "the runner was shut down while it ran",
    Cut.UNSTARTED: "its worker was gone before it could begin",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What is known when an attempt is over."""

    outcome: str
    """`done`, `retry`, `dead` or `halted` as the worker said; `died` when it said nothing."""
    result: str | None = None
    error: str | None = None
    after_ms: int = 0
    """The payload asked for at least this wait."""
    cut: Cut | None = None
    """The runner ended it."""
    refusal: Refusal | None = None
    """The last model call of the attempt was refused by the gate, or paused by the upstream."""
    unanswered: str | None = None
    """It made model calls, and no model answered any of them: how many, and why."""
    unusable: bool = False
    """The answer it got last is of no use: the next attempt buys another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is written down."""

    outcome: Outcome
    counted: bool
    status: JobStatus
    """`pending`: it goes back."""
    error: str | None = None
    not_before: UnixMs | None = None
    gate: str | None = None
    fact: str | None = None


def decide(  # noqa: PLR0911 - one return a row of the table
    ending: Ending,
    *,
    attempts: int,
    max_attempts: int,
    limit_ms: int,
    on_timeout: str,
    retry: RetryConfig,
    now: UnixMs,
    rng: random.Random,
) -> Decision:
    """The decision. `attempts`: counted before this one. `limit_ms`: its time limit."""
    if ending.outcome == "done":  # it may have managed without a model: to work again could do twice what was done
        return Decision(outcome=Outcome.DONE, counted=True, status=JobStatus.DONE, error=ending.unanswered)
    if ending.cut is Cut.CANCEL:
        return Decision(
            outcome=Outcome.CANCELLED, counted=False, status=JobStatus.CANCELLED, error="cancelled by a person"
        )
    if ending.cut is Cut.TIMEOUT:
        error = f"it ran longer than its limit of {duration(limit_ms)} and was ended"
        if on_timeout == "halt":
            return Decision(outcome=Outcome.HALTED, counted=True, status=JobStatus.HALTED, error=error)
        return _failed(ending, error, attempts=attempts, max_attempts=max_attempts, retry=retry, now=now, rng=rng)
    if ending.cut is not None:
        return _snoozed(ending, gate=ending.cut.value, fact=_CUT_FACTS[ending.cut], until=now)
    if ending.refusal is not None:
        return _refused(ending, ending.refusal, now=now)
    error = ending.error or "it failed and did not say why"
    if ending.outcome == "halted":
        return Decision(outcome=Outcome.HALTED, counted=True, status=JobStatus.HALTED, error=error)
    if ending.outcome == "dead":
        return Decision(outcome=Outcome.DEAD, counted=True, status=JobStatus.DEAD, error=error)
    return _failed(ending, error, attempts=attempts, max_attempts=max_attempts, retry=retry, now=now, rng=rng)


def not_again(decision: Decision, ending: Ending) -> Decision:
    """The same for a task whose attempt may have done what cannot be undone: it does not go back for another one.

    Attempts that count are the owner's choice, who wrote `max_attempts`; one that never began may begin.
    """
    if decision.status is not JobStatus.PENDING or decision.counted or ending.cut is Cut.UNSTARTED:
        return decision
    return Decision(
        outcome=Outcome.DEAD,
        counted=True,
        status=JobStatus.DEAD,
        error=f"{decision.fact}; {UNKNOWN_EFFECT}",
    )


def _refused(ending: Ending, refusal: Refusal, *, now: UnixMs) -> Decision:
    if refusal.gate in ENDING_GATES:
        return Decision(outcome=Outcome.HALTED, counted=True, status=JobStatus.HALTED, error=refusal.message)
    if refusal.gate == "config":  # the same request will be refused for ever
        return Decision(outcome=Outcome.DEAD, counted=True, status=JobStatus.DEAD, error=refusal.message)
    far = now if refusal.gate == "stop" else UnixMs(now + FAR_MS)
    until = refusal.lifts_at if refusal.lifts_at is not None else far
    return _snoozed(ending, gate=refusal.gate, fact=refusal.fact, until=UnixMs(max(until, now)))


def _snoozed(ending: Ending, *, gate: str, fact: str, until: UnixMs) -> Decision:
    return Decision(
        outcome=Outcome.SNOOZED,
        counted=False,
        status=JobStatus.PENDING,
        error=ending.error,
        not_before=until,
        gate=gate,
        fact=fact,
    )


def _failed(
    ending: Ending,
    error: str,
    *,
    attempts: int,
    max_attempts: int,
    retry: RetryConfig,
    now: UnixMs,
    rng: random.Random,
) -> Decision:
    if attempts + 1 >= max_attempts:
        return Decision(outcome=Outcome.RETRY, counted=True, status=JobStatus.DEAD, error=error)
    wait = max(backoff_ms(attempts + 1, retry=retry, rng=rng), ending.after_ms)
    return Decision(
        outcome=Outcome.RETRY,
        counted=True,
        status=JobStatus.PENDING,
        error=error,
        not_before=UnixMs(now + wait),
        gate="retry",
        fact=f"attempt {attempts + 1} of {max_attempts} failed, it is tried again after {duration(wait)}",
    )


def backoff_ms(attempt: int, *, retry: RetryConfig, rng: random.Random) -> int:
    """The wait after the n-th failed attempt: uniform in [0, min(cap, base * 2**(n - 1))].

    Source: "full jitter", Brooker, Exponential Backoff And Jitter, AWS Architecture Blog, 2015.
    """
    ceiling = min(retry.cap_ms, retry.base_ms * 2 ** min(attempt - 1, 40))
    return rng.randint(0, ceiling)
