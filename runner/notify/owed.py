"""What each address does not know yet, and when it is to hear of it.

An address is told of an edge at once, and once more when it is over. What comes again and again, as dead letters or a
breaker that flaps, is told in bundles with growing gaps: one storm is one alert with a count.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass, field

from runner.store import addresses, alerts, tellings
from runner.store.alerts import SETTLED, Alert
from runner.store.tellings import Telling
from runner.units import HOUR_MS, MINUTE_MS, UnixMs

FLIPS = 4
"""So many messages about one edge may say at once that it is over, or there again."""
FLIP_GAP_MS = 30 * MINUTE_MS
"""Then so long after the last one: what flaps is bundled, and nobody is left for long with what is true no more."""
GAPS_MS = (5 * MINUTE_MS, 30 * MINUTE_MS, 2 * HOUR_MS, 12 * HOUR_MS)
"""After the first message about an edge, the second, ...: how long what was counted since waits for the next."""
LOOK_AGAIN_MS = 10 * MINUTE_MS
"""A clock that was set may have moved any time that was computed."""
MOST = 500
"""Alerts that are looked at in one transaction, the newest: what an address missed for long does not hide them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """One alert that an address is to be told of now."""

    alert: Alert
    told: Telling | None
    """What it heard of this edge; None: nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be told now, and when to look again."""

    due: dict[str, list[Due]] = field(default_factory=dict)
    """By address, the oldest alert first; without those that rest after a failure."""
    again_at: UnixMs | None = None
    """None: not before something changes."""


def undelivered_key(name: str) -> str:
    """The alert that an address takes none."""
    return f"undelivered:{name}"


def plan(db: sqlite3.Connection, names: Collection[str], *, now: UnixMs) -> Plan:
    """Look at everything that is owed, and strike off what every address knows."""
    if not names:
        alerts.forget_over(db)
        return Plan()
    due: dict[str, list[Due]] = {}
    times: list[UnixMs] = []
    resting = {one.name: one.next_at for one in addresses.all_of(db) if one.rests(now)}
    found = alerts.owed(db, limit=MOST)
    for alert in found:
        told = tellings.of_alert(db, alert.id)
        audience = [name for name in names if alert.key != undelivered_key(name)]
        when = {name: due_at(alert, told.get(name)) for name in audience}
        if audience and all(name in told and told[name].edge == alert.edge for name in audience):
            alerts.delivered(db, alert, now=now)
        if all(at is None for at in when.values()):
            alerts.known(db, alert)
        for name, at in when.items():
            if at is None:
                continue
            if (rests_until := resting.get(name)) is not None:
                times.append(rests_until)
            elif at > now and told[name].at <= now:  # otherwise the clock was set back: no reason to wait
                times.append(at)
            else:
                heard = told.get(name)
                here = heard if heard is not None and heard.edge == alert.edge else None
                due.setdefault(name, []).append(Due(alert=alert, told=here))
    again_at = min([*times, UnixMs(now + LOOK_AGAIN_MS)]) if times else None
    return Plan(due=due, again_at=again_at)


def due_at(alert: Alert, told: Telling | None) -> UnixMs | None:
    """When an address that heard so much is to hear more; None: there is nothing more to tell."""
    if told is None or told.edge != alert.edge:
        return UnixMs(0)
    if alert.ending not in (None, SETTLED):  # its time is over, or a person closed it: nobody needs to hear that
        return None
    over = alert.closed_at is not None
    if over == told.over and alert.times == told.times:
        return None
    if over != told.over:
        return UnixMs(0) if told.messages < FLIPS else UnixMs(told.at + FLIP_GAP_MS)
    return UnixMs(told.at + GAPS_MS[min(told.messages, len(GAPS_MS)) - 1])
