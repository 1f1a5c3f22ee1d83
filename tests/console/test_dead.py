"""Dead letters by error: folds, marks, the canary, the way back, and the end; each at three sizes."""

from __future__ import annotations

import sqlite3

import pytest
from textual.pilot import Pilot

from console.panes.dead import DeadPane
from console.screens.replay import DiscardQuestion, ReplayQuestion
from console.tui import ConsoleApp, Options
from console.widgets.folds import Turn
from runner.commands import Door
from runner.home import Home
from runner.snapshot import Job, JobStatus
from runner.store import jobs, leases
from runner.store.db import Database
from runner.store.jobs import UNKNOWN_EFFECT
from runner.store.leases import Lease
from runner.units import UnixMs
from tests.console.conftest import ManualMonotonic
from tests.console.hostile import STORABLE
from tests.console.screen import flash_of, lines_of, look, shows, text_of, until
from tests.factories import NOW, ManualClock, make_charge, make_job, make_step

pytestmark = pytest.mark.usefixtures("live")

SIZES = pytest.mark.parametrize("size", [(60, 16), (80, 24), (120, 40)], ids=lambda size: f"{size[0]}x{size[1]}")


def die(db: sqlite3.Connection, *, error: str = "HTTP 504 after 60s", at: int = NOW, task: str = "digest") -> Job:
    return make_job(db, status=JobStatus.DEAD, error=error, finished_at=at, task=task)


def status(db: sqlite3.Connection, job: Job) -> JobStatus | None:
    row = jobs.by_id(db, job.id)
    return row.status if row else None


def rows_of(app: ConsoleApp) -> list[str]:
    """The list below its titles, without what lies below it."""
    return [one.rstrip() for one in lines_of(app)[6:-2] if one.strip()]


async def opened(pilot: Pilot[None], *texts: str) -> None:
    """The pane, once it has drawn and settled how it folds."""
    await pilot.press("3")
    await shows(pilot, "[3 Dead", *texts)
    assert isinstance(pilot.app, ConsoleApp)
    await look(pilot)


# --- groups ---------------------------------------------------------------------------------------------------------


@SIZES
async def test_letters_stand_below_their_error(app: ConsoleApp, db: sqlite3.Connection, size: tuple[int, int]) -> None:
    old = die(db, error="Dead: the box is gone", at=NOW - 3_600_000, task="intake")
    first = die(db, error="HTTP 504 after 60s", at=NOW - 7_200_000, task="research")
    newest = die(db, error="HTTP 504 after 3s", at=NOW - 60_000, task="summarise")
    make_charge(db, newest, cost=113_000)
    async with app.run_test(size=size) as pilot:
        await opened(pilot, newest.key)

        shown = rows_of(app)
        places = [
            next(place for place, row in enumerate(shown) if text in row)
            for text in ("- HTTP 504 after 3s", newest.key, first.key, "- Dead: the box is gone", old.key)
        ]
        assert places == sorted(places)
        assert "  2 " in shown[places[0]]
        assert "1m" in shown[places[0]]
        assert "$0.113" in shown[places[1]]
        if size[0] >= 80:
            assert "2h00" in shown[places[0]]
            assert "research +1" in shown[places[0]]


async def test_enter_and_the_arrows_fold(app: ConsoleApp, db: sqlite3.Connection) -> None:
    one = die(db)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, f"  {one.key}")
        await pilot.press("enter")
        await shows(pilot, ">  + HTTP 504")
        await look(pilot)
        assert one.key not in text_of(app)

        await pilot.press("right")
        await shows(pilot, ">  - HTTP 504", one.key)
        await pilot.press("down")
        await shows(pilot, f">    {one.key}")
        await pilot.press("left")
        await shows(pilot, ">  + HTTP 504")
        await look(pilot)
        assert one.key not in text_of(app)
        await pilot.press("left", "enter")
        await shows(pilot, ">  - HTTP 504", one.key)
        await pilot.press("down")
        await shows(pilot, f">    {one.key}")
        await pilot.press("enter")
        await shows(pilot, "ATTEMPTS", one.key)


async def test_an_arrow_means_its_own_way_however_often_it_is_pressed(app: ConsoleApp, db: sqlite3.Connection) -> None:
    """The second press comes before the list has folded."""
    one = die(db)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, one.key)
        await pilot.press("left", "left", "left")
        await shows(pilot, ">  + HTTP 504")
        await look(pilot)
        assert one.key not in text_of(app)
        await pilot.press("right", "right")
        await shows(pilot, ">  - HTTP 504", one.key)


async def test_an_error_that_an_arrow_leads_to_is_replayed_once_it_was_shown_under_the_cursor(
    app: ConsoleApp, db: sqlite3.Connection
) -> None:
    one, _ = die(db), die(db)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, one.key)
        await pilot.press("down")
        await pilot.pause()
        pane = app.board.pane
        assert isinstance(pane, DeadPane)
        assert pane.table.cursor is not None
        before = pane.letters()
        pane.on_turn(Turn(pane.table.cursor, True))
        on_its_way, why = pane.letters(), pane.unmeant
        await pilot.pause()
        shown = pane.letters()

    assert before is not None
    assert before.ids == (2,)
    assert on_its_way is None
    assert why == "the list had just changed: look, and press again"
    assert shown is not None
    assert shown.group is not None


async def test_letters_that_were_hidden_are_replayed_once_they_were_shown_again(
    app: ConsoleApp, db: sqlite3.Connection
) -> None:
    one = die(db)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, one.key)
        await pilot.press("down", "1")
        await shows(pilot, "[1 Home]")
        app.board.action_open("DEAD")
        on_its_way = app.board.pane.letters()
        await shows(pilot, "[3 Dead", f">    {one.key}")
        shown = app.board.pane.letters()

    assert on_its_way is None
    assert shown is not None
    assert shown.ids == (one.id,)


async def test_many_begin_folded_and_stay_as_they_were_when_more_die(app: ConsoleApp, database: Database) -> None:
    with database.write() as db:
        made = [die(db, at=NOW + number) for number in range(20)]
    async with app.run_test(size=(80, 40)) as pilot:
        await opened(pilot, made[-1].key)
        die(database.connection, error="another", at=NOW + 50)
        await shows(pilot, "- another", "- HTTP 504")

    with database.write() as db:
        db.execute("UPDATE jobs SET finished_at = finished_at + 1")
    again = ConsoleApp(app.home, clock=ManualClock(NOW + 60), monotonic=app.monotonic)
    async with again.run_test(size=(80, 40)) as pilot:
        await opened(pilot, "+ another", "+ HTTP 504")
        assert made[-1].key not in text_of(again)


async def test_more_letters_are_listed_when_asked(app: ConsoleApp, database: Database) -> None:
    with database.write() as db:
        made = [die(db, at=NOW + number) for number in range(120)]
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, "+ HTTP 504", "120")
        await pilot.press("enter")
        await shows(pilot, made[-1].key)
        await pilot.press("end")
        await shows(pilot, "70 more: Enter", ">  ")
        await pilot.press("enter")
        await shows(pilot, f">    {made[70].key}", made[69].key)
        await pilot.press("end")
        await shows(pilot, f">    {made[0].key}")
        assert "more: Enter" not in text_of(app)


# --- marks ----------------------------------------------------------------------------------------------------------


async def test_space_on_an_error_marks_its_letters(app: ConsoleApp, db: sqlite3.Connection) -> None:
    mine = [die(db, at=NOW + number) for number in range(2)]
    other = die(db, error="another", at=NOW - 5)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, mine[0].key)
        await pilot.press("space")
        await shows(pilot, "(2 marked) HTTP 504", "2 marked")
        await pilot.press("enter")
        await shows(pilot, "+ (2 marked) HTTP 504")
        await pilot.press("space")
        await shows(pilot, "+ HTTP 504")
        await pilot.press("space", "down", "r")
        await shows(pilot, "Replay 2 dead jobs?")
        assert isinstance(app.screen, ReplayQuestion)
        assert set(app.screen.plan.ids) == {job.id for job in mine}
        assert other.id not in app.screen.plan.ids


async def test_all_is_a_set_that_was_frozen_whether_or_not_it_is_listed(
    app: ConsoleApp, database: Database, monotonic: ManualMonotonic
) -> None:
    with database.write() as db:
        made = [die(db, at=NOW + number, error=f"{'ab'[number % 2]}: it failed") for number in range(24)]
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, "+ a: it failed", "+ b: it failed")
        await pilot.press("asterisk")
        await shows(pilot, "24 marked; those that come later are not among them", "(12 marked) a: it failed")
        late = die(database.connection, at=NOW + 99)
        await look(pilot)
        await pilot.press("r")
        await shows(pilot, "Replay 24 dead jobs?", "Type 24:")
        monotonic.advance(1)
        await pilot.press("2", "4", "y")
        await shows(pilot, "24 jobs queued again; z undoes")

    assert {status(database.connection, job) for job in made} == {JobStatus.PENDING}
    assert status(database.connection, late) is JobStatus.DEAD


async def test_one_act_takes_a_thousand(app: ConsoleApp, database: Database, monotonic: ManualMonotonic) -> None:
    with database.write() as db:
        made = [die(db, at=NOW + number) for number in range(1_003)]
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, "+ HTTP 504", "1,003")
        await pilot.press("asterisk")
        await shows(pilot, "1,000 marked", "3 older ones are not")
        await pilot.press("c", "r")
        await shows(pilot, "Replay 1,000 dead jobs?", "3 older ones: one act takes 1,000", "Type 1000:")
        monotonic.advance(1)
        await pilot.press(*"1000", "y")
        await shows(pilot, "1,000 jobs queued again")
        await shows(pilot, "Dead 3!")

    assert [status(database.connection, job) for job in made[:4]] == [JobStatus.DEAD] * 3 + [JobStatus.PENDING]


# --- a group, and the canary ----------------------------------------------------------------------------------------


@SIZES
async def test_an_error_is_replayed_whole_up_to_what_was_shown(
    app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic, size: tuple[int, int]
) -> None:
    mine = [die(db, at=NOW + number) for number in range(3)]
    other = die(db, error="another", at=NOW - 5)
    make_charge(db, mine[0], cost=20_000)
    make_step(db, mine[0])
    async with app.run_test(size=size) as pilot:
        await opened(pilot, mine[-1].key)
        await pilot.press("r")
        await shows(pilot, "Replay 3 dead jobs?", "$0.020 so far", "estimate $0.020 of $9.98 left today", "recorded")
        late = die(db, at=NOW + 9)
        await shows(pilot, "1 dead job since: NOT in the set")
        monotonic.advance(1)
        await pilot.press("y")
        await shows(pilot, "3 jobs queued again; z undoes")

    assert {status(db, job) for job in mine} == {JobStatus.PENDING}
    assert {status(db, job) for job in (other, late)} == {JobStatus.DEAD}


@SIZES
async def test_a_canary_is_one_and_the_rest_stays(
    app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic, size: tuple[int, int]
) -> None:
    made = [die(db, at=NOW + number) for number in range(25)]
    async with app.run_test(size=size) as pilot:
        await opened(pilot, "+ HTTP 504")
        await pilot.press("r")
        await shows(pilot, "Replay 25 dead jobs?", f"c replays {made[-1].key}")
        await pilot.press("c")
        await look(pilot)
        assert isinstance(app.screen, ReplayQuestion), "too early to have been meant"
        monotonic.advance(1)
        await pilot.press("c")
        await until(pilot, lambda: status(db, made[-1]) is JobStatus.PENDING)
        await shows(pilot, f"{made[-1].key} queued again, alone; 24 stay dead")

    assert {status(db, job) for job in made[:-1]} == {JobStatus.DEAD}


async def test_marked_ones_have_no_canary(app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic) -> None:
    made = [die(db, at=NOW + number) for number in range(2)]
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, made[0].key)
        await pilot.press("asterisk", "r")
        await shows(pilot, "Replay 2 dead jobs?")
        assert "try one" not in text_of(app)
        monotonic.advance(1)
        await pilot.press("c")
        await look(pilot)
        assert isinstance(app.screen, ReplayQuestion)

    assert {status(db, job) for job in made} == {JobStatus.DEAD}


async def test_what_may_have_been_done_is_said_first(app: ConsoleApp, db: sqlite3.Connection) -> None:
    one = die(db, error=f"its runner vanished under it; {UNKNOWN_EFFECT}")
    async with app.run_test(size=(60, 16)) as pilot:
        await opened(pilot, one.key)
        await pilot.press("down", "r")
        await shows(pilot, f"Replay {one.key}?", "1 may have done what cannot be undone")

    assert status(db, one) is JobStatus.DEAD


async def test_the_dialog_tells_who_was_replayed_elsewhere(
    app: ConsoleApp, home: Home, db: sqlite3.Connection, monotonic: ManualMonotonic
) -> None:
    made = [die(db, at=NOW + number) for number in range(3)]
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot, made[0].key)
        await pilot.press("r")
        await shows(pilot, "Replay 3 dead jobs?")
        Door(home, clock=app.clock, by="ben@cli").replay([made[1].key])
        await shows(pilot, "1 dead no more: will be refused")
        monotonic.advance(1)
        await pilot.press("y")
        await shows(pilot, f"2 jobs queued again; 1 refused: {made[1].key}: it is pending, not dead")


async def test_an_error_that_vanished_is_never_acted_on(app: ConsoleApp, home: Home, db: sqlite3.Connection) -> None:
    mine, other = die(db), die(db, error="another", at=NOW - 5)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, mine.key)
        Door(home, clock=app.clock).replay([mine.key])
        await shows(pilot, ">  gone - HTTP 504")
        await pilot.press("r", "enter", "D")
        await look(pilot)

        assert flash_of(app).startswith("the row under the cursor is gone")
        assert app.screen is app.board
    assert status(db, other) is JobStatus.DEAD


# --- undo -----------------------------------------------------------------------------------------------------------


@SIZES
async def test_z_takes_the_last_replay_back(
    app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic, size: tuple[int, int]
) -> None:
    made = [die(db, at=NOW + number) for number in range(2)]
    before = db.execute("SELECT id, status, attempts, error, finished_at FROM jobs").fetchall()
    async with app.run_test(size=size) as pilot:
        await opened(pilot, made[0].key)
        await pilot.press("r")
        await shows(pilot, "Replay 2 dead jobs?")
        monotonic.advance(1)
        await pilot.press("y")
        await shows(pilot, "2 jobs queued again; z undoes")
        await pilot.press("1", "z")
        await shows(pilot, "2 jobs dead again")
        assert db.execute("SELECT id, status, attempts, error, finished_at FROM jobs").fetchall() == before
        await pilot.press("z")
        await shows(pilot, "nothing to undo")


async def test_what_was_claimed_stays_and_is_named(
    app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic
) -> None:
    made = [die(db, at=NOW + number) for number in range(2)]
    async with app.run_test(size=(120, 24)) as pilot:
        await opened(pilot, made[0].key)
        await pilot.press("r")
        await shows(pilot, "Replay 2 dead jobs?")
        monotonic.advance(1)
        await pilot.press("y")
        await shows(pilot, "2 jobs queued again")
        claimed = leases.claim(db, now=UnixMs(NOW), lease=Lease(runner="r", token="t", until=UnixMs(NOW + 9_000)))
        assert claimed is not None
        await pilot.press("z")
        await shows(pilot, f"dead again; 1 refused: {claimed.key}: it is running by now")

    assert status(db, claimed) is JobStatus.RUNNING


async def test_two_consoles_undo_their_own(app: ConsoleApp, home: Home, db: sqlite3.Connection) -> None:
    """One replays, another undoes nothing of it; each sees within a look what the other did."""
    one = die(db)
    other = ConsoleApp(home, clock=ManualClock(), monotonic=app.monotonic, options=Options())
    async with app.run_test(size=(80, 24)) as here, other.run_test(size=(80, 24)) as there:
        await opened(here, one.key)
        await opened(there, one.key)
        await here.press("down", "r")
        await shows(here, "queued again; z undoes")
        await there.press("down")
        await shows(there, "gone")
        await there.press("z")
        await shows(there, "nothing to undo")
        assert status(db, one) is JobStatus.PENDING

        await here.press("z")
        await shows(here, f"{one.key} dead again")
        await until(there, lambda: "gone" not in text_of(other) and one.key in text_of(other))
    assert status(db, one) is JobStatus.DEAD


# --- the end --------------------------------------------------------------------------------------------------------


@SIZES
async def test_removing_wants_the_number_and_names_them(
    app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic, size: tuple[int, int]
) -> None:
    made = [die(db, at=NOW + number) for number in range(3)]
    async with app.run_test(size=size) as pilot:
        await opened(pilot, made[0].key)
        await pilot.press("down", "space", "space", "D")
        await shows(pilot, "Remove 2 dead jobs for good?", f"{made[2].key}, {made[1].key}", "Type 2:")
        monotonic.advance(1)
        await pilot.press("y", "enter")
        assert isinstance(app.screen, DiscardQuestion)
        await pilot.press("2", "y")
        await shows(pilot, "2 jobs removed for good")

    assert [status(db, job) for job in made] == [JobStatus.DEAD, None, None]


async def test_names_without_room_are_counted(app: ConsoleApp, database: Database) -> None:
    with database.write() as db:
        for number in range(40):
            die(db, at=NOW + number)
    async with app.run_test(size=(60, 16)) as pilot:
        await opened(pilot, "+ HTTP 504")
        await pilot.press("D")
        await shows(pilot, "Remove 40 dead jobs for good?", "Type 40:", " more")


async def test_what_lives_again_is_not_removed(
    app: ConsoleApp, home: Home, db: sqlite3.Connection, monotonic: ManualMonotonic
) -> None:
    one = die(db)
    async with app.run_test(size=(100, 24)) as pilot:
        await opened(pilot, one.key)
        await pilot.press("down", "D")
        await shows(pilot, "Remove 1 dead job for good?")
        Door(home, clock=app.clock).replay([one.key])
        monotonic.advance(1)
        await pilot.press("1", "y")
        await shows(pilot, f"1 refused: {one.key}: it is pending, not dead")

    assert status(db, one) is JobStatus.PENDING


async def test_read_only_changes_nothing(
    home: Home, db: sqlite3.Connection, clock: ManualClock, monotonic: ManualMonotonic
) -> None:
    one = die(db)
    app = ConsoleApp(home, clock=clock, monotonic=monotonic, options=Options(readonly=True))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, one.key)
        await pilot.press("down")
        for key in ("r", "D", "z"):
            await pilot.press(key)
            await look(pilot)
            assert flash_of(app) == f"{key} is off: started with --readonly"

    assert status(db, one) is JobStatus.DEAD


async def test_hostile_errors_are_text(app: ConsoleApp, db: sqlite3.Connection) -> None:
    for number, text in enumerate(STORABLE):
        make_job(
            db,
            key=f"{number:02}{text[:500]}",
            task=f"{number:02}{text[:500]}",
            status=JobStatus.DEAD,
            error=text[:3_000],
            finished_at=NOW + number,
        )
    async with app.run_test(size=(120, 50)) as pilot:
        await opened(pilot, "+ ")
        for _ in range(len(STORABLE)):
            await pilot.press("right", "r")
            await look(pilot)
            assert "\x1b" not in text_of(app)
            await pilot.press("down", "down")
        await pilot.press("asterisk", "D")
        await until(pilot, lambda: isinstance(app.screen, DiscardQuestion))

        assert "\x1b" not in text_of(app)
        assert app.is_running


async def test_a_range_marks_jobs_and_no_titles(app: ConsoleApp, db: sqlite3.Connection) -> None:
    for number in range(3):
        die(db, at=NOW + number)
    for number in range(2):
        die(db, error="another", at=NOW - 9 + number)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, "- another")
        await pilot.press("down", "down", "shift+down", "shift+down", "shift+down")
        await shows(pilot, "(2 marked) HTTP 504", "(1 marked) another", "3 marked")


async def test_undo_does_not_reach_into_another_database(
    app: ConsoleApp, home: Home, db: sqlite3.Connection, clock: ManualClock
) -> None:
    """The ids of one file mean other jobs in the next."""
    one = die(db)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, one.key)
        await pilot.press("down", "r")
        await shows(pilot, "queued again; z undoes")
        home.db.rename(home.root / "elsewhere")
        other = Database.open(home.db, create=True)
        same_id = make_job(other.connection, key="another")
        await look(pilot)
        clock.advance(1_000)
        await shows(pilot, "this is another database")
        await pilot.press("z")
        await shows(pilot, "nothing to undo")

        assert same_id.id == one.id
        assert status(other.connection, same_id) is JobStatus.PENDING
        other.close()
