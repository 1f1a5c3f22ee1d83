"""What the verbs that take care of the data print, and with which code they end."""

from __future__ import annotations

import re
import shlex
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from runner import telling
from runner.home import Home
from runner.units import UnixMs
from tests.runner.cli.world import Afk, bury, queue


def test_a_backup_says_where_it_is_and_warns_of_the_same_disk(
    afk: Afk, home: Home, db: sqlite3.Connection, tmp_path: Path
) -> None:
    queue(home, db)

    said = afk("backup", str(tmp_path / "b.db"))

    assert said.code == 0
    assert said.out.startswith(f"backed up to {tmp_path / 'b.db'}: ")
    assert "1 job, checked whole" in said.out
    assert "a broken disk takes both" in said.err
    again = afk("backup", str(tmp_path / "b.db"))
    assert (again.code, again.out) == (1, "")
    assert "--force replaces it" in again.err


def test_a_relative_place_counts_from_where_the_person_is(
    afk: Afk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert afk("backup", "b.db", "--json").json["path"] == str(tmp_path / "b.db")


def test_a_restore_says_what_it_did_and_what_a_person_has_to_do(
    afk: Afk, home: Home, db: sqlite3.Connection, tmp_path: Path
) -> None:
    key = queue(home, db)
    afk("backup", str(tmp_path / "b.db"))
    bury(home, db, payload={"n": 2})
    db.execute("UPDATE jobs SET status = 'cancelled', finished_at = 1 WHERE key = ?", (key,))
    db.close()

    said = afk("restore", str(tmp_path / "b.db"))

    assert said.code == 0
    assert f"restored {home.db}" in said.out
    assert "before-restore" in said.out
    assert f"1 job ({key}) ended since and would be done again" in said.err
    assert "the home is stopped" in said.err
    assert afk("status", "--json").json["stop"]["sources"] == ["file", "row"]


def test_a_job_that_cannot_be_undone_stays_done_and_is_named(
    afk: Afk, home: Home, db: sqlite3.Connection, tmp_path: Path
) -> None:
    """By the settings as they are now; the others can be cancelled as the sentence says."""
    with home.config.open("a") as settings:
        settings.write('[tasks.post]\nkind = "command"\ncommand = ["true"]\nirreversible = true\n')
    again = queue(home, db, payload={"n": "it's \" one"}, key="it's \" one")
    post = queue(home, db, task="post")
    afk("backup", str(tmp_path / "b.db"))
    db.execute("UPDATE jobs SET status = 'cancelled', finished_at = 1")
    db.close()

    said = afk("restore", str(tmp_path / "b.db"))

    assert f"1 job ({post}) of irreversible tasks ended since, and will not be done again" in said.err
    told = re.search("for all of them `(.*)`", said.err)
    assert told is not None
    runner = shlex.join([sys.executable, "-m", "runner.cli"])
    line = told[1].replace("afk-runner", runner)
    subprocess.run(["sh", "-c", line], check=True, capture_output=True)
    states = {job["key"]: job["status"] for job in afk("jobs", "--json").json}
    assert states == {again: "cancelled", post: "cancelled"}


def test_money_that_nobody_knows_of_is_said_in_capitals_and_can_be_written_off(
    afk: Afk, home: Home, tmp_path: Path
) -> None:
    afk("backup", str(tmp_path / "b.db"))
    home.db.unlink()

    said = afk("restore", str(tmp_path / "b.db"))

    assert "WHAT WAS SPENT SINCE IS NOT KNOWN: $1.00 is held for it" in said.err
    (hold,) = afk("spend", "--holds", "--json").json
    assert afk("status", "--json").json["spend"]["held_microusd"] == 1_000_000
    assert afk("spend", "--write-off", str(hold["id"]), "--reason", "the bill says nothing").code == 0
    assert afk("status", "--json").json["spend"]["held_microusd"] == 0


@pytest.mark.parametrize("amount", ["1e3", "-1", "$1", ""])
def test_an_amount_that_is_none_is_refused(afk: Afk, tmp_path: Path, amount: str) -> None:
    said = afk("restore", str(tmp_path / "b.db"), f"--spent-since={amount}")

    assert said.code == 64
    assert "--spent-since" in said.err


def test_a_check_is_a_line_each_and_fails_with_code_1(afk: Afk, db: sqlite3.Connection) -> None:
    assert afk("check").code == 0
    db.execute("UPDATE board SET dead = 7")

    said = afk("check", "--deep")

    assert said.code == 1
    assert "fail  counts    counters that disagree with the jobs: dead (7 counted, 0 there)" in said.out
    document = afk("check", "--deep", "--json")
    assert (document.code, document.json["ok"]) == (1, False)


def test_pruning_says_first_what_would_go(afk: Afk, home: Home, db: sqlite3.Connection) -> None:
    """A dry run changes nothing; neither takes what is dead."""
    dead, old = bury(home, db), queue(home, db, payload={"n": 2})
    db.execute("UPDATE jobs SET status = 'done', finished_at = 1 WHERE key = ?", (old,))
    output = home.attempt_file(1, 1)
    output.write_text("its last words")

    would = afk("prune", "--dry-run", "--json").json
    assert would["rows"]["finished_jobs"] == 1
    assert db.execute("SELECT count(*) FROM jobs").fetchone() == (2,)
    gone = afk("prune")

    assert "gone: 1 finished jobs" in gone.out
    assert db.execute("SELECT key FROM jobs").fetchall() == [(dead,)]
    assert output.exists(), "it is a dead letter's"


def test_a_dry_run_of_prune_counts_all_that_goes(afk: Afk, db: sqlite3.Connection) -> None:
    """Alerts, incidents, slots and counters as well; then the same goes."""
    long_ago = 1_000_000_000_000
    for key in ("a", "b"):
        telling.tell(db, key=key, level="warn", text="it was hot", now=UnixMs(long_ago))
        telling.settled(db, key=key, text="it cooled down", now=UnixMs(long_ago))
    db.execute("UPDATE alerts SET owed = 0")
    db.execute("UPDATE incidents SET closed_at = opened_at, closed_by = 'me', cause = 'sun', fix = 'shade'")
    db.execute("INSERT INTO outcomes VALUES (1, 'digest', 'done', 1, 0)")
    db.execute("INSERT INTO happenings VALUES (1, 'stop.set', '', 1)")
    db.executemany(
        "INSERT INTO slots (schedule, due_at, at, skipped) VALUES ('digest', ?, 1, 'late')",
        [(due,) for due in range(2_300)],
    )

    would = afk("prune", "--dry-run", "--json").json["rows"]
    gone = afk("prune", "--json").json["rows"]

    assert would == gone
    assert would["alerts_that_are_over"] == would["incidents_closed_long_ago"] == 2
    assert would["counters_of_old_reports"] >= 2
    assert would["due_times_of_schedules"] == 300
