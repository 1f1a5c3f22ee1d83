"""What a home may be given that it cannot use: one sentence, the right exit code, nothing lost."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.world import World, eventually

TOML = """
[runner]
workers = 1
[retry]
base = "10ms"
"""

TASKS = """
import os, time
from runner import task

HOME = os.path.dirname(os.path.dirname(__file__))

@task("good")
def good(ctx, payload):
    return payload

@task("gated")
def gated(ctx, payload):
    open(os.path.join(HOME, "begun"), "w").close()
    while not os.path.exists(os.path.join(HOME, "go")):
        time.sleep(0.01)
    return "went"
"""


@contextmanager
def mounted(*words: str, at: Path) -> Iterator[None]:
    """A mount for the body; skips the test where mounting is not permitted."""
    done = subprocess.run(["mount", *words, str(at)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"mount is not permitted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


def refused(afk: World, *words: str, code: int, stdin: str | None = None) -> str:
    """The one sentence with which a verb is refused."""
    done = afk.call(*words, stdin=stdin)
    assert done.returncode == code, f"{words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert len(lines[0]) < 500
    return lines[0]


def said(afk: World) -> str:
    """What the runners of this world wrote to their terminal."""
    return (afk.home / "stderr").read_text()


# --- words --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "stdin", "says"),
    [
        (["enqueue", "goood"], None, 'did you mean "good"'),
        (["enqueue", "good", "{not json"], None, "not JSON"),
        (["enqueue", "good", '{"n": NaN}'], None, "NaN"),
        (["enqueue", "good", "-"], '{"half": ', "not JSON"),
        (["enqueue", "good", "-"], json.dumps("x" * 20_000_000), "1,000,000"),
        (["enqueue", "--lines"], '{"task": "good"}\n{"task": "goood"}\n', "line 2"),
        (["enqueue", "--lines"], '{"task": "good"}\n' + json.dumps({"payload": "x" * 20_000_000}), "line 2"),
        (["enqueue", "good", "--key", ""], None, "key"),
        (["enqueue", "good", "--in", "soon"], None, "soon"),
        (["enqueue", "good", "--max-usd", "1e3"], None, "max_usd"),
    ],
)
def test_a_request_that_cannot_be_a_job_adds_nothing(
    afk: World, words: list[str], stdin: str | None, says: str
) -> None:
    afk.init(TOML, tasks=TASKS)

    sentence = refused(afk, *words, code=64, stdin=stdin)

    assert says in sentence
    assert afk.counts() == {}


def test_a_payload_on_the_command_line_may_be_too_long(afk: World) -> None:
    """The largest argument the system passes is still refused in a sentence."""
    afk.init(TOML, tasks=TASKS)
    assert "not JSON" in refused(afk, "enqueue", "good", "x" * 120_000, code=64)


@pytest.mark.parametrize("verb", [["run", "--once"], ["enqueue", "good"], ["doctor"]])
@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("[runner\nworkers = 1\n", "afk.toml:1"),
        ("[runner]\nworkerz = 1\n", "workers"),
        ("[budget]\ndaily_usd = 1.00\n", "daily_usd"),
        ('[tasks.x]\nkind = "prompt"\n', "model"),
    ],
)
def test_a_bad_configuration_is_refused_with_its_line(afk: World, verb: list[str], toml: str, says: str) -> None:
    afk.init(TOML, tasks=TASKS)
    afk.afk("enqueue", "good")
    (afk.home / "afk.toml").write_text(toml)

    done = afk.call(*verb)

    assert done.returncode == 78
    told = done.stdout + done.stderr
    assert says in told
    assert "afk.toml" in told
    assert "Traceback" not in told
    assert afk.counts() == {"pending": 1}


def test_a_task_file_that_does_not_load_is_named(afk: World) -> None:
    afk.init(TOML, tasks="import nowhere_to_be_found\n")
    assert re.search(r"work\.py:1: ModuleNotFoundError", refused(afk, "run", "--once", code=78))


# --- homes --------------------------------------------------------------------------------------------------------


def test_a_home_that_others_can_write_is_refused(afk: World) -> None:
    afk.init(TOML, tasks=TASKS)
    afk.home.chmod(0o777)

    for verb in (["run", "--once"], ["enqueue", "good"]):
        assert "others may write to the home" in refused(afk, *verb, code=78)


def test_code_that_others_can_write_is_refused_in_a_home_they_can_read(afk: World) -> None:
    afk.init(TOML, tasks=TASKS)
    afk.home.chmod(0o755)
    (afk.home / "tasks").chmod(0o777)

    for verb in (["run", "--once"], ["enqueue", "good"]):
        assert f"; chmod go-w {afk.home}/tasks" in refused(afk, *verb, code=78)


def test_a_missing_home_is_named(afk: World) -> None:
    for verb in (["run", "--once"], ["enqueue", "good"], ["jobs"], ["cancel", "x"]):
        assert "there is no home at" in refused(afk, *verb, code=78)


def test_something_in_the_place_of_our_pipe_is_named(afk: World) -> None:
    afk.init(TOML, tasks=TASKS)
    (afk.home / "runner.fifo").write_text("not a pipe")
    assert "runner.fifo" in refused(afk, "run", "--once", code=1)


@pytest.mark.parametrize("read", [False, True], ids=["without its -wal", "while it is read"])
def test_a_read_only_home_is_refused(afk: World, read: bool) -> None:
    afk.init(TOML, tasks=TASKS)
    afk.afk("enqueue", "good")
    verbs = [["run", "--once"], ["enqueue", "good", "1"], ["cancel", "x"]]
    if not read:  # SQLite wants to write beside a -wal file even to read it
        verbs.append(["jobs"])
    with closing(sqlite3.connect(afk.home / "agent.db")) as reader:
        reader.execute("SELECT count(*) FROM jobs").fetchone()
        if not read:
            reader.close()
        with mounted("--bind", str(afk.home), at=afk.home):
            subprocess.run(["mount", "-o", "remount,bind,ro", str(afk.home)], check=True)
            for verb in verbs:
                told = refused(afk, *verb, code=74)
                assert "agent.db" in told or "runner.lock" in told  # whichever a verb opens first
    assert afk.counts() == {"pending": 1}
    afk.afk("run", "--once")
    assert afk.counts() == {"done": 1}


def test_a_full_disk_refuses_and_loses_nothing(tmp_path: Path) -> None:
    """Enqueueing fails in a sentence, a job in progress keeps its outcome until there is room again."""
    with mounted("-t", "tmpfs", "-o", "size=6m,mode=700", "tmpfs", at=tmp_path):
        afk = World(tmp_path)
        try:
            _fill_the_disk(afk)
        finally:
            afk.end()


def _fill_the_disk(afk: World) -> None:
    afk.init(TOML.replace("[runner]", "[runner]\ndisk_low_mb = 0"), tasks=TASKS)  # it would park before that
    runner = afk.start()
    key = afk.json("enqueue", "gated")["key"]
    eventually((afk.home / "begun").exists, what="the job in progress")
    ballast = afk.home / "outputs" / "ballast"
    subprocess.run(["dd", "if=/dev/zero", f"of={ballast}", "bs=4096"], capture_output=True, check=False)

    refusals = [afk.call("enqueue", "good", json.dumps("x" * 100_000 + str(n))) for n in range(4)]

    failed = [done for done in refusals if done.returncode != 0]
    assert failed, "the disk was not full"
    assert {done.returncode for done in failed} == {74}
    assert all("full" in done.stderr and "Traceback" not in done.stderr for done in failed)
    (afk.home / "go").symlink_to("begun")  # costs no room
    assert runner.poll() is None
    ballast.unlink()
    eventually(lambda: afk.json("job", key)["status"] == "done", what="the outcome written once there is room")
    assert afk.one("SELECT starts FROM jobs WHERE key = ?", key) == 1
    assert afk.one("PRAGMA integrity_check") == "ok"
    assert runner.poll() is None


def test_a_runner_that_cannot_write_says_so_outside_the_database(afk: World) -> None:
    """It is not taken for one that hangs: it is parked, with the reason, and goes on by itself."""
    afk.init(TOML, tasks=TASKS)
    runner = afk.start()

    def told(state: str) -> dict[str, Any]:
        return eventually(lambda: (now := afk.status()["runner"])["state"] == state and now, what=state)

    with closing(sqlite3.connect(afk.home / "agent.db", isolation_level=None)) as somebody:
        somebody.execute("BEGIN IMMEDIATE")
        silent = eventually(lambda: (row := told("parked"))["heartbeat_age_s"] < 5 and row)
        assert "locked by" in silent["reason"]
        assert silent["pid"] == runner.pid
        somebody.execute("ROLLBACK")

    assert told("running")["reason"] is None


# --- databases ----------------------------------------------------------------------------------------------------


def test_a_newer_database_is_left_alone(afk: World) -> None:
    afk.init(TOML, tasks=TASKS)
    afk.afk("enqueue", "good")
    with sqlite3.connect(afk.home / "agent.db") as db:
        db.execute("PRAGMA user_version = 9999")
    db.close()
    before = (afk.home / "agent.db").read_bytes()

    for verb in (["run", "--once"], ["enqueue", "good", "1"], ["jobs"]):
        assert "install the newer version" in refused(afk, *verb, code=74)

    assert (afk.home / "agent.db").read_bytes() == before


def test_a_database_of_another_program_is_left_alone(afk: World) -> None:
    afk.init(TOML, tasks=TASKS)
    for path in afk.home.glob("agent.db*"):
        path.unlink()
    with sqlite3.connect(afk.home / "agent.db") as db:
        db.execute("CREATE TABLE bookmarks (url TEXT)")
    db.close()
    before = (afk.home / "agent.db").read_bytes()

    for verb in (["run", "--once"], ["enqueue", "good"], ["jobs"]):
        assert "another program" in refused(afk, *verb, code=74)

    assert (afk.home / "agent.db").read_bytes() == before


@pytest.mark.parametrize("where", ["header", "pages"])
def test_a_corrupt_database_is_refused(afk: World, where: str) -> None:
    """Garbage over the header or over every page behind the first."""
    afk.init(TOML, tasks=TASKS)
    afk.afk("enqueue", "--lines", stdin="\n".join(f'{{"task": "good", "payload": {n}}}' for n in range(200)))
    database = afk.home / "agent.db"
    with sqlite3.connect(database) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    size = database.stat().st_size
    with database.open("r+b") as file:
        file.seek(0 if where == "header" else 4096)
        file.write(random.Random(20_270_101).randbytes(4096 if where == "header" else size - 4096))
    before = database.read_bytes()

    for verb in (["run", "--once"], ["enqueue", "good", '"new"'], ["jobs"], ["status"]):
        assert "not a sound database" in refused(afk, *verb, code=74)

    assert database.read_bytes() == before, "it was kept as it is"


@pytest.mark.parametrize("how", ["moved", "deleted", "replaced"])
def test_a_runner_whose_database_goes_parks_and_says_so(afk: World, how: str) -> None:
    """No crash, no spin, no job begun; the file's return brings the runner back, another file does not."""
    afk.init(TOML, tasks=TASKS)
    runner = afk.start()
    afk.afk("enqueue", "good")
    eventually(lambda: afk.counts() == {"done": 1}, what="the first job done")
    database, aside = afk.home / "agent.db", afk.home / "aside.db"

    if how == "deleted":
        database.unlink()
    else:
        database.rename(aside)
    if how == "replaced":
        shutil.copy(aside, database)

    eventually(lambda: "parked" in said(afk), what="it says that it is parked")
    assert str(database) in said(afk)
    began = _cpu_s(runner.pid)
    eventually(lambda: said(afk).count("parked") == 1 and _cpu_s(runner.pid) >= began)
    if how == "moved":
        aside.rename(database)
        afk.afk("enqueue", "good", '"more"')
        eventually(lambda: afk.counts() == {"done": 2}, what="the second job done")
    assert runner.poll() is None
    assert "Traceback" not in said(afk)
    runner.terminate()
    assert runner.wait(timeout=60) == 0


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_job_in_progress_keeps_its_outcome_while_the_database_is_away(afk: World) -> None:
    """What it gave is written when the file is back; it is not done twice."""
    afk.init(TOML, tasks=TASKS)
    afk.start()
    key = afk.json("enqueue", "gated")["key"]
    eventually((afk.home / "begun").exists, what="the job in progress")
    database, aside = afk.home / "agent.db", afk.home / "aside.db"

    database.rename(aside)
    (afk.home / "go").touch()
    eventually(lambda: "parked" in said(afk), what="it says that it is parked")
    aside.rename(database)

    eventually(lambda: afk.json("job", key)["status"] == "done", what="its outcome written")
    assert afk.one("SELECT starts FROM jobs") == 1


# --- runners ------------------------------------------------------------------------------------------------------


def test_a_second_runner_stands_by_and_takes_over(afk: World) -> None:
    afk.init(TOML, tasks=TASKS)
    first = afk.start()
    sentence = refused(afk, "run", "--once", code=75)
    assert f"pid {first.pid}" in sentence
    second = afk.start(wait=False)
    eventually(
        lambda: afk.sql("SELECT state FROM runners WHERE pid = ?", second.pid) == [("standby",)], what="standing by"
    )
    assert afk.status()["runner"]["pid"] == first.pid
    afk.afk("enqueue", "good")
    eventually(lambda: afk.counts() == {"done": 1}, what="the first one works")
    assert afk.workers(second) == []

    afk.kill9(first)

    eventually(
        lambda: afk.sql("SELECT state FROM runners WHERE pid = ? AND ended IS NULL", second.pid) == [("running",)],
        what="taken over",
    )
    afk.afk("enqueue", "good", "2")
    eventually(lambda: afk.counts() == {"done": 2}, what="the second one works")
    assert afk.status()["runner"]["pid"] == second.pid
    assert "Traceback" not in said(afk)


def test_a_standby_runner_ends_when_asked(afk: World) -> None:
    afk.init(TOML, tasks=TASKS)
    first = afk.start()
    second = afk.start(wait=False)
    eventually(
        lambda: afk.sql("SELECT state FROM runners WHERE pid = ?", second.pid) == [("standby",)], what="standing by"
    )

    second.send_signal(signal.SIGTERM)

    assert second.wait(timeout=60) == 0
    assert first.poll() is None
    assert afk.sql("SELECT state, ended FROM runners WHERE pid = ?", second.pid) == [("stopped", "signal")]


def test_run_once_does_what_is_due_and_ends(afk: World) -> None:
    afk.init(TOML, tasks=TASKS)
    afk.afk("enqueue", "--lines", stdin='{"task": "good"}\n{"task": "good", "payload": 1, "in": "1h"}\n')

    afk.afk("run", "--once")

    assert afk.counts() == {"done": 1, "pending": 1}
