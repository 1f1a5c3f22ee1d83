"""What an owner types into `sqlite3` on a working home, word for word."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from datetime import UTC, datetime

from tests.e2e.world import DEADLINE_S, World, eventually

TOML = """
[budget]
daily_usd = "1.00"
[retry]
max_attempts = 1
[prices."offline/extract"]
input = "20"
output = "20"
[tasks.digest]
kind = "prompt"
model = "offline/extract"
prompt = "Pick out the line that matters: the sea is calm tonight. The tide is full."
"""

TASKS = """
from runner import task

@task("bad")
def bad(ctx, payload):
    raise ValueError("no luck")

@task("good")
def good(ctx, payload):
    return None
"""


def typed(afk: World, query: str) -> str:
    """What `sqlite3 agent.db QUERY` prints; the module's own way where the program is not installed."""
    database = afk.home / "agent.db"
    if shutil.which("sqlite3"):
        patience = ["-cmd", f".timeout {DEADLINE_S * 1000:.0f}"]  # a person types it again when the runner writes
        words = ["sqlite3", *patience, database, query]
        return subprocess.run(words, capture_output=True, text=True, timeout=2 * DEADLINE_S, check=True).stdout
    with sqlite3.connect(database, timeout=DEADLINE_S) as db:
        rows = db.execute(query).fetchall()
    db.close()
    return "".join("|".join("" if value is None else str(value) for value in row) + "\n" for row in rows)


def test_the_four_questions_of_an_owner(afk: World) -> None:
    """Jobs by status, dead letters, today's spend and the stop switch, all read beside a running runner."""
    afk.init(TOML, tasks=TASKS)
    afk.start()
    assert typed(afk, "SELECT sum(cost) FROM spend WHERE day=date('now')") == "\n"
    for task in ("good", "bad", "digest"):
        afk.afk("enqueue", task)
    afk.afk("enqueue", "good", "1", "--in", "1h")
    eventually(lambda: afk.counts() == {"done": 2, "dead": 1, "pending": 1}, what="all ended")
    day = datetime.now(UTC).date()

    by_status = typed(afk, "SELECT status,count(*) FROM jobs GROUP BY status")
    dead = typed(afk, "SELECT count(*) FROM dead_letter")
    spent = typed(afk, "SELECT sum(cost) FROM spend WHERE day=date('now')")
    stop = typed(afk, "SELECT value FROM control WHERE key='stop'")

    assert by_status == "dead|1\ndone|2\npending|1\n"
    assert dead == "1\n"
    assert stop == "0\n"
    if datetime.now(UTC).date() == day:  # else midnight came between the call and the question
        assert int(spent) == afk.one("SELECT sum(counted) FROM charges") > 0
    (letter,) = afk.sql("SELECT payload, error, died FROM dead_letter")
    assert letter[0] == "{}"
    assert "ValueError: no luck" in letter[1]
    assert letter[2] == afk.one("SELECT finished_at FROM jobs WHERE task = 'bad'")


def test_the_stop_switch_can_be_typed(afk: World) -> None:
    """A hand that writes the control row stops the runner as `kill` does, and lifts it again."""
    afk.init(TOML, tasks=TASKS)
    afk.start()

    typed(afk, "UPDATE control SET value='1' WHERE key='stop'")
    eventually(lambda: afk.status()["runner"]["state"] == "parked", what="parked")
    key = afk.json("enqueue", "good")["key"]
    assert afk.status()["stop"]["set"]
    assert "everything is stopped" in afk.afk("why", key)
    assert afk.counts() == {"pending": 1}

    typed(afk, "UPDATE control SET value='0' WHERE key='stop'")

    eventually(lambda: afk.counts() == {"done": 1}, what="the job done")
    assert typed(afk, "SELECT value FROM control WHERE key='stop'") == "0\n"


def test_a_job_typed_by_hand_is_counted_and_done(afk: World) -> None:
    """Counters are kept by the database itself, so they are right whoever writes."""
    afk.init(TOML, tasks=TASKS)
    afk.start()

    typed(
        afk,
        "INSERT INTO jobs (key, task, payload, not_before, max_attempts, created_at) "
        "VALUES ('by hand', 'good', '{}', 0, 4, 0)",
    )

    eventually(lambda: afk.counts() == {"done": 1}, what="the job done")
    assert typed(afk, "SELECT pending, running, done FROM board") == "0|0|1\n"
