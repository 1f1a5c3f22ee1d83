"""The log: it follows, it holds still, it is filtered and searched back to the first event that is kept."""

from __future__ import annotations

import sqlite3

import pytest
from textual.pilot import Pilot

from console.feed import LOG_LINES
from console.logbook import Run, has
from console.panes.log import LogPane
from console.seen import PAGE, LogPart, View
from console.tui import ConsoleApp, Options
from console.widgets.tail import KEEP, Tail
from runner.home import Home
from runner.snapshot import Event, Reader
from runner.store import events
from runner.store.db import Database
from runner.units import UnixMs
from tests.console.hostile import STORABLE
from tests.console.screen import flash_of, lines_of, look, shows, text_of, until
from tests.console.test_hostile import assert_harmless
from tests.factories import NOW, ManualClock, make_event, make_job

pytestmark = pytest.mark.usefixtures("live")
SIZES = [(60, 16), (80, 24), (120, 40)]
every_size = pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")


def write(database: Database, count: int, *, first: int = 0, bad: tuple[int, ...] = ()) -> None:
    """Events `event 00000` and so on, each of one of ten jobs; those named `bad` are errors."""
    with database.write() as db:
        for number in range(first, first + count):
            level = events.ERROR if number in bad else events.WARN if number % 100 == 50 else events.INFO
            text = f"event {number:05}{' broke' if number in bad else ''}"
            job = f"job-{number % 10}"
            events.record(db, now=UnixMs(NOW), level=level, event="job.step", text=text, task="digest", job=job)


def body(app: ConsoleApp) -> list[str]:
    """The lines of events that are shown."""
    return [line for line in lines_of(app)[6:-2] if line.strip()]


def title(app: ConsoleApp) -> str:
    return lines_of(app)[5]


def under_cursor(app: ConsoleApp) -> str:
    """The line with the cursor."""
    marked = [line for line in body(app) if line.startswith(">")]
    assert len(marked) == 1, "\n".join(body(app))
    return marked[0]


def tail_of(app: ConsoleApp) -> Tail:
    pane = app.board.panes[View.LOG]
    assert isinstance(pane, LogPane)
    return pane._tail


async def settled(app: ConsoleApp, pilot: Pilot[None]) -> None:
    """Wait until nothing more is wanted from the database."""
    await pilot.pause()
    await until(pilot, lambda: tail_of(app).want is None)
    await pilot.pause()


@every_size
async def test_a_reader_is_not_moved_by_whatever_comes(
    app: ConsoleApp, database: Database, size: tuple[int, int]
) -> None:
    """A thousand new events, read in parts and with some skipped: not one line moves, and they are counted."""
    write(database, 300)
    async with app.run_test(size=size) as pilot:
        await pilot.press("6")
        await shows(pilot, "event 00299")
        await pilot.press("pageup", "pageup")
        held = body(app)
        for number in range(5):
            write(database, 40, first=300 + 40 * number)
            await look(pilot)
            assert body(app) == held
        write(database, LOG_LINES + 300, first=500)
        await look(pilot)

        assert body(app) == held
        assert "held" in title(app)
        assert "300 skipped" in title(app)
        await pilot.press("f")
        await shows(pilot, "following", "event 01299")


async def test_what_is_held_stays_when_more_comes_than_is_ever_held(
    app: ConsoleApp, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(database, 120)
    async with app.run_test(size=(80, 24)) as pilot:
        tail_of(app)._keep = 100
        await pilot.press("6", "pageup", "pageup")
        await shows(pilot, "held")
        held = body(app)
        for number in range(10):
            write(database, 60, first=120 + number * 60)
            await look(pilot)
            assert body(app) == held
        newer = 720 - 1 - int(held[-1].split()[-1])

        assert f"{newer} newer" in title(app)
        assert len(tail_of(app)._run.events) <= 200


async def test_scrolling_down_again_misses_nothing_and_follows_at_the_end(app: ConsoleApp, database: Database) -> None:
    """What came while it was held, skipped and dropped parts included, is read from the database in order."""
    write(database, 60)
    async with app.run_test(size=(120, 40)) as pilot:
        tail_of(app)._keep = 100
        await pilot.press("6", "up", "up")
        write(database, LOG_LINES + 200, first=60)
        await look(pilot)
        read = [int(line.split()[-1]) for line in body(app)]
        for _ in range(60):
            await pilot.press("pagedown")
            await settled(app, pilot)
            read += [number for line in body(app) if (number := int(line.split()[-1])) > read[-1]]
            if tail_of(app).following:
                break

        assert tail_of(app).following
        assert read == list(range(read[0], 60 + LOG_LINES + 200))


async def test_it_is_read_back_to_the_first_event_that_is_kept(app: ConsoleApp, database: Database) -> None:
    """More events than the first look holds: page by page, none twice and none left out."""
    write(database, LOG_LINES + 2 * PAGE + 30)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("6")
        await shows(pilot, "following")
        read: list[int] = []
        for _ in range(200):
            read += reversed([int(line.split()[-1]) for line in body(app)])
            if 0 in read:
                break
            await pilot.press("pageup")
            await settled(app, pilot)
        numbers = [int(event.text.split()[-1]) for event in tail_of(app)._run.events]

        assert set(read) == set(range(LOG_LINES + 2 * PAGE + 30))
        assert numbers == list(range(LOG_LINES + 2 * PAGE + 30))


async def test_home_goes_to_the_first_event_and_end_back(app: ConsoleApp, database: Database) -> None:
    write(database, 3_000)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("6")
        await shows(pilot, "event 02999")
        await pilot.press("home")
        await shows(pilot, "event 00000")
        assert under_cursor(app).rstrip().endswith("event 00000")
        assert "held" in title(app)

        await pilot.press("end")
        await shows(pilot, "following", "event 02999")


@every_size
async def test_l_shows_the_worse_ones_alone_and_goes_round(
    app: ConsoleApp, database: Database, size: tuple[int, int]
) -> None:
    write(database, 1_500, bad=(7, 1_402))
    async with app.run_test(size=size) as pilot:
        await pilot.press("6")
        await shows(pilot, "event 01499")
        await pilot.press("l")
        await shows(pilot, "warnings and errors", "event 00950", "event 01402 broke")
        await pilot.press("l")
        await shows(pilot, "event 00007 broke", "event 01402 broke")
        assert " errors" in title(app)
        assert "warnings" not in title(app)
        assert len(body(app)) == 2
        write(database, 3, first=1_500, bad=(1_501,))
        await shows(pilot, "event 01501 broke")
        assert len(body(app)) == 3

        await pilot.press("l")
        await shows(pilot, "event 01502")


async def test_e_goes_from_error_to_error_through_the_whole_log(app: ConsoleApp, database: Database) -> None:
    write(database, 4_000, bad=(7, 1_402, 3_980))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("6")
        await shows(pilot, "event 03999")
        await pilot.press("e")
        assert under_cursor(app).rstrip().endswith("event 03980 broke")
        for wanted in ("01402", "00007"):
            await pilot.press("E")
            await settled(app, pilot)
            assert under_cursor(app).rstrip().endswith(f"event {wanted} broke")
        await pilot.press("E")
        await settled(app, pilot)
        assert flash_of(app) == "no older error"
        for wanted in ("01402", "03980"):
            await pilot.press("e")
            await settled(app, pilot)
            assert under_cursor(app).rstrip().endswith(f"event {wanted} broke")
        await pilot.press("e")
        await settled(app, pilot)
        assert flash_of(app) == "no newer error"
        assert under_cursor(app).rstrip().endswith("event 03980 broke")


async def test_a_jump_that_waits_for_the_database_is_dropped_by_the_next_move(
    app: ConsoleApp, home: Home, database: Database, clock: ManualClock
) -> None:
    write(database, 3_000, bad=(7,))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("6")
        await shows(pilot, "event 02999")
        home.db.rename(home.root / "elsewhere")
        await look(pilot)
        await pilot.press("e", "up", "up")
        held = body(app)
        (home.root / "elsewhere").rename(home.db)
        clock.advance(2_000)
        await shows(pilot, "the database is back")
        await settled(app, pilot)
        assert body(app) == held


async def test_the_cursor_is_never_on_a_line_that_is_not_shown(app: ConsoleApp, database: Database) -> None:
    """What it was on is left out by the level, and no worse event is at hand."""
    write(database, 2_000, bad=(7,))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("6")
        await shows(pilot, "event 01999")
        await pilot.press("up", "l", "l", "y")
        await settled(app, pilot)
        assert under_cursor(app).rstrip().endswith("event 00007 broke")
        await pilot.press("y")
        await shows(pilot, "copied job-7")
        await pilot.press("l")
        await settled(app, pilot)
        assert under_cursor(app).rstrip().endswith("event 00007 broke")
        assert any("event 00006" in line for line in body(app))


async def test_a_search_finds_what_is_not_at_hand(app: ConsoleApp, database: Database) -> None:
    write(database, 3_000)
    with database.write() as db:
        for number, text in enumerate(("100% of Straße", "100x of nothing")):
            events.record(db, now=UnixMs(NOW), level="info", event="x", text=text, job=f"rare-{number}")
    write(database, 3_000, first=3_000)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("6", "slash", *"100% OF", "enter")
        await settled(app, pilot)
        assert "100% of Straße" in under_cursor(app)
        assert "/100% OF" in title(app)
        await pilot.press("N")
        await settled(app, pilot)
        assert flash_of(app) == "no older /100% OF"

        await pilot.press("slash", *"rare-", "enter", "n")
        await settled(app, pilot)
        assert "100x of nothing" in under_cursor(app)
        await pilot.press("n")
        await settled(app, pilot)
        assert flash_of(app) == "no newer /rare-"
        await pilot.press("slash", "enter")
        await until(pilot, lambda: "/rare-" not in title(app))


async def test_in_the_search_line_letters_are_text_and_f9_kills(app: ConsoleApp, db: sqlite3.Connection) -> None:
    make_event(db, "hello")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("6")
        await shows(pilot, "hello")
        before = lines_of(app)
        await pilot.press("slash", *"ukrjqe6?", "space", "x")
        await shows(pilot, "/ ukrjqe6? x")
        assert app.board.view is View.LOG
        assert not app.seen.stopped
        assert lines_of(app)[6:-2] == before[6:-2], "the line lies on the title: nothing moves"
        await pilot.press("ctrl+w", "backspace", "backspace")
        await shows(pilot, "/ ukrjqe6")
        await pilot.press("f9")
        await until(pilot, lambda: app.seen.stopped)
        await pilot.press("escape", "escape")
        await shows(pilot, "LOG  following")


async def test_o_shows_the_job_of_the_line_alone_from_its_first_event(app: ConsoleApp, database: Database) -> None:
    write(database, 2_000)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("6")
        await shows(pilot, "event 01999")
        await pilot.press("o")
        await shows(pilot, "o shows only the job of a line: up chooses one")
        await pilot.press("up", "up", "up")
        assert under_cursor(app).rstrip().endswith("event 01997")
        await pilot.press("o")
        await settled(app, pilot)
        assert "job job-7" in title(app)
        assert {line.split()[2] for line in body(app)} == {"job-7"}
        assert under_cursor(app).rstrip().endswith("event 01997")
        await pilot.press("home")
        await settled(app, pilot)
        assert under_cursor(app).rstrip().endswith("event 00007")

        await pilot.press("o")
        await settled(app, pilot)
        assert under_cursor(app).rstrip().endswith("event 00007")
        assert any("event 00006" in line for line in body(app))
        assert "job job-7" not in title(app)


async def test_enter_opens_the_job_of_the_line_and_q_comes_back_to_it(app: ConsoleApp, db: sqlite3.Connection) -> None:
    job = make_job(db, key="triage-0001", task="triage")
    make_event(db, "about a job", job=job)
    make_event(db, "about none")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("6")
        await shows(pilot, "about none")
        await pilot.press("enter")
        await shows(pilot, "up chooses one")
        await pilot.press("up", "enter")
        await shows(pilot, "this line is about no job")
        await pilot.press("up", "enter")
        await shows(pilot, "triage-0001  triage  PENDING")
        await until(pilot, lambda: [one.id for one in app.board.pane.targets()] == [job.id])
        await pilot.press("q")
        await shows(pilot, "[6 Log]", "held")
        assert "about a job" in under_cursor(app)


def is_on(app: ConsoleApp, text: str) -> bool:
    """Whether the cursor is on this event."""
    event = tail_of(app).current
    return event is not None and event.text == text


@every_size
async def test_w_shows_a_long_line_whole(app: ConsoleApp, db: sqlite3.Connection, size: tuple[int, int]) -> None:
    """An event that is longer than the screen is scrolled through line by line."""
    words = [f"word{number:03}" for number in range(min(250, size[0] * size[1] // 8))]
    make_event(db, "before")
    make_event(db, " ".join(words))
    make_event(db, "after")
    async with app.run_test(size=size) as pilot:
        await pilot.press("6")
        await shows(pilot, "after")
        assert words[-1] not in text_of(app)
        await pilot.press("w", "up", "up")
        for key in ("up", "down"):
            read = set(text_of(app).split())
            while not (is_on(app, "before") if key == "up" else tail_of(app).following):
                await pilot.press(key)
                read |= set(text_of(app).split())
            assert set(words) <= read


async def test_hostile_events_and_searches_for_them_are_text(app: ConsoleApp, db: sqlite3.Connection) -> None:
    for text in STORABLE:
        make_event(db, text[:3_000], level="error", event=text[:300], task=text[:300])
        db.execute("UPDATE events SET job = ? WHERE id = (SELECT max(id) FROM events)", (text[:300],))
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("6", "w")
        for keys in (["home"], ["pagedown"] * 3, ["w"], ["pagedown"], ["o"], ["o"], ["end"], ["e"], ["E"], ["l", "l"]):
            await pilot.press(*keys)
            await settled(app, pilot)
            assert_harmless(app)
        pane = app.board.pane
        assert isinstance(pane, LogPane)
        for text in STORABLE:
            await pilot.press("slash")
            pane._prompt._set(text)
            await pilot.pause()
            assert_harmless(app)
            await pilot.press("enter")
            await settled(app, pilot)
            assert_harmless(app)
        assert app.is_running


async def test_the_log_works_under_readonly(home: Home, clock: ManualClock, db: sqlite3.Connection) -> None:
    app = ConsoleApp(home, clock=clock, options=Options(readonly=True))
    make_event(db, "one broke", level="error")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("6")
        await shows(pilot, "one broke")
        await pilot.press("e", "l", "slash", *"broke", "enter")
        assert "one broke" in under_cursor(app)


async def test_another_database_forgets_place_and_filter(
    app: ConsoleApp, home: Home, database: Database, clock: ManualClock
) -> None:
    write(database, 50)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("6")
        await shows(pilot, "event 00049")
        await pilot.press("up", "o")
        await shows(pilot, "job job-9")
        home.db.rename(home.root / "elsewhere")
        other = Database.open(home.db, create=True)
        make_event(other.connection, "of another home")
        other.close()
        await look(pilot)
        clock.advance(2_000)
        await shows(pilot, "of another home", "following")
        assert "job-9" not in text_of(app)


# --- the run and the database -------------------------------------------------------------------------------------


def event(id: int, text: str = "x") -> Event:
    return Event(id=id, at=UnixMs(NOW), level="info", event="e", task=None, job=None, attempt=None, text=text)


def run(since: int, upto: int, *ids: int) -> Run:
    return Run(since, upto, tuple(event(id) for id in ids))


def test_runs_touch_when_no_event_can_be_between_them() -> None:
    assert run(0, 10, 1, 10).touches(run(10, 20, 11))
    assert not run(0, 10, 1, 10).touches(run(11, 20, 12))
    assert run(0, 10, 3, 9).joined(run(5, 20, 9, 12)) == run(0, 20, 3, 9, 12)
    assert run(5, 20, 9, 12).joined(run(0, 10, 3, 9)) == run(0, 20, 3, 9, 12)
    assert run(0, 20, 3, 9, 12).joined(run(5, 10, 9)) == run(0, 20, 3, 9, 12)


def test_a_run_that_is_cut_says_what_it_no_longer_covers() -> None:
    whole = run(0, 20, 3, 9, 12)

    assert whole.newest(2) == run(3, 20, 9, 12)
    assert whole.oldest(2) == run(0, 11, 3, 9)


@pytest.mark.parametrize(
    "sought", ["100%", "1_0", "\\", "straße", "STRASSE", "Ä", "ä", "TWO", "job-x", "%", "_", "'", "漢字", "digest"]
)
def test_the_database_finds_what_is_marked(database: Database, home: Home, sought: str) -> None:
    """The search of what is at hand and that of the database agree, character by character."""
    texts = ("100% done", "1_0 a\\b", "Straße", "strasse", "Ärger", "two words", "it's", "漢字", "plain")
    with database.write() as db:
        for text in texts:
            events.record(db, now=UnixMs(NOW), level="info", event="job.step", text=text, task="digest", job="Job-X")
    reader = Reader(home)
    try:
        every = reader.events(limit=100)
        found = reader.events(limit=100, text=sought)
    finally:
        reader.close()

    assert found == tuple(one for one in every if has(one, sought))


def test_older_events_are_found_by_id_whatever_their_number(database: Database) -> None:
    for where in ("id < 5", "id < 5 AND level IN ('error') AND job = 'x'"):
        plan = "\n".join(
            row[3]
            for row in database.connection.execute(
                f"EXPLAIN QUERY PLAN {events._SELECT} WHERE {where} ORDER BY id DESC LIMIT 9"
            )
        )
        assert "rowid<?" in plan
        assert "TEMP B-TREE" not in plan


def test_the_tail_of_home_never_asks_for_more() -> None:
    from console.look import UNICODE

    tail = Tail(UNICODE, keep=KEEP)
    tail.take(LogPart(fresh=True, events=tuple(event(id) for id in range(600, 1_100))))
    tail.redraw()

    assert tail.want is None
