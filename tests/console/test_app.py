"""The command line of the console."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from console import app
from runner.errors import Exit
from runner.home import Home
from runner.snapshot import JobStatus
from runner.store.db import Database
from runner.units import HOUR_MS, SystemClock
from tests.factories import make_event, make_job, make_runner, make_running, make_schedule, make_settings

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The exit code, output and remarks of one command."""

    def command(*args: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["afk-console", *args])
        code = app.main()
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


def test_once_prints_what_the_screen_shows(run: Run, home: Home, db: sqlite3.Connection) -> None:
    now = SystemClock().now()
    make_settings(db)
    make_runner(db, heartbeat_at=now, ended="asked to")
    make_running(db, key="at-work", started_at=now)
    make_job(db, key="broken", status=JobStatus.DEAD, finished_at=now)
    make_event(db, "something happened")
    make_schedule(db, "nightly", next_at=now + HOUR_MS)

    code, out, err = run("--home", str(home.root), "--once")

    assert (code, err) == (Exit.OK, "")
    assert "\x1b" not in out
    for word in (
        "RUNNER   stopped",
        "$0.00 of $10.00",
        "at-work",
        "broken",
        "ValueError",
        "something happened",
        "nightly",
    ):
        assert word in out
    assert max(map(len, out.splitlines())) <= 100


def test_once_in_ascii_is_ascii(run: Run, home: Home, db: sqlite3.Connection) -> None:
    make_settings(db)
    make_job(db, status=JobStatus.DEAD, error="e" * 300)

    _, out, _ = run("--home", str(home.root), "--once", "--ascii")

    assert out.isascii()


def test_json_is_the_status_of_the_design(run: Run, home: Home, db: sqlite3.Connection) -> None:
    make_job(db)

    code, out, _ = run("--home", str(home.root), "--json")

    status = json.loads(out)
    assert code == Exit.OK
    assert status["queue"]["pending"] == 1
    words = {"runner", "queue", "spend", "breakers", "stop", "schedules", "drafts", "alerts", "incidents", "drills"}
    assert set(status) == {*words, "lately"}


def test_a_database_may_be_named_instead_of_its_home(run: Run, home: Home, database: Database) -> None:
    home.stop.touch()

    code, out, _ = run("--db", str(home.db), "--json")

    assert code == Exit.OK
    assert json.loads(out)["stop"]["sources"] == ["file"]


@pytest.mark.parametrize("option", ["--once", "--json"])
def test_a_missing_database_is_one_sentence_and_a_code(run: Run, tmp_path: Path, option: str) -> None:
    code, out, err = run("--home", str(tmp_path / "nowhere"), option)

    assert (code, out) == (Exit.FILES, "")
    assert err.count("\n") == 1
    assert "afk-runner init" in err


def test_without_a_terminal_it_says_what_to_use_instead(run: Run, home: Home) -> None:
    code, out, err = run("--home", str(home.root))

    assert (code, out) == (Exit.REFUSED, "")
    assert err == (
        "afk-console: there is no terminal here to draw on; "
        "use `afk-console --once` for plain text or `--json` for programs\n"
    )


@pytest.mark.parametrize("args", [("--nonsense",), ("--home",), ("extra",), ("--home", "/a", "--db", "/b")])
def test_words_that_are_off_are_one_sentence_and_a_code(run: Run, args: tuple[str, ...]) -> None:
    code, _, err = run(*args)

    assert code == Exit.USAGE
    assert err.count("\n") == 1
    assert "afk-console --help" in err


def test_help_has_an_example_and_every_option(run: Run) -> None:
    code, out, _ = run("--help")

    assert code == Exit.OK
    assert "Example: afk-console --home ~/agents" in " ".join(out.split())
    for option in ("--home", "--db", "--readonly", "--ascii", "--mouse", "--once", "--json", "--version"):
        assert option in out


def test_the_version_is_told(run: Run) -> None:
    assert run("--version")[:2] == (Exit.OK, "afk-console 0.1.0\n")
