"""When a schedule comes due."""

from __future__ import annotations

import itertools
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from runner import schedule
from runner.config import ScheduleConfig
from runner.schedule import due as due_times
from runner.schedule.cron import CronLine
from runner.units import DAY_MS, HOUR_MS, MINUTE_MS, UnixMs
from tests.runner.schedule.declared import BERLIN, CAIRO, UTC_ZONE, cron, every, first, local, ms


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


# What Vixie's cron does when clocks move by less than three hours. A line with fixed minutes and hours that falls into
# the gap runs right after it, and in the hour that comes twice it runs once; a line with a star in either runs by the
# wall clock as it is: not in the gap, and both times.
GAP = "2026-03-28 23:30", "2026-03-29 03:00"  # 02:00 to 03:00 in Berlin, at 01:00 UTC
TWICE = "2026-10-24 22:30", "2026-10-25 03:00"  # 03:00 back to 02:00 in Berlin, at 01:00 UTC
HALF_GAP = "2026-10-03 14:00", "2026-10-03 17:00"  # 02:00 to 02:30 on Lord Howe, at 15:30 UTC
HALF_TWICE = "2026-04-04 13:30", "2026-04-04 16:00"  # 02:00 back to 01:30 on Lord Howe, at 15:00 UTC
NIGHTS: list[tuple[str, str, tuple[str, str], str]] = [
    ("30 2 * * *", "Europe/Berlin", GAP, "01:00"),
    ("0 2 * * *", "Europe/Berlin", GAP, "01:00"),
    ("15,45 2 * * *", "Europe/Berlin", GAP, "01:00"),
    ("30 2,3 * * *", "Europe/Berlin", GAP, "01:00 01:30"),
    ("0 3 * * *", "Europe/Berlin", GAP, "01:00"),
    ("*/30 2 * * *", "Europe/Berlin", GAP, ""),
    ("*/30 1-3 * * *", "Europe/Berlin", GAP, "00:00 00:30 01:00 01:30"),
    ("0 * * * *", "Europe/Berlin", GAP, "00:00 01:00 02:00 03:00"),
    ("5 */2 * * *", "Europe/Berlin", GAP, "02:05"),
    ("30 2 * * *", "Europe/Berlin", TWICE, "00:30"),
    ("0 2 * * *", "Europe/Berlin", TWICE, "00:00"),
    ("15,45 2 * * *", "Europe/Berlin", TWICE, "00:15 00:45"),
    ("30 2,3 * * *", "Europe/Berlin", TWICE, "00:30 02:30"),
    ("0 3 * * *", "Europe/Berlin", TWICE, "02:00"),
    ("*/30 2 * * *", "Europe/Berlin", TWICE, "00:00 00:30 01:00 01:30"),
    ("0 * * * *", "Europe/Berlin", TWICE, "23:00 00:00 01:00 02:00 03:00"),
    ("5 */2 * * *", "Europe/Berlin", TWICE, "00:05 01:05"),
    ("15 2 * * *", "Australia/Lord_Howe", HALF_GAP, "15:30"),
    ("*/10 2 * * *", "Australia/Lord_Howe", HALF_GAP, "15:30 15:40 15:50"),
    ("15 2 * * *", "Australia/Lord_Howe", HALF_TWICE, "15:45"),
    ("0 2 * * *", "Australia/Lord_Howe", HALF_TWICE, "15:30"),
    ("*/10 2 * * *", "Australia/Lord_Howe", HALF_TWICE, "15:30 15:40 15:50 16:00"),
    ("30 0 * * *", "Africa/Cairo", ("2026-04-23 20:30", "2026-04-24 01:00"), "22:00"),
    ("0 0 * * 5", "Africa/Cairo", ("2026-04-23 20:30", "2026-04-24 01:00"), "22:00"),
]


@pytest.mark.parametrize(("line", "zone", "night", "runs"), NIGHTS)
def test_a_line_means_what_cron_means_where_clocks_change(
    line: str, zone: str, night: tuple[str, str], runs: str
) -> None:
    """`runs`: every due time of the night, in UTC."""
    after, until = (ms(moment) for moment in night)
    due = itertools.takewhile(lambda at: at <= until, schedule.due_after(cron(line, ZoneInfo(zone)), after))
    assert [local(at, UTC_ZONE)[6:11] for at in due] == runs.split()


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Europe/Berlin", "2026-03-28"),
        ("Europe/Berlin", "2026-10-24"),
        ("Australia/Lord_Howe", "2026-10-03"),
        ("Australia/Lord_Howe", "2026-04-04"),
    ],
)
@pytest.mark.parametrize(
    "line", ["*/10 2 * * *", "*/30 1-3,9 * * *", "45 * * * *", "15 * * * *", "5,50 * * * *", "*/7 */5 * * *"]
)
def test_a_line_with_a_star_is_due_in_every_minute_whose_wall_clock_it_names(line: str, zone: str, day: str) -> None:
    """From noon to noon in UTC, over a night in which the clocks change, from wherever one begins to look."""
    what = cron(line, ZoneInfo(zone))
    begin = ms(f"{day} 12:00")
    read = CronLine(line, datetime(2026, 1, 1))
    minutes, hours = read.minutes, read.hours
    named = []
    for at in range(begin, begin + DAY_MS, MINUTE_MS):
        wall = datetime.fromtimestamp(at / 1000, ZoneInfo(zone))
        if wall.hour in hours and wall.minute in minutes:
            named.append(at)

    for after in range(begin - 1, begin + DAY_MS, 205 * MINUTE_MS):
        due = itertools.takewhile(lambda at: at < begin + DAY_MS, schedule.due_after(what, UnixMs(after)))
        assert list(due) == [at for at in named if at > after]


def test_an_interval_knows_no_daylight_saving() -> None:
    for night in (GAP, TWICE):
        found = list(itertools.islice(schedule.due_after(every(HOUR_MS, BERLIN), ms(night[0])), 5))
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
    [("* * * * *", 1), ("*/7 1-3 * * *", 20), ("30 2 * * *", 230), ("0 * * * *", 15), ("0 6 29 2 *", 4000)],
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
def test_half_a_century_of_a_cron_line_is_not_walked_through(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a clock that once stood at 1970: the newest due times are looked for from the end, and again forward."""
    found = itertools.count(1)

    class Counted(CronLine):
        def __next__(self) -> datetime:
            assert next(found) <= 2 * schedule.MOST_MISSED + 8
            return super().__next__()

    monkeypatch.setattr(due_times, "CronLine", Counted)

    assert schedule.owed(cron(line), after=UnixMs(0), now=ms("2026-01-08 00:00"))[0]
    assert next(found) > 1, "it was counted"
