"""The demo: what it reads, what it makes, and one run of it without a terminal."""

from __future__ import annotations

import io
import sys
from contextlib import closing
from pathlib import Path

import pytest

from runner import demo
from runner.cli import main
from runner.demo import home as demo_home
from runner.demo.documents import Document, Section, documents, sections
from runner.drill.sandbox import at_noon
from runner.errors import Exit, Refused
from runner.home import Home
from runner.settings import load
from runner.snapshot import JobStatus, Reader
from runner.units import SystemClock, UnixMs
from tests.factories import make_job, new_database

LONG = "Words that say enough to be worth summing up, one after the other, until there are enough of them. " * 3
PART = Section(document="a.md", heading="One", text=LONG)


def test_a_document_is_taken_apart_at_its_headings() -> None:
    text = f"# Title\n\n{LONG}\n\n## Short\n\nToo little.\n\n## Code\n\n```sh\n# not a heading\n```\n{LONG}\n"

    parts = sections(Document(name="a.md", text=text))

    assert [part.heading for part in parts] == ["Title", "Code"]
    assert "# not a heading" in parts[1].text
    assert parts[0].payload.startswith("a.md: Title\n\nWords")


def test_the_project_has_documents_to_work_on() -> None:
    assert sum(len(sections(document)) for document in documents()) >= 10


def test_its_settings_are_settings_and_say_that_the_prices_are_pretend(tmp_path: Path) -> None:
    (tmp_path / "afk.toml").write_text(demo_home.settings([PART] * 10))

    config = load(tmp_path, environ={})

    assert config.budget.daily_usd == demo_home.cap([PART] * 10)
    assert {"digest", "headings", "disk"} == set(config.tasks)
    assert "PRICES BELOW ARE PRETEND" in demo_home.settings([PART])


def test_a_directory_that_is_not_the_demos_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")

    with pytest.raises(Refused, match="was not made by the demo"):
        demo_home.make(Home(tmp_path), [], [PART])

    assert (tmp_path / "letter.txt").read_text() == "dear"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")

    with pytest.raises(Refused, match="symbolic link"):
        demo_home.make(Home(tmp_path / "link"), [], [PART])


def test_the_demos_own_directory_is_made_anew(tmp_path: Path) -> None:
    home = Home(tmp_path / "demo")
    demo_home.make(home, [Document(name="a.md", text=LONG)], [PART])
    (home.root / "left over").touch()

    demo_home.make(home, [Document(name="a.md", text=LONG)], [PART])

    assert not (home.root / "left over").exists()
    assert (home.inputs / "a.md").read_text() == LONG


def test_its_work_is_done_once_nothing_runs_and_nothing_is_due_soon(home: Home, now: UnixMs) -> None:
    """However a job goes from one to the other in the middle of the look: it is asked for in one statement."""
    with closing(new_database(home.db)) as database, closing(Reader(home)) as reader:
        db = database.connection
        make_job(db, not_before=now + demo.SOON_MS + 1, waiting_on="the day's cap")
        make_job(db, status=JobStatus.DEAD)
        asked: list[str] = []
        reader._connection.set_trace_callback(asked.append)
        assert demo._worked_off(reader)
        assert len([sql for sql in asked if sql.startswith("SELECT")]) == 1

        make_job(db, key="soon", not_before=now + demo.SOON_MS)
        assert not demo._worked_off(reader)
        db.execute("UPDATE jobs SET status = 'running', lease = 't', lease_until = 1, runner = 'r' WHERE key = 'soon'")
        assert not demo._worked_off(reader)


@pytest.mark.timeout(600)
def test_it_works_without_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cap is reached part-way, what always fails is dead, the rest is done, and nothing is left running."""
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    noon = f'timezone = "{at_noon(SystemClock().now())}"'  # or its cap may lift at a midnight in between
    monkeypatch.setattr(demo_home, "SETTINGS", demo_home.SETTINGS.replace('timezone = "UTC"', noon))
    monkeypatch.setattr(demo, "STARTS_WITHIN_S", 120.0)
    monkeypatch.setattr(demo, "ENDS_WITHIN_S", 60.0)
    monkeypatch.setattr(demo, "WORKS_WITHIN_S", 400.0)

    assert main(["demo", "--home", str(tmp_path / "demo")]) == Exit.OK

    said = capsys.readouterr().out
    reader = Reader(Home(tmp_path / "demo"))
    vitals = reader.vitals(now=SystemClock().now())
    waiting = reader.jobs(status=JobStatus.PENDING)
    reader.close()
    assert "pretend" in said
    assert "today's cap" in said
    assert "mailbox orders is closed" in said
    assert vitals.counts.done > 5
    assert vitals.counts.dead == 2
    assert vitals.counts.running == 0
    assert {job.waiting_gate for job in waiting if job.task != "disk"} == {"cap:day"}, "that one may be due at the end"
    assert vitals.spend.cap is not None
    assert 0 < vitals.spend.settled <= vitals.spend.cap
    assert vitals.runner.health == "stopped"
