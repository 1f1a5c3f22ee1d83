"""Finding what a filter means: the same as a look at every row, along indexes, a bounded number of rows at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.snapshot import listing
from runner.snapshot.filter import parse
from runner.snapshot.listing import LAST_STEP, NARROW
from runner.store.db import Database
from runner.store.jobs import JobStatus
from runner.units import HOUR_MS
from tests.factories import NOW, make_charge, make_job

EVERYTHING = 1_000_000_000


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    database = Database.open(tmp_path / "agent.db", create=True)
    yield database.connection
    database.close()


def keys(db: sqlite3.Connection, text: str, **how: object) -> list[str]:
    """Keys that are meant, in the order they are found, all in one search."""
    found = listing.find(db, parse(text), now=NOW, limit=1_000, most=EVERYTHING, **how)  # type: ignore[arg-type]
    assert found.go_on is None
    return [db.execute("SELECT key FROM jobs WHERE id = ?", (id,)).fetchone()[0] for id in found.ids]


@pytest.fixture
def few(db: sqlite3.Connection) -> None:
    """A job of each kind."""
    make_job(db, key="digest-1", task="digest", status=JobStatus.DONE, created_at=NOW - 3 * HOUR_MS)
    make_job(db, key="digest-2", task="digest_b", status=JobStatus.DEAD, error="TimeoutError: 100% late")
    make_job(db, key="waits", task="triage", waiting_on="the day's cap of $1.00 is reached")
    db.execute("UPDATE jobs SET waiting_gate = 'cap:day' WHERE key = 'waits'")
    make_charge(db, make_job(db, key="works", task="triage", status=JobStatus.RUNNING), cost=500_000)
    make_job(db, key="held_back", task="review", status=JobStatus.HALTED, error="HTTP 504")


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", ["held_back", "works", "waits", "digest-2", "digest-1"]),
        ("state:done", ["digest-1"]),
        ("state:pending,running", ["works", "waits"]),
        ("-state:done,dead,halted", ["works", "waits"]),
        ("state:dead state:done", []),
        ("task:digest", ["digest-1"]),
        ("task:digest*", ["digest-2", "digest-1"]),
        ("task:review,triage", ["held_back", "works", "waits"]),
        ("-task:digest* -task:triage", ["held_back"]),
        ("task:nobody", []),
        ("key:IGEST", ["digest-2", "digest-1"]),
        ("key:*t-1", ["digest-1"]),
        ("key:digest_1", []),
        ("err:timeout", ["digest-2"]),
        ("err:100%", ["digest-2"]),
        ("err:timeout*", ["digest-2"]),
        ("err:late*", []),
        ("-err:timeout state:dead,halted", ["held_back"]),
        ("waiting:cap", ["waits"]),
        ("waiting:$1.00", ["waits"]),
        ("-waiting:cap state:pending", []),
        ("age>2h", ["digest-1"]),
        ("age<2h", ["held_back", "works", "waits", "digest-2"]),
        ("-age>2h state:dead", ["digest-2"]),
        ("cost>0.10", ["works"]),
        ("cost<0.50 task:triage", ["waits"]),
        ("504", ["held_back"]),
        ("held", ["held_back"]),
        ("dig -504 -late", ["digest-1"]),
        ("'; DROP TABLE jobs --", []),
    ],
)
def test_a_filter_finds_what_it_means_in_both_directions(db: sqlite3.Connection, text: str, meant: list[str]) -> None:
    assert keys(db, text) == meant
    assert keys(db, text, oldest_first=True) == meant[::-1]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """More than one step of every kind of search; shared, so whoever changes it takes that back."""
    database = Database.open(tmp_path_factory.mktemp("many") / "agent.db", create=True)
    db = database.connection
    db.execute(
        """
        INSERT INTO jobs (key, task, payload, status, not_before, max_attempts, created_at, finished_at, error)
        WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
        SELECT printf('job-%06d', i), printf('task-%d', i % 5), '{}',
               CASE WHEN i % 3 THEN 'done' WHEN i % 2 THEN 'dead' ELSE 'pending' END, 1, 4, i,
               iif(i % 3 = 0 AND i % 2 = 0, NULL, 2), iif(i % 1000 = 0, 'rare', NULL)
          FROM n
        """,
        (NARROW * 3,),
    )
    yield db
    database.close()


WANTED = (
    *("", "state:dead", "state:pending,dead", "state:done", "task:task-1", "task:task-1,task-3", "task:task-*"),
    *("state:pending task:task-2", "rare", "-state:done rare", "task:task-0 rare", "key:0000 state:dead"),
)


@pytest.mark.parametrize("text", WANTED)
@pytest.mark.parametrize("oldest_first", [False, True])
def test_a_search_that_goes_on_finds_each_once_and_in_order(
    many: sqlite3.Connection, text: str, oldest_first: bool
) -> None:
    where, values = listing.condition(parse(text), now=NOW)
    order = "ASC" if oldest_first else "DESC"
    all_ids = [
        row[0] for row in many.execute(f"SELECT id FROM jobs WHERE {where} ORDER BY id {order} LIMIT 900", values)
    ]

    ids: list[int] = []
    beyond: int | None = None
    for most in (700, 1_000, LAST_STEP, *[4 * LAST_STEP] * 20):
        found = listing.find(
            many,
            parse(text),
            now=NOW,
            beyond=beyond,
            oldest_first=oldest_first,
            limit=min(250, 900 - len(ids)),
            most=most,
        )
        assert found.looked <= most + LAST_STEP
        ids += found.ids
        beyond = found.go_on
        if beyond is None or len(ids) == 900:
            break

    assert ids == all_ids


def test_a_bounded_search_ends_and_says_from_where_to_go_on(many: sqlite3.Connection) -> None:
    found = listing.find(many, parse("never"), now=NOW, limit=10, most=5_000)

    assert (found.ids, found.looked, found.go_on) == ((), 5_000, NARROW * 3 + 1 - 5_000)


def test_an_indexed_filter_looks_at_what_it_means_and_no_more(many: sqlite3.Connection) -> None:
    """However rare it is among all the others."""
    db = many
    db.execute("BEGIN")
    db.execute("UPDATE jobs SET status = 'cancelled' WHERE id IN (3, 7)")
    db.execute("UPDATE jobs SET task = 'seldom' WHERE id IN (4, 9)")
    for text, ids in (("state:cancelled", (7, 3)), ("task:seldom", (9, 4)), ("task:sel* state:done,dead", (9, 4))):
        found = listing.find(db, parse(text), now=NOW, limit=200, most=EVERYTHING)

        assert (found.ids, found.looked) == (ids, 2)
    db.execute("ROLLBACK")


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        ("state:dead", "SEARCH jobs USING COVERING INDEX jobs_ended (status=? AND rowid<?)"),
        ("state:halted", "SEARCH jobs USING COVERING INDEX jobs_ended (status=? AND rowid<?)"),
        ("task:a", "SEARCH jobs USING COVERING INDEX jobs_task (task=? AND rowid<?)"),
        ("waiting:cap", "SEARCH jobs USING INDEX jobs_waiting (waiting_gate>?)"),
        ("state:pending", "SEARCH jobs USING COVERING INDEX jobs_open (status=?)"),
    ],
)
def test_ids_come_from_an_index_alone(db: sqlite3.Connection, text: str, plan: str) -> None:
    if text == "task:a":
        db.execute("UPDATE board SET done = 1000000")
    (source,) = listing._sources(db, parse(text), oldest_first=False) or ()
    steps = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {source.sql}", (*source.values, 5, 5))]

    assert steps[0] == plan
    assert len(steps) == (2 if text in ("state:pending", "waiting:cap") else 1)


def test_rows_are_gone_over_by_id(db: sqlite3.Connection) -> None:
    make_job(db)
    seen: list[str] = []
    db.set_trace_callback(seen.append)
    listing.find(db, parse("err:x"), now=NOW, limit=5, most=5)
    db.set_trace_callback(None)
    sql = next(one for one in seen if "ORDER BY id" in one)
    plan = db.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()

    assert [row[3] for row in plan] == ["SEARCH jobs USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"]


def test_totals_come_from_the_counters_where_they_know(db: sqlite3.Connection) -> None:
    for status in (JobStatus.DEAD, JobStatus.DEAD, JobStatus.PENDING):
        make_job(db, status=status)

    assert [listing.exact_total(db, parse(text)) for text in ("", "state:dead", "-state:dead", "task:digest")] == [
        *(3, 2, 1, None)
    ]


def test_tasks_are_named_one_seek_each(db: sqlite3.Connection) -> None:
    for task in ("triage", "digest", "digest", "review"):
        make_job(db, task=task)

    assert listing.tasks(db, limit=9) == ["digest", "review", "triage"]
    assert listing.tasks(db, limit=2) == ["digest", "review"]
    plan = db.execute("EXPLAIN QUERY PLAN SELECT min(task) FROM jobs WHERE task > ?", ("a",)).fetchall()
    assert plan[0][3] == "SEARCH jobs USING COVERING INDEX jobs_task (task>?)"
