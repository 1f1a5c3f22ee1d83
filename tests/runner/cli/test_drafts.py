"""A person approves or rejects what an agent drafted; approving queues the job that performs it, once."""

from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import suppress

import pytest

from runner.commands import Door
from runner.errors import Refused
from runner.home import Home
from runner.store import drafts
from runner.store.drafts import NewDraft
from tests.factories import NOW, make_job
from tests.runner.cli.world import Afk


def drafted(db: sqlite3.Connection, name: str = "one", *, summary: str = "Post it.") -> int:
    """A draft that waits; its id."""
    author = db.execute("SELECT id FROM jobs WHERE key = 'author'").fetchone()
    job_id = author[0] if author else make_job(db, key="author").id
    draft = NewDraft(
        job_id=job_id,
        job="author",
        task="digest",
        n=1,
        name=name,
        performs="sweep",
        payload='{"to":"all"}',
        priority=3,
        max_attempts=2,
        summary=summary,
    )
    return drafts.add(db, draft, now=NOW)[0].id


def test_nothing_waits_at_first(afk: Afk) -> None:
    assert (afk("drafts").err, afk("drafts", "--json").json) == ("no drafts\n", [])
    assert afk("status", "--json").json["drafts"] == {"waiting": 0}


def test_what_waits_is_shown_with_all_that_one_decides_by(afk: Afk, db: sqlite3.Connection) -> None:
    id = drafted(db, summary="Post it.\x1b[2J")
    listed, told = afk("drafts"), afk("status")

    assert "sweep" in listed.out
    assert '{"to":"all"}' in listed.out
    assert "\x1b" not in listed.out
    assert "afk-runner drafts approve ID" in listed.err
    assert "1 wait for a person" in told.out
    (entry,) = afk("drafts", "--json").json
    assert (entry["id"], entry["state"], entry["payload"], entry["job"]) == (id, "waiting", {"to": "all"}, "author")
    assert afk("status", "--json").json["drafts"] == {"waiting": 1}
    assert afk("job", "author", "--json").json["drafts"] == [{"id": id, "state": "waiting", "became": None}]


def test_a_draft_can_be_read_whole(afk: Afk, db: sqlite3.Connection) -> None:
    """Whoever approves must be able to see all of what will be done."""
    id = drafted(db)
    db.execute("DROP TRIGGER drafts_fixed")
    db.execute("UPDATE drafts SET payload = ?", (json.dumps({"to": "x" * 5_000 + "end"}),))
    shown = afk("drafts", "show", str(id))

    assert "x" * 5_000 + "end" not in afk("drafts").out
    assert "x" * 5_000 + "end" in shown.out
    assert "summary   Post it." in shown.out
    assert afk("drafts", "show", str(id), "--json").json["state"] == "waiting"
    assert afk("drafts", "show", "99").code == 1


def test_approving_queues_the_job_that_performs_it(afk: Afk, db: sqlite3.Connection) -> None:
    """With the payload a person has read, under a key made of the draft."""
    id = drafted(db)
    answer = afk("drafts", "approve", str(id), "--json")

    assert answer.json == {"draft": id, "state": "approved", "job": f"sweep-draft-{id}"}
    row = db.execute("SELECT key, task, payload, status, priority, max_attempts FROM jobs WHERE task = 'sweep'")
    assert row.fetchall() == [(f"sweep-draft-{id}", "sweep", '{"to":"all"}', "pending", 3, 2)]
    assert afk("drafts").out == ""
    assert f"became sweep-draft-{id}" in afk("drafts", "--all").out
    assert f"became sweep-draft-{id}" in afk("job", "author").out


def test_a_second_approval_is_told_of_the_first(afk: Afk, db: sqlite3.Connection) -> None:
    id = drafted(db)
    afk("drafts", "approve", str(id))
    again, too_late = afk("drafts", "approve", str(id)), afk("drafts", "reject", str(id), "--reason", "no")

    assert (again.code, too_late.code) == (1, 1)
    assert f"and became job sweep-draft-{id}" in again.err
    assert "was approved by" in too_late.err
    assert db.execute("SELECT count(*) FROM jobs WHERE task = 'sweep'").fetchone() == (1,)


def test_what_was_rejected_is_not_approved_any_more(afk: Afk, db: sqlite3.Connection) -> None:
    id = drafted(db)
    rejected = afk("drafts", "reject", str(id), "--reason", "wrong address")
    late = afk("drafts", "approve", str(id))

    assert (rejected.code, rejected.out, late.code) == (0, f"rejected {id}\n", 1)
    assert "was rejected by" in late.err
    assert "wrong address" in late.err
    assert db.execute("SELECT count(*) FROM jobs WHERE task = 'sweep'").fetchone() == (0,)


def test_many_who_approve_at_once_queue_one_job(home: Home, db: sqlite3.Connection) -> None:
    """Two screens, or a key pressed twice: one of them gets the job, the others are told."""
    id = drafted(db)
    told: list[str] = []

    def approve() -> None:
        door = Door(home)
        try:
            with suppress(Refused):
                told.append(door.approve(id).key)
        finally:
            door.close()

    people = [threading.Thread(target=approve) for _ in range(8)]
    for person in people:
        person.start()
    for person in people:
        person.join()

    assert told == [f"sweep-draft-{id}"]
    assert db.execute("SELECT count(*) FROM jobs WHERE task = 'sweep'").fetchone() == (1,)
    assert db.execute("SELECT count(*) FROM events WHERE event = 'draft.approved'").fetchone() == (1,)


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["approve"], 64, "wants an ID"),
        (["approve", "99"], 1, "there is no draft 99"),
        (["approve", "x"], 64, "invalid value"),
        (["approve", "0"], 64, "invalid value"),
        (["reject", "1"], 64, "wants a --reason"),
        (["reject", "1", "--reason", " "], 64, "wants a --reason"),
        (["reject", "1", "--reason", "x" * 501], 64, "1 to 500 characters"),
        (["burn", "1"], 64, "'burn' is not one of"),
    ],
)
def test_a_decision_that_is_none_changes_nothing(
    afk: Afk, db: sqlite3.Connection, argv: list[str], code: int, said: str
) -> None:
    drafted(db)
    answer = afk("drafts", *argv)

    assert (answer.code, said in answer.err) == (code, True), answer.err
    assert db.execute("SELECT state FROM drafts").fetchall() == [("waiting",)]


@pytest.mark.parametrize("change", ["payload = '{}'", "performs = 'other'", "summary = 'x'"])
def test_what_was_shown_is_what_is_performed(db: sqlite3.Connection, change: str) -> None:
    """The database itself refuses to change a draft under a person's eyes."""
    drafted(db)
    with pytest.raises(sqlite3.IntegrityError, match="keeps its words"):
        db.execute(f"UPDATE drafts SET {change}")


def test_a_draft_outlives_the_job_that_made_it(afk: Afk, db: sqlite3.Connection) -> None:
    id = drafted(db)
    afk("cancel", "author")
    afk("remove", "author")

    assert [entry["id"] for entry in afk("drafts", "--json").json] == [id]
    assert afk("drafts", "approve", str(id)).code == 0


def test_limits_and_criteria_of_a_job_are_asked_for(afk: Afk, db: sqlite3.Connection) -> None:
    """By flag, and by a line of many."""
    afk("enqueue", "digest", "--key", "a", "--max-tool-calls", "0", "--criteria", "Sings.", "--criteria", "Is short.")
    line = {"key": "b", "max_tool_calls": 7, "criteria": ["Rhymes."]}
    afk("enqueue", "digest", "--lines", stdin=json.dumps(line).encode())

    rows = db.execute("SELECT key, max_tool_calls, criteria FROM jobs ORDER BY key").fetchall()
    assert rows == [("a", 0, '["Sings.", "Is short."]'), ("b", 7, '["Rhymes."]')]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["sweep", "--criteria", "Sings."], "sweep is a command task, whose result nobody judges"),
        (["digest", "--criteria", " "], "at most 20 sentences of 1 to 500 characters"),
        (["digest", *["--criteria", "x"] * 21], "at most 20 sentences"),
        (["digest", "--max-tool-calls", "-1"], "invalid value"),
    ],
)
def test_a_criterion_that_nobody_could_judge_is_refused(afk: Afk, argv: list[str], said: str) -> None:
    answer = afk("enqueue", *argv)

    assert (answer.code, said in answer.err) == (64, True), answer.err
