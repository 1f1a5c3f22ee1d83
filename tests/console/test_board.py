"""The one screen: its views, its sizes, what it says in every state."""

from __future__ import annotations

import sqlite3

import pytest
from rich.cells import cell_len

from console.look import ASCII
from console.seen import View
from console.tui import ConsoleApp, Options
from runner.commands import Door
from runner.home import Home
from runner.snapshot import JobStatus
from runner.store.attempts import Outcome
from runner.store.db import Database
from runner.units import HOUR_MS, MINUTE_MS
from tests.console.conftest import ManualMonotonic
from tests.console.screen import flash_of, lacks, lines_of, look, shows, text_of
from tests.console.seed import seed
from tests.factories import (
    NOW,
    ManualClock,
    make_attempt,
    make_charge,
    make_event,
    make_job,
    make_running,
    make_schedule,
    make_step,
)

SIZES = [(60, 16), (80, 24), (120, 40)]
VIEWS = ["1", "2", "3", "5", "6"]
ASKED = [("asterisk", "3 marked"), ("r", "Replay 3 dead jobs?"), ("q", "left dead"), ("question_mark", "ACTS")]
"""Keys on the dead letters, and what each leads to."""


@pytest.fixture
def seeded(database: Database, live: None) -> None:
    database.connection.execute("DELETE FROM runners")
    seed(database, NOW, pid=4121)


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_every_view_fits_every_size(app: ConsoleApp, size: tuple[int, int]) -> None:
    async with app.run_test(size=size) as pilot:
        for key in (*VIEWS, "question_mark", "escape", "3", "enter"):
            await pilot.press(key)
            await look(pilot)
            lines = lines_of(app)

            assert len(lines) == size[1]
            assert {cell_len(line) for line in lines} == {size[0]}
            assert [line[:9].strip() for line in lines[:4]] == ["RUNNER", "SPEND", "BREAKER", "JOBS"]
            assert "$4.30 of $10.00" in lines[1]
            assert lines[-1].startswith(" k Kill  u Resume")


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_home_has_work_what_needs_a_person_and_the_log(app: ConsoleApp, size: tuple[int, int]) -> None:
    async with app.run_test(size=size) as pilot:
        await look(pilot)
        lines = lines_of(app)

        starts = [
            next(n for n, line in enumerate(lines) if line.strip().startswith(word))
            for word in ("RUNNING", "NEEDS YOU", "NEXT", "LOG")
        ]
        assert starts == sorted(starts)
        assert ">  research-" in lines[starts[0] + 1]
        assert lines[starts[1] + 1].startswith(" ! 3 dead letters, the last 12m ago")
        assert lines[starts[1] + 1].rstrip().endswith("[3]")
        assert "18:00Z triage" in lines[starts[2]]
        assert lines[starts[3] + 1].startswith(" 17:4")


@pytest.mark.usefixtures("live")
async def test_digits_open_views_and_what_waits_is_counted_on_the_tab(app: ConsoleApp, db: sqlite3.Connection) -> None:
    make_job(db, key="broken", status=JobStatus.DEAD)
    make_schedule(db, "nightly", last_slot=NOW - HOUR_MS, skipped="overlap")
    make_event(db, "hello")
    async with app.run_test(size=(80, 24)) as pilot:
        for key, name, text in (
            ("2", "Jobs", "broken"),
            ("3", "Dead 1!", "ValueError"),
            ("5", "Schedules", "skipped"),
            ("6", "Log", "hello"),
            ("1", "Home", "1 dead letter"),
        ):
            await pilot.press(key)
            await shows(pilot, f"[{key} {name}]", text)


@pytest.mark.usefixtures("live")
async def test_an_unused_digit_does_nothing(app: ConsoleApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("7")

        assert app.board.view is View.HOME


@pytest.mark.usefixtures("live")
async def test_a_job_shows_its_whole_history(app: ConsoleApp, db: sqlite3.Connection) -> None:
    job = make_job(
        db,
        key="broken",
        status=JobStatus.DEAD,
        attempts=2,
        payload={"box": "in", "text": "x" * 80},
        error="TimeoutError: 504",
    )
    make_attempt(db, job, n=1, outcome=Outcome.RETRY, error="ConnectError: refused", lasted_ms=340)
    make_attempt(
        db, job, n=2, outcome=Outcome.DEAD, error="TimeoutError: 504", tail="asking\nwaiting\n", lasted_ms=60_300
    )
    make_charge(db, job, cost=113_000, n=2)
    make_step(db, job, name="fetch", result=["one"])
    async with app.run_test(size=(100, 40)) as pilot:
        await pilot.press("3")
        await shows(pilot, "broken")
        await pilot.press("down", "enter")
        await shows(
            pilot,
            "broken  digest  DEAD",
            "broken is dead since 2030-03-17T17:46:40.000Z: TimeoutError: 504; `afk-runner replay broken`",
            "ATTEMPTS  2 of 4 counted, 2 starts",
            "340ms",
            "ConnectError: refused",
            "1m00s     $0.113",
            "waiting",
            "1 recorded step",
            'fetch: ["one"]',
            '"box": "in",',
        )
        await pilot.press("q")
        await shows(pilot, "[3 Dead 1!]")
        await pilot.press("enter", "escape")
        await shows(pilot, "[3 Dead 1!]")


@pytest.mark.usefixtures("live")
async def test_a_job_that_is_removed_while_it_is_read_is_gone(app: ConsoleApp, db: sqlite3.Connection) -> None:
    make_job(db, key="done", status=JobStatus.DONE)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2")
        await shows(pilot, ">  done")
        await pilot.press("enter")
        await shows(pilot, "ATTEMPTS")
        Door(app.home, clock=app.clock).remove(["done"])
        await shows(pilot, "this job is gone")


@pytest.mark.usefixtures("live")
async def test_why_a_job_waits_is_on_its_page(app: ConsoleApp, db: sqlite3.Connection) -> None:
    make_job(db, key="later", not_before=NOW + HOUR_MS, waiting_on="retry 2 of 4")
    async with app.run_test(size=(100, 24)) as pilot:
        await pilot.press("2")
        await shows(pilot, ">  later")
        await pilot.press("enter")
        await shows(pilot, "later waits: retry 2 of 4, until 2030-03-17T18:46:40.000Z.")


@pytest.mark.usefixtures("live")
async def test_the_log_follows_until_somebody_reads_it(app: ConsoleApp, db: sqlite3.Connection) -> None:
    for number in range(40):
        make_event(db, f"event {number:02}")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("6")
        await shows(pilot, "LOG  following", "event 39")
        await pilot.press("pageup")
        await shows(pilot, "held")
        held = lines_of(app)[6:-2]
        make_event(db, "event 40")
        await look(pilot)
        assert lines_of(app)[6:-2] == held

        await pilot.press("f")
        await shows(pilot, "LOG  following", "event 40")
        await pilot.press("home")
        await shows(pilot, "event 00")


@pytest.mark.usefixtures("live")
async def test_j_does_not_move_and_says_so(app: ConsoleApp, db: sqlite3.Connection) -> None:
    for number in range(3):
        make_running(db, key=f"job-{number}")
    async with app.run_test(size=(80, 24)) as pilot:
        await look(pilot)
        await pilot.press("j")
        await look(pilot)
        assert flash_of(app) == "arrows move; k = KILL"
        assert ">  job-0" in text_of(app)

        await pilot.press("down")
        await shows(pilot, ">  job-1")


@pytest.mark.usefixtures("live")
async def test_what_was_said_goes_after_a_while(app: ConsoleApp, monotonic: ManualMonotonic) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("j")
        await shows(pilot, "arrows move")
        monotonic.advance(9)
        await lacks(pilot, "arrows move")


@pytest.mark.usefixtures("live")
async def test_q_quits_and_neither_escape_nor_control_c_does(app: ConsoleApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        for key in ("escape", "ctrl+c"):
            await pilot.press(key)
            await look(pilot)
            assert flash_of(app).startswith("q quits; the runner goes on")
        await pilot.press("q")
        await pilot.pause()

        assert app._exit


@pytest.mark.usefixtures("live")
async def test_help_tells_the_keys_of_the_view_it_was_opened_in(app: ConsoleApp) -> None:
    async with app.run_test(size=(100, 40)) as pilot:
        await pilot.press("3", "question_mark")
        await shows(pilot, "kill: stops everything at once", "marks a job, or the listed jobs", "HERE")
        await pilot.press("question_mark")
        await lacks(pilot, "ACTS")
        await pilot.press("1", "question_mark")
        await shows(pilot, "ACTS")

        assert "marks a job, or the listed jobs" not in text_of(app)


async def test_old_numbers_never_look_like_new_ones(
    app: ConsoleApp, home: Home, db: sqlite3.Connection, live: None, clock: ManualClock
) -> None:
    make_job(db, key="here")
    async with app.run_test(size=(100, 24)) as pilot:
        await pilot.press("2")
        await shows(pilot, "here", "queued 1 ")
        home.db.rename(home.root / "elsewhere")
        clock.advance(47_000)
        await shows(pilot, "DATABASE MISSING", "DATA AS OF 17:46:40Z", "queued 1?")
        await pilot.press("3")
        await shows(pilot, "not read")
        assert "no dead letters" not in text_of(app)

        (home.root / "elsewhere").rename(home.db)
        clock.advance(2_000)
        await shows(pilot, "no dead letters", "the database is back after", "SILENT 49s")


async def test_another_database_drops_cursor_marks_and_the_open_job(
    app: ConsoleApp, home: Home, db: sqlite3.Connection, live: None, clock: ManualClock
) -> None:
    for _ in range(3):
        make_job(db, status=JobStatus.DEAD)
    async with app.run_test(size=(100, 24)) as pilot:
        await pilot.press("3")
        await shows(pilot, "digest-")
        await pilot.press("asterisk", "down", "enter")
        await shows(pilot, "ATTEMPTS")
        home.db.rename(home.root / "elsewhere")
        other = Database.open(home.db, create=True)
        make_job(other.connection, key="another", status=JobStatus.DEAD)
        other.close()
        await look(pilot)
        clock.advance(1_000)
        await shows(pilot, ">  - ValueError", "  another", "this is another database")

        assert "marked" not in text_of(app)


@pytest.mark.usefixtures("seeded")
async def test_ascii_draws_with_ascii_alone(home: Home, clock: ManualClock, monotonic: ManualMonotonic) -> None:
    app = ConsoleApp(home, clock=clock, monotonic=monotonic, options=Options(look=ASCII))
    async with app.run_test(size=(80, 24)) as pilot:
        for key, shown in (*((view, "") for view in VIEWS), ("3", ""), *ASKED):
            await pilot.press(key)
            await look(pilot)
            await shows(pilot, shown)
            monotonic.advance(1)  # a dialog drops what comes too early

            assert text_of(app).isascii()


@pytest.mark.usefixtures("seeded")
async def test_nothing_is_sent_while_nothing_changes(app: ConsoleApp, clock: ManualClock) -> None:
    """A quiet home costs the terminal no byte, look after look."""
    async with app.run_test(size=(80, 24)) as pilot:
        await look(pilot)
        sent: list[object] = []
        real = app._display
        app._display = lambda screen, renderable: (sent.append(renderable), real(screen, renderable))[1]  # type: ignore[method-assign]
        for _ in range(5):
            clock.advance(300)
            await look(pilot)

        assert [one for one in sent if one is not None] == []


@pytest.mark.usefixtures("live")
async def test_a_fault_of_ours_in_a_look_does_not_end_the_console(
    app: ConsoleApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        monkeypatch.setattr("console.feed.Reader.vitals", lambda *_, **__: 1 // 0)
        monkeypatch.setattr("console.feed.VITALS_MS", 0)
        await shows(pilot, "DATABASE UNREADABLE", "by zero")


@pytest.mark.usefixtures("live")
async def test_another_size_is_drawn_anew_and_nothing_twice(app: ConsoleApp, db: sqlite3.Connection) -> None:
    make_event(db, "only once")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("6")
        await shows(pilot, "only once")
        await pilot.resize_terminal(120, 40)
        await look(pilot)

        assert text_of(app).count("only once") == 1
        assert lines_of(app)[0].rstrip().endswith("17:46Z")
        assert len(lines_of(app)[0].rstrip()) == 119


@pytest.mark.usefixtures("live")
async def test_a_job_that_ends_leaves_home_unless_somebody_went_to_it(app: ConsoleApp, db: sqlite3.Connection) -> None:
    """Nobody touched the cursor: a finished job does not haunt the list. Somebody did: it says that it is gone."""
    for number in range(3):
        make_running(db, key=f"job-{number}")
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, ">  job-0")
        db.execute("UPDATE jobs SET status = 'done', lease = NULL, finished_at = 1 WHERE key = 'job-0'")
        await shows(pilot, ">  job-1")
        assert "gone" not in text_of(app)

        await pilot.press("down")
        db.execute("UPDATE jobs SET status = 'done', lease = NULL, finished_at = 1 WHERE key = 'job-2'")
        await shows(pilot, ">  gone job-2")


async def test_what_ran_when_the_runner_fell_silent_is_no_older_than_its_last_word(
    app: ConsoleApp, db: sqlite3.Connection, live: None, clock: ManualClock
) -> None:
    job = make_running(db)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, job.key)
        clock.advance(5 * MINUTE_MS)
        await look(pilot)
        await shows(pilot, "SILENT 5m00s")
        row = next(one for one in lines_of(app) if job.key in one)

    assert " 0s? " in row
