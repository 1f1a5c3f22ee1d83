"""The timer, and the runner around it."""

from __future__ import annotations

import asyncio
import dataclasses
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from sqlite3 import Connection
from types import SimpleNamespace

import pytest

from runner import schedule
from runner.config import TaskConfig
from runner.daemon import dealing
from runner.errors import StoreError
from runner.schedule import timer
from runner.store import alerts
from runner.units import HOUR_MS, MINUTE_MS
from tests.factories import ManualClock
from tests.runner.schedule.declared import START, declared, end_all, every, fired, slots, task


def test_a_timer_looks_at_the_clock_and_not_at_when_it_fired_before() -> None:
    due = timer._Due(every(HOUR_MS))
    now = datetime(2026, 1, 1, 0, 30, tzinfo=UTC)
    assert due.get_next_fire_time(datetime(2030, 1, 1, tzinfo=UTC), now) == datetime(2026, 1, 1, 1, tzinfo=UTC)


async def test_a_woken_timer_forgets_the_far_time_it_waited_for() -> None:
    fired = asyncio.Event()

    async def fire(_: str) -> None:
        fired.set()

    alarm = schedule.Timer({"digest": task(every(1_000))}, fire)
    alarm.wake()  # before it started: nothing
    alarm.start()
    alarm._scheduler.modify_job("digest", next_run_time=datetime(2030, 1, 1, tzinfo=UTC))
    alarm.wake()
    try:
        await asyncio.wait_for(fired.wait(), 60)
    finally:
        alarm.stop()


async def test_a_schedule_that_could_not_be_dealt_with_is_tried_again(
    db: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at once, but once the wait is over, until the database takes it."""
    now_s = 1_000.0
    monkeypatch.setattr(dealing, "time", SimpleNamespace(monotonic=lambda: now_s))
    hourly = declared(db, every(HOUR_MS))
    faults = 2

    class Writer:
        async def write(self, act: Callable[[sqlite3.Connection], int]) -> int:
            nonlocal faults
            if faults:
                faults -= 1
                raise StoreError("the disk is full")
            return act(db)

    added = []
    dealer = dealing.Dealer(
        {"digest": hourly},
        writer=Writer(),  # type: ignore[arg-type]
        max_attempts=4,
        added=lambda: added.append(1),
        clock=ManualClock(START + HOUR_MS),
    )

    await dealer.deal_all()
    for _ in range(2):
        now_s += 0.9 * dealing.DEAL_AGAIN_S
        dealer.look()
        assert not dealer._tries, "not at once"
        now_s += 0.2 * dealing.DEAL_AGAIN_S
        assert (dealer.owes, slots(db)) == (True, [])
        dealer.look()
        await asyncio.gather(*dealer._tries)

    assert not dealer.owes
    assert added == [1]
    assert slots(db) == [(START + HOUR_MS, "digest@2026-01-01T01:00:00.000Z", None)]


class Through:
    """A writer that writes at once."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    async def write(self, act: Callable[[Connection], object]) -> object:
        return act(self._db)


def dealer_of(db: Connection, what: TaskConfig, clock: ManualClock) -> dealing.Dealer:
    return dealing.Dealer(
        {"digest": what},
        writer=Through(db),  # type: ignore[arg-type]
        max_attempts=4,
        added=lambda: None,
        clock=clock,
    )


async def test_a_slot_that_the_timer_let_pass_is_dealt_with_by_the_upkeep(db: Connection) -> None:
    """And nobody is told, for it fires; a slot that is a little late is left to the timer."""
    clock = ManualClock(START + HOUR_MS)
    dealer = dealer_of(db, declared(db, every(HOUR_MS)), clock)
    await dealer.check()
    assert slots(db) == []
    clock.advance(5 * MINUTE_MS)
    await dealer.check()
    assert len(slots(db)) == 1
    assert alerts.counts(db)[1] == 0


async def test_a_fault_in_one_schedule_is_told_once_and_drops_no_other(
    db: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one at fault comes first in every look, and is tried again at each."""
    deal = schedule.deal
    monkeypatch.setattr(
        schedule, "deal", lambda db, task, **how: 1 // (task.name != "broken") and deal(db, task, **how)
    )
    tasks = {name: dataclasses.replace(task(every(HOUR_MS)), name=name) for name in ("broken", "digest")}
    schedule.declare(db, tasks, max_attempts=4, now=START)
    clock = ManualClock(START + 2 * HOUR_MS)
    dealer = dealing.Dealer(
        tasks,
        writer=Through(db),  # type: ignore[arg-type]
        max_attempts=4,
        added=lambda: None,
        clock=clock,
    )

    assert await dealer.deal_all() == 1
    clock.advance(HOUR_MS)
    end_all(db)
    await dealer.wake()
    await dealer.check()

    assert fired(db) == [START + 2 * HOUR_MS, START + 3 * HOUR_MS]
    assert alerts.open_keys(db, "schedule:") == ["schedule:broken"]
    told = db.execute("SELECT task, text FROM events WHERE event = 'schedule.fault'").fetchall()
    assert len(told) == 1
    assert told[0][0] == "broken"
    assert "ZeroDivisionError" in told[0][1]


async def test_slots_that_wait_are_looked_at_again_by_themselves(
    db: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dealing, "DEAL_AGAIN_S", 0.0)
    clock = ManualClock(START + 3 * HOUR_MS)
    dealer = dealer_of(db, declared(db, every(HOUR_MS, catch_up="all")), clock)
    await dealer.deal_all()
    assert (dealer.waiting, dealer.owes, len(fired(db))) == (2, True, 1)
    for left in (1, 0):
        end_all(db)
        dealer.look()
        await asyncio.gather(*dealer._tries)
        assert dealer.waiting == left
    assert len(fired(db)) == 3
    assert not dealer.owes
