"""The money as a reader sees it: caps, holds, days, pace."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from runner import spending
from runner.late import Late
from runner.lock import lock_is_held
from runner.snapshot.opened import Opened
from runner.spending import CapView, HeldCall, Holds
from runner.store import controls
from runner.units import MicroUsd, UnixMs

if TYPE_CHECKING:
    from runner import price_age
    from runner.price_age import ListDate
    from runner.snapshot import pace
    from runner.snapshot.pace import Pace, PartSpend, Slice
else:
    pace, price_age = Late("runner.snapshot.pace"), Late("runner.price_age")


class MoneyReads(Opened):
    """What was spent, what is held, what may still be."""

    def spend_days(self, *, days: int) -> tuple[tuple[str, MicroUsd, MicroUsd], ...]:
        """Day, settled and held of the newest days with any spend, newest first."""
        with self.reading() as db:
            rows = db.execute("SELECT day, settled, held FROM spend ORDER BY day DESC LIMIT ?", (days,))
            return tuple((row[0], MicroUsd(row[1]), MicroUsd(row[2])) for row in rows)

    def caps(self, *, now: UnixMs) -> tuple[CapView, ...]:
        """Every cap in force and what counts against it; empty before the first run."""
        with self.reading() as db:
            return spending.caps(db, controls.settings(db), now=now)

    def holds(self, *, limit: int) -> tuple[HeldCall, ...]:
        """The newest calls that are not settled, newest first."""
        with self.reading() as db:
            return spending.holds(db, limit=limit, runner_lives=lock_is_held(self.home.lock))

    def held(self) -> Holds:
        """All calls that are not settled, in numbers."""
        with self.reading() as db:
            return spending.held(db, runner_lives=lock_is_held(self.home.lock))

    def pace(self, *, now: UnixMs, known: Iterable[Slice] = ()) -> Pace:
        """What was spent in the last 24 hours, and today by model; `known` is what the look before gave."""
        with self.reading() as db:
            return pace.pace(db, _zone(db), known, now=now)

    def spend_by_task(self, *, now: UnixMs, limit: int) -> tuple[PartSpend, ...]:
        """What the tasks have cost today, the dearest first."""
        with self.reading() as db:
            return pace.by_task(db, _zone(db), limit=limit, now=now)

    @staticmethod
    def prices() -> ListDate:
        """Which price list is installed here."""
        return _prices()


@cache
def _prices() -> ListDate:
    return price_age.list_date()


def _zone(db: sqlite3.Connection) -> ZoneInfo:
    return ZoneInfo(controls.settings(db).get("timezone", "UTC"))
