"""Every way a command can fail: one sentence on stderr, nothing on stdout, the code a script can trust."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from runner.cli import ROOMS, app, main, show
from runner.errors import Exit
from runner.home import Home
from tests.runner.cli.world import Afk, queue

PROGRAM = [sys.executable, "-c", "import sys; from runner.cli import main; sys.exit(main())"]


def verbs(parser: typer.Typer) -> list[str]:
    return [command.name or command.callback.__name__ for command in parser.registered_commands if command.callback]


VERBS = sorted(verbs(app()))
AT_A_HOME: dict[str, list[str]] = {
    **{verb: [] for verb in ("alerts", "breaker", "check", "dead", "drafts", "drill", "incidents", "jobs", "logs")},
    **{verb: [] for verb in ("prune", "report", "resume", "run", "schedules", "spend", "status")},
    **{verb: ["x"] for verb in ("backup", "cancel", "enqueue", "fire", "job", "pause", "remove", "restore", "unpause")},
    **{"replay": ["--all"], "why": ["x"]},
}
"""What each verb that works at a home is typed with."""


def test_the_room_of_a_verb_is_all_that_is_loaded_for_it() -> None:
    def known(verb: str | None) -> set[str]:
        return set(typer.main.get_command(app(verb)).commands)  # type: ignore[attr-defined]

    for room, named in ROOMS.items():
        assert [known(verb) for verb in named] == [set(named)] * len(named), room
    assert known("no verb") == known(None) == {verb for named in ROOMS.values() for verb in named}


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_every_verb_ends_with_an_example(afk: Afk, verb: str) -> None:
    answer = afk(verb, "--help")

    assert answer.code == 0
    assert f"  afk-runner {verb}" in answer.out.split("Example:")[1]


@pytest.mark.parametrize(
    "argv",
    [[], ["nope"], ["jobs", "--nope"], ["jobs", "--limit", "x"], ["job"], ["cancel"], ["run", "--supervisor", "x"]],
)
def test_wrong_usage_is_exit_code_64(afk: Afk, argv: list[str]) -> None:
    answer = afk(*argv)

    assert answer.code == Exit.USAGE
    assert answer.out == ""
    assert answer.err != ""


@pytest.mark.parametrize("argv", [["--home", "/somewhere", "status"], ["--home"], ["--home=/somewhere", "kill"]])
def test_an_option_before_the_verb_is_told_where_it_belongs(afk: Afk, argv: list[str]) -> None:
    answer = afk(*argv)

    assert answer.code == Exit.USAGE
    assert answer.err == (
        "afk-runner: --home stands before the verb, and an option comes after it: `afk-runner VERB --home ...`\n"
    )


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["kill", "--reason"], "--reason wants a value, as in `--reason TEXT`"),
        (["jobs", "--limit"], "--limit wants a value, as in `--limit N`"),
        (["jobs", "-n"], "-n wants a value, as in `-n N`"),
        (["enqueue", "slow", "--key"], "--key wants a value, as in `--key K`"),
        (["status", "--json", "--home"], "--home wants a value, as in `--home DIR`"),
        (["logs", "--level"], "--level wants a value, as in `--level VALUE`"),
    ],
)
def test_an_option_without_its_value_is_told_so(afk: Afk, argv: list[str], says: str) -> None:
    """It stands where it belongs, after the verb."""
    answer = afk(*argv)

    assert answer.code == Exit.USAGE
    assert answer.out == ""
    assert answer.err == f"afk-runner {argv[0]}: {says}; `afk-runner {argv[0]} --help` shows how it is written\n"


@pytest.mark.parametrize("verb", VERBS)
def test_the_home_of_every_verb_wants_a_value(afk: Afk, verb: str) -> None:
    answer = afk(verb, "--home")

    assert answer.code == Exit.USAGE
    assert answer.err.startswith(f"afk-runner {verb}: --home wants a value, as in `--home DIR`; ")


def test_an_option_without_its_value_is_of_the_innermost_verb(afk: Afk) -> None:
    answer = afk("service", "render", "--home")

    assert answer.code == Exit.USAGE
    assert answer.err.startswith("afk-runner service render: --home wants a value, as in `--home DIR`; ")


@pytest.mark.parametrize(("argv", "path"), [(["jobs", "--json=1"], "afk-runner jobs"), (["--help=1"], "afk-runner")])
def test_a_value_for_what_takes_none_is_told_so(afk: Afk, argv: list[str], path: str) -> None:
    option = argv[-1].partition("=")[0]

    answer = afk(*argv)

    assert answer.code == Exit.USAGE
    assert answer.err == f"{path}: option '{option}' does not take a value; `{path} --help` shows how it is written\n"


@pytest.mark.parametrize("verb", ["status", "jobs", "dead", "spend", "schedules", "logs", "breaker"])
def test_a_missing_database_is_exit_code_74(afk: Afk, home: Home, verb: str) -> None:
    home.db.unlink()

    answer = afk(verb)

    assert answer.code == Exit.FILES
    assert answer.err == (
        "afk-runner: there is no database: put it back, or `afk-runner restore` a backup; "
        f"`afk-runner init` makes an empty {home.db}\n"
    )


@pytest.mark.parametrize("verb", sorted(AT_A_HOME))
def test_a_home_that_is_not_there_is_exit_code_78(afk: Afk, tmp_path: Path, verb: str) -> None:
    """Whatever the verb would do at it, and nothing is made there."""
    nowhere = tmp_path / "nowhere"

    answer = afk(verb, *AT_A_HOME[verb], "--home", str(nowhere))

    assert answer.err == f"afk-runner: there is no home at {nowhere}; `afk-runner init` makes one\n"
    assert (answer.code, answer.out) == (Exit.CONFIG, "")
    assert not nowhere.exists()


def test_every_other_verb_needs_no_home_or_has_words_of_its_own() -> None:
    """`kill` says NOT STOPPED, `doctor` has a finding of it."""
    assert set(VERBS) - set(AT_A_HOME) == {"init", "demo", "doctor", "kill", "version"}


def test_a_corrupt_database_is_exit_code_74(afk: Afk, home: Home) -> None:
    home.db.write_bytes(random.Random(1).randbytes(8192))

    for verb in (["status"], ["enqueue", "digest"], ["cancel", "k"]):
        answer = afk(*verb)
        assert answer.code == Exit.FILES
        assert "is not a sound database" in answer.err


def test_a_newer_database_is_exit_code_74(afk: Afk, home: Home, db: sqlite3.Connection) -> None:
    db.execute("PRAGMA user_version = 999")

    for verb in (["status"], ["enqueue", "digest"]):
        answer = afk(*verb)
        assert answer.code == Exit.FILES
        assert "schema 999" in answer.err


def test_a_locked_database_is_exit_code_74(
    afk: Afk, db: sqlite3.Connection, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.store.db.WRITE_WAIT_S", 0.1)
    key = queue(home, db)
    db.execute("BEGIN IMMEDIATE")

    answer = afk("cancel", key)

    assert answer.code == Exit.FILES
    assert "is locked by another process" in answer.err


def test_a_home_others_can_write_is_exit_code_78(afk: Afk, home: Home) -> None:
    home.root.chmod(0o777)

    answer = afk("enqueue", "digest")

    assert answer.code == Exit.CONFIG
    assert "chmod 700" in answer.err


def test_an_internal_fault_is_one_sentence(afk: Afk, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by\nnought")

    monkeypatch.setattr(show, "status_json", broken)

    answer = afk("status", "--json")
    assert answer.code == Exit.INTERNAL
    assert answer.err == "afk-runner: internal fault, ZeroDivisionError: by nought; AFK_DEBUG=1 shows where\n"

    monkeypatch.setenv("AFK_DEBUG", "1")
    assert "Traceback" in afk("status", "--json").err


def test_a_reader_that_has_seen_enough_is_no_fault(home: Home, db: sqlite3.Connection) -> None:
    for n in range(300):
        queue(home, db, payload={"n": n, "text": "x" * 50}, key=f"a rather long key, number {n}")
    listing = subprocess.Popen(
        [*PROGRAM, "jobs", "--limit", "400", "--home", str(home.root)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert listing.stdout is not None
    assert listing.stderr is not None
    listing.stdout.readline()
    listing.stdout.close()

    assert listing.stderr.read() == b""
    assert listing.wait(60) == 0
    listing.stderr.close()


def test_a_full_disk_under_the_answer_is_said(home: Home) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full on this system")
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*PROGRAM, "status", "--home", str(home.root)], stdout=full, stderr=subprocess.PIPE, check=False
        )

    assert done.returncode == Exit.FILES
    assert b"could not be written: No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr


def test_logs_follow_until_ctrl_c(home: Home, db: sqlite3.Connection) -> None:
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)  # where it is ignored, a child would ignore it too
    follower = subprocess.Popen(
        [*PROGRAM, "logs", "-f", "--json", "--home", str(home.root)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    signal.signal(signal.SIGINT, ours)
    assert follower.stdout is not None
    queue(home, db, key="first")
    assert b'"job": "first"' in follower.stdout.readline()
    queue(home, db, key="second")
    assert b'"job": "second"' in follower.stdout.readline()

    follower.send_signal(signal.SIGINT)
    out, err = follower.communicate(timeout=60)

    assert (follower.returncode, out, err) == (0, b"", b"")


def test_looking_loads_neither_the_gate_nor_a_scheduler(home: Home) -> None:
    """A status in a shell prompt must not cost half a second."""
    heavy = "('httpx', 'apscheduler', 'anthropic', 'textual', 'rich', 'genai_prices', 'runner.daemon')"
    code = (
        f"import sys; from runner.cli import main; code = main(['status', '--home', {str(home.root)!r}]); "
        f"print([name for name in {heavy} if name in sys.modules]); sys.exit(code)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "[]"


def test_closed_streams_are_no_fault(home: Home) -> None:
    shell = f"exec {sys.executable} -c '{PROGRAM[2]}' status --home {home.root} >&- 2>&-"

    assert subprocess.run(["/bin/sh", "-c", shell], check=False).returncode == 0


def test_main_gives_the_code_to_whoever_calls_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out.startswith("afk-runner ")


def test_a_word_that_is_none_of_the_choices_is_told_in_a_persons_words(afk: Afk) -> None:
    answer = afk("jobs", "--status", "bogus")

    assert answer.code == Exit.USAGE
    assert "invalid value for '--status': 'bogus' is not one of 'pending', " in answer.err
