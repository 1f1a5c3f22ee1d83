"""That each due time is dealt with once, and is a row with its reason where it is not run."""

from __future__ import annotations

from sqlite3 import Connection

import pytest

from runner import schedule
from runner.config import ScheduleConfig
from runner.store import controls, jobs, schedules
from runner.store.jobs import JobStatus
from runner.units import DAY_MS, HOUR_MS, MINUTE_MS, UnixMs
from tests.runner.schedule.declared import (
    START,
    UTC_ZONE,
    cron,
    deal,
    declared,
    end_all,
    every,
    fired,
    ms,
    reason_at,
    slots,
)


def test_a_due_slot_becomes_one_job_however_often_it_is_dealt(db: Connection) -> None:
    """Twice in a row, after a restart with the same declaration, and with the clock set back: still one."""
    hourly = declared(db, every(HOUR_MS))
    assert deal(db, hourly, now=START + HOUR_MS - 1) == 0
    assert deal(db, hourly, now=START + HOUR_MS) == 1
    assert deal(db, hourly, now=START + HOUR_MS) == 0
    declared(db, every(HOUR_MS), now=START + HOUR_MS + 5)
    assert deal(db, hourly, now=START + HOUR_MS + 5) == 0
    assert deal(db, hourly, now=START + MINUTE_MS) == 0
    assert deal(db, hourly, now=START + HOUR_MS + 5) == 0

    assert slots(db) == [(START + HOUR_MS, "digest@2026-01-01T01:00:00.000Z", None)]
    assert db.execute("SELECT key FROM jobs").fetchall() == [("digest@2026-01-01T01:00:00.000Z",)]
    row = schedules.get(db, "digest", now=START)
    assert row is not None
    assert row.next_at == START + 2 * HOUR_MS


def test_a_new_schedule_owes_nothing_of_the_past(db: Connection) -> None:
    changed = declared(db, every(MINUTE_MS), now=START + DAY_MS)
    assert deal(db, changed, now=START + DAY_MS) == 0
    assert slots(db) == []


@pytest.mark.parametrize("becomes", ["every 1m UTC", None])
def test_what_a_schedule_owed_before_it_was_changed_is_a_row(db: Connection, becomes: str | None) -> None:
    """No slot is lost without a word because its owner changed the zone while no runner was there, or took it out."""
    declared(db, every(HOUR_MS))
    if becomes:
        changed = declared(db, every(MINUTE_MS), now=START + DAY_MS)
        assert deal(db, changed, now=START + DAY_MS) == 0
    else:
        schedule.declare(db, {}, max_attempts=4, now=UnixMs(START + DAY_MS))

    ((due_at, job, reason),) = slots(db)
    assert (due_at, job) == (START + HOUR_MS, None)
    assert reason is not None
    assert (f"changed to {becomes}" if becomes else "taken out of the configuration") in reason


def test_after_an_absence_only_the_latest_runs(db: Connection) -> None:
    """Each slot that did not is a row with its reason."""
    hourly = declared(db, every(HOUR_MS))

    assert deal(db, hourly, now=START + 5 * HOUR_MS + 7) == 1

    found = slots(db)
    assert [due for due, _, _ in found] == [START + n * HOUR_MS for n in range(1, 6)]
    assert all(skipped == f"{schedule.MISSED}; the latest one is run instead" for _, _, skipped in found[:4])
    assert found[4][1] is not None
    assert db.execute("SELECT count(*) FROM events WHERE event = 'slot.skipped'").fetchone() == (4,)


def test_a_very_long_absence_shares_a_row(db: Connection) -> None:
    minutely = declared(db, every(MINUTE_MS))
    assert deal(db, minutely, now=START + DAY_MS) == 1
    found = slots(db)
    assert len(found) == schedule.MOST_MISSED + 1
    assert f"{DAY_MS // MINUTE_MS - schedule.MOST_MISSED - 1} more" in (found[0][2] or "")


def test_a_very_long_absence_of_a_cron_line_shares_a_row_without_a_count(db: Connection) -> None:
    minutely = declared(db, cron("* * * * *"))
    assert deal(db, minutely, now=START + DAY_MS) == 1
    found = slots(db)
    assert len(found) == schedule.MOST_MISSED + 1
    assert "and earlier ones" in (found[0][2] or "")


@pytest.mark.parametrize("over", [False, True])
def test_a_slot_that_an_older_program_wrote_holds_the_next_until_its_job_is_over(db: Connection, over: bool) -> None:
    """That one has no word for it; the next start finds out."""
    task = declared(db, every(HOUR_MS))
    deal(db, task, now=START + HOUR_MS)
    db.execute("UPDATE slots SET open = 0")
    if over:
        end_all(db)

    declared(db, every(HOUR_MS), now=START + HOUR_MS + 1)
    deal(db, task, now=START + 2 * HOUR_MS)

    assert fired(db) == [START + HOUR_MS, START + 2 * HOUR_MS][: 1 + over]


@pytest.mark.parametrize("why", ["pause", "catch_up", "overlap"])
def test_no_slot_is_said_to_give_way_to_one_that_does_not_run(db: Connection, why: str) -> None:
    hourly = declared(db, every(HOUR_MS, catch_up="none" if why == "catch_up" else "latest"))
    deal(db, hourly, now=START + HOUR_MS)
    if why != "overlap":
        db.execute("UPDATE jobs SET status = 'done', finished_at = 0")
    if why == "pause":
        controls.pause(db, name="digest", reason="the feed is down", by="ada", now=START)

    assert deal(db, hourly, now=START + 4 * HOUR_MS + 90_000) == 0

    reasons = [skipped or "" for _, _, skipped in slots(db)[1:]]
    assert reasons[:-1] == [schedule.MISSED] * 2
    assert not any("instead" in reason for reason in reasons)


def test_a_clock_that_was_ahead_silences_nothing(db: Connection) -> None:
    """Declared and dealt with in 2030, then set right: what comes due by the right clock fires."""
    ahead = ms("2030-01-01 00:00")
    hourly = declared(db, every(HOUR_MS), now=ahead)
    assert deal(db, hourly, now=ahead + 3 * HOUR_MS) == 1
    db.execute("UPDATE jobs SET status = 'done', finished_at = 0")

    assert deal(db, hourly, now=START) == 0
    assert deal(db, hourly, now=START + HOUR_MS) == 1
    row = schedules.get(db, "digest", now=START)
    assert row is not None
    assert (row.since, row.next_at) == (START, START + 2 * HOUR_MS)
    assert deal(db, hourly, now=START + 2 * HOUR_MS) == 0, "the job of the slot before is pending"
    assert "still pending" in (reason_at(db, START + 2 * HOUR_MS) or "")


def test_slots_that_a_clock_skipped_ahead_of_time_come_due_again(db: Connection) -> None:
    """A clock ahead by some days does not silence just these days."""
    daily = declared(db, every(DAY_MS))
    assert deal(db, daily, now=START + 9 * DAY_MS) == 1
    db.execute("UPDATE jobs SET status = 'done', finished_at = 0")
    assert [deal(db, daily, now=START + n * DAY_MS) for n in (0, 1)] == [0, 1]


def test_a_clock_set_back_fires_nothing_twice(db: Connection) -> None:
    """Two hours that come again."""
    hourly = declared(db, every(HOUR_MS))
    fired = []
    for hour in (1, 2, 3, 4, 2, 3, 4, 5):
        fired.append(deal(db, hourly, now=START + hour * HOUR_MS))
        db.execute("UPDATE jobs SET status = 'done', finished_at = 0")
    assert fired == [1, 1, 1, 1, 0, 0, 0, 1]
    assert db.execute("SELECT count(*) FROM jobs").fetchone() == (5,)


def test_what_a_clock_skipped_ahead_of_a_slot_that_fired_is_not_lost(db: Connection) -> None:
    """The skipped one comes due again although a newer one ran; nobody was there when it did."""
    hourly = declared(db, every(HOUR_MS))
    assert deal(db, hourly, now=START + 2 * HOUR_MS) == 1
    end_all(db)
    assert deal(db, hourly, now=START) == 0
    assert deal(db, hourly, now=START + 3 * HOUR_MS) == 1

    assert [(due, bool(job)) for due, job, _ in slots(db)] == [
        (START + HOUR_MS, False),
        (START + 2 * HOUR_MS, True),
        (START + 3 * HOUR_MS, True),
    ]


def test_without_catching_up_a_late_slot_is_skipped(db: Connection) -> None:
    """Late by more than a minute; one that is on time runs."""
    hourly = declared(db, every(HOUR_MS, catch_up="none"))
    assert deal(db, hourly, now=START + 3 * HOUR_MS + 60_001) == 0
    assert "catch_up" in (slots(db)[-1][2] or "")
    assert deal(db, hourly, now=START + 4 * HOUR_MS + 60_000) == 1


def test_a_paused_schedule_skips_with_the_reason(db: Connection) -> None:
    hourly = declared(db, every(HOUR_MS))
    controls.pause(db, name="digest", reason="the feed is down", by="ada", now=START)

    assert deal(db, hourly, now=START + HOUR_MS) == 0
    controls.unpause(db, name="digest")
    assert deal(db, hourly, now=START + HOUR_MS) == 0, "a slot skipped under a pause does not come back"
    assert deal(db, hourly, now=START + 2 * HOUR_MS) == 1

    assert slots(db)[0][2] == "paused by ada: the feed is down"


@pytest.mark.parametrize("status", list(JobStatus))
def test_a_slot_waits_for_no_earlier_one_but_does_not_run_beside_it(db: Connection, status: JobStatus) -> None:
    """While the job of an earlier slot is unfinished, the next one is skipped; dead or finished ones hold nobody."""
    hourly = declared(db, every(HOUR_MS))
    assert deal(db, hourly, now=START + HOUR_MS) == 1
    running, ended = status is JobStatus.RUNNING, status not in (JobStatus.PENDING, JobStatus.RUNNING)
    db.execute(
        "UPDATE jobs SET status = ?, lease = iif(?, 'x', NULL), finished_at = iif(?, 0, NULL)", (status, running, ended)
    )

    added = deal(db, hourly, now=START + 2 * HOUR_MS)

    assert added == int(ended)
    assert ("still" in (slots(db)[-1][2] or "")) is not ended


def test_a_one_shot_fires_once_and_then_never(db: Connection) -> None:
    once = declared(db, ScheduleConfig(at=UnixMs(START + HOUR_MS), zone=UTC_ZONE))
    assert deal(db, once, now=START + 2 * HOUR_MS) == 1
    assert deal(db, once, now=START + 9 * HOUR_MS) == 0
    row = schedules.get(db, "digest", now=START)
    assert row is not None
    assert row.next_at is None


def test_a_slots_key_that_a_person_took_adds_no_second_job(db: Connection) -> None:
    """The slot is settled all the same."""
    hourly = declared(db, every(HOUR_MS))
    deal(db, hourly, now=START + HOUR_MS)
    job = jobs.by_key(db, "digest@2026-01-01T01:00:00.000Z")
    assert job is not None
    db.execute("DELETE FROM slots")
    db.execute("UPDATE schedules SET dealt_to = ?", (START,))
    deal(db, hourly, now=START + HOUR_MS)
    assert db.execute("SELECT count(*) FROM jobs").fetchone() == (1,)
    assert len(slots(db)) == 1
