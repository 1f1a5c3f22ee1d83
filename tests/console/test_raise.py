"""`$` raises today's cap: amount and reason are typed, Enter only goes on, and `y` alone does it."""

from __future__ import annotations

import sqlite3

import pytest

from console.screens.raising import RaiseQuestion
from console.tui import ConsoleApp, Options
from runner.home import Home
from runner.store import leases, raises
from runner.store.raises import Raise
from runner.units import DAY_MS, MicroUsd, UnixMs
from tests.console.conftest import ManualMonotonic
from tests.console.screen import flash_of, lacks, look, shows, text_of, until
from tests.factories import NOW, ManualClock, lease_of, make_charge, make_running

pytestmark = pytest.mark.usefixtures("live")
DAY = "2030-03-17"


def standing(db: sqlite3.Connection) -> Raise | None:
    return raises.standing(db, DAY, over=MicroUsd(10_000_000))


@pytest.fixture
def parked(db: sqlite3.Connection) -> None:
    """The cap is used up and a job waits for midnight."""
    job = make_running(db)
    make_charge(db, job, cost=10_000_000)
    late = UnixMs(NOW + DAY_MS)
    leases.put_back(
        db, id=job.id, token=lease_of(job).token, not_before=late, gate="cap:day", fact="it holds", counted=False
    )


@pytest.mark.usefixtures("parked")
async def test_amount_and_reason_and_y_raise_the_cap_and_wake_what_waited(
    app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic
) -> None:
    async with app.run_test(size=(120, 24)) as pilot:
        await shows(pilot, "CAP REACHED")
        await pilot.press("$")
        await shows(pilot, "Raise today's cap until midnight?", "1 job for it", "$10.00, of it $0.00 free")
        monotonic.advance(1)
        await pilot.press(*"12.5", "enter", *"the kind release", "enter")
        await shows(pilot, "12.5", "the kind release", "y raise it")
        assert standing(db) is None
        await pilot.press("y")
        await shows(pilot, "cap raised to $12.50 until 00:00", "of $12.50", "raised until midnight")

        found = standing(db)
        assert found is not None
        assert (found.cap, found.reason) == (12_500_000, "the kind release")
        assert found.by.endswith("console")
        assert db.execute("SELECT count(*) FROM jobs WHERE waiting_gate IS NULL").fetchone() == (1,)
        await lacks(pilot, "CAP REACHED")


@pytest.mark.parametrize(
    "keys",
    [
        ("enter", "enter", "enter", "enter"),
        (*"12.5", "enter", "enter", "enter", "y"),
        (*"12.5", "enter", *"why", "enter", "enter", "enter"),
        (*"12.5", "enter", *"why", "enter", "n"),
        (*"12.5", "enter", *"why", "escape"),
        (*"10.00", "enter", *"why", "enter", "y"),
        (*"twelve", "enter", *"why", "enter", "y"),
        (*"12.5y",),
    ],
    ids=["enter", "no reason", "enter for y", "n", "escape", "not above", "no amount", "y too early"],
)
async def test_nothing_less_raises_it(
    app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic, keys: tuple[str, ...]
) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("$")
        monotonic.advance(1)
        await pilot.press(*keys)
        await look(pilot)

        assert standing(db) is None


async def test_a_line_that_does_not_do_is_told_and_can_be_mended(
    app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic
) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("$")
        monotonic.advance(1)
        await pilot.press(*"5", "enter")
        await shows(pilot, "the cap is $10.00: a raise goes above it")
        await pilot.press("backspace", *"11", "enter", "enter")
        await shows(pilot, "a raise wants a reason")
        await pilot.press(*"tonight", "enter", "y")
        await until(pilot, lambda: standing(db) is not None)


async def test_while_typing_k_is_a_letter_and_f9_kills(app: ConsoleApp, home: Home, monotonic: ManualMonotonic) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("$")
        monotonic.advance(1)
        await pilot.press(*"12", "enter", *"k")
        await look(pilot)
        assert not home.stop_set()
        await pilot.press("f9")
        await until(pilot, home.stop_set)


async def test_once_it_is_typed_k_kills_again(app: ConsoleApp, home: Home, monotonic: ManualMonotonic) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("$")
        monotonic.advance(1)
        await pilot.press(*"12", "enter", *"why", "enter", "k")
        await until(pilot, home.stop_set)


async def test_a_raise_that_is_refused_is_told(
    app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic
) -> None:
    async with app.run_test(size=(140, 24)) as pilot:
        await pilot.press("$")
        monotonic.advance(1)
        await pilot.press(*"5000", "enter", *"why", "enter", "y")
        await shows(pilot, "not raised: $5,000.00 is more than $1,000.00")

        assert standing(db) is None


async def test_read_only_raises_nothing(home: Home, clock: ManualClock, monotonic: ManualMonotonic) -> None:
    app = ConsoleApp(home, clock=clock, monotonic=monotonic, options=Options(readonly=True))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("$")
        await pilot.pause()

        assert flash_of(app) == "$ is off: started with --readonly"
        assert not isinstance(app.screen, RaiseQuestion)
        assert "$ Cap" not in text_of(app)


async def test_it_fits_the_smallest_screen(app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic) -> None:
    raises.add(db, Raise(day=DAY, cap=MicroUsd(11_000_000), reason="earlier", by="ada@cli", at=NOW))
    async with app.run_test(size=(60, 16)) as pilot:
        await pilot.press("$")
        monotonic.advance(1)
        await shows(pilot, "Raise today's cap until midnight?", "by ada@cli: earlier", "to $", "(default)")
        await pilot.press(*"12", "enter", *"why")
        await shows(pilot, "because  why", "(default)")
