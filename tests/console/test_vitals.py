"""The four lines, in every state the runner and its database can be in."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import Any

import pytest

from console.feed import Feed
from console.line import plain
from console.look import ASCII, UNICODE
from console.seen import Ask, Seen
from console.views.vitals import vitals
from runner.home import Home
from runner.snapshot import BreakerState, JobStatus, RunState, Unwritten
from runner.store import controls, rate_pauses
from runner.units import HOUR_MS, UnixMs
from tests.console.conftest import runner_lock
from tests.factories import (
    NOW,
    ManualClock,
    make_breaker,
    make_charge,
    make_job,
    make_runner,
    make_running,
    make_settings,
)


def said(home: Home, clock: ManualClock, width: int = 120, **more: bool) -> list[str]:
    """The vitals of the home as text."""
    return texts(Feed(home).read(Ask(), now=clock.now()), width, **more)


def texts(seen: Seen, width: int = 120, **more: bool) -> list[str]:
    return [plain(line).rstrip() for line in vitals(seen, width, UNICODE, place="~/agents", **more)]


def stop(db: sqlite3.Connection, value: str = controls.STOP) -> int:
    """Set the switch as a person does; its turn."""
    return controls.set_stop(db, value, reason="lunch", by="ada@cli", now=UnixMs(NOW)).seq


def test_a_healthy_runner_needs_few_words(home: Home, db: sqlite3.Connection, live: None, clock: ManualClock) -> None:
    make_job(db)

    lines = said(home, clock)

    assert lines[0].startswith(" RUNNER   live, running")
    assert "4121" not in lines[0]
    assert lines[0].endswith("~/agents  17:46Z")
    assert lines[2] == f"{' BREAKER  all closed':<107}STOP not set"
    assert lines[3] == " JOBS     queued 1   running 0/2   dead 0   oldest due 0s"
    assert "?" not in "".join(lines)


def test_spend_names_what_is_settled_held_and_free(
    home: Home, db: sqlite3.Connection, live: None, clock: ManualClock
) -> None:
    job = make_running(db)
    make_charge(db, job, cost=3_320_000, held_at=NOW - 2 * HOUR_MS)
    make_charge(db, job, hold=100_000)

    line = said(home, clock, width=130)[1]

    assert "$3.42 of $10.00" in line
    assert "34%" in line
    assert "settled $3.32  held $0.10  free $6.58" in line
    assert "$0.10/h" in line
    assert "reached" not in line


def test_the_hour_the_cap_is_reached_is_said_before_it_comes(
    home: Home, db: sqlite3.Connection, live: None, clock: ManualClock
) -> None:
    make_charge(db, make_running(db), cost=6_000_000)

    assert "reached at 18:26Z" in said(home, clock, width=80)[1]


def test_a_reached_cap_is_said_with_the_hour_it_lifts(
    home: Home, db: sqlite3.Connection, live: None, clock: ManualClock
) -> None:
    make_charge(db, make_running(db), hold=10_000_000)

    assert "CAP REACHED  lifts 00:00Z" in said(home, clock, width=60)[1]


def test_what_is_free_of_a_reached_cap_stays_visible(
    home: Home, db: sqlite3.Connection, live: None, clock: ManualClock
) -> None:
    """Reached is where the next call was refused: there may be money left, too little for it."""
    make_charge(db, make_running(db), hold=9_500_000)
    make_job(db, not_before=NOW + 7 * HOUR_MS)
    db.execute("UPDATE jobs SET waiting_gate = 'cap:day', waiting_on = 'too dear' WHERE status = 'pending'")

    for width in (60, 80, 120):
        line = said(home, clock, width=width)[1]
        assert "free $0.50" in line
        assert "CAP REACHED" in line


def test_the_bar_shows_the_smallest_spend_and_never_overflows(
    home: Home, db: sqlite3.Connection, live: None, clock: ManualClock
) -> None:
    job = make_running(db)
    make_charge(db, job, cost=1)
    make_charge(db, job, hold=50_000_000)

    line = plain(vitals(Feed(home).read(Ask(), now=clock.now()), 80, ASCII, place="")[1])

    assert "#+++++++++" in line


@pytest.mark.parametrize(
    ("unwritten", "said_of_it"),
    [
        (Unwritten(for_ms=9_000, locked=True, by="pid 77 (python3)", text="x"), "LOCKED  by pid 77 (python3)  for 9s"),
        (Unwritten(for_ms=9_000, locked=True, text="x"), "LOCKED  for 9s"),
        (Unwritten(for_ms=9_000, text="x"), "NOT WRITTEN  for 9s"),
    ],
)
@pytest.mark.usefixtures("live")
def test_a_runner_that_lives_and_cannot_write_is_told_with_what_holds_it_up(
    home: Home, clock: ManualClock, unwritten: Unwritten, said_of_it: str
) -> None:
    seen = Feed(home).read(Ask(), now=clock.now())
    assert seen.vitals is not None
    runner = replace(seen.vitals.runner, unwritten=unwritten)

    line = texts(replace(seen, vitals=replace(seen.vitals, runner=runner)))[0]

    assert f"live, running  DATABASE {said_of_it}" in line
    assert "SILENT" not in line


def test_late_silent_dead_and_stopped_are_words_and_their_numbers_have_doubts(
    home: Home, db: sqlite3.Connection, clock: ManualClock
) -> None:
    make_settings(db)
    make_job(db)
    never = said(home, clock)
    make_runner(db)
    with runner_lock(home):
        clock.advance(6_000)
        late = said(home, clock)
        clock.advance(41_000)
        silent = said(home, clock)
    dead = said(home, clock)
    db.execute("UPDATE runners SET state = 'stopped', ended = 'asked to'")
    stopped = said(home, clock)

    assert "never started" in never[0]
    assert "LATE last beat 6s ago" in late[0]
    assert "pid 4121" in late[0]
    assert "SILENT 47s  pid 4121  it holds the lock: hung or frozen  DATA AS OF 17:46:40Z" in silent[0]
    assert "DEAD, not running  pid 4121  start it: afk-runner run  DATA AS OF 17:46:40Z" in dead[0]
    assert "stopped  asked to  start it: afk-runner run" in stopped[0]
    for lines in (late, silent, dead):
        assert "queued 1?" in lines[3]
        assert "$0.00? of $10.00" in lines[1]
        assert "settled $0.00?" in lines[1]
        assert "held $0.00?" in lines[1]
        assert "$0.00?/h" in lines[1]
        assert "all closed?" in lines[2]
        assert "STOP not set?" in lines[2]
        assert "oldest due" in lines[3]
        assert lines[3].endswith("s?")
    assert "?" not in "".join(stopped)


def test_a_stop_is_sent_until_the_runner_answers_it(
    home: Home, db: sqlite3.Connection, live: None, clock: ManualClock
) -> None:
    make_running(db)
    seq = stop(db)
    sent = said(home, clock)[2]
    db.execute("UPDATE runners SET stop_seq = ?, state = 'draining'", (seq,))
    answered = said(home, clock)[2]
    db.execute("UPDATE jobs SET status = 'pending', lease = NULL")
    db.execute("UPDATE runners SET state = 'parked', reason = 'stopped by ada@cli'")
    parked = said(home, clock)

    assert sent == " STOP SENT  by ada@cli 17:46:40Z  the runner has not answered yet  u Resume"
    assert answered == " STOPPED  by ada@cli 17:46:40Z  1 job still finishing  u Resume"
    assert parked[2] == " STOPPED  by ada@cli 17:46:40Z  nothing runs, nothing is spent  u Resume"
    assert "live, PARKED  stopped by ada@cli" in parked[0]


def test_a_stop_that_a_silent_runner_does_not_read_says_so(
    home: Home, db: sqlite3.Connection, live: None, clock: ManualClock
) -> None:
    stop(db, controls.STOP_NOW)
    clock.advance(47_000)

    assert said(home, clock)[2].startswith(
        " STOP RECORDED without grace  by ada@cli 17:46:40Z  runner not reading, silent 47s"
    )


def test_a_stop_without_a_runner_is_complete(home: Home, db: sqlite3.Connection, clock: ManualClock) -> None:
    stop(db)

    assert said(home, clock)[2] == " STOPPED  by ada@cli 17:46:40Z  no runner is running  u Resume"


def test_a_stop_file_stops_without_any_database(home: Home, clock: ManualClock) -> None:
    home.stop.touch()

    lines = said(home, clock)

    assert lines[2] == " STOP IS SET  by the STOP file  u Resume"
    assert lines[0].startswith(" RUNNER   DATABASE MISSING")
    assert lines[1] == " SPEND    unknown"


def test_our_own_stop_is_on_the_screen_before_it_is_in_the_database(
    home: Home, db: sqlite3.Connection, live: None, clock: ManualClock
) -> None:
    assert said(home, clock, sending=True)[2] == " STOP SENT  waiting for the database"


@pytest.mark.parametrize(
    ("breaker", "words"),
    [
        ({"retry_at": NOW + 300_000}, "anthropic/claude-haiku-4-5 OPEN, trial at 17:51Z"),
        ({"retry_at": NOW - 1}, "OPEN, trial is due"),
        ({"retry_at": None}, "OPEN until a person resets it"),
        ({"state": BreakerState.HALF_OPEN}, "HALF OPEN, one trial is out"),
        ({"state": BreakerState.CLOSED}, "all closed"),
    ],
)
@pytest.mark.usefixtures("live")
def test_a_breaker_is_named_with_what_it_waits_for(
    home: Home, db: sqlite3.Connection, clock: ManualClock, breaker: dict[str, Any], words: str
) -> None:
    make_breaker(db, **breaker)

    assert words in said(home, clock)[2]


def test_a_paused_rate_is_named_beside_the_breakers(
    home: Home, db: sqlite3.Connection, live: None, clock: ManualClock
) -> None:
    """Until it lifts, and no longer."""
    until = UnixMs(NOW + HOUR_MS)
    rate_pauses.pause(db, "house/house-model", until=until, reason="HTTP 429", now=UnixMs(NOW))
    assert "all closed  1 rate paused until 18:46Z" in said(home, clock)[2]

    clock.advance(HOUR_MS)
    assert "paused" not in said(home, clock)[2]


def test_several_open_breakers_are_counted(home: Home, db: sqlite3.Connection, live: None, clock: ManualClock) -> None:
    for name in ("a/one", "b/two", "c/three"):
        make_breaker(db, name)

    assert "a/one OPEN, trial at 17:51Z  +2 more" in said(home, clock)[2]


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_the_lines_fit_every_width(
    home: Home, db: sqlite3.Connection, live: None, clock: ManualClock, width: int
) -> None:
    make_breaker(db)
    make_charge(db, make_running(db), cost=6_000_000)
    for status in (JobStatus.DONE, JobStatus.HALTED, JobStatus.CANCELLED, JobStatus.DEAD):
        make_job(db, status=status)

    for lines in (said(home, clock, width), said(home, clock, width, readonly=True)):
        assert max(map(len, lines)) <= width
        assert lines[0].startswith(" RUNNER   live")
        assert "$6.00 of $10.00" in lines[1]
        assert "queued 0" in lines[3]


def test_the_runner_says_when_it_drains(home: Home, db: sqlite3.Connection, clock: ManualClock) -> None:
    make_settings(db)
    make_runner(db, state=RunState.DRAINING, reason="asked to end")
    with runner_lock(home):
        assert "live, draining  asked to end" in said(home, clock)[0]
