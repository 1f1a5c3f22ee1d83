"""`r` replays by id what was on the screen, and asks where that may cost or repeat something."""

from __future__ import annotations

import sqlite3

import pytest

from console.messages import Do, Plan
from console.replays import Letters
from console.screens.replay import ReplayQuestion
from console.tui import ConsoleApp
from runner.commands import Door
from runner.home import Home
from runner.snapshot import Job, JobStatus
from runner.store import jobs
from runner.store.db import Database
from tests.console.conftest import ManualMonotonic
from tests.console.screen import flash_of, lines_of, look, shows, text_of, until
from tests.factories import NOW, make_breaker, make_charge, make_job, make_step

pytestmark = pytest.mark.usefixtures("live")


def status(db: sqlite3.Connection, job: Job) -> JobStatus | None:
    row = jobs.by_key(db, job.key)
    return row.status if row else None


def make_dead(db: sqlite3.Connection, number: int) -> list[Job]:
    """Dead letters, the last of them the newest: it is listed first."""
    return [make_job(db, status=JobStatus.DEAD, finished_at=NOW - 1_000 + n) for n in range(number)]


async def test_one_that_did_nothing_yet_is_replayed_without_asking(app: ConsoleApp, db: sqlite3.Connection) -> None:
    older, newer = make_dead(db, 2)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        await shows(pilot, newer.key)
        await pilot.press("down", "r")
        await shows(pilot, f"{newer.key} queued again; z undoes", "gone")

        assert (status(db, newer), status(db, older)) == (JobStatus.PENDING, JobStatus.DEAD)


async def test_an_undo_that_comes_too_late_says_what_became_of_the_job(app: ConsoleApp, db: sqlite3.Connection) -> None:
    (job,) = make_dead(db, 1)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        await shows(pilot, job.key)
        await pilot.press("down", "r")
        await shows(pilot, "queued again; z undoes")
        db.execute("UPDATE jobs SET status = 'dead', starts = starts + 1, finished_at = ? WHERE id = ?", (NOW, job.id))
        await pilot.press("z")
        await shows(pilot, "nothing to undo: it ran and is dead again")


@pytest.mark.parametrize("trace", ["step", "cost", "hold"])
async def test_one_that_left_a_trace_is_asked_about(
    app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic, trace: str
) -> None:
    (job,) = make_dead(db, 1)
    if trace == "step":
        make_step(db, job)
    else:
        make_charge(db, job, cost=113_000 if trace == "cost" else None, hold=120_000)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        await shows(pilot, job.key)
        await pilot.press("down", "r")
        await shows(pilot, f"Replay {job.key}?", "1 with recorded steps" if trace == "step" else "so far")
        await pilot.press("y")
        assert isinstance(app.screen, ReplayQuestion), "too early to have been meant"
        monotonic.advance(1)
        await pilot.press("enter")
        assert status(db, job) is JobStatus.DEAD

        await pilot.press("y")
        await until(pilot, lambda: status(db, job) is JobStatus.PENDING)


async def test_the_marked_ones_are_a_frozen_set(
    app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic
) -> None:
    oldest, middle, newest = make_dead(db, 3)
    make_charge(db, middle, cost=20_000)
    make_charge(db, newest, cost=113_000)
    make_step(db, newest)
    make_breaker(db)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        await shows(pilot, newest.key)
        await pilot.press("down", "space", "space", "r")
        await shows(pilot, "Replay 2 dead jobs?", "2 marked")
        late = make_job(db, status=JobStatus.DEAD, finished_at=NOW + 5)
        await look(pilot)

        text = text_of(app)
        assert "$0.133 so far" in text
        assert "estimate $0.133 of $9.87 left today" in text
        assert "1 with recorded steps" in text
        assert "1 dead job since: NOT in the set" in text
        assert "anthropic/claude-haiku-4-5 is open" in text
        monotonic.advance(1)
        await pilot.press("y")
        await shows(pilot, "2 jobs queued again")

        assert [status(db, job) for job in (newest, middle)] == [JobStatus.PENDING] * 2
        assert [status(db, job) for job in (oldest, late)] == [JobStatus.DEAD] * 2


async def test_no_leaves_them_dead(app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic) -> None:
    both = make_dead(db, 2)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        await shows(pilot, both[0].key)
        await pilot.press("asterisk", "r")
        await shows(pilot, "Replay 2 dead jobs?")
        monotonic.advance(1)
        await pilot.press("n")
        await shows(pilot, "left dead")

        assert {status(db, job) for job in both} == {JobStatus.DEAD}


async def test_many_want_their_number_typed(app: ConsoleApp, database: Database, monotonic: ManualMonotonic) -> None:
    with database.write() as db:
        dead = make_dead(db, 21)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        await shows(pilot, "ValueError: it does not")
        await pilot.press("asterisk", "r")
        await shows(pilot, "Replay 21 dead jobs?", "Type 21:")
        monotonic.advance(1)
        await pilot.press("y", "2", "y", "2", "1")
        await shows(pilot, "y replay 21 jobs")
        assert {status(database.connection, job) for job in dead} == {JobStatus.DEAD}

        await pilot.press("y")
        await shows(pilot, "21 jobs queued again")


async def test_what_is_refused_is_named_and_the_rest_is_done(
    app: ConsoleApp, db: sqlite3.Connection, home: Home, monotonic: ManualMonotonic
) -> None:
    first, second, third = make_dead(db, 3)
    async with app.run_test(size=(120, 24)) as pilot:
        await pilot.press("3")
        await shows(pilot, first.key)
        await pilot.press("asterisk", "r")
        await shows(pilot, "Replay 3 dead jobs?")
        Door(home, clock=app.clock).replay([first.key])
        Door(home, clock=app.clock).remove([second.key])
        monotonic.advance(1)
        await pilot.press("y")
        await shows(pilot, f"{third.key} queued again; 2 refused: ")

        assert "it is pending, not dead" in flash_of(app)


async def test_a_row_that_is_gone_is_shown_as_gone_and_never_acted_on(
    app: ConsoleApp, db: sqlite3.Connection, home: Home
) -> None:
    """Somebody else replays the row under the cursor: the cursor does not fall onto its neighbour."""
    older, newer = make_dead(db, 2)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        await shows(pilot, newer.key)
        await pilot.press("down")
        await shows(pilot, f">    {newer.key}")
        Door(home, clock=app.clock).replay([newer.key])
        await shows(pilot, f">  gone   {newer.key}")
        await pilot.press("r")
        await look(pilot)
        assert flash_of(app) == "the row under the cursor is gone: arrows choose another"
        assert status(db, older) is JobStatus.DEAD

        await pilot.press("down")
        await shows(pilot, f">    {older.key}")
        assert "gone  " not in text_of(app)


async def test_the_key_means_the_row_it_was_on_when_rows_come_in_above(app: ConsoleApp, db: sqlite3.Connection) -> None:
    (aimed,) = make_dead(db, 1)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        await shows(pilot, aimed.key)
        await pilot.press("down")
        await shows(pilot, f">    {aimed.key}")
        for number in range(5):
            make_job(db, status=JobStatus.DEAD, finished_at=NOW + number)
        await look(pilot)
        await pilot.press("r")
        await until(pilot, lambda: status(db, aimed) is JobStatus.PENDING)

        assert db.execute("SELECT count(*) FROM jobs WHERE status = 'dead'").fetchone()[0] == 5


async def test_the_key_pressed_twice_tells_of_the_one_replay(app: ConsoleApp, db: sqlite3.Connection) -> None:
    """The second press was on its way before the first was done, and must not hide that it was."""
    (job,) = make_dead(db, 1)
    async with app.run_test(size=(80, 24)) as pilot:
        plan = app.replays.replay(Letters(ids=(job.id,)), app.seen)
        assert isinstance(plan, Plan)
        known = app.feed.ask(plan.read)
        for said in (f"{job.key} queued again; z undoes", "queued again already; z undoes"):
            meant = plan.then(known)
            assert isinstance(meant, Do)
            app.on_do(meant)
            await shows(pilot, said)
        await pilot.press("z")
        await until(pilot, lambda: status(db, job) is JobStatus.DEAD)


async def test_a_living_job_is_not_replayed(app: ConsoleApp, db: sqlite3.Connection) -> None:
    job = make_job(db, status=JobStatus.DONE)
    async with app.run_test(size=(80, 24)) as pilot:
        for key in ("1", "2", "5", "6"):
            await pilot.press(key)
            await look(pilot)
            await pilot.press("r")
            await look(pilot)

            assert flash_of(app) == "r replays dead jobs: 3 lists them, arrows choose one"
        assert status(db, job) is JobStatus.DONE


@pytest.mark.parametrize("way", ["2", "3"])
async def test_a_dead_job_is_replayed_from_its_own_page_too(app: ConsoleApp, db: sqlite3.Connection, way: str) -> None:
    (job,) = make_dead(db, 1)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(way)
        await shows(pilot, job.key)
        await pilot.press(*["down"] * (way == "3"), "enter")
        await shows(pilot, "ATTEMPTS")
        await pilot.press("r")
        await until(pilot, lambda: status(db, job) is JobStatus.PENDING)
        await look(pilot)

        assert "PENDING" in lines_of(app)[5]
