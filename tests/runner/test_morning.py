"""The file of the morning is written once a day, whole or not at all, and a limited number is kept."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio

from runner.config import ReportConfig
from runner.daemon.morning import Morning
from runner.home import Home
from runner.report import file
from runner.store import runners
from runner.store.db import Database
from runner.store.writer import Writer
from runner.units import DAY_MS, HOUR_MS, MINUTE_MS
from tests.factories import NOW, ManualClock, make_runner, make_settings

MIDNIGHT = NOW // DAY_MS * DAY_MS
BEGAN = MIDNIGHT - 12 * HOUR_MS
"""At noon of a day, and so after its report was due."""
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(MIDNIGHT)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.create()
    database = Database.open(made.db, create=True)
    make_settings(database.connection, timezone="Europe/Berlin")
    make_runner(database.connection, started_at=BEGAN)
    database.close()
    return made


@pytest_asyncio.fixture
async def writer(home: Home) -> AsyncIterator[Writer]:
    made = Writer(Database.open(home.db))
    yield made
    await made.close()


def files(home: Home) -> list[str]:
    return sorted(path.name for path in home.reports.iterdir())


def morning(home: Home, writer: Writer, clock: ManualClock, **config: object) -> Morning:
    return Morning(home, ReportConfig(**config), zone=BERLIN, writer=writer, clock=clock)  # type: ignore[arg-type]


async def test_it_is_written_from_its_time_on_and_once_a_day(home: Home, writer: Writer, clock: ManualClock) -> None:
    """06:30 in Berlin is 05:30 UTC in March."""
    reports = morning(home, writer, clock)
    seen = []
    for _ in range(3 * 24 * 4):
        before = files(home)
        await reports.look()
        if files(home) != before:
            seen.append((clock.now() - MIDNIGHT) // MINUTE_MS)
        clock.advance(15 * MINUTE_MS)

    assert seen == [day * 24 * 60 + 5 * 60 + 30 for day in range(3)]
    assert files(home) == ["2030-03-17.md", "2030-03-18.md", "2030-03-19.md"]
    paper = home.reports / "2030-03-17.md"
    assert paper.read_text("utf-8").startswith("# 2030-03-17: ")
    assert stat.S_IMODE(paper.stat().st_mode) == 0o600


async def test_what_a_person_deleted_or_wrote_is_left_so(home: Home, writer: Writer, clock: ManualClock) -> None:
    clock.advance(12 * HOUR_MS)
    reports = morning(home, writer, clock)
    await reports.look()
    (home.reports / "2030-03-17.md").unlink()
    await reports.look()
    assert files(home) == []

    (home.reports / "2030-03-17.md").write_text("mine")
    await morning(home, writer, clock).look()
    assert (home.reports / "2030-03-17.md").read_text() == "mine"


async def test_a_machine_that_slept_writes_it_when_it_wakes(home: Home, writer: Writer, clock: ManualClock) -> None:
    reports = morning(home, writer, clock)
    await reports.look()
    clock.advance(20 * HOUR_MS)
    await reports.look()

    assert files(home) == ["2030-03-17.md"]


async def test_a_home_in_which_cron_runs_before_the_time_has_it_from_the_next_run(
    home: Home, writer: Writer, clock: ManualClock
) -> None:
    """Each run is a life of its own, an hour before the day's file is due. It tells all that is known by then."""
    seen = []
    for _ in range(3):
        clock.advance(4 * HOUR_MS + 30 * MINUTE_MS)
        await morning(home, writer, clock).look()
        seen.append(files(home))
        clock.advance(DAY_MS - 4 * HOUR_MS - 30 * MINUTE_MS)

    assert seen == [[], ["2030-03-17.md"], ["2030-03-17.md", "2030-03-18.md"]]
    assert (home.reports / "2030-03-17.md").read_text("utf-8").startswith("# 2030-03-18: ")


async def test_a_home_of_today_has_nothing_to_report_of_yesterday(
    home: Home, writer: Writer, clock: ManualClock
) -> None:
    await writer.write(lambda db: db.execute("UPDATE runners SET started_at = ?", (MIDNIGHT + 9 * HOUR_MS,)))
    clock.advance(10 * HOUR_MS)
    reports = morning(home, writer, clock)
    await reports.look()
    assert files(home) == []

    clock.advance(DAY_MS)
    await reports.look()
    assert files(home) == ["2030-03-18.md"]


async def test_off_is_off(home: Home, writer: Writer, clock: ManualClock) -> None:
    clock.advance(12 * HOUR_MS)
    await morning(home, writer, clock, at=None).look()

    assert files(home) == []


@pytest.mark.parametrize("day", [13, 14])
async def test_a_time_that_the_clocks_skip_comes_all_the_same(
    home: Home, writer: Writer, clock: ManualClock, day: int
) -> None:
    """02:30 of 2030-03-31 is no time in Berlin."""
    clock.advance(day * DAY_MS)
    reports = morning(home, writer, clock, at=150)
    for _ in range(24 * 2):
        await reports.look()
        clock.advance(30 * MINUTE_MS)

    assert f"2030-03-{17 + day}.md" in files(home)


async def test_only_files_of_days_go_and_the_oldest_first(home: Home, writer: Writer, clock: ManualClock) -> None:
    for name in ("2030-01-01.md", "2030-03-15.md", "2030-03-16.md", "notes.md", "2030-03-10.txt"):
        (home.reports / name).write_text("x")
    (home.reports / "2029-01-01.md").mkdir()
    clock.advance(12 * HOUR_MS)
    await morning(home, writer, clock, keep=2).look()

    assert files(home) == ["2029-01-01.md", "2030-03-10.txt", "2030-03-16.md", "2030-03-17.md", "notes.md"]


async def test_a_folder_that_cannot_be_written_is_told_once_a_day(
    home: Home, writer: Writer, clock: ManualClock
) -> None:
    home.reports.rmdir()
    home.reports.write_text("in the way")
    clock.advance(12 * HOUR_MS)
    reports = morning(home, writer, clock)
    for _ in range(3):
        await reports.look()

    told = await writer.write(lambda db: db.execute("SELECT level, text FROM events").fetchall())
    assert len(told) == 1
    assert told[0][0] == "warn"
    assert "`afk-runner report` prints it" in told[0][1]


def test_a_file_that_cannot_be_finished_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paper = tmp_path / "report.md"
    paper.write_text("whole")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        file.write(paper, "half")

    assert paper.read_text() == "whole"
    assert os.listdir(tmp_path) == ["report.md"]


def test_the_oldest_runner_is_known(home: Home) -> None:
    database = Database.open(home.db)
    make_runner(database.connection, id="newer", started_at=NOW)

    assert runners.first_started(database.connection) == BEGAN
    database.close()
