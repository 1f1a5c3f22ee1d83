"""Acts on money: raising today's cap until midnight, and writing a standing hold off."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from runner.commands.base import Acts
from runner.errors import NotFound, Refused, UsageError
from runner.lock import lock_is_held
from runner.store import alerts, charges, controls, events, jobs, raises
from runner.store.raises import Raise
from runner.units import MicroUsd, UnixMs, day_of, exact_usd, midnight_after

CAP_GATES = ("cap:day", "cap:hour", "cap:rolling", "cap:month", "cap:task")
"""What jobs wait for that money set free may lift; a job's own cap ends the job."""
STEEPEST = 100
"""A raise to more than so many times the configured cap is a slip of the hand: `200` for `2.00`."""
ALWAYS_POSSIBLE = MicroUsd(10_000_000)
"""Where the configured cap is so small, or 0, that its hundredfold would be no room at all."""
MOST_REASON = 500
AT_ONCE = 2_000
"""Jobs woken in the transaction of the act itself; of a longer queue the rest follows, so that no kill waits for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """What the day's cap is now, and until when."""

    day: str
    zone: str
    cap: MicroUsd
    before: MicroUsd
    until: UnixMs
    """Midnight of the cap's zone."""
    woken: int
    """Jobs that waited for the day's cap and are due again."""
    already: bool
    """The cap was that high before, and nothing was changed."""

    @property
    def lowered(self) -> bool:
        """It took back some of a raise before it, or all of it."""
        return self.cap < self.before


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenOff:
    """A hold that counts no more."""

    id: int
    model: str
    hold: MicroUsd
    job: str | None
    """Its key; None: the job was removed."""


class MoneyActs(Acts):
    """What a person may do about the spending of today."""

    def raise_cap(self, cap: MicroUsd, *, reason: str, may_lower: bool = False) -> Raised:
        """Let today cost up to `cap` until its midnight; the very next call is admitted under it.

        Jobs that wait for the day's cap are due at once. `may_lower`: less than a raise of today takes that back, down
        to the configured cap or to what is committed. Raises UsageError, Refused; then nothing was changed.
        """
        said = _reason(reason, "raising the cap")

        def act(db: sqlite3.Connection, now: UnixMs) -> Raised:
            configured, zone = _told(db)
            day = day_of(now, zone)
            before = raises.standing(db, day, over=configured)
            stands = before.cap if before else configured
            spent = charges.spent_since_day(db, day).committed
            least = max(configured, spent) if may_lower else stands
            _check_raise(cap, stands, configured, least=least)
            woken = 0
            if cap != stands:
                raises.add(db, Raise(day=day, cap=cap, reason=said, by=self._by, at=now))
            if cap < stands:
                text = f"cap of {day} lowered from {exact_usd(stands)} to {exact_usd(cap)} by {self._by}: {said}"
                self._event(db, now, "cap.lowered", text, level=events.WARN)
            elif cap > stands:
                alerts.rearm_cap(db, "day", day, below=spent * 100 // cap, now=now)
                woken = jobs.wake(db, gate="cap:day", now=now, limit=AT_ONCE)
                text = f"cap of {day} raised from {exact_usd(stands)} to {exact_usd(cap)} by {self._by}: {said}"
                self._event(db, now, "cap.raised", text, level=events.WARN)
            return Raised(
                day=day,
                zone=zone.key,
                cap=cap,
                before=stands,
                until=midnight_after(now, zone),
                woken=woken,
                already=cap == stands,
            )

        raised = self._transact(act)
        return raised if raised.woken < AT_ONCE else replace(raised, woken=raised.woken + self._wake("cap:day"))

    def write_off(self, id: int, *, reason: str) -> WrittenOff:
        """Free a hold that stands because nobody knows what its call cost: from now on it counts as nothing.

        Raises UsageError, NotFound, and Refused for a call that is in flight or has ended; then nothing was changed.
        """
        said = _reason(reason, "writing a hold off")

        def act(db: sqlite3.Connection, now: UnixMs) -> WrittenOff:
            found = charges.by_id(db, id)
            if found is None:
                raise NotFound(f"there is no call {id}; `afk-runner spend --holds` lists those whose hold stands")
            if found.state != "held":
                raise Refused(f"call {id} holds nothing any more: it was {found.state} ({found.note or 'at its cost'})")
            if found.ended_at is None and lock_is_held(self.home.lock):
                raise Refused(f"call {id} is in flight: its runner is at work; `afk-runner kill --now` ends it first")
            charges.release(db, id, note=f"written off by {self._by}: {said}", now=now)
            if not charges.any_orphan(db):
                alerts.close_like(db, "orphans:%", now=now)
            row = db.execute("SELECT key FROM jobs WHERE id = ?", (found.job_id,)).fetchone()
            key = row[0] if row else None
            text = (
                f"hold {id} of {exact_usd(found.hold)} for a call to {found.model} written off by {self._by}: {said} "
                f"(it stood because: {found.note or charges.ORPHANED})"
            )
            word = "hold.written_off"
            events.record(db, now=now, level=events.WARN, event=word, text=text, task=found.task, job=key)
            return WrittenOff(id=id, model=found.model, hold=found.hold, job=key)

        gone = self._transact(act)
        for gate in CAP_GATES:
            self._wake(gate)
        return gone


def _told(db: sqlite3.Connection) -> tuple[MicroUsd, ZoneInfo]:
    """The day's cap and its zone as the last runner was configured with them. Raises Refused."""
    told = controls.settings(db)
    if not told.get("daily_usd", "").isdigit() or "timezone" not in told:
        raise Refused("no runner was ever started here, so no cap is in force; it is daily_usd in afk.toml")
    return MicroUsd(int(told["daily_usd"])), ZoneInfo(told["timezone"])


def _check_raise(cap: MicroUsd, stands: MicroUsd, configured: MicroUsd, *, least: int) -> None:
    if cap < stands and cap < least:
        lowest = f"today it cannot be less than {exact_usd(least)}; " if least < stands else ""
        raise Refused(
            f"today's cap is {exact_usd(stands)}, and a raise to {exact_usd(cap)} would lower it; {lowest}it ends at "
            "midnight, `afk-runner kill` stops everything at once, and daily_usd in afk.toml sets the cap of every day"
        )
    most = max(STEEPEST * configured, ALWAYS_POSSIBLE)
    if cap > most:
        raise Refused(
            f"{exact_usd(cap)} is more than {exact_usd(most)}, the most that the configured cap of "
            f"{exact_usd(configured)} may be raised to; write daily_usd into afk.toml if it is meant"
        )


def _reason(reason: str, act: str) -> str:
    said = " ".join(reason.split())
    if not said:
        raise UsageError(f"{act} wants a reason, which is kept with your name")
    return said[:MOST_REASON]
