"""One job: its story, its texts, what it prints; the place a reader has in it; and copying its key."""

from __future__ import annotations

import base64
import re
import sqlite3

import pytest

from console.messages import RowChosen
from console.output import COPIED, MOST_QUEUED
from console.screens.cancel import CancelQuestion
from console.seen import View
from console.tui import ConsoleApp, Options
from console.widgets.text import Text
from runner.home import Home
from runner.snapshot import JobStatus
from runner.snapshot.printed import MOST
from runner.store import drafts
from runner.store.attempts import Outcome
from runner.store.db import Database
from runner.store.drafts import NewDraft
from runner.store.jobs import Job
from runner.units import MINUTE_MS, UnixMs
from tests.console.conftest import ManualMonotonic
from tests.console.hostile import STORABLE
from tests.console.screen import lines_of, look, shows, text_of, until
from tests.console.terminals import on_a_terminal
from tests.console.test_hostile import assert_harmless
from tests.factories import NOW, ManualClock, make_attempt, make_charge, make_event, make_job, make_running, make_step

SIZES = [(60, 16), (80, 24), (120, 40)]
every_size = pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")


def full(db: sqlite3.Connection, home: Home) -> Job:
    """A job with everything a job can have."""
    queued = NOW - 20 * MINUTE_MS
    job = make_job(
        db,
        key="research-7",
        task="research",
        status=JobStatus.DEAD,
        attempts=2,
        created_at=queued,
        finished_at=queued + 130_000,
        payload={f"field {number}": "x" * 30 for number in range(40)},
        result={f"found {number}": "y" * 30 for number in range(40)},
        error="TimeoutError: 504",
    )
    make_attempt(db, job, n=1, started_at=queued + 2_000, lasted_ms=340, error="ConnectError: refused")
    make_attempt(db, job, n=2, started_at=queued + 70_000, lasted_ms=60_000, outcome=Outcome.DEAD, error="504")
    make_charge(db, job, cost=113_000, n=2)
    make_step(db, job, name="fetch", result=["one"])
    found = [
        {"criterion": "names a source", "met": True, "reason": "it names two"},
        {"criterion": "is short", "met": False, "reason": "it has 4,000 words"},
    ]
    make_step(db, job, name="verdict 1", result=found)
    new = NewDraft(
        job_id=job.id,
        job=job.key,
        task=job.task,
        n=2,
        name="send",
        performs="mail",
        payload="{}",
        priority=0,
        max_attempts=1,
        summary="mail to 41 people",
    )
    drafts.add(db, new, now=UnixMs(NOW))
    home.attempt_file(job.id, 2).write_text("".join(f"printed {number}\n" for number in range(30)))
    return job


@pytest.mark.usefixtures("live")
@every_size
async def test_every_part_of_a_job_is_reached_by_tab(
    app: ConsoleApp, home: Home, db: sqlite3.Connection, size: tuple[int, int]
) -> None:
    job = full(db, home)
    async with app.run_test(size=size) as pilot:
        app.board.post_message(RowChosen(job.id))
        await shows(pilot, "research-7  research  DEAD", "is dead since")
        for text in (
            "TIMELINE  2m10s in all",
            "ATTEMPTS  2 of 4 counted, 2 starts",
            "ERROR",
            "CRITERIA  1 of 2 met by its newest answer",
            "DRAFTS",
            "STEPS  2 recorded steps",
            "PAYLOAD",
            "RESULT",
        ):
            await pilot.press("tab")
            assert lines_of(app)[5].strip().startswith(text)
        await pilot.press("tab", "end")
        assert "printed 29" in text_of(app)
        for _ in range(4):
            await pilot.press("shift+tab")
            if lines_of(app)[5].strip() == "PAYLOAD":
                break
        assert lines_of(app)[5].strip() == "PAYLOAD"


@pytest.mark.usefixtures("live")
async def test_the_story_of_a_job_says_what_happened_when(app: ConsoleApp, home: Home, db: sqlite3.Connection) -> None:
    job = full(db, home)
    async with app.run_test(size=(120, 40)) as pilot:
        app.board.post_message(RowChosen(job.id))
        await shows(pilot, "TIMELINE")
        await pilot.press("tab")
        await pilot.pause()
        story = [line.strip() for line in lines_of(app)[6:11]]

        assert story == [
            "17:26:40Z    queued",
            "17:26:42Z    start 1    after 2.0s",
            "17:26:42Z    failed     340ms",
            "17:27:50Z    start 2    after 1m07s",
            "17:28:50Z    dead       1m00s     $0.113",
        ]
        text = text_of(app)
        assert "met   names a source" in text
        assert "UNMET is short" in text
        assert "it has 4,000 words" in text
        assert "verdict 1: 1 of 2 criteria met" in text
        assert "1 WAITING  send performs mail" in text
        assert "mail to 41 people" in text
        await pilot.press("end")
        assert f"{home.attempt_file(job.id, 2)}"[-40:] in text_of(app).replace("\n", "")


@pytest.mark.usefixtures("live")
@every_size
async def test_a_text_keeps_its_place_while_the_job_goes_on(
    app: ConsoleApp, db: sqlite3.Connection, size: tuple[int, int]
) -> None:
    """Attempts, steps and events come above what is read; what is read stays where it is."""
    job = make_job(db, key="long", payload={f"field {number}": "x" * 30 for number in range(400)})
    async with app.run_test(size=size) as pilot:
        app.board.post_message(RowChosen(job.id))
        await shows(pilot, "TIMELINE")
        await pilot.press("tab", "tab", "tab", "tab", "pagedown", "pagedown", "down")
        held = lines_of(app)[5:-3]
        assert "field" in held[0]
        for n in range(1, 9):
            make_attempt(db, job, n=n, error="it broke\nin two lines", tail=f"tail {n}")
            make_step(db, job, name=f"step {n}", result=[n])
            make_event(db, "something happened", job=job)
            await look(pilot)
            assert lines_of(app)[5:-3] == held
        await pilot.press("shift+tab", "shift+tab", "shift+tab")
        await shows(pilot, "ATTEMPTS  0 of 4 counted, 8 starts")


@pytest.mark.usefixtures("live")
async def test_what_a_job_prints_is_shown_while_it_runs(
    app: ConsoleApp, home: Home, db: sqlite3.Connection, clock: ManualClock
) -> None:
    """Nothing is committed by printing. End follows; a reader elsewhere is not moved."""
    job = make_running(db, key="talks")
    file = home.attempt_file(job.id, job.starts)
    file.write_text("first words\n")
    async with app.run_test(size=(80, 24)) as pilot:
        app.board.post_message(RowChosen(job.id))
        await shows(pilot, "TIMELINE")
        await pilot.press("end")
        await shows(pilot, "OUTPUT", "first words")
        await pilot.press("home")
        file.write_text("".join(f"word {number}\n" for number in range(5_000)))
        clock.advance(2_000)
        await look(pilot)
        await pilot.press("end")
        await shows(pilot, "word 4999")
        with file.open("a") as more:
            more.write("and more\n")
        clock.advance(2_000)
        await shows(pilot, "and more")

        await pilot.press("pageup", "pageup", "pageup")
        held = lines_of(app)[5:-3]
        with file.open("a") as more:
            more.write("".join(f"later {number}\n" for number in range(40)))
        clock.advance(2_000)
        await look(pilot)
        await look(pilot)
        assert lines_of(app)[5:-3] == held


@pytest.mark.usefixtures("live")
async def test_only_the_end_of_a_long_output_is_read(app: ConsoleApp, home: Home, db: sqlite3.Connection) -> None:
    job = make_job(db, key="prints", status=JobStatus.DONE)
    make_attempt(db, job, outcome=Outcome.DONE)
    home.attempt_file(job.id, 1).write_bytes(b"start " + b"\xff" * MOST + b"\nlast line\n")
    async with app.run_test(size=(80, 24)) as pilot:
        app.board.post_message(RowChosen(job.id))
        await shows(pilot, "TIMELINE")
        await pilot.press("end")
        await shows(pilot, "of start 1, the end of 16,017 bytes", "last line")
        assert "start \\" not in text_of(app)


@pytest.mark.usefixtures("live")
async def test_a_file_that_is_none_is_not_read(app: ConsoleApp, home: Home, db: sqlite3.Connection) -> None:
    """A link laid there by a payload leads nowhere."""
    job = make_job(db, key="sly", status=JobStatus.DONE)
    make_attempt(db, job, outcome=Outcome.DONE, tail="from the row")
    (home.root / "secret").write_text("the secret")
    home.attempt_file(job.id, 1).symlink_to(home.root / "secret")
    async with app.run_test(size=(80, 24)) as pilot:
        app.board.post_message(RowChosen(job.id))
        await shows(pilot, "TIMELINE")
        await pilot.press("tab", "tab")
        await shows(pilot, "from the row")
        await pilot.press("end")
        assert "the secret" not in text_of(app)
        assert "OUTPUT" not in text_of(app)


@pytest.mark.usefixtures("live")
@every_size
async def test_x_asks_and_cancels_the_job_that_is_open(
    app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic, size: tuple[int, int]
) -> None:
    job = make_job(db, key="unwanted")

    def status() -> str:
        return str(db.execute("SELECT status FROM jobs WHERE id = ?", (job.id,)).fetchone()[0])

    async with app.run_test(size=size) as pilot:
        app.board.post_message(RowChosen(job.id))
        await shows(pilot, "unwanted", "TIMELINE")
        for key, said in (("n", "left as it was"), ("y", "unwanted cancelled")):
            await pilot.press("x")
            await until(pilot, lambda: isinstance(app.screen, CancelQuestion))
            await shows(pilot, "Cancel unwanted?")
            assert status() == "pending"
            monotonic.advance(1)
            await pilot.press(key)
            await shows(pilot, said)
        await shows(pilot, "CANCELLED")
        assert status() == "cancelled"
        await pilot.press("x")
        await shows(pilot, "unwanted is cancelled already")


async def test_a_readonly_console_shows_a_job_copies_its_key_and_cancels_nothing(
    home: Home, db: sqlite3.Connection, live: None, clock: ManualClock, monotonic: ManualMonotonic
) -> None:
    job = make_job(db, key="looked-at")
    app = ConsoleApp(home, clock=clock, monotonic=monotonic, options=Options(readonly=True))
    async with app.run_test(size=(80, 24)) as pilot:
        app.board.post_message(RowChosen(job.id))
        await shows(pilot, "looked-at", "TIMELINE")
        await pilot.press("x")
        await shows(pilot, "x is off: started with --readonly")
        await pilot.press("y")
        await shows(pilot, "copied looked-at")
        assert app.clipboard == "looked-at"


# --- copying ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("live")
@every_size
async def test_y_copies_the_key_under_the_cursor_in_every_list(
    app: ConsoleApp, db: sqlite3.Connection, size: tuple[int, int]
) -> None:
    pending = make_job(db, key="pending-1")
    make_job(db, key="dead-1", status=JobStatus.DEAD)
    make_running(db, key="running-1")
    make_event(db, "about it", job=pending)
    async with app.run_test(size=size) as pilot:
        for view, shown, keys, copied in (
            ("1", "running-1", [], "running-1"),
            ("2", "dead-1", ["down", "down"], "pending-1"),
            ("3", "ValueError", ["down", "down"], "dead-1"),
            ("6", "about it", ["up"], "pending-1"),
        ):
            await pilot.press(view)
            await shows(pilot, shown)
            await pilot.press(*keys, "y")
            await shows(pilot, f"copied {copied}")
            assert app.clipboard == copied
        await pilot.press("end", "y")
        await shows(pilot, "there is none")


@pytest.mark.usefixtures("live")
async def test_marked_keys_are_copied_together(app: ConsoleApp, db: sqlite3.Connection) -> None:
    for number in range(3):
        make_job(db, key=f"job-{number}")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2")
        await shows(pilot, "job-0")
        await pilot.press("space", "space", "y")
        await shows(pilot, "copied 2 keys")
        assert app.clipboard.split() == ["job-2", "job-1"]


@pytest.mark.usefixtures("live")
async def test_a_terminal_that_does_not_keep_up_is_sent_no_copy(
    app: ConsoleApp, db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write would wait for it, and `k` with it."""
    job = make_job(db, key="wanted")
    async with app.run_test(size=(80, 24)) as pilot:
        app.board.post_message(RowChosen(job.id))
        await shows(pilot, "TIMELINE")
        monkeypatch.setattr(app, "_queued", lambda: MOST_QUEUED)
        await pilot.press("y")
        await shows(pilot, "not copied: the terminal does not keep up")
        assert app.clipboard == ""


@pytest.mark.usefixtures("live")
async def test_hostile_texts_are_copied_as_text_and_cut(app: ConsoleApp) -> None:
    async with app.run_test(size=(80, 24)):
        for text in STORABLE:
            app.copy_to_clipboard(text)
            assert len(app.clipboard) <= 4 * COPIED + 1 or len(text) < COPIED
            assert all(char == "\n" or char.isprintable() for char in app.clipboard)


def test_the_terminal_gets_a_copy_in_base64_and_nothing_else(home: Home, database: Database) -> None:
    """Of a key that is itself a sequence for the clipboard no byte arrives as such."""
    hostile = "a\x1b]52;c;b3duZWQ=\x07b"
    make_job(database.connection, key=hostile)
    with on_a_terminal("--home", str(home.root), size=(120, 40)) as tty:
        tty.read_until(b"Quit")
        tty.press(b"2")
        tty.read_until(b"52;c;b3duZWQ=")
        tty.press_until(b"y", b"copied")
        tty.press(b"q")
        tty.read_until(b"the runner goes on")
    sent = re.findall(rb"\x1b\]52;([^\x07\x1b]*)(\x07|\x1b\\)", tty.output)

    assert set(sent) == {(b"c;" + base64.b64encode(b"a\\x1b]52;c;b3duZWQ=\\x07b"), b"\x07")}
    assert tty.output.count(b"\x1b]52") == len(sent), "and no other, however often it was pressed"


# --- hostile ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("live")
async def test_what_hostile_jobs_print_and_draft_is_text(app: ConsoleApp, home: Home, db: sqlite3.Connection) -> None:
    for number, text in enumerate(STORABLE):
        job = make_job(db, key=f"{number:02}{text[:100]}", task=text[:100], status=JobStatus.DEAD, error=text[:3_000])
        make_attempt(db, job, error=text[:3_000], tail=text[:3_000])
        found = [{"criterion": text[:300], "met": False, "reason": text[:300]}]
        make_step(db, job, name="verdict 1", result=found)
        make_step(db, job, name="turn 1", result={"content": [{"type": "text", "text": text[:3_000]}]})
        new = NewDraft(
            job_id=job.id,
            job=job.key,
            task=job.task,
            n=1,
            name=text[:300],
            performs=text[:300],
            payload="{}",
            priority=0,
            max_attempts=1,
            summary=text[:300],
        )
        drafts.add(db, new, now=UnixMs(NOW))
        home.attempt_file(job.id, 1).write_bytes(text[:30_000].encode() + b"\xff\xfe\n\x1b[2J")
    ids = [int(row[0]) for row in db.execute("SELECT id FROM jobs")]
    async with app.run_test(size=(100, 60)) as pilot:
        for id in ids:
            app.board.post_message(RowChosen(id))
            await look(pilot)
            await until(pilot, lambda: len(app.board.pane.targets()) == 1)
            assert [job.id for job in app.board.pane.targets()] == [id]
            assert "TIMELINE" in text_of(app)
            assert_harmless(app)
            await pilot.press("end")
            assert_harmless(app)
            await pilot.press("y")
            assert_harmless(app)
        assert app.board.view is View.JOB


@pytest.mark.usefixtures("live")
async def test_a_place_in_a_text_is_found_again_by_its_lines(app: ConsoleApp) -> None:
    """Lines come above it in its own section: it is not the number of the line that is kept."""
    from console.line import line

    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("question_mark")
        await shows(pilot, "ACTS")
        text = app.screen.query_one(Text)
        lines = tuple(line(f"line {number}") for number in range(200))
        text.show(lines, sections=(("A", 0), ("B", 100)), from_top=True)
        text.action_section(1)
        text.action_scroll(10)
        assert text.lines[0] == line("line 110")
        more = (*lines[:50], *[line("new")] * 70, *lines[50:105], *[line("new")] * 5, *lines[105:])
        text.show(more, sections=(("A", 0), ("B", 170)))
        assert text.lines[0] == line("line 110")
        text.show(lines[:104], sections=(("A", 0), ("B", 100)))
        assert text.lines[-1] == line("line 103")
