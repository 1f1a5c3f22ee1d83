"""A schedule that does not do its work: nobody deals with its slots, or every one of them is skipped."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from runner import telling
from runner.store import alerts, events, schedules
from runner.store.schedules import Schedule
from runner.units import UnixMs, iso


def overdue_key(name: str) -> str:
    """The edge of a schedule with which nobody deals."""
    return f"schedule:{name}"


def skips_key(name: str) -> str:
    """The edge of a schedule of which every slot is skipped."""
    return f"skipped:{name}"


def is_dealt_with(db: sqlite3.Connection, name: str, *, now: UnixMs) -> None:
    """Whatever became of its slots."""
    telling.settled(db, key=overdue_key(name), now=now)


def does_its_work(db: sqlite3.Connection, name: str, *, now: UnixMs) -> None:
    """It fired, or a person paused it or took it out."""
    schedules.forget_skips(db, name=name)
    telling.settled(db, key=skips_key(name), now=now)


def loses(db: sqlite3.Connection, name: str, skipped: Mapping[UnixMs, str], *, now: UnixMs) -> None:
    """Slots were skipped, each for a reason, and none fired. Tells somebody once that has gone on for long."""
    schedules.skipped(db, name=name, slots=len(skipped), first=min(skipped))
    row = schedules.get(db, name, now=now)
    if row is None or not row.skips_all(now) or _is_told(db, skips_key(name)):
        return
    text = (
        f"schedule {name} has fired nothing since {iso(row.skips_since)}: {row.skips} slots in a row were skipped, the "
        f'newest with "{skipped[max(skipped)]}"; mend that, or `afk-runner pause {name}` if it is meant to be so'
    )
    telling.tell(db, key=skips_key(name), level=events.WARN, text=text, now=now)


def overdue(db: sqlite3.Connection, *, now: UnixMs) -> list[Schedule]:
    """Schedules with a slot that nobody dealt with."""
    return [one for one in schedules.all_of(db, now=now) if one.overdue_ms(now)]


def tell_overdue(db: sqlite3.Connection, *, now: UnixMs) -> None:
    """Tell of each of them once, in the caller's transaction."""
    for one in overdue(db, now=now):
        if _is_told(db, overdue_key(one.name)):
            continue
        text = (
            f"schedule {one.name} does not fire: its slot of {iso(one.next_at)} is not dealt with; "
            "`afk-runner logs` says what holds the runner"
        )
        telling.tell(db, key=overdue_key(one.name), level=events.ERROR, text=text, now=now)


def _is_told(db: sqlite3.Connection, key: str) -> bool:
    return key in alerts.open_keys(db, key)
