"""What was spent when, and for whom: the last day in slices of five minutes, and today by task.

A ledger may hold a million calls a day, and a screen looks several times a second. A call is settled once, so a slice
is read again only while one may still be written to it: whoever looks hands back the slices of the look before.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from zoneinfo import ZoneInfo

from runner.units import HOUR_MS, MINUTE_MS, MicroUsd, UnixMs, day_of, start_of_day

SLICE_MS = 5 * MINUTE_MS
"""Every zone's midnight falls between two slices."""
SETTLES_MS = MINUTE_MS
"""How long after its end a slice is read anew at every look: a call is written down a little after its time."""
MOST_AT_ONCE = 10_000
"""Calls read in one look; what is left is for the next."""
HOURS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Five minutes of the ledger."""

    since: UnixMs
    settled: dict[tuple[str, str], MicroUsd]
    """By upstream and model, of the calls that were held in it."""
    calls: int
    """That were settled."""
    open: tuple[int, MicroUsd]
    """Holds of it that stood when it was read, and their sum: as long as it is the same, so is the slice."""
    over: bool
    """No call will be written to it any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HourSpend:
    """One hour of the clock; the last is the one that goes on."""

    since: UnixMs
    settled: MicroUsd
    held: MicroUsd


@dataclass(frozen=True, slots=True, kw_only=True)
class PartSpend:
    """What one task, or one model, has cost today."""

    name: str
    settled: MicroUsd
    held: MicroUsd


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The last day."""

    hours: tuple[HourSpend, ...]
    """Oldest first, `HOURS` of them."""
    models: tuple[PartSpend, ...]
    """Today's, by upstream and model, the dearest first."""
    calls: int
    """That were settled in all of it, as far as it was read."""
    missing: int
    """Slices, of some 288, that were too much to read at once: look again."""
    slices: tuple[Slice, ...]
    """To be handed back at the next look."""


OPEN = "SELECT held_at, upstream, model, hold FROM charges WHERE state = 'held' AND +held_at >= ?"
SETTLED = """
SELECT upstream, model, sum(cost), count(*) FROM charges
 WHERE held_at >= ? AND held_at < ? AND state = 'settled' GROUP BY upstream, model
"""
BY_TASK = """
SELECT task, sum(settled), sum(held) FROM spend_totals WHERE day >= ?
 GROUP BY task HAVING sum(settled + held) > 0 ORDER BY sum(settled + held) DESC, task LIMIT ?
"""
EVER = UnixMs(2**62)


def pace(
    db: sqlite3.Connection, zone: ZoneInfo, known: Iterable[Slice] = (), *, now: UnixMs, most: int = MOST_AT_ONCE
) -> Pace:
    """The last day, the newest part of it first: of a long one some is left for the next look.

    `known`: what the look before gave, of the same database.
    """
    today = start_of_day(date.fromisoformat(day_of(now, zone)), zone)
    first_hour = now // HOUR_MS * HOUR_MS - (HOURS - 1) * HOUR_MS
    since = min(today, first_hour)
    current = now // SLICE_MS * SLICE_MS
    holds = [(min(row[0], current), (row[1], row[2]), row[3]) for row in db.execute(OPEN, (since,))]
    stands: dict[int, tuple[int, int]] = {}
    for at, _, hold in holds:
        count, total = stands.get(at // SLICE_MS * SLICE_MS, (0, 0))
        stands[at // SLICE_MS * SLICE_MS] = count + 1, total + hold
    kept = {one.since: one for one in known if one.over}
    slices, read, missing = [], 0, 0
    for at in range(current, since - SLICE_MS, -SLICE_MS):
        opened = stands.get(at, (0, 0))
        one = kept.get(UnixMs(at)) if at < current else None
        if one is None or one.open != opened:
            if read >= most:
                missing += 1
                continue
            rows = db.execute(SETTLED, (at, EVER if at == current else at + SLICE_MS)).fetchall()
            calls = sum(row[3] for row in rows)
            if at < current - SLICE_MS:  # the newest are read at every look, and must not use up what the others need
                read += calls
            one = Slice(
                since=UnixMs(at),
                settled={(row[0], row[1]): MicroUsd(row[2]) for row in rows},
                calls=calls,
                open=(opened[0], MicroUsd(opened[1])),
                over=at + SLICE_MS + SETTLES_MS <= now,
            )
        slices.append(one)
    settled = [(one.since, name, cost) for one in slices for name, cost in one.settled.items()]
    return Pace(
        hours=tuple(_hours(settled, holds, first_hour)),
        models=_parts(settled, holds, today),
        calls=sum(one.calls for one in slices),
        missing=missing,
        slices=tuple(slices),
    )


def by_task(db: sqlite3.Connection, zone: ZoneInfo, *, limit: int, now: UnixMs) -> tuple[PartSpend, ...]:
    """What the tasks have cost today, the dearest first."""
    rows = db.execute(BY_TASK, (day_of(now, zone), limit))
    return tuple(PartSpend(name=row[0], settled=MicroUsd(row[1]), held=MicroUsd(row[2])) for row in rows)


Amounts = Sequence[tuple[int, tuple[str, str], int]]
"""When, for which upstream and model, how much."""


def _hours(settled: Amounts, holds: Amounts, first: int) -> Iterator[HourSpend]:
    sums = {first + n * HOUR_MS: [0, 0] for n in range(HOURS)}
    for which, amounts in enumerate((settled, holds)):
        for at, _, amount in amounts:
            if (hour := at // HOUR_MS * HOUR_MS) in sums:
                sums[hour][which] += amount
    for since, (cost, held) in sums.items():
        yield HourSpend(since=UnixMs(since), settled=MicroUsd(cost), held=MicroUsd(held))


def _parts(settled: Amounts, holds: Amounts, since: int) -> tuple[PartSpend, ...]:
    sums: dict[tuple[str, str], list[int]] = {}
    for which, amounts in enumerate((settled, holds)):
        for at, name, amount in amounts:
            if at >= since:
                sums.setdefault(name, [0, 0])[which] += amount
    parts = [
        PartSpend(name="/".join(name), settled=MicroUsd(cost), held=MicroUsd(held))
        for name, (cost, held) in sums.items()
        if cost + held
    ]
    return tuple(sorted(parts, key=lambda one: (-one.settled - one.held, one.name)))
