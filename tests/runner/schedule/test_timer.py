"""The timer, and the runner around it."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime
from sqlite3 import Connection

import pytest

from runner import dealing, schedule
from runner.errors import StoreError
from runner.schedule import timer
from runner.units import HOUR_MS
from tests.factories import ManualClock
from tests.runner.schedule.declared import START, declared, every, slots, task


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
        await asyncio.wait_for(fired.wait(), 5)
    finally:
        alarm.stop()


async def test_a_schedule_that_could_not_be_dealt_with_is_tried_again(
    db: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at once, but once the wait is over, until the database takes it."""
    monkeypatch.setattr(dealing, "DEAL_AGAIN_S", 0.05)
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
    assert dealer.owes
    dealer.look()
    assert slots(db) == [], "not at once"
    deadline = time.monotonic() + 5
    while dealer.owes:
        assert time.monotonic() < deadline
        dealer.look()
        await asyncio.sleep(0.01)

    assert added == [1]
    assert slots(db) == [(START + HOUR_MS, "digest@2026-01-01T01:00:00.000Z", None)]
