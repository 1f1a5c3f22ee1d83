"""`status --check`: each thing that may be wrong, its code, and that one line tells all of it."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from runner.check import UNTOLD_MS, Checkup, Grade, awake_since, checkup
from runner.heartbeat import Beat, HeartbeatFile
from runner.home import Home
from runner.service.inspect import Installed
from runner.starts import UNCLEAN, Starts
from runner.store import addresses, alerts, breakers, controls, events, runners, schedules
from runner.store.db import Database
from runner.store.jobs import JobStatus
from runner.store.runners import RunState
from runner.units import HOUR_MS, MINUTE_MS, SECOND_MS, UnixMs
from tests.factories import NOW, make_job, make_runner

SYSTEMD = Installed(platform="systemd-user", unit=Path("/x/afk.service"), current=True, loaded=None, note="")
CRON = Installed(platform="cron", unit=None, current=None, loaded=None, note="")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    place = Home(tmp_path / "home")
    place.create()
    Database.open(place.db, create=True).close()
    return place


@pytest.fixture
def db(home: Home) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(home.db, isolation_level=None)) as connection:
        yield connection


@contextmanager
def lock_held(home: Home) -> Iterator[None]:
    fd = os.open(home.lock, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(fd)


def look(home: Home, *installed: Installed, up_s: float | None = 10_000, asleep_s: float | None = 0.0) -> Checkup:
    return checkup(home, now=NOW, installed=installed, asleep_s=asleep_s, up_s=up_s)


def found(checked: Checkup) -> tuple[Grade, str]:
    """The grade and the one line."""
    return checked.grade, checked.line()


def test_a_runner_that_beats_and_has_nothing_to_complain_of_is_well(home: Home, db: sqlite3.Connection) -> None:
    make_runner(db)
    with lock_held(home):
        assert found(look(home, SYSTEMD)) == (Grade.OK, "OK: runner running, 0 pending")


@pytest.mark.parametrize(
    ("age_ms", "grade"), [(14 * SECOND_MS, Grade.OK), (16 * SECOND_MS, Grade.CRITICAL), (HOUR_MS, Grade.CRITICAL)]
)
def test_a_heart_that_stands_still_is_critical(home: Home, db: sqlite3.Connection, age_ms: int, grade: Grade) -> None:
    make_runner(db, heartbeat_at=NOW - age_ms)
    with lock_held(home):
        assert look(home).grade is grade


def test_a_runner_that_went_without_a_word_is_critical(home: Home, db: sqlite3.Connection) -> None:
    make_runner(db)

    grade, line = found(look(home))

    assert grade is Grade.CRITICAL
    assert "went without a word" in line


def test_a_free_lock_is_critical_where_a_service_is_to_keep_one_going(home: Home, db: sqlite3.Connection) -> None:
    """Where none is, a runner that was stopped is worth a warning; between two runs of cron nothing is wrong."""
    make_runner(db, state=RunState.STOPPED, ended="signal")
    assert found(look(home, SYSTEMD))[0] is Grade.CRITICAL
    assert found(look(home)) == (Grade.WARNING, "WARNING: no runner works here: stopped (signal)")

    db.execute("UPDATE runners SET ended = 'nothing left to do'")
    assert look(home, CRON).grade is Grade.OK


def test_a_cron_that_starts_none_for_long_is_critical(home: Home, db: sqlite3.Connection) -> None:
    make_runner(db, state=RunState.STOPPED, ended="nothing left to do", heartbeat_at=NOW - 20 * MINUTE_MS)

    assert found(look(home, CRON)) == (Grade.CRITICAL, "CRITICAL: cron has started no runner for 20m")
    assert look(home).grade is Grade.OK, "whoever runs it by hand runs it when they like"


@pytest.mark.parametrize("asleep_s", [40.0, 3_600.0])
def test_so_soon_after_waking_silence_says_nothing(home: Home, db: sqlite3.Connection, asleep_s: float) -> None:
    """The heart stood still as long as the machine slept, and 20 seconds."""
    gone_ms = int(asleep_s * 1000) + 20 * SECOND_MS
    make_runner(db, heartbeat_at=NOW - gone_ms)
    with lock_held(home):
        write_beat(home, at=NOW - gone_ms, asleep_s=100.0)

        assert look(home, asleep_s=100.0 + asleep_s).grade is Grade.UNKNOWN
        assert look(home, asleep_s=100.0).grade is Grade.CRITICAL, "it did not sleep"


def write_beat(home: Home, *, at: int, asleep_s: float | None = None, woke_at: UnixMs | None = None) -> None:
    heart = HeartbeatFile(home.heartbeat)
    heart.beat(fault=None, asleep_s=asleep_s, woke_at=woke_at)
    heart.close()
    os.utime(home.heartbeat, (at / 1000, at / 1000))


def test_a_machine_that_came_up_just_now_has_time_to_start_a_runner(home: Home, db: sqlite3.Connection) -> None:
    make_runner(db, state=RunState.STOPPED, ended="signal")

    assert look(home, SYSTEMD, up_s=30).grade is Grade.UNKNOWN
    assert look(home, SYSTEMD, up_s=90).grade is Grade.CRITICAL


@pytest.mark.parametrize(
    ("beat", "asleep_s", "up_s", "awake"),
    [
        (None, 5.0, 20.0, 20.0),
        (None, None, None, None),
        (Beat(at=UnixMs(NOW - 70_000), pid=1, fault=None, asleep_s=5.0), 55.0, None, 20.0),
        (Beat(at=UnixMs(NOW - 70_000), pid=1, fault=None, asleep_s=5.0), 5.0, None, None),
        (Beat(at=UnixMs(NOW - 1_000), pid=1, fault=None, asleep_s=5.0, woke_at=UnixMs(NOW - 9_000)), 5.0, 800.0, 9.0),
    ],
)
def test_how_long_the_machine_is_awake(
    beat: Beat | None, asleep_s: float | None, up_s: float | None, awake: float | None
) -> None:
    assert awake_since(beat, now=NOW, asleep_s=asleep_s, up_s=up_s) == awake


def test_a_crash_loop_is_critical_also_without_a_database(home: Home) -> None:
    for n in range(UNCLEAN + 1):
        Starts(home.starts).begin(now=UnixMs(NOW - 1000 + n))
    home.db.unlink()

    grade, line = found(look(home))

    assert grade is Grade.CRITICAL
    assert "too many crashes" in line
    assert "afk-runner resume" in line
    assert "the database cannot be read" in line, "all reasons are told"


def test_a_database_that_cannot_be_read_is_unknown(home: Home) -> None:
    home.db.write_bytes(b"no database at all" * 100)

    assert look(home).grade is Grade.UNKNOWN


@pytest.mark.parametrize(
    ("reason", "note", "told"),
    [
        ("stop", None, "parked (stop)"),
        ("disk", "the disk is nearly full", "parked (disk): the disk is nearly full"),
        ("refused", "afk.toml:3: no", "parked (refused): afk.toml:3: no"),
    ],
)
def test_parked_is_a_warning_with_its_reason(
    home: Home, db: sqlite3.Connection, reason: str, note: str | None, told: str
) -> None:
    make_runner(db)
    runners.move(db, "runner-1", state=RunState.PARKED, reason=reason, stop_seq=0, now=NOW, note=note)
    with lock_held(home):
        assert found(look(home)) == (Grade.WARNING, f"WARNING: {told}")


def test_what_waits_for_a_person_is_a_warning_and_all_of_it_is_told(home: Home, db: sqlite3.Connection) -> None:
    make_runner(db)
    make_job(db, status=JobStatus.DEAD)
    breakers.trip(db, "vendor/model", reason="by hand", retry_at=None, now=NOW)
    alerts.raise_alert(db, key="x", level=events.WARN, text="something", now=NOW)
    with lock_held(home):
        grade, line = found(look(home))

    assert grade is Grade.WARNING
    assert line.startswith("WARNING: breaker vendor/model is open: by hand; 1 dead letter to deal with")
    assert "\n" not in line


def test_an_alert_on_its_way_is_no_warning_and_one_that_is_stuck_is(home: Home, db: sqlite3.Connection) -> None:
    make_runner(db)
    with lock_held(home):
        alerts.raise_alert(db, key="fresh", level=events.WARN, text="something", now=NOW)
        assert look(home).grade is Grade.OK

        alerts.raise_alert(db, key="stuck", level=events.WARN, text="something", now=UnixMs(NOW - UNTOLD_MS))
        addresses.failed(db, "json://host", error="error=500.", now=UnixMs(NOW - addresses.LONG_MS))

        grade, line = found(look(home))
        assert grade is Grade.WARNING
        assert "2 alerts not delivered; `afk-runner alerts`; json://host takes no alerts: error=500." in line


def test_a_cap_that_is_reached_is_a_warning(home: Home, db: sqlite3.Connection) -> None:
    make_runner(db)
    controls.put_settings(db, {"timezone": "UTC", "daily_usd": "0"}, now=NOW)
    with lock_held(home):
        grade, line = found(look(home))

    assert grade is Grade.WARNING
    assert line.startswith("WARNING: the cap is reached until 2030-03-18T00:00:00")


def test_a_slot_that_nobody_deals_with_is_critical_unless_it_is_held_back(home: Home, db: sqlite3.Connection) -> None:
    make_runner(db)
    schedules.declare(db, name="digest", spec="every 5m UTC", now=UnixMs(NOW - HOUR_MS), next_at=UnixMs(NOW - HOUR_MS))
    with lock_held(home):
        grade, line = found(look(home))
        assert grade is Grade.CRITICAL
        assert line == "CRITICAL: due and not fired: digest for 1h"

        controls.pause(db, name="digest", reason="holiday", by="ada", now=NOW)
        assert look(home).grade is Grade.OK


def test_a_slot_that_was_made_up_for_is_a_warning_for_a_while(home: Home, db: sqlite3.Connection) -> None:
    make_runner(db)
    due = NOW - 30 * MINUTE_MS
    schedules.declare(db, name="digest", spec="every 1h UTC", now=UnixMs(due), next_at=UnixMs(NOW + MINUTE_MS))
    slot = "INSERT INTO slots (schedule, due_at, at, job_key) VALUES ('digest', ?, ?, 'k')"
    db.execute(slot, (due, due + 20 * MINUTE_MS))
    with lock_held(home):
        assert found(look(home)) == (Grade.WARNING, "WARNING: digest fired late, to catch up")

        db.execute(slot, (due + 25 * MINUTE_MS, due + 25 * MINUTE_MS + 50))
        assert look(home).grade is Grade.OK, "the next one came in time"


def test_what_is_known_to_be_wrong_outweighs_what_is_not_known(home: Home, db: sqlite3.Connection) -> None:
    make_runner(db, state=RunState.STOPPED, ended="signal")
    home.db.write_bytes(b"no database at all" * 100)

    assert look(home, SYSTEMD).grade is Grade.CRITICAL
