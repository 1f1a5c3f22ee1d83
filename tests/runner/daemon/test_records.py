"""What a runner that takes over tells of the one before it."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

from runner.config import BudgetConfig, Config
from runner.daemon import records
from runner.daemon.watchdog import Stall
from runner.heartbeat import Beat
from runner.store.runners import Runner, RunState
from runner.units import HOUR_MS, SECOND_MS, MicroUsd, UnixMs
from tests.factories import NOW, a_runner, make_runner

ME = a_runner(id="runner-2", pid=5150, state=RunState.STARTING, started_at=NOW)


def take_over(
    db: sqlite3.Connection, *, me: Runner = ME, beat: Beat | None = None, stall: Stall | None = None
) -> tuple[list[str], list[tuple[str, str, bool]]]:
    """The events and the alerts (key, text, whether it is over) that it leaves."""
    config = Config(zone=ZoneInfo("UTC"), budget=BudgetConfig(daily_usd=MicroUsd(0)))
    records.begin(db, config=config, tasks={}, me=me, beat=beat, stall=stall, stopped_by_environment=False, now=NOW)
    told = db.execute("SELECT event FROM events WHERE event <> 'runner.start'").fetchall()
    alerts = db.execute("SELECT key, text, closed_at IS NOT NULL FROM alerts").fetchall()
    return [event for (event,) in told], [(key, text, bool(over)) for key, text, over in alerts]


def test_a_runner_that_said_goodbye_is_no_news(db: sqlite3.Connection) -> None:
    make_runner(db, state=RunState.STOPPED, ended="signal", heartbeat_at=NOW - HOUR_MS)

    assert take_over(db) == ([], [])


def test_one_that_crashed_and_is_back_soon_is_an_event_alone(db: sqlite3.Connection) -> None:
    make_runner(db, heartbeat_at=NOW - 30 * SECOND_MS)

    assert take_over(db) == (["runner.lost"], [])


def test_one_that_was_gone_for_long_is_an_alert_and_its_end(db: sqlite3.Connection) -> None:
    make_runner(db, heartbeat_at=NOW - HOUR_MS)

    told, alerts = take_over(db)

    text = "runner pid 4121 on box went without a word at 2030-03-17T16:46:40.000Z: no heartbeat for 1h"
    assert (told, alerts) == (["runner.lost"], [("heartbeat", text, True)])


def test_what_it_said_outside_the_database_counts(db: sqlite3.Connection) -> None:
    """On a full disk the row grows old while the runner lives."""
    make_runner(db, heartbeat_at=NOW - HOUR_MS)

    assert take_over(db, beat=Beat(at=UnixMs(NOW - SECOND_MS), pid=4121, fault="full")) == (["runner.lost"], [])


def test_a_machine_that_was_started_anew_is_named(db: sqlite3.Connection) -> None:
    make_runner(db, heartbeat_at=NOW - HOUR_MS)
    other = replace(ME, boot="boot-2")

    ((_, text, _),) = take_over(db, me=other)[1]

    assert "and the machine was started anew" in text


def test_a_stall_is_told_with_the_place_and_the_dump(db: sqlite3.Connection) -> None:
    stall = Stall(Path("/h/logs/stall-1.txt"), "match (re/__init__.py:166)")

    told, alerts = take_over(db, stall=stall)

    text = (
        "the last runner's loop stood still, so it was ended; it hung in match (re/__init__.py:166); "
        "see /h/logs/stall-1.txt"
    )
    assert (told, alerts) == (["runner.stalled"], [("stall", text, False)])


def test_a_runner_that_was_frozen_is_no_error_and_is_not_said_to_have_hung(db: sqlite3.Connection) -> None:
    stall = Stall(Path("/h/logs/stall-1.txt"), "select (lib/selectors.py:468)", frozen=True)

    told, ((key, text, _),) = take_over(db, stall=stall)

    assert (told, key) == (["runner.stalled"], "stall")
    assert "was frozen from outside" in text
    assert "was ended when it went on; see /h/logs/stall-1.txt" in text
    assert "select" not in text
    levels = db.execute("SELECT level FROM alerts UNION SELECT level FROM events WHERE event = 'runner.stalled'")
    assert levels.fetchall() == [("warn",)]
