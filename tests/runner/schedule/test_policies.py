"""What becomes of slots that came due while nobody could deal with them, beside others or out of hours."""

from __future__ import annotations

from sqlite3 import Connection

import pytest

from runner import schedule
from runner.config import Hours
from runner.store import alerts, controls, schedules
from runner.units import DAY_MS, HOUR_MS, MINUTE_MS, UnixMs
from tests.factories import make_job
from tests.runner.schedule.declared import (
    BERLIN,
    START,
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

OFFICE = Hours(8 * 60, 20 * 60)


def hour(number: int) -> int:
    return START + number * HOUR_MS


def row(db: Connection, *, now: int) -> schedules.Schedule:
    found = schedules.get(db, "digest", now=UnixMs(now))
    assert found is not None
    return found


# --- all --------------------------------------------------------------------------------------------------------------


def test_all_runs_every_slot_in_order_one_after_the_other(db: Connection) -> None:
    """The next one's turn comes when the job before it is over; until then it is neither run nor skipped."""
    hourly = declared(db, every(HOUR_MS, catch_up="all"))

    for number in (1, 2, 3):
        assert deal(db, hourly, now=hour(3)) == 1
        assert deal(db, hourly, now=hour(3)) == 0
        assert fired(db) == [hour(n) for n in range(1, number + 1)]
        assert (row(db, now=hour(3)).waiting, row(db, now=hour(3)).next_at) == (3 - number, hour(4))
        end_all(db)

    assert deal(db, hourly, now=hour(3)) == 0
    assert row(db, now=hour(3)).waiting == 0


def test_overlap_says_how_many_run_side_by_side(db: Connection) -> None:
    hourly = declared(db, every(HOUR_MS, catch_up="all", overlap=2))
    assert deal(db, hourly, now=hour(5)) == 2
    db.execute("UPDATE jobs SET status = 'dead', finished_at = 0 WHERE key LIKE '%T02:%'")
    assert deal(db, hourly, now=hour(5)) == 1
    assert fired(db) == [hour(1), hour(2), hour(3)]
    assert row(db, now=hour(5)).waiting == 2


def test_all_keeps_the_newest_waiting_and_skips_the_rest(db: Connection) -> None:
    """A limit on what an absence may cost."""
    hourly = declared(db, every(HOUR_MS, catch_up="all", catch_up_limit=3, overlap=100))
    assert deal(db, hourly, now=hour(10)) == 3
    assert fired(db) == [hour(8), hour(9), hour(10)]
    assert {reason_at(db, hour(n)) for n in range(1, 8)} == {f"{schedule.MISSED}, and catch_up_limit is 3"}


def test_what_waits_too_long_gives_way_to_what_is_newer(db: Connection) -> None:
    hourly = declared(db, every(HOUR_MS, catch_up="all", catch_up_limit=2))
    for number in range(1, 6):
        deal(db, hourly, now=hour(number))
    assert fired(db) == [hour(1)]
    assert [reason_at(db, hour(n)) for n in (2, 3)] == [f"{schedule.MISSED}, and catch_up_limit is 2"] * 2
    end_all(db)
    assert deal(db, hourly, now=hour(5)) == 1
    assert fired(db) == [hour(1), hour(4)]


def test_waiting_slots_outlive_a_restart_and_a_clock_set_back(db: Connection) -> None:
    hourly = declared(db, every(HOUR_MS, catch_up="all"))
    deal(db, hourly, now=hour(3))
    end_all(db)
    declared(db, every(HOUR_MS, catch_up="all"), now=hour(1))
    assert deal(db, hourly, now=hour(1)) == 0, "the slot of one was dealt with, by a clock that was right"
    assert deal(db, hourly, now=hour(2)) == 1
    end_all(db)
    assert deal(db, hourly, now=hour(3)) == 1
    assert fired(db) == [hour(1), hour(2), hour(3)]


def test_what_waited_when_its_schedule_was_changed_is_a_row(db: Connection) -> None:
    hourly = declared(db, every(HOUR_MS, catch_up="all"))
    deal(db, hourly, now=hour(3))
    declared(db, every(MINUTE_MS, catch_up="all"), now=hour(3) + 1)
    assert slots(db)[1:] == [
        (hour(1) + 1, None, "2 slots waited for an earlier one's job to end, and then it was changed to every 1m UTC")
    ]


def test_a_pause_ends_the_wait(db: Connection) -> None:
    hourly = declared(db, every(HOUR_MS, catch_up="all"))
    deal(db, hourly, now=hour(3))
    controls.pause(db, name="digest", reason="the feed is down", by="ada", now=START)
    assert deal(db, hourly, now=hour(3)) == 0
    assert [reason_at(db, hour(n)) for n in (2, 3)] == ["paused by ada: the feed is down"] * 2


# --- lateness ---------------------------------------------------------------------------------------------------------


def test_a_slot_dealt_with_too_late_is_skipped(db: Connection) -> None:
    daily = declared(db, every(DAY_MS, max_lateness_ms=HOUR_MS))
    assert deal(db, daily, now=START + DAY_MS + HOUR_MS) == 1
    end_all(db)
    assert deal(db, daily, now=START + 2 * DAY_MS + HOUR_MS + MINUTE_MS) == 0
    assert reason_at(db, START + 2 * DAY_MS) == "missed by 1h 1m, and its max_lateness is 1h"


def test_of_all_only_those_too_late_are_skipped(db: Connection) -> None:
    hourly = declared(db, every(HOUR_MS, catch_up="all", overlap=9, max_lateness_ms=2 * HOUR_MS))
    assert deal(db, hourly, now=hour(6) + MINUTE_MS) == 2
    assert fired(db) == [hour(5), hour(6)]
    assert all("max_lateness is 2h" in (reason_at(db, hour(n)) or "") for n in (1, 2, 3, 4))


# --- overlap ----------------------------------------------------------------------------------------------------------


def test_a_slot_beside_as_many_as_may_overlap_is_skipped(db: Connection) -> None:
    """Whichever of them: the oldest, which hangs, counts as the newest does."""
    hourly = declared(db, every(HOUR_MS, overlap=2))
    assert [deal(db, hourly, now=hour(n)) for n in (1, 2, 3)] == [1, 1, 0]
    assert reason_at(db, hour(3)) == (
        "2 jobs of earlier slots are not over, digest@2026-01-01T01:00:00.000Z the first, and its overlap is 2"
    )
    db.execute("UPDATE jobs SET status = 'done', finished_at = 0 WHERE key LIKE '%T02:%'")
    assert [deal(db, hourly, now=hour(n)) for n in (4, 5)] == [1, 0]


def test_a_slot_skipped_behind_a_bulk_says_what_holds_it(db: Connection) -> None:
    hourly = declared(db, every(HOUR_MS))
    for _ in range(3):
        make_job(db, task="bulk", not_before=hour(0))
    deal(db, hourly, now=hour(1))

    deal(db, hourly, now=hour(2))
    db.execute("UPDATE jobs SET not_before = ?, waiting_on = 'task digest is paused' WHERE task = 'digest'", (hour(9),))
    deal(db, hourly, now=hour(3))

    still = "the job of an earlier slot, digest@2026-01-01T01:00:00.000Z, is still pending"
    assert reason_at(db, hour(2)) == (
        f"{still}: 3 jobs are ahead of it, all of bulk; `priority` of task digest, or `enqueue --priority`, puts the "
        "next one ahead"
    )
    assert reason_at(db, hour(3)) == f"{still}: task digest is paused"


def test_a_job_that_was_removed_holds_nobody(db: Connection) -> None:
    hourly = declared(db, every(HOUR_MS))
    deal(db, hourly, now=hour(1))
    db.execute("DELETE FROM jobs")
    assert deal(db, hourly, now=hour(2)) == 1


# --- running hours ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hours", "inside", "outside"),
    [
        (OFFICE, [8 * 60, 19 * 60 + 59], [0, 7 * 60 + 59, 20 * 60]),
        (Hours(22 * 60, 6 * 60), [22 * 60, 0, 5 * 60 + 59], [6 * 60, 21 * 60 + 59]),
        (Hours(20 * 60, 1440), [20 * 60, 1439], [0, 20 * 60 - 1]),
    ],
    ids=str,
)
def test_hours_begin_inside_and_end_outside(hours: Hours, inside: list[int], outside: list[int]) -> None:
    assert all(hours.has(minute) for minute in inside)
    assert not any(hours.has(minute) for minute in outside)


def test_a_slot_outside_the_running_hours_is_skipped_by_the_clock_of_its_zone(db: Connection) -> None:
    """Summer and winter: the hours are those of the wall."""
    for day, first_utc in (("2026-03-28", 7), ("2026-03-29", 6)):
        midnight = ms(f"{day} 00:00")
        hourly = declared(db, cron("0 * * * *", BERLIN, hours=OFFICE), now=midnight)
        for number in range(1, 24):
            deal(db, hourly, now=midnight + number * HOUR_MS)
            end_all(db)
        ran = [at for at in fired(db) if at > midnight]
        assert ran == [midnight + number * HOUR_MS for number in range(first_utc, first_utc + 12)]
        assert reason_at(db, midnight + HOUR_MS) == "outside its running hours 08:00-20:00"
    assert db.execute("SELECT count(*) FROM events WHERE event = 'slot.skipped'").fetchone() == (0,), "as it was asked"


def test_no_missed_slot_is_made_up_for_out_of_hours(db: Connection) -> None:
    """The machine woke at 23:00; a slot of 19:59:59 dealt with a moment after its hours is not late."""
    hourly = declared(db, every(HOUR_MS, hours=OFFICE), now=hour(17))
    assert deal(db, hourly, now=hour(23)) == 0
    assert reason_at(db, hour(18)) == schedule.MISSED
    assert reason_at(db, hour(19)) == f"{schedule.MISSED}, and by then its running hours 08:00-20:00 were over"
    assert reason_at(db, hour(23)) == "outside its running hours 08:00-20:00"

    late = declared(db, cron("59 19 * * *", hours=OFFICE), now=hour(30))
    assert deal(db, late, now=hour(24 + 20)) == 1


def test_of_a_night_the_newest_slot_inside_the_hours_runs(db: Connection) -> None:
    nightly = declared(db, every(HOUR_MS, hours=Hours(20 * 60, 8 * 60)))
    assert deal(db, nightly, now=hour(7) + 30 * MINUTE_MS) == 1
    assert fired(db) == [hour(7)]
    assert reason_at(db, hour(6)) == f"{schedule.MISSED}; the latest one is run instead"


# --- a schedule that does not fire ------------------------------------------------------------------------------------


def test_a_slot_nobody_deals_with_is_told_once_and_settled_by_dealing(db: Connection) -> None:
    hourly = declared(db, every(HOUR_MS))
    grace = schedules.GRACE_MS
    schedule.tell_overdue(db, now=UnixMs(hour(1) + grace))
    assert alerts.counts(db)[1] == 0

    for _ in range(2):
        schedule.tell_overdue(db, now=UnixMs(hour(1) + grace + 1))
    key, text = db.execute("SELECT key, text FROM alerts").fetchone()
    assert key == "schedule:digest"
    assert "slot of 2026-01-01T01:00:00.000Z" in text
    assert row(db, now=hour(2)).overdue_ms(UnixMs(hour(2))) == HOUR_MS

    deal(db, hourly, now=hour(2))
    assert alerts.counts(db)[1] == 0
    assert row(db, now=hour(2)).overdue_ms(UnixMs(hour(2))) == 0


def test_a_schedule_of_which_every_slot_is_skipped_for_long_is_told_of_until_it_fires(db: Connection) -> None:
    """One job holds all slots of a day and more back."""
    hourly = declared(db, every(HOUR_MS))
    deal(db, hourly, now=hour(1))
    told = []
    for number in range(2, 30):
        deal(db, hourly, now=hour(number))
        told.append(alerts.counts(db)[1])

    assert told == [0] * 24 + [1] * 4, "24 hours after the first one that was skipped"
    ((key, level, text),) = db.execute("SELECT key, level, text FROM alerts").fetchall()
    assert (key, level) == ("skipped:digest", "warn")
    assert "nothing since 2026-01-01T02:00:00.000Z: 25 slots in a row" in text
    assert '"the job of an earlier slot, digest@2026-01-01T01:00:00.000Z, is still pending"' in text

    schedule.tell_overdue(db, now=UnixMs(hour(48)))
    assert alerts.counts(db)[1] == 2, "nobody dealt with it for a day: an edge of its own"
    deal(db, hourly, now=hour(48))
    assert [key for (key,) in db.execute("SELECT key FROM alerts WHERE closed_at IS NULL")] == ["skipped:digest"]

    end_all(db)
    deal(db, hourly, now=hour(50))
    assert alerts.counts(db)[1] == 0
    assert (row(db, now=hour(50)).skips, row(db, now=hour(50)).skips_since) == (0, None)


def test_two_slots_that_are_skipped_are_not_told_of_however_far_apart(db: Connection) -> None:
    weekly = declared(db, every(7 * DAY_MS, catch_up="none"))
    for number, counted in ((1, 0), (2, 0), (3, 1)):
        deal(db, weekly, now=START + number * 7 * DAY_MS + HOUR_MS)
        assert alerts.counts(db)[1] == counted


def test_nobody_is_told_of_slots_that_their_owner_wants_skipped(db: Connection) -> None:
    """Three days in which it is looked at by night alone."""
    daytime = declared(db, every(HOUR_MS, hours=OFFICE))
    for day in range(3):
        for number in range(8):
            deal(db, daytime, now=hour(24 * day + number))
        schedules.dealt(db, name="digest", to=UnixMs(hour(24 * day + 23)), waiting=0)
    assert row(db, now=hour(72)).skips == 0
    assert alerts.counts(db)[1] == 0


def test_a_pause_ends_what_was_told_of_skipped_slots(db: Connection) -> None:
    late = declared(db, every(HOUR_MS, catch_up="none"))
    for number in range(26):
        deal(db, late, now=hour(number) + 30 * MINUTE_MS)
    assert alerts.counts(db)[1] == 1

    controls.pause(db, name="digest", reason="enough", by="ada", now=UnixMs(hour(26)))
    deal(db, late, now=hour(27))
    assert alerts.counts(db)[1] == 0


def test_slots_that_wait_or_are_skipped_are_dealt_with(db: Connection) -> None:
    """A pause, an overlap and a turn to wait for are no fault of the runner."""
    waits = declared(db, every(HOUR_MS, catch_up="all"))
    deal(db, waits, now=hour(3))
    assert schedule.overdue(db, now=UnixMs(hour(3) + 30 * MINUTE_MS)) == []


def test_a_schedule_that_is_taken_out_is_not_told_of_any_more(db: Connection) -> None:
    declared(db, every(HOUR_MS))
    schedule.tell_overdue(db, now=UnixMs(hour(9)))
    schedule.declare(db, {}, max_attempts=4, now=UnixMs(hour(9)))
    assert alerts.counts(db)[1] == 0
