"""`i` lays the report over any tab: what happened and was earned, and the incidents, to be noted on and closed."""

from __future__ import annotations

import json
import sqlite3

import pytest

from console.look import ASCII
from console.screens.incident import CloseQuestion
from console.seen import View
from console.tui import ConsoleApp, Options
from runner import telling
from runner.home import Home
from runner.snapshot import JobStatus
from runner.store import controls, drills, incidents
from runner.store.incidents import Incident
from runner.units import DAY_MS, MINUTE_MS, UnixMs
from tests.console.conftest import ManualMonotonic
from tests.console.hostile import STORABLE
from tests.console.screen import flash_of, lines_of, look, shows, text_of, until
from tests.console.test_hostile import assert_harmless
from tests.factories import NOW, ManualClock, make_charge, make_event, make_job, make_schedule

pytestmark = pytest.mark.usefixtures("live")
SIZES = [(60, 16), (80, 24), (120, 40)]


def trouble(db: sqlite3.Connection, text: str = "a/b is open", *, key: str = "breaker:a/b") -> int:
    """An open incident; its id."""
    telling.tell(db, key=key, level="error", text=text, now=UnixMs(NOW - 5 * MINUTE_MS))
    return incidents.still_open(db, limit=1)[0].id


def one(db: sqlite3.Connection, id: int) -> Incident:
    found = incidents.get(db, id)
    assert found is not None
    return found


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_what_happened_and_what_it_was_worth_is_all_there(
    app: ConsoleApp, db: sqlite3.Connection, size: tuple[int, int]
) -> None:
    told = {"timezone": "UTC", "daily_usd": "10000000", "report_rate": "60000000"}
    controls.put_settings(db, {**told, "hours_saved": json.dumps({"digest": "0.5"})}, now=NOW)
    job = make_job(db, status=JobStatus.DONE)
    make_charge(db, job, cost=1_500_000)
    make_job(db, task="triage", status=JobStatus.HALTED, error="no")
    make_schedule(db, last_slot=NOW - MINUTE_MS, skipped="the runner was stopped")
    make_event(db, "stopped by ada", event="stop.set", level="warn")
    drills.proven(db, "stop", by="ada@cli", version="1", now=UnixMs(NOW - 40 * DAY_MS))
    trouble(db)
    async with app.run_test(size=size) as pilot:
        await pilot.press("i")
        await shows(pilot, "[Report]", "REPORT", "a/b is open")
        seen = [text_of(app)]
        for _ in range(12):
            await pilot.press("pagedown")
            seen.append(text_of(app))
        everything = "\n".join(seen)

        for wanted in (
            "2 days  2030-03-16 00:00 to 2030-03-17 17:46",
            "earned   $28.50",
            "2 endings of jobs, $1.50 spent or held",
            "! 1 incident is open: each wants a cause and a fix",
            "2030-03-17",
            "2030-03-16",
            "OUTCOME",
            "halted",
            "digest",
            "1 slot of digest: the runner was stopped",
            "1 stop",
            "stop.set",
            "proven 40 days ago",
            "never proven",
        ):
            assert wanted in everything, wanted
        assert "q Back" in text_of(app)


async def test_ascii_is_plain(home: Home, db: sqlite3.Connection, clock: ManualClock) -> None:
    trouble(db)
    app = ConsoleApp(home, clock=clock, options=Options(look=ASCII))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("i")
        await shows(pilot, "REPORT")

        assert text_of(app).isascii()


async def test_home_leads_to_open_incidents(app: ConsoleApp, db: sqlite3.Connection) -> None:
    trouble(db)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "1 incident is open: cause and fix? [i]")


async def test_d_shows_more_days(app: ConsoleApp, db: sqlite3.Connection) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("i")
        for days in ("2 days", "7 days", "30 days", "2 days"):
            await shows(pilot, f"REPORT   {days}")
            await pilot.press("d")


async def test_q_leads_back_and_one_overlay_takes_the_place_of_the_other(
    app: ConsoleApp, db: sqlite3.Connection
) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        for tab in "16":
            await pilot.press(tab, "m", "i", "q")
            assert app.board.view is View(tab)


async def test_kill_works_over_it(app: ConsoleApp, home: Home) -> None:
    async with app.run_test(size=(60, 16)) as pilot:
        await pilot.press("i", "k")
        await until(pilot, home.stop_set)


@pytest.mark.parametrize("size", SIZES[::2], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_an_incident_is_closed_with_its_cause_and_its_fix(
    app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic, size: tuple[int, int]
) -> None:
    id = trouble(db)
    async with app.run_test(size=size) as pilot:
        await pilot.press("i")
        await shows(pilot, "a/b is open", "holds")
        await pilot.press("x")
        await shows(pilot, f"Close incident {id}?", "stands   still holds")
        monotonic.advance(1)
        await pilot.press("enter")
        await shows(pilot, "the cause wants words")
        await pilot.press(*"an old key", "enter", *"a new key", "enter")
        await shows(pilot, "y close it for good")
        assert one(db, id).closed_at is None
        await pilot.press("y")
        await until(pilot, lambda: one(db, id).closed_at is not None)
        await shows(pilot, f"incident {id} closed, with its cause and its fix")

    closed = one(db, id)
    assert (closed.cause, closed.fix) == ("an old key", "a new key")
    assert "console" in (closed.closed_by or "")


@pytest.mark.parametrize("keys", [("escape",), (*"why", "enter", *"so", "enter", "enter", "n")])
async def test_nothing_less_closes_it(
    app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic, keys: tuple[str, ...]
) -> None:
    id = trouble(db)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("i")
        await shows(pilot, "holds")
        await pilot.press("x")
        await shows(pilot, "Close incident")
        monotonic.advance(1)
        await pilot.press(*keys)
        await look(pilot)

    assert one(db, id).closed_at is None


async def test_a_note_goes_into_its_journal(
    app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic
) -> None:
    id = trouble(db)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("i")
        await shows(pilot, "holds")
        await pilot.press("n")
        await shows(pilot, f"Note on incident {id}?")
        monotonic.advance(1)
        await pilot.press(*"asked them", "enter", "y")
        await until(pilot, lambda: incidents.notes(db, id))

    (note,) = incidents.notes(db, id)
    assert note.text == "asked them"


async def test_the_one_under_the_cursor_is_the_one_meant(
    app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic
) -> None:
    """A newer one arrives above it while the question is open: the question is still about the same."""
    first, second = trouble(db, key="breaker:a/b"), trouble(db, key="breaker:c/d")
    async with app.run_test(size=(100, 24)) as pilot:
        await pilot.press("i")
        await shows(pilot, "breaker:a/b", "breaker:c/d")
        await pilot.press("h", "down", "x")
        await shows(pilot, f"Close incident {first}?")
        third = trouble(db, key="breaker:e/f")
        await look(pilot)
        monotonic.advance(1)
        await pilot.press(*"why", "enter", *"so", "enter", "y")
        await until(pilot, lambda: one(db, first).closed_at is not None)

    assert [one(db, id).closed_at for id in (second, third)] == [None, None]


async def test_one_that_somebody_else_closed_meanwhile_is_told(
    app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic
) -> None:
    id = trouble(db)
    async with app.run_test(size=(100, 24)) as pilot:
        await pilot.press("i")
        await shows(pilot, "holds")
        await pilot.press("x")
        await shows(pilot, "Close incident")
        incidents.close(db, id, cause="theirs", fix="theirs", by="bob@cli", now=NOW)
        await look(pilot)
        await shows(pilot, "somebody else has closed it")
        monotonic.advance(1)
        await pilot.press(*"why", "enter", *"so", "enter", "y")
        await until(pilot, lambda: "was closed by bob@cli" in flash_of(app))

    assert one(db, id).cause == "theirs"


async def test_where_nothing_is_open_nothing_is_asked(app: ConsoleApp, db: sqlite3.Connection) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("i")
        await shows(pilot, "no incident is open", "NEEDS YOU  nothing")
        for key in ("x", "n"):
            await pilot.press(key)
            await shows(pilot, "no incident is open here")
        await pilot.press("h")
        await shows(pilot, "no incident is open: the arrows go on moving the text")
        assert not isinstance(app.screen, CloseQuestion)


async def test_read_only_closes_nothing(
    home: Home, db: sqlite3.Connection, clock: ManualClock, monotonic: ManualMonotonic
) -> None:
    id = trouble(db)
    app = ConsoleApp(home, clock=clock, monotonic=monotonic, options=Options(readonly=True))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("i")
        await shows(pilot, "holds")
        for key in ("x", "n"):
            await pilot.press(key)
            await shows(pilot, f"{key} is off: started with --readonly")
        assert "Close" not in lines_of(app)[-1]

    assert one(db, id).closed_at is None


async def test_hostile_words_are_text(app: ConsoleApp, db: sqlite3.Connection) -> None:
    for number, text in enumerate(STORABLE):
        trouble(db, text[:500], key=f"{number:02}{text[:100]}")
        make_job(db, task=f"{number:02}{text[:200]}", status=JobStatus.HALTED)
        make_schedule(db, f"{number:02}{text[:100]}", last_slot=NOW - 1, skipped=text[:300])
        make_event(db, text[:500], event="stop.set", level="warn")
        drills.failed(db, "cap", fault=text[:300], now=NOW)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("i")
        await shows(pilot, "REPORT")
        for _ in range(5):
            await pilot.press("pagedown")
            await pilot.pause()
            assert_harmless(app)
        await pilot.press("h", "end", "x")
        await shows(pilot, "Close incident")
        assert_harmless(app)
        assert app.is_running


async def test_the_minutes_go_by_although_nothing_is_written(
    app: ConsoleApp, db: sqlite3.Connection, clock: ManualClock
) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("i")
        await shows(pilot, "to 2030-03-17 17:46")
        clock.advance(3 * MINUTE_MS)
        await shows(pilot, "to 2030-03-17 17:49")
