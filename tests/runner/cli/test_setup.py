"""Making a home, and saying what is wrong with one."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest

from runner.cli.setup import local_zone
from runner.doctor.database import sqlite_says
from runner.doctor.finding import Level
from runner.doctor.look import Look
from runner.doctor.state import health
from runner.errors import Exit
from runner.home import Home
from runner.settings import load
from runner.snapshot import Health, RunnerView
from runner.store.runners import Runner, RunState
from runner.units import UnixMs
from tests.runner.cli.world import SETTINGS, Afk, start_runner


def checks(answer: object) -> dict[str, dict[str, str]]:
    return {check["name"]: check for check in answer.json["checks"]}  # type: ignore[attr-defined]


def test_init_makes_a_home_that_the_other_verbs_take(afk: Afk, tmp_path: Path) -> None:
    place = Home(tmp_path / "new")

    assert afk("init", "--home", str(place.root)).code == 0

    assert load(place.root, environ={}).budget.daily_usd == 1_000_000
    assert stat.S_IMODE(place.root.stat().st_mode) == 0o700
    assert stat.S_IMODE(place.config.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.db.stat().st_mode) == 0o600
    assert afk("enqueue", "sample", "--home", str(place.root)).code == 0
    assert afk("status", "--home", str(place.root)).code == 0


def test_init_keeps_what_stands(afk: Afk, home: Home) -> None:
    before = home.config.read_text()
    afk("enqueue", "digest", "--key", "k")

    answer = afk("init")

    assert answer.out == f"kept {home.config}\nkept {home.db}\n"
    assert home.config.read_text() == before
    assert afk("job", "k").code == 0


def test_init_begins_stopped_where_the_database_was_lost(afk: Afk, home: Home) -> None:
    home.heartbeat.touch()
    home.db.unlink()
    mend = checks(afk("doctor", "--offline", "--json"))["database"]["mend"]
    assert mend.startswith(f"put it back, or afk-runner restore BACKUP --home {home.root}")

    answer = afk("init")

    assert answer.code == 0
    assert "STOPPED: this home was used and its database is gone" in answer.err
    assert all(way in answer.err for way in ("Put the old one", "`afk-runner restore BACKUP", "`afk-runner resume"))
    assert afk("status", "--json").json["stop"]["reason"].startswith("the database was made anew")


def test_init_refuses_a_directory_of_other_things(afk: Afk, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "to mum.txt").touch()

    assert afk("init", "--home", str(tmp_path / "letters")).code == Exit.CONFIG


def test_the_zone_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", ":America/St_Johns")
    assert local_zone() == "America/St_Johns"
    monkeypatch.setenv("TZ", "Nowhere/At_All")
    assert local_zone()


def test_doctor_is_content_with_a_new_home(afk: Afk) -> None:
    answer = afk("doctor", "--offline", "--json")

    assert answer.code == 0
    assert answer.json["ok"] is True
    told = checks(answer)
    assert {"home", "config", "sqlite", "database", "prices", "runner", "disk"} <= set(told)
    assert sqlite3.sqlite_version in told["sqlite"]["text"]
    assert told["runner"]["level"] == "warn"
    assert told["runner"]["mend"].startswith("afk-runner run")


def test_doctor_names_file_and_line_of_every_problem(afk: Afk, home: Home) -> None:
    home.config.write_text(home.config.read_text() + "[runner]\nworkrs = 3\n[retry]\nbase = 5\n")

    answer = afk("doctor", "--offline", "--json")

    assert answer.code == Exit.CONFIG
    texts = [check["text"] for check in answer.json["checks"] if check["name"] == "config"]
    assert len(texts) == 2
    assert texts[0].startswith(f"{home.config}:12: ")
    assert texts[1].startswith(f"{home.config}:14: ")


def test_doctor_goes_on_behind_a_refused_configuration(afk: Afk, home: Home) -> None:
    home.config.write_text("nonsense")

    assert "database" in checks(afk("doctor", "--offline", "--json"))


def test_doctor_says_how_to_mend_an_open_home(afk: Afk, home: Home) -> None:
    home.root.chmod(0o777)

    answer = afk("doctor", "--offline")

    assert answer.code == Exit.CONFIG
    assert f"mend: chmod 700 {home.root}" in answer.out


def test_a_missing_key_is_mended_in_env_and_an_open_env_comes_first(afk: Afk, home: Home) -> None:
    """The line that names the key is sound: what is missing stands in another file, or that file was not read."""
    home.config.write_text(f'{SETTINGS}[upstreams.a]\nurl = "https://a.example"\nkey = "env:SOME_KEY"\n')

    assert checks(afk("doctor", "--offline", "--json"))["config"]["mend"] == (
        f"printf '\\nSOME_KEY=%s\\n' 'the secret' >> {home.env} && chmod 600 {home.env}"
    )
    home.env.write_text("SOME_KEY=x\n")
    home.env.chmod(0o644)
    mends = [line for line in afk("doctor", "--offline").out.splitlines() if "mend: " in line]
    assert mends[0].endswith(f"mend: chmod 600 {home.env}")
    assert mends[1].endswith(f"mend: what is said of {home.env} comes first")


def test_doctor_says_how_to_close_an_open_env_file(afk: Afk, home: Home) -> None:
    """What others can read is refused; the mend is the command."""
    home.env.write_text("KEY=value\n")
    home.env.chmod(0o644)

    answer = afk("doctor", "--offline", "--json")

    assert answer.code == Exit.CONFIG
    assert checks(answer)["config"]["mend"] == f"chmod 600 {home.env}"


def test_doctor_says_how_old_the_prices_are(afk: Afk) -> None:
    assert any("genai-prices" in check["text"] for check in afk("doctor", "--offline", "--json").json["checks"])


def test_doctor_finds_a_damaged_database(afk: Afk, home: Home, db: sqlite3.Connection) -> None:
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.execute("CREATE TABLE filler AS SELECT hex(randomblob(500)) AS x FROM json_each('[1,2,3,4,5,6,7,8]')")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    with home.db.open("r+b") as file:
        file.seek(-4096, 2)
        file.write(b"\xff" * 4096)

    answer = afk("doctor", "--offline", "--json")

    assert answer.code == Exit.REFUSED
    assert checks(answer)["database"]["level"] == "fail"


def test_doctor_misses_a_price(afk: Afk, home: Home) -> None:
    house = '[upstreams.up]\nurl = "https://up.example"\n[models]\n"house-*" = "up"\n'
    task = '[tasks.dear]\nkind = "prompt"\nmodel = "house-1"\nprompt = "p"\n'
    home.config.write_text(home.config.read_text() + house + task)

    answer = afk("doctor", "--offline", "--json")

    assert answer.code == Exit.REFUSED
    told = {check["text"]: check["level"] for check in answer.json["checks"] if check["name"] == "prices"}
    assert told["house-1: its price is not known, so every call of it is refused"] == "fail"


def test_doctor_names_a_task_file_that_does_not_load(afk: Afk, home: Home) -> None:
    (home.tasks / "good.py").write_text("from runner import task\n@task('ok')\ndef ok(ctx, payload): return 1\n")
    (home.tasks / "bad.py").write_text("import nothing_of_that_name\n")

    answer = afk("doctor", "--offline", "--json")

    assert answer.code == Exit.REFUSED
    assert "bad.py:1: ModuleNotFoundError" in checks(answer)["tasks"]["text"]


def test_a_python_task_is_found_for_enqueue(afk: Afk, home: Home) -> None:
    (home.tasks / "good.py").write_text("from runner import task\n@task('triage')\ndef t(ctx, payload): return 1\n")

    assert afk("enqueue", "triage").code == 0
    assert afk("pause", "triage").code == 0
    assert afk("enqueue", "traige").code == Exit.USAGE


@pytest.mark.parametrize(
    ("version", "bug"),
    [
        ((3, 40, 1), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
    ],
)
def test_doctor_knows_which_sqlite_has_the_bug(version: tuple[int, ...], bug: bool) -> None:
    assert ("WAL-reset bug" in sqlite_says(version)) is bug


@pytest.mark.parametrize("verb", ["status", "init"])
def test_an_empty_home_is_not_the_folder_one_happens_to_be_in(
    afk: Afk, verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `--home "$UNSET"` gives it."""
    monkeypatch.chdir(tmp_path)

    answer = afk(verb, "--home", "")

    assert answer.code == Exit.USAGE
    assert "--home is empty" in answer.err
    assert not (tmp_path / "afk.toml").exists()


def test_version_speaks_to_programs(afk: Afk) -> None:
    told = afk("version", "--json").json

    assert afk("version").out.splitlines()[0] == f"afk-runner {told['version']}"
    assert told["sqlite"] == sqlite3.sqlite_version
    assert told.keys() == {"version", "python", "sqlite", "system"}


@pytest.mark.parametrize(
    ("more", "level", "said"),
    [
        (
            '[upstreams.up]\nurl = "https://up.example"\nwire = "openai"\n'
            '[models]\n"gpt-x" = "up"\n'
            '[prices.gpt-x]\ninput = "1"\noutput = "1"\n'
            '[tasks.dear]\nkind = "prompt"\nmodel = "gpt-x"\nprompt = "p"\n',
            "fail",
            "task dear: gpt-x is at up, which has the openai wire",
        ),
        (
            '[tasks.d]\nkind = "prompt"\nmodel = "offline/extract"\nprompt = "p"\ntools = ["draft"]\n',
            "warn",
            'task d has the tool "draft", and no task says irreversible = true',
        ),
        ('[tasks.c]\nkind = "command"\ncommand = ["true"]\ncwd = "gone"\n', "warn", "task c: its cwd "),
    ],
)
def test_doctor_names_a_task_whose_every_job_would_die(afk: Afk, home: Home, more: str, level: str, said: str) -> None:
    assert not any(said in check["text"] for check in afk("doctor", "--offline", "--json").json["checks"])
    home.config.write_text(SETTINGS + more)

    answer = afk("doctor", "--offline", "--json")

    assert [check["level"] for check in answer.json["checks"] if check["text"].startswith(said)] == [level]
    assert answer.json["ok"] is (level == "warn")


@pytest.mark.parametrize("cap", ["hourly_usd", "per_job_usd"])
def test_doctor_warns_of_a_cap_that_never_holds(afk: Afk, home: Home, cap: str) -> None:
    home.config.write_text(SETTINGS.replace("[budget]", f'[budget]\n{cap} = "5.00"'))

    found = [check for check in afk("doctor", "--offline", "--json").json["checks"] if check["level"] == "warn"]

    assert any(check["text"].startswith(f"{cap} of $5.00") for check in found)


def test_doctor_is_not_content_with_a_runner_parked_for_a_fault() -> None:
    fault = "the database cannot be written: disk I/O error"
    row = Runner(
        id="r1",
        pid=7,
        pid_started="1",
        boot="b",
        host="h",
        version="0",
        state=RunState.PARKED,
        reason=fault,
        started_at=UnixMs(0),
        heartbeat_at=UnixMs(0),
        stop_seq=0,
        ended=None,
    )

    look = Look(home=Home(Path("/h")), environ={}, now=UnixMs(0))
    found = health(look, RunnerView(health=Health.LIVE, row=row))

    assert (found.level, found.text) == (Level.WARN, f"pid 7 is parked: {fault}")


def test_doctor_expects_no_runner_between_two_runs_of_cron(afk: Afk, db: sqlite3.Connection) -> None:
    start_runner(db, state=RunState.STOPPED, ended="nothing left to do")

    found = checks(afk("doctor", "--offline", "--json"))["runner"]

    assert (found["level"], "run --once" in found["text"]) == ("ok", True)


def test_a_task_file_that_never_ends_is_named(afk: Afk, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.work.declared.LOAD_TIMEOUT_S", 25)  # a slow child is at it long before
    (home.tasks / "a.py").write_text("x = 1\n")
    (home.tasks / "loops.py").write_text("import time\nwhile True: time.sleep(1)\n")

    assert checks(afk("doctor", "--offline", "--json"))["tasks"]["text"].startswith(
        f"{home.tasks}/loops.py: it was not imported"
    )


def test_a_task_file_that_ends_its_process_is_named(afk: Afk, home: Home) -> None:
    (home.tasks / "a.py").write_text("x = 1\n")
    (home.tasks / "leaves.py").write_text("import os\nos._exit(0)\n")

    assert checks(afk("doctor", "--offline", "--json"))["tasks"]["text"].startswith(
        f"{home.tasks}/leaves.py: it ended the process"
    )


def test_doctor_warns_of_a_time_that_was_over_before_anybody_knew_of_it(afk: Afk, home: Home) -> None:
    more = '[tasks.{0}]\nkind = "command"\ncommand = ["true"]\nat = "{1}"\n'
    home.config.write_text(SETTINGS + more.format("old", "2020-01-01T06:00") + more.format("new", "2999-01-01T06:00"))

    texts = [
        check["text"]
        for check in afk("doctor", "--offline", "--json").json["checks"]
        if "its at is past" in check["text"]
    ]

    assert texts == ["task old: its at is past and it never fired, so it never will"]
