"""`status --check`: is all well, in one of the four words of a monitor. No network, and no runner needed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from runner.errors import StoreError
from runner.heartbeat import Beat, last_beat
from runner.home import Home
from runner.lock import lock_is_held
from runner.service.inspect import Installed
from runner.snapshot import Health, Reader, RunnerView, RunState, ScheduleView, Vitals
from runner.snapshot.why import lifts
from runner.starts import Starts
from runner.units import HOUR_MS, MINUTE_MS, SECOND_MS, UnixMs, duration, iso, plural

STALE_MS = 15 * SECOND_MS
"""A heartbeat older than this, of a runner that holds the home, is a runner that hangs."""
WOKE_S = 60.0
"""So soon after the machine woke or was started nothing late says anything."""
CAUGHT_UP_MS = HOUR_MS
"""How long it is worth a word that a slot was made up for."""
LATE_MS = MINUTE_MS
CRON_MS = 15 * MINUTE_MS
"""Three of the times at which the lines of `service install` start a runner."""
UNTOLD_MS = 2 * MINUTE_MS
"""An alert that nobody was told of for so long is stuck; a moment is what telling takes."""
ONCE, HELD = "nothing left to do", "held back by a stop"
COMES_AGAIN = (ONCE, HELD)
"""How a run with `once` ends: between two of them, as under cron, no runner is to be expected."""


class Grade(IntEnum):
    """The exit code of the check, as monitors know them."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that is not as it should be."""

    grade: Grade
    text: str


@dataclass(frozen=True, slots=True)
class Checkup:
    """All that was found."""

    reasons: tuple[Reason, ...]
    """The worst first."""
    fine: str = ""
    """What is said when there is none."""

    @property
    def grade(self) -> Grade:
        """What is known to be critical outweighs what is not known, and that outweighs a warning."""
        return min((reason.grade for reason in self.reasons), key=_ORDER.index, default=Grade.OK)

    def line(self) -> str:
        """All of it in one line."""
        told = "; ".join(reason.text for reason in self.reasons) or self.fine
        return f"{self.grade.name}: {told}"


_ORDER = (Grade.CRITICAL, Grade.UNKNOWN, Grade.WARNING, Grade.OK)


def checkup(
    home: Home, *, now: UnixMs, installed: Sequence[Installed], asleep_s: float | None, up_s: float | None
) -> Checkup:
    """How the home stands. `asleep_s`, `up_s`: since it was started the machine has slept and been up so long."""
    beat, held = last_beat(home.heartbeat), lock_is_held(home.lock)
    awake_s = awake_since(beat, now=now, asleep_s=asleep_s, up_s=up_s)
    woke = awake_s is not None and awake_s < WOKE_S
    found = [*_of_starts(home), *_of_service(installed, held=held, woke=woke)]
    fine = ""
    try:
        reader = Reader(home)
        try:
            vitals, schedules = reader.vitals(now=now), reader.schedules(now=now)
            caught_up = reader.caught_up(now=now, within_ms=CAUGHT_UP_MS, late_ms=LATE_MS)
        finally:
            reader.close()
    except StoreError as error:
        found.append(Reason(Grade.UNKNOWN, f"the database cannot be read: {error}"))
        if held and beat is not None and now - beat.at > STALE_MS and not woke:
            found.append(_stale(f"pid {beat.pid}", now - beat.at))
        elif held and beat is not None and beat.fault is not None:
            found.append(Reason(Grade.WARNING, f"pid {beat.pid} is parked: {beat.fault}"))
    else:
        found += [*_of_runner(vitals, woke=woke, excused=bool(found)), *_of_cron(vitals, installed), *_of_work(vitals)]
        found += [*_of_slots(vitals, schedules, woke=woke), *_of_catching_up(caught_up)]
        row = vitals.runner.row
        fine = f"runner {row.state if row else 'not needed'}, {vitals.counts.pending:,} pending"
    found.sort(key=lambda reason: _ORDER.index(reason.grade))
    return Checkup(tuple(found), fine)


def awake_since(beat: Beat | None, *, now: UnixMs, asleep_s: float | None, up_s: float | None) -> float | None:
    """Seconds since the machine woke or was started; None: longer than anybody knows of."""
    awake = [] if up_s is None else [up_s]
    if beat is not None and beat.woke_at is not None:
        awake.append((now - beat.woke_at) / 1000)
    if beat is not None and beat.asleep_s is not None and asleep_s is not None:
        nap_s = asleep_s - beat.asleep_s
        if nap_s > 1.0:  # since the last heartbeat, of which the rest of the time was spent awake
            awake.append((now - beat.at) / 1000 - nap_s)
    return min((max(0.0, seconds) for seconds in awake), default=None)


def up_s() -> float | None:
    """How long this machine is up; None where it cannot be told."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return None if clock is None else time.clock_gettime(clock)


def _of_starts(home: Home) -> list[Reason]:
    tripped_at = Starts(home.starts).tripped_at()
    if tripped_at is None:
        return []
    text = f"too many crashes, nothing is started since {iso(tripped_at)}; `afk-runner resume` lifts it"
    return [Reason(Grade.CRITICAL, text)]


def _of_service(installed: Sequence[Installed], *, held: bool, woke: bool) -> list[Reason]:
    kept = [one.platform for one in installed if one.platform.startswith(("launchd", "systemd"))]
    if held or not kept:
        return []
    if woke:
        return [Reason(Grade.UNKNOWN, "the machine came up less than a minute ago and no runner works yet")]
    return [Reason(Grade.CRITICAL, f"no runner works although {' and '.join(kept)} is to keep one going")]


def _of_runner(vitals: Vitals, *, woke: bool, excused: bool) -> list[Reason]:
    """`excused`: that no runner works has been said in other words."""
    view = vitals.runner
    row = view.row
    if view.health is Health.SILENT:
        return _of_silence(view, woke=woke)
    if view.health is Health.DEAD:
        last = iso(row.heartbeat_at) if row else None
        return [Reason(Grade.CRITICAL, f"the runner went without a word, its last heartbeat was at {last}")]
    if row is not None and view.unwritten is not None:
        return [Reason(Grade.WARNING, f"pid {row.pid} lives, and {view.unwritten.text}")]
    found = []
    if view.health in (Health.NEVER, Health.STOPPED):
        if not excused and (row is None or row.ended not in COMES_AGAIN):
            found.append(f"no runner works here: {f'stopped ({row.ended})' if row else 'never started'}")
    elif row is not None and row.state in (RunState.PARKED, RunState.DRAINING) and row.reason:
        if row.reason == "breaker" and excused:
            return []
        why = row.note or (vitals.stop.reason if row.reason == "stop" else None)
        return [Reason(Grade.WARNING, f"{row.state.value} ({row.reason})" + (f": {why}" if why else ""))]
    if vitals.stop.set:
        found.append(f"a stop is set: {vitals.stop.reason}; {lifts(vitals.stop)}")
    return [Reason(Grade.WARNING, text) for text in found]


def _of_cron(vitals: Vitals, installed: Sequence[Installed]) -> list[Reason]:
    """Cron starts a runner again and again: that none came for long is what can be seen of a cron that is off."""
    row = vitals.runner.row
    if (
        row is None
        or vitals.runner.health is not Health.STOPPED
        or not any(one.platform == "cron" for one in installed)
    ):
        return []
    age_ms = vitals.read_at - row.heartbeat_at
    return [Reason(Grade.CRITICAL, f"cron has started no runner for {duration(age_ms)}")] if age_ms > CRON_MS else []


def _of_silence(view: RunnerView, *, woke: bool) -> list[Reason]:
    age = view.heartbeat_age_ms
    if age is not None and age <= STALE_MS:
        return []
    if woke:
        return [Reason(Grade.UNKNOWN, "the machine woke less than a minute ago and the runner has not spoken since")]
    who = f"pid {view.row.pid}" if view.row else "a runner that holds the home"
    return [_stale(who, age)]


def _stale(who: str, age_ms: int | None) -> Reason:
    since = f"no heartbeat for {duration(age_ms)}" if age_ms is not None else "not a word yet"
    return Reason(Grade.CRITICAL, f"{who} hangs or is frozen: {since}")


def _of_work(vitals: Vitals) -> list[Reason]:
    found = []
    if vitals.spend.reached:
        found.append(f"the cap is reached until {iso(vitals.spend.resets_at)}")
    found += [
        f"breaker {one.name} is {one.state.value}: {one.reason or 'no reason'}"
        for one in vitals.breakers
        if one.state.value == "open"
    ]
    if vitals.counts.dead:
        found.append(f"{plural(vitals.counts.dead, 'dead letter')} to deal with; `afk-runner dead`")
    untold = vitals.alerts.untold_since
    if untold is not None and vitals.read_at - untold >= UNTOLD_MS:
        found.append(f"{plural(vitals.alerts.undelivered, 'alert')} not delivered; `afk-runner alerts`")
    found += [f"{one.name} takes no alerts: {one.last_error}" for one in vitals.alerts.failing]
    return [Reason(Grade.WARNING, text) for text in found]


def _of_slots(vitals: Vitals, schedules: Sequence[ScheduleView], *, woke: bool) -> list[Reason]:
    row = vitals.runner.row
    held_back = vitals.stop.set or (row is not None and row.state is RunState.PARKED)
    late = [view for view in schedules if view.overdue_ms and view.paused is None]
    if held_back or not late:
        return []  # nothing fires while parked, which was said
    names = ", ".join(f"{view.schedule.name} for {duration(view.overdue_ms)}" for view in late)
    return [Reason(Grade.UNKNOWN if woke else Grade.CRITICAL, f"due and not fired: {names}")]


def _of_catching_up(names: Sequence[str]) -> list[Reason]:
    return [Reason(Grade.WARNING, f"{name} fired late, to catch up") for name in names]
