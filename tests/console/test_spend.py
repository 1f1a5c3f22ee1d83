"""`m` lays the money over any tab: caps, pace, the day as a picture; and writes off a hold that stands."""

from __future__ import annotations

import json
import sqlite3

import pytest

from console.look import ASCII
from console.panes import spend
from console.panes.spend import SpendAsk
from console.screens.writeoff import WriteOffQuestion
from console.seen import View
from console.tui import ConsoleApp, Options
from console.views.spend import SpendPage
from runner.home import Home
from runner.snapshot import Reader
from runner.store import charges, controls, raises
from runner.store.db import Database
from runner.store.raises import Raise
from runner.units import HOUR_MS, MINUTE_MS, SECOND_MS, MicroUsd, UnixMs
from tests.console.conftest import ManualMonotonic
from tests.console.hostile import STORABLE
from tests.console.screen import flash_of, lacks, lines_of, look, shows, text_of, until
from tests.factories import NOW, ManualClock, make_charge, make_job

pytestmark = pytest.mark.usefixtures("live")
SIZES = [(60, 16), (80, 24), (120, 40)]


def put_caps(db: sqlite3.Connection, **tasks: int) -> None:
    """Every kind of cap."""
    values = {
        "timezone": "UTC",
        "workers": "2",
        "daily_usd": "10000000",
        "hourly_usd": "2000000",
        "rolling_24h_usd": "20000000",
        "monthly_usd": "200000000",
        "per_job_usd": "2000000",
        "task_caps": json.dumps(tasks),
    }
    controls.put_settings(db, values, now=NOW)


def stand(db: sqlite3.Connection, *, hold: int = 55_000, note: str = "the stream broke", task: str = "intake") -> int:
    """A call whose cost nobody knows."""
    charge = make_charge(db, make_job(db, task=task), hold=hold, held_at=NOW - 40 * MINUTE_MS)
    charges.let_stand(db, charge, note=note, now=NOW)
    return charge


def state(db: sqlite3.Connection, charge: int) -> str:
    found = charges.by_id(db, charge)
    assert found is not None
    return found.state


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_caps_pace_picture_and_holds_are_all_there(
    app: ConsoleApp, db: sqlite3.Connection, size: tuple[int, int]
) -> None:
    put_caps(db, digest=5_000_000)
    make_charge(db, make_job(db), cost=1_500_000, held_at=NOW - 30 * MINUTE_MS)
    make_charge(db, make_job(db), cost=2_000_000, held_at=NOW - 5 * HOUR_MS)
    stand(db, hold=50_000)
    raises.add(db, Raise(day="2030-03-17", cap=MicroUsd(12_000_000), reason="the release", by="ada@cli", at=NOW))
    async with app.run_test(size=size) as pilot:
        await pilot.press("m")
        await shows(pilot, "[Spend]", "day raised", "24 hours", "month", "$200.00", "the stream")
        seen = [text_of(app)]
        for _ in range(8):
            await pilot.press("pagedown")
            seen.append(text_of(app))
        everything = "\n".join(seen)

        for wanted in (
            "pace     $1.55 in the last hour, so the day's cap",
            "LAST 24 H  $3.550  most $2.000 in the hour from 12:00Z",
            "12:00Z",
            "now",
            "BY TASK TODAY",
            "digest",
            "BY MODEL TODAY",
            "anthropic/claude-haiku-4-5",
            "CAP OF TASK",
            "raised   to $12.00 at 17:46:40Z by ada@cli",
            "holds    1 call, $0.050; 1 stands for up to 40m, $0.050",
            "each job may cost $2.00",
            "genai-prices",
        ):
            assert wanted in everything, wanted
        assert "q Back" in text_of(app)


async def test_the_bars_stand_below_each_other(app: ConsoleApp, db: sqlite3.Connection) -> None:
    put_caps(db)
    make_charge(db, make_job(db), cost=1_000_000)
    stand(db, hold=900_000)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("m")
        await shows(pilot, "24 hours")
        rows = [row for row in lines_of(app)[6:] if "░" in row]

        assert len(rows) == 4
        assert len({row.index("█") for row in rows}) == 1
        assert all("▒" in row for row in rows)


async def test_ascii_is_plain(home: Home, db: sqlite3.Connection, clock: ManualClock) -> None:
    put_caps(db)
    make_charge(db, make_job(db), cost=1_000_000)
    app = ConsoleApp(home, clock=clock, options=Options(look=ASCII))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("m")
        await shows(pilot, "24 hours", "$1.000 |")

        assert text_of(app).isascii()


async def test_before_the_first_run_it_says_so(home: Home, clock: ManualClock, monotonic: ManualMonotonic) -> None:
    (home.root / "other").mkdir()
    other = Home(home.root / "other")
    database = Database.open(other.db, create=True)
    app = ConsoleApp(other, clock=clock, monotonic=monotonic)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("m")
        await shows(pilot, "no cap was told yet", "nothing spent", "no hold is open")
        await pilot.press("w")
        await shows(pilot, "there is nothing to write off")
    database.close()


async def test_q_and_escape_lead_back_to_where_it_was_opened(app: ConsoleApp, db: sqlite3.Connection) -> None:
    make_job(db)
    async with app.run_test(size=(80, 24)) as pilot:
        for tab in "123456":
            for leave in ("q", "escape"):
                await pilot.press(tab, "m", "b", "m", leave)
                assert app.board.view is View(tab)
        await pilot.press("2")
        await look(pilot)
        await shows(pilot, "digest-")
        await pilot.press("enter")
        await shows(pilot, "[Job]")
        await pilot.press("m", "q")
        assert app.board.view is View.JOB
        await pilot.press("q")
        assert app.board.view is View.JOBS
        await pilot.press("m", "3")
        assert app.board.view is View.DEAD
        assert app.is_running


async def test_kill_works_over_it(app: ConsoleApp, home: Home) -> None:
    async with app.run_test(size=(60, 16)) as pilot:
        await pilot.press("m", "k")
        await until(pilot, home.stop_set)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_a_standing_hold_is_written_off_with_a_reason_and_y(
    app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic, size: tuple[int, int]
) -> None:
    charge = stand(db)
    async with app.run_test(size=size) as pilot:
        await pilot.press("m")
        await shows(pilot, str(charge), "the stream")
        await pilot.press("w")
        await shows(pilot, f"Write off hold {charge} of $0.055?", "the stream broke")
        monotonic.advance(1)
        await pilot.press("enter")
        await shows(pilot, "a write-off wants a reason")
        await pilot.press(*"never billed", "enter")
        await shows(pilot, "y write it off")
        assert state(db, charge) == "held"
        await pilot.press("y")
        await until(pilot, lambda: state(db, charge) == "released")
        await shows(pilot, f"hold {charge} of $0.055 written off", "gone")

    event = db.execute("SELECT text FROM events WHERE event = 'hold.written_off'").fetchone()
    assert "never billed" in event[0]
    assert "console" in event[0]


@pytest.mark.parametrize("keys", [("n",), ("escape",), (*"why", "enter", "n"), (*"why", "enter", "enter"), (*"whyy",)])
async def test_nothing_less_writes_it_off(
    app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic, keys: tuple[str, ...]
) -> None:
    charge = stand(db)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("m")
        await shows(pilot, "the stream")
        await pilot.press("w")
        await shows(pilot, "Write off hold")
        monotonic.advance(1)
        await pilot.press(*keys)
        await look(pilot)

        assert state(db, charge) == "held"


async def test_the_hold_under_the_cursor_is_the_one_meant(
    app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic
) -> None:
    """A newer one arrives above it while the question is open: the question is still about the same."""
    first, second = stand(db), stand(db)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("m")
        await shows(pilot, f">       {second} ")
        await pilot.press("h", "down")
        await shows(pilot, f">       {first} ")
        await pilot.press("w")
        await shows(pilot, f"Write off hold {first} ")
        third = stand(db)
        await look(pilot)
        monotonic.advance(1)
        await pilot.press(*"why", "enter", "y")
        await until(pilot, lambda: state(db, first) == "released")

    assert [state(db, one) for one in (second, third)] == ["held", "held"]


async def test_a_hold_that_ended_meanwhile_is_told(
    app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic
) -> None:
    charge = stand(db)
    async with app.run_test(size=(100, 24)) as pilot:
        await pilot.press("m")
        await shows(pilot, "the stream")
        await pilot.press("w")
        await shows(pilot, "Write off hold")
        charges.settle(db, charge, cost=MicroUsd(3), usage="{}", now=NOW)
        await look(pilot)
        await shows(pilot, "it holds nothing any more")
        monotonic.advance(1)
        await pilot.press(*"why", "enter", "y")
        await until(pilot, lambda: "holds nothing any more" in flash_of(app))

    assert state(db, charge) == "settled"


async def test_a_call_in_flight_is_not_written_off(app: ConsoleApp, db: sqlite3.Connection) -> None:
    charge = make_charge(db, make_job(db))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("m")
        await shows(pilot, "in flight")
        await pilot.press("w")
        await shows(pilot, f"hold {charge} is of a call in flight")

        assert not isinstance(app.screen, WriteOffQuestion)


async def test_those_that_stand_come_before_those_in_flight(app: ConsoleApp, db: sqlite3.Connection) -> None:
    old = stand(db)
    new = make_charge(db, make_job(db))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("m")
        await shows(pilot, "in flight")
        rows = [row.strip(" >").split()[0] for row in lines_of(app) if "stream" in row or "in flight" in row]

        assert rows == [str(old), str(new)]


async def test_read_only_writes_nothing_off(
    home: Home, db: sqlite3.Connection, clock: ManualClock, monotonic: ManualMonotonic
) -> None:
    charge = stand(db)
    app = ConsoleApp(home, clock=clock, monotonic=monotonic, options=Options(readonly=True))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("m")
        await shows(pilot, "the stream")
        await pilot.press("w")
        await shows(pilot, "w is off: started with --readonly")
        assert "Write off" not in text_of(app)

    assert state(db, charge) == "held"


async def test_hostile_names_are_text(app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic) -> None:
    put_caps(db, **{text[:200]: 1_000_000 for text in STORABLE})
    for text in STORABLE:
        job = make_job(db, task=text[:500])
        charges.let_stand(db, make_charge(db, job, hold=1_000, model=text[:500]), note=text[:500], now=NOW)
        make_charge(db, job, cost=2_000, model=text[:500], upstream=text[:500])
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("m")
        await shows(pilot, "24 hours")
        for _ in range(5):
            await pilot.press("pagedown")
            assert "\x1b" not in text_of(app)
        await pilot.press("h", "end", "w")
        await shows(pilot, "Write off hold")
        assert "\x1b" not in text_of(app)
        assert app.is_running


async def test_another_database_is_read_anew(
    app: ConsoleApp, home: Home, db: sqlite3.Connection, clock: ManualClock
) -> None:
    make_charge(db, make_job(db), cost=1_500_000)
    fresh = Database.open(home.root / "new.db", create=True)
    make_charge(fresh.connection, make_job(fresh.connection), cost=250_000)
    fresh.close()
    async with app.run_test(size=(100, 24)) as pilot:
        await pilot.press("m")
        await shows(pilot, "LAST 24 H  $1.500")
        for end in ("-wal", "-shm"):
            home.root.joinpath(f"{home.db.name}{end}").unlink(missing_ok=True)
        (home.root / "new.db").replace(home.db)
        await shows(pilot, "DATABASE REPLACED", "DATA AS OF 17:46:40Z", "queued 1?")
        clock.advance(2 * SECOND_MS)
        await shows(pilot, "LAST 24 H  $0.250")
        await lacks(pilot, "$1.500")


def test_with_very_many_calls_the_caps_are_read_once_a_minute(
    home: Home, db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_caps(db)
    make_charge(db, make_job(db), cost=1_000_000)
    monkeypatch.setattr(spend, "MANY_CALLS", 0)
    reader = Reader(home)
    ask = SpendAsk()

    def spent(at: int) -> tuple[int, int]:
        page = ask.read(reader, now=UnixMs(at))
        assert isinstance(page, SpendPage)
        day = page.caps[0].spent
        assert day is not None
        return day.settled, page.caps_at

    assert spent(NOW) == (1_000_000, NOW)
    make_charge(db, make_job(db), cost=500_000)
    assert spent(NOW + 59 * SECOND_MS) == (1_000_000, NOW)
    assert spent(NOW + MINUTE_MS) == (1_500_000, NOW + MINUTE_MS)
    make_charge(db, make_job(db), cost=500_000)
    monkeypatch.setattr(spend, "MANY_CALLS", 1_000)
    assert spent(NOW + MINUTE_MS + 1)[0] == 2_000_000
    reader.close()


async def test_caps_read_a_while_ago_say_when(
    app: ConsoleApp, db: sqlite3.Connection, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_caps(db)
    make_charge(db, make_job(db), cost=1_000_000)
    monkeypatch.setattr(spend, "MANY_CALLS", 0)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("m")
        await shows(pilot, "24 hours")
        assert "as of" not in text_of(app)
        clock.advance(30 * SECOND_MS)
        make_charge(db, make_job(db), cost=1_000)
        await look(pilot)
        await shows(pilot, "caps     as of 17:46:40Z")


async def test_an_idle_hour_frees_the_cap_of_an_hour(
    app: ConsoleApp, db: sqlite3.Connection, clock: ManualClock
) -> None:
    """Nothing is written meanwhile, and still the windows of time move on."""
    put_caps(db)
    make_charge(db, make_job(db), cost=1_500_000)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("m")
        await shows(pilot, "hour              $1.50", "in the hour from 17:00Z")
        clock.advance(HOUR_MS + 1)
        await shows(pilot, "hour             $0.00?", "in the hour from 17:00Z", "19:00Z")


async def test_enter_opens_the_job_of_a_hold_and_every_way_back_comes_to_an_end(
    app: ConsoleApp, db: sqlite3.Connection
) -> None:
    stand(db)
    key = db.execute("SELECT key FROM jobs").fetchone()[0]
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2", "m")
        await shows(pilot, "the stream")
        await pilot.press("h", "enter")
        await shows(pilot, "[Job]", key)
        await pilot.press("m", "b", "m")
        await pilot.press("q")
        assert app.board.view is View.JOB
        await pilot.press("q")
        assert app.board.view is View.JOBS
        await pilot.press("m", "h", "enter")
        await until(pilot, lambda: app.board.view is View.JOB)
        await pilot.press("q")
        assert app.board.view is View.SPEND
        await pilot.press("q")
        assert app.board.view is View.JOBS


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_no_amount_is_cut(app: ConsoleApp, db: sqlite3.Connection, size: tuple[int, int]) -> None:
    controls.put_settings(db, {"timezone": "UTC", "daily_usd": str(900_000_000_000), "workers": "2"}, now=NOW)
    make_charge(db, make_job(db), cost=123_456_780_000)
    async with app.run_test(size=size) as pilot:
        await pilot.press("m")
        await shows(pilot, "$123k", "$900k", "$777k")
