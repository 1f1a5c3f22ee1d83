"""No text from outside changes the screen, the terminal or the program: in every column of every view and dialog."""

from __future__ import annotations

import json
import sqlite3
import unicodedata
from collections.abc import Iterator

import pytest
from rich.segment import Segment
from textual.color import Color
from textual.widgets import Static

from console import app as program
from console.messages import RowChosen
from console.screens.replay import ReplayQuestion
from console.screens.resume import ResumeQuestion
from console.theme import Scrubber
from console.tui import ConsoleApp
from runner.home import Home
from runner.snapshot import JobStatus
from runner.store import controls
from runner.store.attempts import Outcome
from runner.store.db import Database
from runner.units import UnixMs
from tests.console.conftest import ManualMonotonic
from tests.console.hostile import HOSTILE, STORABLE
from tests.console.screen import look, shows, text_of, until
from tests.console.test_clean import OBEYED
from tests.factories import (
    NOW,
    make_attempt,
    make_breaker,
    make_charge,
    make_event,
    make_job,
    make_running,
    make_schedule,
    make_step,
)


def poison(db: sqlite3.Connection, text: str, number: int) -> None:
    """Rows that hold the text wherever text can be."""
    mark = f"{number:02}"
    for status in (JobStatus.DEAD, JobStatus.PENDING, JobStatus.HALTED):
        job = make_job(
            db,
            key=f"{mark}{status}{text}",
            task=f"{mark}{text}",
            status=status,
            error=f"{mark}{text}",
            waiting_on=f"{mark}{text}",
            payload={text: text},
            result=[text],
        )
        make_attempt(db, job, outcome=Outcome.RETRY, error=text, tail=f"{text}\n{text}", runner=text)
        make_step(db, job, name=text, result={text: text})
        make_charge(db, job, cost=1_000)
    if number < 8:
        make_running(db, key=f"{mark}run{text}", task=f"{mark}{text}")
    make_schedule(db, f"{mark}{text}", spec=text, last_slot=NOW, skipped=text)
    make_breaker(db, f"{mark}{text}", reason=text)
    make_event(db, text, level="error", event=text, task=text)
    db.execute("UPDATE events SET job = ? WHERE id = (SELECT max(id) FROM events)", (text,))
    if number % 3 == 0:
        db.execute("INSERT INTO pauses VALUES (?, ?, ?, ?)", (f"{mark}{text}", text, text, NOW))


@pytest.fixture
def poisoned(database: Database, live: None) -> sqlite3.Connection:
    """A home in which every column of every table holds the corpus."""
    with database.write() as db:
        for number, text in enumerate(STORABLE):
            poison(db, text[:3_000], number)
        controls.set_stop(db, controls.STOP, reason="".join(STORABLE[:9]), by=STORABLE[0], now=UnixMs(NOW))
        db.execute("UPDATE runners SET state = 'parked', reason = ?, host = ?", (STORABLE[1], STORABLE[2]))
    return database.connection


def segments_of(app: ConsoleApp) -> Iterator[Segment]:
    """Everything that is drawn, the board below a dialog included."""
    for screen in (*app._background_screens, app.screen):
        for strip in screen._compositor.render_strips():
            yield from strip


def assert_harmless(app: ConsoleApp) -> None:
    """No drawn text holds what a terminal obeys, and nothing drawn can be clicked."""
    for segment in segments_of(app):
        obeyed = [char for char in segment.text if unicodedata.category(char) in OBEYED]
        assert not obeyed, segment.text
        assert segment.style is None or not {"@click", "@mouse.down"} & set(segment.style.meta or {})
        assert segment.style is None or segment.style.link is None


async def test_no_view_of_a_poisoned_home_does_what_its_texts_say(
    app: ConsoleApp, poisoned: sqlite3.Connection
) -> None:
    async with app.run_test(size=(200, 60)) as pilot:
        walk = (
            "1",
            "2",
            "pagedown",
            "pagedown",
            "enter",
            "q",
            "3",
            "end",
            "5",
            "end",
            "6",
            "pageup",
            "question_mark",
            "q",
        )
        for key in (*walk, "m", "pagedown", "b", "end", "q"):
            await pilot.press(key)
            await look(pilot)
            assert_harmless(app)
        assert "\\x1b[2J" in text_of(app)
        assert app.is_running


async def test_no_job_of_a_poisoned_home_does_what_its_texts_say(app: ConsoleApp, poisoned: sqlite3.Connection) -> None:
    dead = poisoned.execute("SELECT id FROM jobs WHERE status = 'dead'").fetchall()
    async with app.run_test(size=(100, 60)) as pilot:
        for (id,) in dead:
            app.board.post_message(RowChosen(id))
            await look(pilot)
            await until(pilot, lambda id=id: [job.id for job in app.board.pane.targets()] == [id])
            await pilot.pause()
            assert "ATTEMPTS" in text_of(app)
            assert_harmless(app)


async def test_no_dialog_of_a_poisoned_home_does_what_its_texts_say(
    app: ConsoleApp, poisoned: sqlite3.Connection, monotonic: ManualMonotonic
) -> None:
    async with app.run_test(size=(120, 50)) as pilot:
        await pilot.press("u")
        await until(pilot, lambda: isinstance(app.screen, ResumeQuestion))
        await look(pilot)
        assert_harmless(app)
        monotonic.advance(1)
        await pilot.press("n", "3")
        await shows(pilot, "[3 Dead")
        for _ in range(6):
            await look(pilot)
            await pilot.press("r")
            await until(pilot, lambda: isinstance(app.screen, ReplayQuestion))
            assert_harmless(app)
            monotonic.advance(1)
            await pilot.press("n", "down")


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_the_second_belt_holds_without_the_first(text: str) -> None:
    """A widget of the library passes everything on; the line filter does not."""
    drawn = Scrubber().apply([Segment("before "), Segment(text), Segment(" after")], Color(0, 0, 0))

    assert not [char for segment in drawn for char in segment.text if unicodedata.category(char) in OBEYED]


async def test_the_second_belt_is_worn(app: ConsoleApp, database: Database) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await app.board.mount(Static("\x1b]0;owned\x9b2J", markup=False))
        await pilot.pause()

        assert_harmless(app)
        assert "\\x1b]0;owned\\x9b2J" in text_of(app)


def test_plain_text_and_json_are_as_harmless(
    home: Home, poisoned: sqlite3.Connection, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for option in ("--once", "--json"):
        monkeypatch.setattr("sys.argv", ["afk-console", "--home", str(home.root), option])
        assert program.main() == 0
        printed = capsys.readouterr().out

        assert not [char for char in printed if unicodedata.category(char) in OBEYED and char != "\n"]
        if option == "--json":
            assert json.loads(printed)["stop"]["by"] == STORABLE[0]
