"""`b` lays the breakers over any tab; one is tripped or reset by its true name, with a reason."""

from __future__ import annotations

import random
import sqlite3

import pytest
from textual.pilot import Pilot

from console.look import ASCII
from console.screens.brakes import ResetQuestion, TripQuestion
from console.tui import ConsoleApp, Options
from runner.home import Home
from runner.store import breakers, controls, leases, rate_pauses, tallies
from runner.store.breakers import BreakerState, CoolDown
from runner.units import MINUTE_MS, UnixMs
from tests.console.conftest import ManualMonotonic
from tests.console.hostile import STORABLE
from tests.console.screen import flash_of, lacks, lines_of, look, shows, text_of, until
from tests.factories import NOW, ManualClock, lease_of, make_breaker, make_running

pytestmark = pytest.mark.usefixtures("live")
SIZES = [(60, 16), (80, 24), (120, 40)]
HAIKU = "anthropic/claude-haiku-4-5"


def called(db: sqlite3.Connection, name: str = HAIKU, *, calls: int = 10, failures: int = 0) -> None:
    """Calls of a model within the last minute."""
    tallies.note(db, name, now=UnixMs(NOW - 1_000), keep_ms=MINUTE_MS, calls=calls, failures=failures)


def state(db: sqlite3.Connection, name: str = HAIKU) -> BreakerState | None:
    found = breakers.get(db, name)
    return found.state if found else None


def waiting(db: sqlite3.Connection, gate: str) -> None:
    """A job that waits for it."""
    job = make_running(db)
    token, late = lease_of(job).token, UnixMs(NOW + MINUTE_MS)
    leases.put_back(db, id=job.id, token=token, not_before=late, gate=gate, fact="it holds", counted=False)


async def tells(pilot: Pilot[None], text: str) -> None:
    """Wait until this is told, on however many lines."""
    assert isinstance(pilot.app, ConsoleApp)
    app = pilot.app
    await until(pilot, lambda: text in " ".join(text_of(app).split()))


async def opened(pilot: Pilot[None], *texts: str) -> None:
    """The pane, once it has drawn: the vitals name a breaker before it does."""
    await pilot.press("b")
    await look(pilot)
    await shows(pilot, "[Breakers]", *texts)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_what_holds_calls_back_comes_first_and_is_told_in_words(
    app: ConsoleApp, db: sqlite3.Connection, size: tuple[int, int]
) -> None:
    called(db)
    called(db, "openai/gpt-5", calls=8, failures=6)
    cool_down = CoolDown(failures=2, first_ms=30_000, longest_ms=60_000)
    for _ in range(2):
        breakers.failed(
            db, "openai/gpt-5", charge=1, reason="HTTP 503", cool_down=cool_down, now=NOW, rng=random.Random(1)
        )
    make_breaker(db, "local/llama", retry_at=None, reason="too dear")
    rate_pauses.pause(db, "groq/kimi", until=UnixMs(NOW + 90_000), reason="429: wait 90s", now=NOW)
    async with app.run_test(size=size) as pilot:
        await pilot.press("b")
        await shows(
            pilot, "[Breakers]", "local/llama", "by hand", "openai/gpt-5", "6 of 8", "in 30s", "paused", "in 1m"
        )
        await tells(pilot, "local/llama is OPEN since 17:46Z, until a person resets it; too dear")
        names = [row.strip(" >").split()[0] for row in lines_of(app)[6:] if "/" in row]
        assert names[:3] == ["local/llama", "openai/gpt-5", "groq/kimi"]
        await pilot.press("down")
        await tells(pilot, "openai/gpt-5 is OPEN since 17:46Z, for 30.4s: then one call may try; HTTP 503; 2 fail")
        await pilot.press("down")
        await tells(pilot, "groq/kimi is closed, and its rate is paused until 17:48:10Z; 429: wait 90s")


async def test_a_model_that_never_failed_is_listed_with_its_upstream(app: ConsoleApp, db: sqlite3.Connection) -> None:
    called(db)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, HAIKU, "anthropic/*", "0 of 10")


async def test_a_trial_that_is_out_is_told(app: ConsoleApp, db: sqlite3.Connection) -> None:
    make_breaker(db, state=BreakerState.HALF_OPEN)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, "HALF OPEN", "trial out", "the one call that may try is out")


async def test_nothing_called_yet(app: ConsoleApp) -> None:
    async with app.run_test(size=(60, 16)) as pilot:
        await opened(pilot, "no model was called yet")
        await pilot.press("t")
        await shows(pilot, "no breaker is listed")
        await pilot.press("e", "enter")
        assert app.is_running


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_a_breaker_is_tripped_with_a_reason_and_y(
    app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic, size: tuple[int, int]
) -> None:
    called(db)
    async with app.run_test(size=size) as pilot:
        await opened(pilot, HAIKU[:20])
        await pilot.press("down", "t")
        await shows(pilot, f"Trip {HAIKU}?", "until a person resets it")
        monotonic.advance(1)
        await pilot.press("enter")
        await shows(pilot, "a trip wants a reason")
        await pilot.press(*"bad answers", "enter")
        assert state(db) is None
        await pilot.press("y")
        await until(pilot, lambda: state(db) is BreakerState.OPEN)
        await shows(pilot, "tripped: no call to it leaves", "OPEN")

    found = breakers.get(db, HAIKU)
    assert found is not None
    assert (found.reason, found.retry_at) == ("bad answers", None)
    assert "console" in db.execute("SELECT text FROM events WHERE event = 'breaker.open'").fetchone()[0]


async def test_a_whole_upstream_is_tripped(app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic) -> None:
    called(db)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, "anthropic/*")
        await pilot.press("t")
        await shows(pilot, "Trip anthropic/*?", "no call to any model of this upstream")
        monotonic.advance(1)
        await pilot.press(*"why", "enter", "y")
        await until(pilot, lambda: state(db, "anthropic/*") is BreakerState.OPEN)

    assert state(db) is None


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_a_reset_names_what_will_flow(
    app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic, size: tuple[int, int]
) -> None:
    make_breaker(db)
    rate_pauses.pause(db, HAIKU, until=UnixMs(NOW + 90_000), reason="429: wait 90s", now=NOW)
    waiting(db, f"breaker:{HAIKU}")
    waiting(db, f"rate:{HAIKU}")
    async with app.run_test(size=size) as pilot:
        await opened(pilot, "OPEN")
        await pilot.press("e")
        await shows(
            pilot, f"Reset {HAIKU}?", "at once and without a trial", "2 jobs wait for it and will start at once"
        )
        if size[1] > 16:
            await shows(pilot, "lifted, though it was to last until 17:48:10Z", "$10.00 of today's cap is free")
        monotonic.advance(1)
        await pilot.press(*"a new key", "enter")
        assert state(db) is BreakerState.OPEN
        await pilot.press("y")
        await until(pilot, lambda: state(db) is BreakerState.CLOSED)
        await shows(pilot, "reset: calls to it may leave")

    assert rate_pauses.all_of(db, now=NOW) == []
    assert db.execute("SELECT count(*) FROM jobs WHERE waiting_gate IS NULL").fetchone() == (2,)
    assert "a new key" in db.execute("SELECT text FROM events WHERE event = 'breaker.closed'").fetchone()[0]


@pytest.mark.parametrize("keys", [("n",), ("escape",), (*"why", "enter", "n"), (*"why", "enter", "enter"), (*"whyy",)])
@pytest.mark.parametrize("act", ["t", "e"])
async def test_nothing_less_turns_it(
    app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic, act: str, keys: tuple[str, ...]
) -> None:
    make_breaker(db, reason="as it was")
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, "OPEN")
        await pilot.press(act)
        await until(pilot, lambda: isinstance(app.screen, TripQuestion | ResetQuestion))
        monotonic.advance(1)
        await pilot.press(*keys)
        await look(pilot)

    found = breakers.get(db, HAIKU)
    assert found is not None
    assert (found.state, found.reason) == (BreakerState.OPEN, "as it was")


async def test_nothing_to_reset_is_told(app: ConsoleApp, db: sqlite3.Connection) -> None:
    called(db)
    async with app.run_test(size=(100, 24)) as pilot:
        await opened(pilot, HAIKU)
        await pilot.press("down", "e")
        await shows(pilot, f"{HAIKU} is closed and nothing failed")


async def test_the_question_stays_with_its_breaker_and_tells_what_became_of_it(
    app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic
) -> None:
    """Another one comes before it in the list meanwhile, and this one is half open."""
    make_breaker(db)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, "OPEN")
        await pilot.press("e")
        await shows(pilot, f"Reset {HAIKU}?", "OPEN since")
        make_breaker(db, "aaa/first", reason="it broke")
        db.execute("UPDATE breakers SET state = 'half_open', trial = 1 WHERE name = ?", (HAIKU,))
        await look(pilot)
        await shows(pilot, "stands   HALF OPEN")
        monotonic.advance(1)
        await pilot.press(*"why", "enter", "y")
        await until(pilot, lambda: state(db) is BreakerState.CLOSED)

    assert state(db, "aaa/first") is BreakerState.OPEN


async def test_a_stop_is_named_before_a_reset(app: ConsoleApp, db: sqlite3.Connection) -> None:
    make_breaker(db)
    controls.set_stop(db, controls.STOP, reason="tea", by="ada@cli", now=NOW)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, "STOP SENT")
        await pilot.press("e")
        await shows(pilot, "nothing flows before u")


async def test_read_only_turns_none(
    home: Home, db: sqlite3.Connection, clock: ManualClock, monotonic: ManualMonotonic
) -> None:
    make_breaker(db)
    app = ConsoleApp(home, clock=clock, monotonic=monotonic, options=Options(readonly=True))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, "OPEN")
        for key in ("t", "e"):
            await pilot.press(key)
            await until(pilot, lambda key=key: flash_of(app) == f"{key} is off: started with --readonly")
        assert "Trip" not in text_of(app)

    assert state(db) is BreakerState.OPEN


async def test_ascii_is_plain(home: Home, db: sqlite3.Connection, clock: ManualClock) -> None:
    make_breaker(db)
    app = ConsoleApp(home, clock=clock, options=Options(look=ASCII))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, "OPEN")

        assert text_of(app).isascii()


async def test_a_hostile_name_is_shown_as_text_and_meant_as_it_is(
    app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic
) -> None:
    """The name of a model comes from outside; what is shown of it may be the name of another one."""
    name = "openai/\x1b[2Jgpt"
    make_breaker(db, name, reason="hostile")
    called(db, "openai/\\x1b[2Jgpt")
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, "OPEN")
        await pilot.press("e")
        await shows(pilot, "Reset openai/\\x1b[2Jgpt?")
        monotonic.advance(1)
        await pilot.press(*"why", "enter", "y")
        await until(pilot, lambda: state(db, name) is BreakerState.CLOSED)

    assert state(db, "openai/\\x1b[2Jgpt") is None


async def test_hostile_names_and_reasons_are_text(app: ConsoleApp, db: sqlite3.Connection) -> None:
    for text in STORABLE:
        make_breaker(db, text[:500], reason=text[:500])
        rate_pauses.pause(db, f"p{text[:500]}", until=UnixMs(NOW + 90_000), reason=text[:500], now=NOW)
        called(db, f"q/{text[:500]}")
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot, "OPEN")
        for _ in range(len(STORABLE) + 4):
            await pilot.press("down")
            assert "\x1b" not in text_of(app)
        for key in ("t", "e"):
            await pilot.press(key)
            await until(pilot, lambda: isinstance(app.screen, TripQuestion | ResetQuestion))
            assert "\x1b" not in text_of(app)
            app.screen.dismiss(False)
            await until(pilot, lambda: app.screen is app.board)
        assert app.is_running


async def test_what_lapses_by_itself_is_gone_although_nothing_is_written(
    app: ConsoleApp, db: sqlite3.Connection, clock: ManualClock
) -> None:
    called(db, failures=3)
    rate_pauses.pause(db, HAIKU, until=UnixMs(NOW + 90_000), reason="429: wait 90s", now=NOW)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, "paused", "3 of 10")
        clock.advance(2 * MINUTE_MS)
        await lacks(pilot, "3 of 10")
        await lacks(pilot, "429")
