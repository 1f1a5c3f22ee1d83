"""The breakers' state, one row per upstream and model, shared by all processes. Runs in the caller's transaction.

closed → open after failures in a row, or too many of the last calls → half_open with exactly one trial → closed, or
open again for twice as long.
"""

from __future__ import annotations

import random
import sqlite3
from dataclasses import dataclass
from enum import StrEnum

from runner.units import UnixMs

JITTER = 0.1
"""Part of a cool-down that is random, so that many breakers do not try at once."""


class BreakerState(StrEnum):
    """Whether calls may go."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """One breaker as it stands."""

    name: str
    """`upstream/model`; `upstream/*` is passed by all its models and opened only until a person closes it."""
    state: BreakerState
    failures: int
    """In a row."""
    opens: int
    """In a row; the cool-down doubles with each."""
    retry_at: UnixMs | None
    """When a trial may go; None while open: only a person closes it."""
    trial: int | None
    """The charge that is the one trial."""
    trial_until: UnixMs | None
    reason: str | None
    changed_at: UnixMs


@dataclass(frozen=True, slots=True, kw_only=True)
class CoolDown:
    """How a breaker opens: thresholds and waits, from the configuration."""

    failures: int
    """In a row."""
    first_ms: int
    longest_ms: int
    rate_percent: int = 50
    """Part of the calls in a window whose failure opens it too, a success among them or not."""
    rate_calls: int = 10
    """Fewer calls in the window than this say nothing of a rate."""
    window_ms: int = 60_000

    def too_many(self, *, calls: int, failures: int) -> bool:
        """Whether that many failures among the calls of a window open it."""
        return calls >= self.rate_calls and failures * 100 >= calls * self.rate_percent

    def wait_ms(self, opens: int, rng: random.Random) -> int:
        """The wait of the n-th opening in a row (1 is the first)."""
        grown = min(self.longest_ms, self.first_ms * 2 ** min(opens - 1, 30))
        return int(grown * (1 + JITTER * rng.random()))


_COLUMNS = "name, state, failures, opens, retry_at, trial, trial_until, reason, changed_at"


def get(db: sqlite3.Connection, name: str) -> Breaker | None:
    """The breaker of that name; None is a closed one that never saw a failure."""
    row = db.execute(f"SELECT {_COLUMNS} FROM breakers WHERE name = ?", (name,)).fetchone()  # noqa: S608 - our own constant
    return _breaker(row) if row else None


def untouched(name: str, *, at: UnixMs) -> Breaker:
    """A closed one that never saw a failure, as of a time."""
    return Breaker(
        name=name,
        state=BreakerState.CLOSED,
        failures=0,
        opens=0,
        retry_at=None,
        trial=None,
        trial_until=None,
        reason=None,
        changed_at=at,
    )


def all_of(db: sqlite3.Connection) -> list[Breaker]:
    """Every breaker that ever saw a failure."""
    return [_breaker(row) for row in db.execute(f"SELECT {_COLUMNS} FROM breakers ORDER BY name")]  # noqa: S608


def begin_trial(db: sqlite3.Connection, name: str, *, charge: int, until: UnixMs, now: UnixMs) -> bool:
    """Take the one trial of a breaker whose cool-down is over; False when somebody else has it."""
    return bool(
        db.execute(
            "UPDATE breakers SET state = 'half_open', trial = ?, trial_until = ?, changed_at = ? "
            "WHERE name = ? AND retry_at <= ? AND (state = 'open' OR (state = 'half_open' AND "
            "(trial IS NULL OR trial_until <= ?)))",
            (charge, until, now, name, now, now),
        ).rowcount
    )


def failed(
    db: sqlite3.Connection,
    name: str,
    *,
    charge: int,
    reason: str,
    cool_down: CoolDown,
    now: UnixMs,
    rng: random.Random,
    rate: str | None = None,
) -> Breaker | None:
    """Count a failure; the breaker when this one opened it.

    `rate`: too many of the last calls failed, in words that become the reason.
    """
    before = get(db, name)
    if before is None:
        db.execute("INSERT INTO breakers (name, changed_at) VALUES (?, ?)", (name, now))
        failures, opens, trial = 1, 0, False
    else:
        failures, opens = before.failures + 1, before.opens
        trial = before.state is BreakerState.HALF_OPEN and before.trial == charge
        if before.state is not BreakerState.CLOSED and not trial:
            db.execute("UPDATE breakers SET failures = ? WHERE name = ?", (failures, name))
            return None  # a call that was in flight when it opened
    if trial or failures >= cool_down.failures:
        rate = None
    elif rate is None:
        db.execute("UPDATE breakers SET failures = ?, reason = ? WHERE name = ?", (failures, reason, name))
        return None
    wait = cool_down.wait_ms(opens + 1, rng)
    _open(db, name, failures=failures, opens=opens + 1, retry_at=UnixMs(now + wait), reason=rate or reason, now=now)
    return get(db, name)


def succeeded(db: sqlite3.Connection, name: str, *, charge: int, now: UnixMs) -> bool:
    """Count a success; True when it closed the breaker, which only the trial can."""
    before = get(db, name)
    if before is None or (before.state is BreakerState.CLOSED and not before.failures):
        return False
    trial = before.state is BreakerState.HALF_OPEN and before.trial == charge
    if before.state is not BreakerState.CLOSED and not trial:
        return False
    _close(db, name, reason=None, now=now)
    return trial


def end_trial(db: sqlite3.Connection, name: str, *, charge: int, now: UnixMs) -> None:
    """The trial said nothing about the upstream (cancelled, our own refusal): the next caller may try."""
    db.execute(
        "UPDATE breakers SET trial = NULL, trial_until = NULL, changed_at = ? "
        "WHERE name = ? AND state = 'half_open' AND trial = ?",
        (now, name, charge),
    )


def trip(db: sqlite3.Connection, name: str, *, reason: str, retry_at: UnixMs | None, now: UnixMs) -> None:
    """Open a breaker by hand or for a fault that waiting does not mend; `retry_at` None: until a person resets it."""
    db.execute("INSERT INTO breakers (name, changed_at) VALUES (?, ?) ON CONFLICT DO NOTHING", (name, now))
    opens = db.execute("SELECT opens FROM breakers WHERE name = ?", (name,)).fetchone()[0]
    failures = db.execute("SELECT failures FROM breakers WHERE name = ?", (name,)).fetchone()[0]
    _open(db, name, failures=failures, opens=max(1, opens), retry_at=retry_at, reason=reason, now=now)


def reset(db: sqlite3.Connection, name: str, *, reason: str, now: UnixMs) -> bool:
    """Close a breaker by hand; False when there is none of that name."""
    if get(db, name) is None:
        return False
    _close(db, name, reason=reason, now=now)
    return True


def forget_trials(db: sqlite3.Connection, *, now: UnixMs) -> None:
    """The runner that sent the trials is gone: the next caller may try."""
    db.execute("UPDATE breakers SET trial = NULL, trial_until = NULL, changed_at = ? WHERE trial IS NOT NULL", (now,))


def _open(
    db: sqlite3.Connection, name: str, *, failures: int, opens: int, retry_at: UnixMs | None, reason: str, now: UnixMs
) -> None:
    db.execute(
        "UPDATE breakers SET state = 'open', failures = ?, opens = ?, retry_at = ?, trial = NULL, trial_until = NULL, "
        "reason = ?, changed_at = ? WHERE name = ?",
        (failures, opens, retry_at, reason, now, name),
    )


def _close(db: sqlite3.Connection, name: str, *, reason: str | None, now: UnixMs) -> None:
    db.execute(
        "UPDATE breakers SET state = 'closed', failures = 0, opens = 0, retry_at = NULL, trial = NULL, "
        "trial_until = NULL, reason = ?, changed_at = ? WHERE name = ?",
        (reason, now, name),
    )


def _breaker(row: tuple[str, str, int, int, int | None, int | None, int | None, str | None, int]) -> Breaker:
    return Breaker(
        name=row[0],
        state=BreakerState(row[1]),
        failures=row[2],
        opens=row[3],
        retry_at=UnixMs(row[4]) if row[4] is not None else None,
        trial=row[5],
        trial_until=UnixMs(row[6]) if row[6] is not None else None,
        reason=row[7],
        changed_at=UnixMs(row[8]),
    )
