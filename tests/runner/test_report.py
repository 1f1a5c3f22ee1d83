"""The report tells the story truly, in every form, and is read without looking at the jobs of the past."""

from __future__ import annotations

import json
import sqlite3
import unicodedata
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from runner import telling
from runner.config import ReportConfig, TaskConfig, TaskKind
from runner.home import Home
from runner.report import gather
from runner.report.document import document
from runner.report.lines import lines
from runner.report.markdown import code, markdown
from runner.report.values import Report, TaskRow
from runner.report.words import drills_line
from runner.snapshot import Reader
from runner.store import controls, drills, incidents, jobs, leases, outcomes, raises
from runner.store.db import Database
from runner.store.jobs import JobStatus
from runner.store.raises import Raise
from runner.units import DAY_MS, HOUR_MS, MINUTE_MS, MicroUsd, UnixMs
from tests.console.hostile import STORABLE
from tests.factories import (
    NOW,
    lease_of,
    make_charge,
    make_event,
    make_job,
    make_running,
    make_schedule,
    make_settings,
)

YESTERDAY = NOW - DAY_MS


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.create()
    return made


@pytest.fixture
def db(home: Home) -> Iterator[sqlite3.Connection]:
    opened = Database.open(home.db, create=True)
    make_settings(opened.connection, daily_usd=1_000_000)
    yield opened.connection
    opened.close()


@pytest.fixture
def read(home: Home, db: sqlite3.Connection) -> Iterator[Callable[..., Report]]:
    reader = Reader(home)
    yield lambda days=2, now=NOW: reader.report(days=days, now=UnixMs(now))
    reader.close()


def finish(
    db: sqlite3.Connection,
    task: str = "digest",
    *,
    status: JobStatus = JobStatus.DONE,
    cost: int = 0,
    at: int = NOW,
    day: str = "2030-03-17",
) -> None:
    job = make_running(db, task=task)
    if cost:
        make_charge(db, job, cost=cost, held_at=at, day=day)
    leases.finish(db, id=job.id, token=lease_of(job).token, status=status, now=UnixMs(at), error="E: no")


def test_days_outcomes_and_tasks_add_up(db: sqlite3.Connection, read: Callable[..., Report]) -> None:
    finish(db, cost=10_000)
    finish(db, cost=31_000)
    finish(db, "triage", cost=5_000, status=JobStatus.DEAD)
    finish(db, "triage", cost=7_000, at=YESTERDAY, day="2030-03-16")
    finish(db, "triage", cost=9_000, at=YESTERDAY - DAY_MS, day="2030-03-15")
    make_event(db, event="job.retry", level="warn", task="triage")
    raises.add(db, Raise(day="2030-03-16", cap=MicroUsd(3_000_000), reason="r", by="ada@cli", at=NOW))

    found = read()

    assert [(day.day, day.cost, day.cap, day.raised, day.done, day.failed) for day in found.days] == [
        ("2030-03-17", 46_000, 1_000_000, False, 2, 1),
        ("2030-03-16", 7_000, 3_000_000, True, 1, 0),
    ]
    by_status = {row.status: (row.jobs, row.cost, row.each) for row in found.outcomes}
    assert by_status == {
        "done": (3, 48_000, 16_000),
        "halted": (0, 0, 0),
        "cancelled": (0, 0, 0),
        "dead": (1, 5_000, 5_000),
    }
    tasks = [(row.task, row.done, row.dead, row.retries, row.cost) for row in found.tasks]
    assert tasks == [("digest", 2, 0, 0, 41_000), ("triage", 1, 1, 1, 12_000)]
    assert (found.jobs, found.cost) == (4, 53_000)
    assert sum(row.cost for row in found.tasks) == found.cost
    assert len(read(days=3).days) == 3
    assert read(days=3).cost == 62_000


def test_a_job_that_was_replayed_is_two_endings_and_they_are_called_so(
    db: sqlite3.Connection, read: Callable[..., Report]
) -> None:
    job = make_running(db)
    leases.finish(db, id=job.id, token=lease_of(job).token, status=JobStatus.DEAD, now=NOW, error="E: no")
    assert jobs.replay(db, id=job.id, now=NOW)
    db.execute("UPDATE jobs SET status = 'done', finished_at = ? WHERE id = ?", (NOW, job.id))

    found = read()

    text, file = list(lines(found)), markdown(found)
    assert [(row.status, row.jobs) for row in found.outcomes if row.jobs] == [("done", 1), ("dead", 1)]
    assert any("2 endings of jobs, $0.00 spent or held" in line for line in text)
    assert any(line.split()[:2] == ["OUTCOME", "ENDINGS"] for line in text)
    assert "2 endings of jobs, nothing waits for you" in file


def test_a_day_is_one_of_the_caps_zone(db: sqlite3.Connection, read: Callable[..., Report]) -> None:
    """17:46 UTC is 23:31 in Kathmandu, whose midnight is a quarter of an hour after one of ours."""
    make_settings(db, timezone="Asia/Kathmandu")
    midnight = NOW // DAY_MS * DAY_MS + 18 * HOUR_MS + 15 * MINUTE_MS
    finish(db, at=midnight - 1)
    finish(db, at=midnight)

    found = read(now=midnight + 5 * MINUTE_MS)

    assert [(day.day, day.done) for day in found.days] == [("2030-03-18", 1), ("2030-03-17", 1)]
    assert found.wall(UnixMs(midnight)) == "2030-03-18 00:00"


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/St_Johns", "Africa/Cairo", "Australia/Lord_Howe", "UTC"])
def test_no_job_of_a_year_is_counted_twice_or_not_at_all(
    db: sqlite3.Connection, read: Callable[..., Report], zone: str
) -> None:
    """Every night of daylight saving included."""
    make_settings(db, timezone=zone)
    db.execute("BEGIN")
    for day in range(366):
        make_job(db, status=JobStatus.DONE, finished_at=NOW - day * DAY_MS - HOUR_MS * (day % 24))
    db.execute("COMMIT")

    found = read(days=366)

    assert sum(day.done for day in found.days) == found.outcomes[0].jobs == found.tasks[0].done


def test_a_task_earns_the_hours_of_what_is_done_less_all_it_cost(
    db: sqlite3.Connection, read: Callable[..., Report]
) -> None:
    def task(name: str, hours: str | None) -> TaskConfig:
        return TaskConfig(name=name, kind=TaskKind.COMMAND, hours_saved=Decimal(hours) if hours else None)

    tasks = {each.name: each for each in (task("digest", "0.5"), task("third", "0.333333"), task("plain", None))}
    told = gather.told(ReportConfig(hourly_rate=MicroUsd(60_000_000)), tasks)
    controls.put_settings(db, {"timezone": "UTC", **told}, now=NOW)
    finish(db, cost=10_000)
    finish(db, cost=1_000)
    finish(db, cost=500, status=JobStatus.DEAD)
    make_charge(db, make_job(db), hold=70)
    finish(db, "third")
    finish(db, "plain", cost=3)

    found = read()

    assert {row.task: row.earned for row in found.tasks} == {
        "digest": 60_000_000 - 11_570,
        "third": 19_999_980,
        "plain": None,
    }
    assert found.earned == 79_988_410
    assert read(now=NOW + 5 * DAY_MS).earned == 0


def test_worth_is_never_rounded_up_nor_known_without_a_rate() -> None:
    row = TaskRow(task="t", done=1, hours_saved=Decimal("0.1234567"), rate=MicroUsd(1))

    assert row.earned == 0
    assert TaskRow(task="t", done=1, hours_saved=Decimal(1)).earned is None
    assert TaskRow(task="t", cost=MicroUsd(5), hours_saved=Decimal(1), rate=MicroUsd(60)).earned == -5


def test_skipped_slots_are_told_with_their_reason(db: sqlite3.Connection, read: Callable[..., Report]) -> None:
    make_schedule(db, "digest")
    for hour in range(4):
        make_schedule(
            db, "digest", last_slot=NOW - hour * HOUR_MS, skipped="its last job is not over" if hour else None
        )
    make_schedule(db, "triage", last_slot=NOW - 3 * DAY_MS, skipped="long ago")
    for second in range(25):
        why = f"the job of an earlier slot, tick@2030-03-17T17:46:{second:02}.000Z, is still running"
        make_schedule(db, "tick", last_slot=NOW - second, skipped=why)

    skip, alike = read().skipped

    assert (skip.schedule, skip.reason, skip.slots) == ("digest", "its last job is not over", 3)
    assert (skip.first, skip.last) == (NOW - 3 * HOUR_MS, NOW - HOUR_MS)
    assert alike.reason == "the job of an earlier slot, tick@…, is still running"
    assert (alike.slots, alike.first, alike.last) == (25, NOW - 24, NOW)


def test_what_waits_is_told_with_the_command_that_shows_it(db: sqlite3.Connection, read: Callable[..., Report]) -> None:
    assert read().waits.nothing
    make_job(db, status=JobStatus.DEAD, error="ValueError: 1\nat line 2", finished_at=NOW)
    make_job(db, status=JobStatus.DEAD, error="ValueError: 2", finished_at=NOW)
    telling.tell(db, key="breaker:a/b", level="error", text="a/b is open", now=NOW)
    charge = make_charge(db, make_job(db), hold=40_000)
    db.execute("UPDATE charges SET ended_at = ?, note = 'nobody knows' WHERE id = ?", (NOW, charge))

    found = read()
    text = "\n".join(lines(found))

    assert not found.waits.nothing
    assert (found.waits.dead, found.waits.incidents_open, found.waits.alerts_open) == (2, 1, 1)
    assert (found.waits.holds, found.waits.held) == (1, 40_000)
    assert [(row.error, row.jobs) for row in found.waits.errors] == [("ValueError: 2", 2)]
    for command in ("afk-runner dead", "afk-runner incidents", "afk-runner alerts", "afk-runner spend --holds"):
        assert command in text
    assert text.count("a/b is open") == 1
    incidents.close(db, 1, cause="x", fix="y", by="ada@cli", now=NOW)
    assert "alert     error since 2030-03-17 17:46: a/b is open" in "\n".join(lines(read()))


def test_jobs_that_a_gate_holds_back_are_told(db: sqlite3.Connection, read: Callable[..., Report]) -> None:
    for _ in range(2):
        job = make_job(db, not_before=NOW + HOUR_MS)
        db.execute("UPDATE jobs SET waiting_gate = 'cap:day' WHERE id = ?", (job.id,))

    found = read()

    assert "waiting  2 jobs wait for cap:day until 2030-03-17 18:46" in list(lines(found))
    assert document(found)["held_back"] == [{"gate": "cap:day", "jobs": 2, "until": "2030-03-17T18:46:40.000Z"}]


def test_the_story_tells_stops_and_trips_of_these_days_alone(
    db: sqlite3.Connection, read: Callable[..., Report]
) -> None:
    make_event(db, "stopped by ada", event="stop.set", level="warn", at=NOW - HOUR_MS)
    make_event(db, "resumed by ada", event="stop.cleared", at=NOW)
    make_event(db, "a/b tripped", event="breaker.open", level="error", at=NOW - 2 * HOUR_MS)
    make_event(db, "long ago", event="stop.set", level="warn", at=NOW - 5 * DAY_MS)
    make_event(db, "done", event="job.done", at=NOW)

    found = read()

    assert [event.text for event in found.story] == ["resumed by ada", "stopped by ada", "a/b tripped"]
    assert dict(found.happened) == {"breaker.open": 1, "stop.cleared": 1, "stop.set": 1}
    assert "1 stop, 1 resume, 1 breaker opened" in "\n".join(lines(found))


def test_a_long_story_says_that_it_is_cut(db: sqlite3.Connection, read: Callable[..., Report]) -> None:
    for number in range(30):
        make_event(db, f"stop {number}", event="stop.set", level="warn", at=NOW - number)

    found = read()

    assert len(found.story) == gather.MOST_ROWS
    assert found.story_cut
    assert found.number("stop.set") == 30


def test_a_closed_incident_tells_its_cause_and_fix(db: sqlite3.Connection, read: Callable[..., Report]) -> None:
    telling.tell(db, key="breaker:a/b", level="error", text="open", now=NOW)
    incidents.close(db, 1, cause="an old key", fix="a new key", by="ada@cli", now=NOW)

    found = read()

    assert "cause: an old key; fix: a new key" in "\n".join(lines(found))
    assert "cause `an old key`, fix `a new key`" in markdown(found)
    assert document(found)["incidents_closed"][0]["cause"] == "an old key"


def test_drills_are_told_by_their_age(db: sqlite3.Connection, read: Callable[..., Report]) -> None:
    def said(found: Report) -> tuple[str, bool]:
        return drills_line(found.drills, now=found.at, zone=found.tz)

    assert said(read()) == ("never proven; `afk-runner drill` takes less than a minute and a sandbox", True)
    for name in drills.NAMES:
        drills.proven(db, name, by="ada@cli", version="1", now=NOW)
    assert said(read()) == ("all proven today", False)
    assert said(read(now=NOW + 30 * DAY_MS)) == ("all proven 30 days ago, or since", False)
    assert said(read(now=NOW + 31 * DAY_MS))[1]
    drills.failed(db, "cap", fault="it did not hold", now=UnixMs(NOW + 1))
    assert said(read(now=NOW + 1)) == ("cap FAILED on 2030-03-17: it did not hold", True)
    drills.proven(db, "cap", by="ada@cli", version="1", now=UnixMs(NOW + 2))
    assert said(read(now=NOW + 2)) == ("all proven today", False)


def test_the_document_counts_whole_micro_dollars(db: sqlite3.Connection, read: Callable[..., Report]) -> None:
    finish(db, cost=12_345)

    told = json.loads(json.dumps(document(read())))

    assert told["cost_microusd"] == 12_345
    assert told["days"][0]["cap_microusd"] == 1_000_000
    assert told["earned_microusd"] is None
    assert [drill["name"] for drill in told["drills"]] == list(drills.NAMES)


def test_no_text_from_outside_is_markdown_or_leaves_its_line(
    db: sqlite3.Connection, read: Callable[..., Report]
) -> None:
    evil = [
        *(text[:400] for text in STORABLE),
        "# heading\n\n| a | b |\n| - | - |",
        "![x](http://evil.example/p.png) <script>alert(1)</script>",
        "``` `` ` |",
        "`",
    ]
    for number, text in enumerate(evil):
        finish(db, f"{number:02}{text}", status=JobStatus.DEAD)
        make_schedule(db, f"{number:02}{text}", last_slot=NOW - 1, skipped=text)
        make_event(db, text, event="stop.set", level="warn", at=NOW - number)
        telling.tell(db, key=f"{number:02}{text}", level="error", text=text, now=NOW)
    db.execute("UPDATE jobs SET error = 'E' || id || '|`#'")
    controls.set_stop(db, controls.STOP, reason=evil[-3], by=evil[-4], now=NOW)

    found = read()
    plain, paper = "\n".join(lines(found)), markdown(found)

    obeyed = ("Cc", "Cf", "Cs", "Zl", "Zp")
    assert not [char for char in plain + paper if char != "\n" and unicodedata.category(char) in obeyed]
    for line in paper.splitlines():
        outside = _without_code(line)
        assert "http" not in outside
        assert "<" not in outside
        assert not line.startswith("#") or line.startswith(("# 2030-03-17: ", "## "))
        if line.startswith("|"):
            assert len(outside.replace("\\|", "").split("|")) in (6, 9, 11)


def _without_code(line: str) -> str:
    """The line as CommonMark reads it, its code spans taken out: a run of backticks ends at the next of its length."""
    out, place = "", 0
    while place < len(line):
        if line[place] != "`":
            out, place = out + line[place], place + 1
            continue
        end = place
        while end < len(line) and line[end] == "`":
            end += 1
        fence = line[place:end]
        close = end
        while True:
            close = line.find(fence, close)
            assert close >= 0, f"a code span is not closed: {line}"
            after = close
            while after < len(line) and line[after] == "`":
                after += 1
            if after - close == len(fence):
                break
            close = after
        place = close + len(fence)
    return out


def test_code_holds_whatever_it_is_given() -> None:
    assert (code("a`b"), code("`"), code(""), code("``")) == ("``a`b``", "`` ` ``", "` `", "``` `` ```")


def plans(db: sqlite3.Connection, *queries: tuple[str, tuple[object, ...]]) -> list[str]:
    return [row[3] for sql, values in queries for row in db.execute(f"EXPLAIN QUERY PLAN {sql}", values)]


def test_every_look_goes_by_an_index(db: sqlite3.Connection) -> None:
    """None of them reads a table whole but that of the board, which has one row."""
    found = plans(
        db,
        (outcomes.ENDED, (1, 2)),
        (outcomes.HAPPENED, (1, 2)),
        (gather.SPENT, ("2030-01-01", "2030-01-02")),
        (gather.RAISED, ("2030-01-01", "2030-01-02")),
        (gather.SCHEDULES, ()),
        (gather.SKIPPED, ("digest", 1, 2)),
        (gather.OF_STORY, ("stop.set", 1, 2, 20)),
        (gather.ERRORS, (20,)),
        (incidents.STILL_OPEN, (20,)),
        (incidents.OF_TIME, (1, 2, 20)),
    )

    scans = {step for step in found if step.startswith("SCAN") and "found" not in step and "USING INDEX" not in step}
    assert scans <= {"SCAN board", "SCAN ended"}, "the second is what comes of the two parts of that view"
    assert any(step.startswith("SEARCH outcomes USING PRIMARY KEY") for step in found)


def test_it_costs_no_more_where_many_jobs_have_ended(home: Home, db: sqlite3.Connection) -> None:
    """Counted in SQLite's own steps, which are the same on every machine."""

    def steps() -> int:
        count = 0

        def step() -> int:
            nonlocal count
            count += 1
            return 0

        reader = Reader(home)
        reader._connection.set_progress_handler(step, 1)
        reader.report(now=NOW)
        reader.close()
        return count

    def end(number: int) -> None:
        db.execute("BEGIN")
        for _ in range(number):
            make_job(db, status=JobStatus.DONE, finished_at=NOW)
        db.execute("COMMIT")

    end(3)
    few = steps()
    end(2_000)

    assert steps() <= few + 200
