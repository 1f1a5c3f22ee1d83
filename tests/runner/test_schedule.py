"""When a schedule comes due, and that each due time is dealt with once."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Connection
from zoneinfo import ZoneInfo

import pytest

from runner import dealing, schedule
from runner.config import ScheduleConfig, TaskConfig, TaskKind
from runner.errors import StoreError
from runner.schedule import timer
from runner.store import controls, jobs, schedules
from runner.store.db import Database
from runner.store.jobs import JobStatus
from runner.units import DAY_MS, HOUR_MS, MINUTE_MS, UnixMs
from tests.factories import ManualClock

BERLIN, CAIRO, UTC_ZONE = (ZoneInfo(name) for name in ("Europe/Berlin", "Africa/Cairo", "UTC"))


def ms(text: str) -> UnixMs:
    """`2026-03-29 01:00` UTC as milliseconds."""
    return UnixMs(int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000)


def local(at: int, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(at / 1000, zone).strftime("%m-%d %H:%M%z")


def cron(line: str, zone: ZoneInfo = UTC_ZONE, catch_up: str = "latest") -> ScheduleConfig:
    return ScheduleConfig(cron=line, zone=zone, catch_up=catch_up)


def every(ms: int, catch_up: str = "latest") -> ScheduleConfig:
    return ScheduleConfig(every_ms=ms, zone=UTC_ZONE, catch_up=catch_up)


def first(what: ScheduleConfig, after: str, count: int) -> list[str]:
    """The next due times in the schedule's own zone."""
    found = itertools.islice(schedule.due_after(what, ms(after)), count)
    return [local(at, what.zone) for at in found]


# --- due times ------------------------------------------------------------------------------------------------------


def test_a_fixed_time_that_the_clock_skips_runs_once_right_after(  # 2026-03-29 02:00 to 03:00 in Berlin
) -> None:
    assert first(cron("30 2 * * *", BERLIN), "2026-03-28 12:00", 2) == ["03-29 03:00+0200", "03-30 02:30+0200"]


def test_a_fixed_time_that_comes_twice_runs_once(  # 2026-10-25 03:00 back to 02:00 in Berlin
) -> None:
    assert first(cron("30 2 * * *", BERLIN), "2026-10-24 12:00", 2) == ["10-25 02:30+0200", "10-26 02:30+0100"]


def test_an_hourly_line_runs_every_real_hour_when_clocks_change() -> None:
    """Neither a gap when they go forward nor a pause when they go back."""
    for after in ("2026-03-28 23:30", "2026-10-24 22:30"):
        found = list(itertools.islice(schedule.due_after(cron("0 * * * *", BERLIN), ms(after)), 6))
        assert {later - sooner for sooner, later in itertools.pairwise(found)} == {HOUR_MS}


def test_midnight_that_a_clock_skips(  # 2026-04-24 00:00 to 01:00 in Cairo
) -> None:
    """A daily job at midnight is not lost where midnight does not exist."""
    found = first(cron("0 0 * * *", CAIRO), "2026-04-22 22:30", 2)
    assert found == ["04-24 01:00+0300", "04-25 00:00+0300"]


def test_midnight_that_comes_twice(  # 2026-10-30 00:00 back to 2026-10-29 23:00 in Cairo
) -> None:
    """Once a day, also on the day whose last hour comes twice."""
    found = first(cron("30 23 * * *", CAIRO), "2026-10-28 22:00", 2)
    assert [stamp[:11] for stamp in found] == ["10-29 23:30", "10-30 23:30"]


def test_day_of_month_or_weekday_is_either() -> None:
    """Cron's own rule when both are given; Monday is 1."""
    assert first(cron("0 6 13 * 1"), "2026-02-28 12:00", 5) == [
        "03-02 06:00+0000",
        "03-09 06:00+0000",
        "03-13 06:00+0000",
        "03-16 06:00+0000",
        "03-23 06:00+0000",
    ]


def test_sunday_is_0_and_7() -> None:
    assert first(cron("0 6 * * 0"), "2026-03-01 12:00", 3) == first(cron("0 6 * * 7"), "2026-03-01 12:00", 3)
    assert first(cron("0 6 * * 0"), "2026-03-01 12:00", 1) == ["03-08 06:00+0000"]


def test_an_interval_stands_on_a_grid_that_no_restart_moves() -> None:
    grid = every(7 * MINUTE_MS)
    for after in ("2026-01-01 00:00", "2026-01-01 00:03", "2026-01-01 11:59"):
        found = list(itertools.islice(schedule.due_after(grid, ms(after)), 3))
        assert all(at % (7 * MINUTE_MS) == 0 for at in found)
        assert 0 < found[0] - ms(after) <= 7 * MINUTE_MS


def test_once_is_once() -> None:
    once = ScheduleConfig(at=ms("2026-01-01 06:00"), zone=UTC_ZONE)
    assert list(schedule.due_after(once, ms("2026-01-01 05:59"))) == [ms("2026-01-01 06:00")]
    assert list(schedule.due_after(once, ms("2026-01-01 06:00"))) == []
    assert schedule.next_due(once, ms("2026-01-01 06:00")) is None


def test_a_leap_day_is_waited_for() -> None:
    assert schedule.next_due(cron("0 6 29 2 *"), ms("2026-01-01 06:00")) == ms("2028-02-29 06:00")


# --- owed -------------------------------------------------------------------------------------------------------------


def test_what_is_owed_is_after_the_last_and_up_to_now() -> None:
    hourly = cron("0 * * * *")
    due, older = schedule.owed(hourly, after=ms("2026-01-01 06:00"), now=ms("2026-01-01 09:00"))
    assert due == [ms(f"2026-01-01 0{hour}:00") for hour in (7, 8, 9)]
    assert older == 0
    assert schedule.owed(hourly, after=ms("2026-01-01 06:00"), now=ms("2026-01-01 06:59")) == ([], 0)


@pytest.mark.parametrize("what", [every(1_000), cron("* * * * *")])
def test_a_long_absence_is_counted_and_not_listed(what: ScheduleConfig) -> None:
    """The newest 200 of a week; how many there were in all is known where it takes no counting."""
    step = what.every_ms or MINUTE_MS
    after, now = ms("2026-01-01 00:00"), ms("2026-01-08 00:00")
    due, older = schedule.owed(what, after=after, now=now)
    assert len(due) == schedule.MOST_MISSED
    assert due[-1] == now
    assert due == [now - step * n for n in reversed(range(schedule.MOST_MISSED))]
    assert older == (7 * DAY_MS // step - len(due) if what.every_ms else None)


@pytest.mark.parametrize("zone", [BERLIN, CAIRO, UTC_ZONE])
@pytest.mark.parametrize(
    ("line", "days"),
    [("* * * * *", 2), ("*/7 1-3 * * *", 20), ("30 2 * * *", 400), ("0 * * * *", 15), ("0 6 29 2 *", 4000)],
)
def test_the_end_of_a_cron_line_is_found_without_its_beginning(line: str, days: int, zone: ZoneInfo) -> None:
    """Looked at from the end or walked through from the start, the newest slots are the same."""
    what = cron(line, zone)
    for now in ("2026-03-29 01:30", "2026-04-24 05:00", "2026-10-25 00:30", "2026-10-25 01:30", "2026-10-30 00:00"):
        after = ms(now) - days * DAY_MS
        walked = list(itertools.takewhile(lambda at: at <= ms(now), schedule.due_after(what, UnixMs(after))))  # noqa: B023 - used at once
        due, older = schedule.owed(what, after=UnixMs(after), now=ms(now))
        assert due == walked[-schedule.MOST_MISSED :]
        assert (older is None) is (len(walked) > schedule.MOST_MISSED)


@pytest.mark.parametrize("line", ["* * * * *", "* * * 1 *", "0 6 29 2 *"])
def test_half_a_century_of_a_cron_line_takes_no_time(line: str) -> None:
    """As for a clock that once stood at 1970."""
    began = time.process_time()
    due, _ = schedule.owed(cron(line), after=UnixMs(0), now=ms("2026-01-08 00:00"))
    assert due
    assert time.process_time() - began < 0.5


# --- deal -------------------------------------------------------------------------------------------------------------

START = ms("2026-01-01 00:00")


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Connection]:
    made = Database.open(tmp_path / "agent.db", create=True)
    yield made.connection
    made.close()


def task(what: ScheduleConfig) -> TaskConfig:
    return TaskConfig(name="digest", kind=TaskKind.PROMPT, model="offline/extract", prompt="x", schedule=what)


def declared(db: Connection, what: ScheduleConfig, *, now: int = START) -> TaskConfig:
    made = task(what)
    schedule.declare(db, {"digest": made}, max_attempts=4, now=UnixMs(now))
    return made


def deal(db: Connection, what: TaskConfig, *, now: int) -> int:
    """How many jobs were added."""
    return schedule.deal(db, what, tasks={"digest": what}, max_attempts=4, now=UnixMs(now)).added


def slots(db: Connection) -> list[tuple[int, str | None, str | None]]:
    return db.execute("SELECT due_at, job_key, skipped FROM slots ORDER BY due_at").fetchall()


def test_a_due_slot_becomes_one_job_however_often_it_is_dealt(db: Connection) -> None:
    """Twice in a row, after a restart with the same declaration, and with the clock set back: still one."""
    hourly = declared(db, every(HOUR_MS))
    assert deal(db, hourly, now=START + HOUR_MS - 1) == 0
    assert deal(db, hourly, now=START + HOUR_MS) == 1
    assert deal(db, hourly, now=START + HOUR_MS) == 0
    declared(db, every(HOUR_MS), now=START + HOUR_MS + 5)
    assert deal(db, hourly, now=START + HOUR_MS + 5) == 0
    assert deal(db, hourly, now=START - HOUR_MS) == 0
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


def reason_at(db: Connection, due_at: int) -> str | None:
    found: str | None = db.execute("SELECT skipped FROM slots WHERE due_at = ?", (due_at,)).fetchone()[0]
    return found


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
    deal(db, hourly, now=START + HOUR_MS)
    assert db.execute("SELECT count(*) FROM jobs").fetchone() == (1,)
    assert len(slots(db)) == 1


# --- the timer and the runner around it -----------------------------------------------------------------------------


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
