"""The Jobs tab: its filter, its sorting, its marks, and what is done to what they name."""

from __future__ import annotations

import sqlite3

import pytest
from rich.cells import cell_len

from console.panes import jobs as pane_module
from console.panes.jobs import JobsPane
from console.screens.cancel import CancelQuestion
from console.tui import ConsoleApp, Options
from runner.commands import Door
from runner.home import Home
from runner.snapshot import Job, JobStatus
from runner.store import jobs
from runner.store.db import Database
from runner.units import HOUR_MS
from tests.console.conftest import ManualMonotonic
from tests.console.hostile import STORABLE
from tests.console.screen import lacks, lines_of, look, shows, text_of, until
from tests.console.test_hostile import assert_harmless
from tests.factories import NOW, ManualClock, make_charge, make_job, make_running

pytestmark = pytest.mark.usefixtures("live")

TITLE = 5
"""The line of the screen on which the tab says what it lists."""


def status(db: sqlite3.Connection, job: Job) -> JobStatus | None:
    row = jobs.by_key(db, job.key)
    return row.status if row else None


def listed(app: ConsoleApp) -> list[str]:
    """Keys on the screen, from top to bottom."""
    return [line[3:].split()[0] for line in lines_of(app)[TITLE + 2 : -2] if line[3:].strip()]


@pytest.fixture
def few(db: sqlite3.Connection) -> list[Job]:
    """One of each, the oldest first."""
    return [
        make_job(db, key="done-1", task="digest", status=JobStatus.DONE, created_at=NOW - 3 * HOUR_MS),
        make_job(db, key="dead-2", task="digest", status=JobStatus.DEAD, error="TimeoutError: 504"),
        make_job(db, key="dead-3", task="triage", status=JobStatus.DEAD, error="Dead: the box is gone"),
        make_job(db, key="waits-4", task="triage"),
        make_running(db, key="works-5", task="digest"),
    ]


async def type_filter(pilot: object, text: str) -> None:
    await pilot.press("slash")  # type: ignore[attr-defined]
    await pilot.press("ctrl+u", *(KEYS.get(char, char) for char in text))  # type: ignore[attr-defined]


KEYS = {":": "colon", "*": "asterisk", "-": "minus", " ": "space", ">": "greater_than_sign", '"': "quotation_mark"}


async def test_a_filter_is_typed_applied_and_taken_back(app: ConsoleApp, few: list[Job]) -> None:
    async with app.run_test(size=(100, 24)) as pilot:
        await pilot.press("2")
        await shows(pilot, "JOBS  newest first", "rows 1-5 of 5")
        await type_filter(pilot, "state:dead err:timeout")
        await shows(pilot, " / state:dead err:timeout")
        await pilot.press("enter")
        await shows(pilot, "JOBS  state:dead err:timeout  newest first", "rows 1-1 of 1")
        assert listed(app) == ["dead-2"]

        await type_filter(pilot, "")
        await pilot.press("enter")
        await shows(pilot, "rows 1-5 of 5")
        assert listed(app) == ["works-5", "waits-4", "dead-3", "dead-2", "done-1"]


async def test_home_is_drawn_again_where_it_already_is(app: ConsoleApp, few: list[Job]) -> None:
    async with app.run_test(size=(100, 24)) as pilot:
        await pilot.press("2")
        await shows(pilot, ">  works-5")
        await pilot.press("down", "2")
        await shows(pilot, ">  works-5", "rows 1-5 of 5")


async def test_escape_leaves_the_filter_that_was(app: ConsoleApp, few: list[Job]) -> None:
    async with app.run_test(size=(100, 24)) as pilot:
        await pilot.press("2")
        await type_filter(pilot, "state:dead")
        await pilot.press("enter")
        await shows(pilot, "rows 1-2 of 2")
        await type_filter(pilot, "task:nobody")
        await pilot.press("escape")
        await shows(pilot, "JOBS  state:dead", "rows 1-2 of 2")
        await pilot.press("slash", "t", "a", "tab")
        await shows(pilot, " / state:dead task:")


async def test_a_bad_filter_is_refused_in_a_sentence_and_the_old_one_stays(app: ConsoleApp, few: list[Job]) -> None:
    async with app.run_test(size=(120, 24)) as pilot:
        await pilot.press("2")
        await type_filter(pilot, "state:dead")
        await pilot.press("enter")
        await shows(pilot, "rows 1-2 of 2")
        await type_filter(pilot, "state:ded")
        await pilot.press("enter")
        await shows(pilot, "state:ded names no state", "the nearest is state:dead", " / state:ded")
        assert listed(app) == ["dead-3", "dead-2"]

        await pilot.press("backspace", "a", "d", "enter")
        await shows(pilot, "JOBS  state:dead", "rows 1-2 of 2")


async def test_every_letter_is_text_in_the_filter_and_f9_kills_from_it(
    app: ConsoleApp, home: Home, few: list[Job]
) -> None:
    async with app.run_test(size=(100, 24)) as pilot:
        await pilot.press("2")
        await type_filter(pilot, "kxrsuq125")
        await shows(pilot, " / kxrsuq125")
        assert not home.stop_set()
        assert app.is_running
        await pilot.press("f9")
        await until(pilot, home.stop_set)
        await shows(pilot, " / kxrsuq125")


async def test_tab_completes_qualifiers_states_and_tasks(app: ConsoleApp, few: list[Job]) -> None:
    async with app.run_test(size=(100, 24)) as pilot:
        await pilot.press("2")
        await shows(pilot, "works-5")
        await type_filter(pilot, "st")
        await shows(pilot, "ate:")
        await pilot.press("tab", "d")
        await shows(pilot, " / state:d", "done dead")
        await pilot.press("e", "tab")
        await shows(pilot, " / state:dead ")
        await pilot.press("t", "a", "tab", "tab")
        await shows(pilot, "digest triage")
        await pilot.press("t", "tab", "enter")
        await shows(pilot, "JOBS  state:dead task:triage", "rows 1-1 of 1")


async def test_names_of_tasks_that_come_after_the_letters_complete_them(app: ConsoleApp, few: list[Job]) -> None:
    async with app.run_test(size=(100, 24)) as pilot:
        await pilot.press("2")
        await shows(pilot, ">  works-5", "rows 1-5 of 5")
        prompt = app.board.pane.query_one(pane_module.Prompt)
        with app.feed._turn:  # no look comes to its end
            await type_filter(pilot, "task:tr")
            assert prompt._hint == ""
        await until(pilot, lambda: prompt._hint == "iage ")
        await pilot.press("tab")
        await shows(pilot, " / task:triage ")


async def test_a_search_over_rows_goes_on_by_itself_and_says_how_far_it_is(
    app: ConsoleApp, few: list[Job], monkeypatch: pytest.MonkeyPatch, database: Database, clock: ManualClock
) -> None:
    with database.write() as db:
        for _ in range(700):
            make_job(db, status=JobStatus.DONE)
    monkeypatch.setattr("console.searching.LOOK", 300)
    monkeypatch.setattr("console.searching.FURTHER", 100)
    async with app.run_test(size=(100, 24)) as pilot:
        await pilot.press("2")
        await type_filter(pilot, "err:timeout")
        await pilot.press("enter")
        await shows(pilot, "rows 1-1 of 1")
        assert listed(app) == ["dead-2"]

        # What was found is read anew with every look; the search itself is repeated when it has rested.
        make_job(database.connection, key="late", status=JobStatus.DEAD, error="TimeoutError")
        await look(pilot)
        assert listed(app) == ["dead-2"]
        clock.advance(2_500)
        await shows(pilot, "searched ")
        clock.advance(10_000)
        make_job(database.connection)
        await shows(pilot, "rows 1-2 of 2")
        assert listed(app) == ["late", "dead-2"]


async def test_time_alone_brings_a_job_into_a_filter_by_age(
    app: ConsoleApp, few: list[Job], clock: ManualClock
) -> None:
    async with app.run_test(size=(100, 24)) as pilot:
        await pilot.press("2")
        await type_filter(pilot, "age>1m")
        await pilot.press("enter")
        await shows(pilot, "rows 1-1 of 1")
        assert listed(app) == ["done-1"]
        clock.advance(61_000)
        await shows(pilot, "rows 1-5 of 5")


async def test_the_list_is_sorted_by_age_and_by_cost(app: ConsoleApp, few: list[Job], db: sqlite3.Connection) -> None:
    make_charge(db, few[1], cost=20_000)
    make_charge(db, few[3], cost=700_000)
    async with app.run_test(size=(100, 24)) as pilot:
        await pilot.press("2")
        await shows(pilot, "newest first", "works-5")
        await pilot.press("s")
        await shows(pilot, "oldest first", ">  done-1")
        assert listed(app) == [job.key for job in few]
        await pilot.press("s")
        await shows(pilot, "dearest first", ">  waits-4")
        assert listed(app)[:2] == ["waits-4", "dead-2"]
        await pilot.press("s")
        await shows(pilot, "newest first", ">  works-5")


async def test_the_dearest_are_found_among_the_newest_that_match_and_it_says_so(
    app: ConsoleApp, database: Database
) -> None:
    with database.write() as db:
        make_charge(db, make_job(db, key="too-old"), cost=900_000)
        for _ in range(1_000):
            make_job(db)
    async with app.run_test(size=(100, 24)) as pilot:
        await pilot.press("2", "s", "s")
        await shows(pilot, "dearest first of the newest 1,000", "of 1,001")
        assert "too-old" not in text_of(app)


async def test_a_range_and_single_marks_are_kept_by_id_over_pages(app: ConsoleApp, database: Database) -> None:
    with database.write() as db:
        made = [make_job(db, key=f"job-{number:04}") for number in range(500)]
    async with app.run_test(size=(100, 24)) as pilot:
        await pilot.press("2")
        await shows(pilot, ">  job-0499")
        await pilot.press("shift+down", "shift+down", "shift+down", "shift+up")
        await shows(pilot, "3 marked")
        await pilot.press("down", "down", "space")
        await shows(pilot, "4 marked")
        await pilot.press("end")
        await shows(pilot, ">  job-0000", "rows ~486-500 of 500")
        await pilot.press("space")
        await shows(pilot, "5 marked")

        pane = app.board.pane
        assert isinstance(pane, JobsPane)
        assert sorted(pane.table.chosen(), key=str) == sorted(
            (made[number].id for number in (499, 498, 497, 495, 0)), key=str
        )
        await pilot.press("c")
        await lacks(pilot, "marked")


async def test_all_that_match_are_marked_once_and_what_comes_later_is_not(
    app: ConsoleApp, database: Database, monotonic: ManualMonotonic
) -> None:
    with database.write() as db:
        made = [make_job(db, task="triage") for _ in range(230)]
        other = make_job(db, task="digest")
    async with app.run_test(size=(100, 24)) as pilot:
        await pilot.press("2")
        await type_filter(pilot, "task:triage")
        await pilot.press("enter")
        await shows(pilot, "rows 1-15 of 200+")
        await pilot.press("asterisk")
        await shows(pilot, "230 marked, frozen")
        late = make_job(database.connection, task="triage")
        await pilot.press("x")
        await shows(pilot, "Cancel 230 jobs?", "230 pending, frozen", "Type 230:")
        monotonic.advance(1)
        await pilot.press("y", "2", "3", "0", "y")
        await shows(pilot, "230 jobs cancelled")

        assert {status(database.connection, job) for job in made} == {JobStatus.CANCELLED}
        assert status(database.connection, late) is JobStatus.PENDING
        assert status(database.connection, other) is JobStatus.PENDING
        await lacks(pilot, "marked")


async def test_no_more_than_a_thousand_are_marked_at_once(app: ConsoleApp, database: Database) -> None:
    with database.write() as db:
        for _ in range(1_003):
            make_job(db)
    async with app.run_test(size=(120, 24)) as pilot:
        await pilot.press("2")
        await shows(pilot, "of 1,003")
        await pilot.press("asterisk")
        await shows(pilot, "1,000 marked, frozen", "only the newest 1,000")
        await pilot.press("end")
        await shows(pilot, "-1,003 of 1,003")
        await pilot.press("space")
        await shows(pilot, "at most 1,000 are marked at once", "1,000 marked")


async def test_another_filter_drops_the_marks(app: ConsoleApp, few: list[Job]) -> None:
    async with app.run_test(size=(100, 24)) as pilot:
        await pilot.press("2")
        await shows(pilot, ">  works-5")
        await pilot.press("space")
        await shows(pilot, "1 marked")
        await type_filter(pilot, "state:dead")
        await pilot.press("enter")
        await shows(pilot, "the marks are cleared", "rows 1-2 of 2")
        assert "1 marked" not in text_of(app)


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (120, 40)], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_cancel_asks_with_number_and_cost_and_does_nothing_by_default(
    app: ConsoleApp, few: list[Job], db: sqlite3.Connection, monotonic: ManualMonotonic, size: tuple[int, int]
) -> None:
    make_charge(db, few[4], cost=141_000)
    async with app.run_test(size=size) as pilot:
        await pilot.press("2")
        await shows(pilot, ">  works-5")
        await pilot.press("space", "space", "x")
        await shows(pilot, "Cancel 2 jobs?", "1 pending and 1 running", "$0.141 so far")
        assert {cell_len(line) for line in lines_of(app)} == {size[0]}
        await pilot.press("y")
        assert isinstance(app.screen, CancelQuestion), "too early to have been meant"
        monotonic.advance(1)
        await pilot.press("enter", "n")
        await shows(pilot, "left as it was")
        assert [status(db, job) for job in few[3:]] == [JobStatus.PENDING, JobStatus.RUNNING]

        await pilot.press("x")
        await shows(pilot, "Cancel 2 jobs?")
        monotonic.advance(1)
        await pilot.press("y")
        await shows(pilot, "2 jobs cancelled; what runs is being ended")
        assert status(db, few[3]) is JobStatus.CANCELLED
        row = jobs.by_key(db, few[4].key)
        assert row is not None
        assert row.cancel
        assert {line.split()[0] for line in lines_of(app)[:4]} == {"RUNNER", "SPEND", "BREAKER", "JOBS"}


async def test_cancel_of_one_that_has_ended_is_refused_with_its_state(app: ConsoleApp, few: list[Job]) -> None:
    async with app.run_test(size=(100, 24)) as pilot:
        await pilot.press("2")
        await shows(pilot, ">  works-5")
        await pilot.press("end", "x")
        await shows(pilot, "done-1 is done already: it cannot be cancelled")


async def test_what_was_refused_is_told_and_stays_marked(
    app: ConsoleApp, few: list[Job], home: Home, db: sqlite3.Connection, monotonic: ManualMonotonic
) -> None:
    gone = make_job(db, key="gone-6")
    async with app.run_test(size=(120, 24)) as pilot:
        await pilot.press("2")
        await shows(pilot, ">  gone-6")
        await pilot.press("shift+down", "shift+down", "shift+down", "x")  # gone, works, waits and a dead one
        await shows(pilot, "Cancel 3 jobs?", "1 more have ended by now")
        door = Door(home, clock=app.clock)
        door.cancel([gone.key])
        door.remove([gone.key])
        make_job(db, key="gone-6")  # the key again, another job
        monotonic.advance(1)
        await pilot.press("y")
        await shows(pilot, "2 jobs cancelled; 2 refused: gone-6: it was removed; dead-3: it is dead already; what runs")
        await shows(pilot, "2 marked")

        assert status(db, gone) is JobStatus.PENDING, "its key is another job's by now"
        assert status(db, few[2]) is JobStatus.DEAD


async def test_a_row_that_left_the_list_is_gone_and_never_acted_on(
    app: ConsoleApp, few: list[Job], db: sqlite3.Connection
) -> None:
    second = make_job(db, key="waits-6")
    async with app.run_test(size=(100, 24)) as pilot:
        await pilot.press("2")
        await type_filter(pilot, "state:pending")
        await pilot.press("enter")
        await shows(pilot, ">  waits-6", "rows 1-2 of 2")
        db.execute("UPDATE jobs SET status = 'done', finished_at = 1 WHERE id = ?", (second.id,))
        await shows(pilot, ">  gone waits-6")
        for key in ("x", "r"):
            await pilot.press(key)
            await shows(pilot, "the row under the cursor is gone: arrows choose another")
            app.board.flash("")
        assert status(db, few[3]) is JobStatus.PENDING


async def test_dead_ones_among_the_marked_are_replayed(
    app: ConsoleApp, few: list[Job], db: sqlite3.Connection, monotonic: ManualMonotonic
) -> None:
    async with app.run_test(size=(100, 24)) as pilot:
        await pilot.press("2")
        await type_filter(pilot, "state:dead")
        await pilot.press("enter")
        await shows(pilot, "rows 1-2 of 2")
        await pilot.press("asterisk")
        await shows(pilot, "2 marked")
        await pilot.press("r")
        await shows(pilot, "Replay 2 dead jobs?")
        monotonic.advance(1)
        await pilot.press("y")
        await shows(pilot, "2 jobs queued again")
        assert [status(db, job) for job in few[1:3]] == [JobStatus.PENDING] * 2


async def test_read_only_filters_and_changes_nothing(
    home: Home, few: list[Job], db: sqlite3.Connection, clock: ManualClock, monotonic: ManualMonotonic
) -> None:
    app = ConsoleApp(home, clock=clock, monotonic=monotonic, options=Options(readonly=True))
    async with app.run_test(size=(100, 24)) as pilot:
        await pilot.press("2")
        await type_filter(pilot, "state:pending")
        await pilot.press("enter")
        await shows(pilot, ">  waits-4", "rows 1-1 of 1")
        await pilot.press("x")
        await shows(pilot, "x is off: started with --readonly")
        await look(pilot)
        assert "Cancel" not in lines_of(app)[-1]
        assert status(db, few[3]) is JobStatus.PENDING


async def test_hostile_keys_are_text_in_the_list_the_filter_and_the_question(
    app: ConsoleApp, db: sqlite3.Connection
) -> None:
    for number, text in enumerate(STORABLE):
        make_job(db, key=f"{number:02}{text[:300]}", task=f"{number:02}{text[:60]}")
    async with app.run_test(size=(100, 40)) as pilot:
        await pilot.press("2")
        for _ in STORABLE[:12]:
            await look(pilot)
            await pilot.press("x")
            await until(pilot, lambda: isinstance(app.screen, CancelQuestion))
            assert_harmless(app)
            app.screen.dismiss(False)
            await pilot.pause()
            await pilot.press("down")
        for text in STORABLE:
            app.board.pane.query_one(pane_module.Prompt).begin(f'task:"{text[:60]}"')
            await pilot.press("tab", "enter", "escape")
            await look(pilot)
            assert_harmless(app)
