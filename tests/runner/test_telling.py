"""The edges somebody is told of, each in the transaction of what it reports."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import suppress

import pytest

from runner import telling, upkeep
from runner.commands import Door
from runner.daemon import records
from runner.errors import NotFound, Refused, UsageError
from runner.home import Home
from runner.store import alerts, jobs, runners
from runner.store.db import Database
from runner.store.jobs import JobStatus
from runner.store.leases import MAX_RESCUES
from runner.store.runners import RunState
from runner.units import UnixMs
from tests.factories import NOW, ManualClock, make_job, make_runner, make_running


@pytest.fixture
def database(home: Home) -> Iterator[Database]:
    made = Database.open(home.db, create=True)
    yield made
    made.close()


@pytest.fixture
def db(database: Database) -> sqlite3.Connection:
    """Its connection: every statement a transaction of its own."""
    return database.connection


@pytest.fixture
def door(home: Home, db: sqlite3.Connection) -> Iterator[Door]:
    made = Door(home, clock=ManualClock(), by="ada@cli")
    yield made
    made.close()


def told(db: sqlite3.Connection) -> dict[str, tuple[str, str | None]]:
    """Level of every alert, and how it ended."""
    return {key: (level, ending) for key, level, ending in db.execute("SELECT key, level, ending FROM alerts")}


def test_a_kill_and_its_resume(door: Door, db: sqlite3.Connection) -> None:
    door.kill(reason="the bill looks wrong")
    door.kill(now=True)
    assert told(db) == {"stop": ("info", None)}
    assert "by ada@cli: the bill looks wrong; `afk-runner resume` lifts it" in one(db, "SELECT text FROM alerts")

    door.resume()

    assert told(db) == {"stop": ("info", "settled")}
    assert one(db, "SELECT end_text FROM alerts") == "resumed by ada@cli"
    assert one(db, "SELECT count(*) FROM incidents") == 0, "a person who stops it is no incident"


def test_a_resume_that_leaves_a_stop_in_force_settles_nothing(door: Door, db: sqlite3.Connection, home: Home) -> None:
    door.kill()
    home.stop.unlink()
    (home.stop / "in the way").mkdir(parents=True)

    assert door.resume().remaining

    assert told(db) == {"stop": ("info", None)}


def test_a_stop_that_nobody_wrote_down(db: sqlite3.Connection) -> None:
    """Such as a STOP file made by hand: the runner tells of it, and when it is gone."""
    make_runner(db)
    me = runners.latest(db)
    assert me is not None

    def moved(state: RunState, reason: str | None, by: str | None = "a STOP file") -> None:
        records.moved(db, me, state=state, reason=reason, note=None, by=by, seq=1, now=NOW)

    moved(RunState.PARKED, "disk", by=None)
    assert told(db) == {}, "a reason of its own has an alert of its own"
    moved(RunState.DRAINING, "asked to end", by=None)
    assert told(db) == {}
    moved(RunState.DRAINING, "stop")
    moved(RunState.PARKED, "stop")
    assert told(db) == {"stop": ("info", None)}
    assert one(db, "SELECT text FROM alerts") == "stopped by a STOP file; `afk-runner resume` lifts it"
    moved(RunState.RUNNING, None)
    assert told(db) == {"stop": ("info", "settled")}


def test_a_database_that_was_no_good_is_told_of_once_it_can_be(db: sqlite3.Connection) -> None:
    """Nobody stopped it then, so no stop is told of."""
    make_runner(db)
    me = runners.latest(db)
    assert me is not None
    distrust = records.Distrust(UnixMs(NOW - 300_000), "the database cannot be written: it is locked")
    for state, reason in ((RunState.PARKED, "stop"), (RunState.RUNNING, None)):
        records.moved(db, me, state=state, reason=reason, note=None, by=None, distrust=distrust, seq=1, now=NOW)

    assert told(db) == {"database": ("error", "settled")}
    assert one(db, "SELECT text FROM alerts") == "parked for 5m: the database cannot be written: it is locked"


def test_a_breaker_tripped_and_reset_by_hand(door: Door, db: sqlite3.Connection) -> None:
    door.trip("house/m", reason="bad answers")
    assert told(db) == {"breaker:house/m": ("warn", None)}

    door.reset("house/m", reason="mended")

    assert told(db) == {"breaker:house/m": ("warn", "settled")}
    assert one(db, "SELECT end_text FROM alerts") == "breaker house/m reset by ada@cli: mended"


def test_lost_jobs_that_are_not_begun_again(db: sqlite3.Connection) -> None:
    """A poison pill, and one that may have done what cannot be undone."""
    pill = make_running(db, task="pill")
    db.execute("UPDATE jobs SET rescues = ?", (MAX_RESCUES,))
    upkeep.take_back(db, runner="runner-2", now=NOW)
    assert told(db) == {"poison:pill": ("error", None)}
    assert f"task pill: job {pill.key} is set aside: poison pill" in one(db, "SELECT text FROM alerts")

    make_running(db, task="mail")
    upkeep.take_back(db, runner="runner-2", now=NOW, irreversible={"mail"})
    assert told(db) == {"poison:pill": ("error", None), "dead:mail": ("error", None)}


def test_dead_letters_that_were_dealt_with_settle_their_alert_and_tell_nobody(
    door: Door, db: sqlite3.Connection
) -> None:
    keys = {}
    for task in ("one", "two"):
        for poison in (True, False):
            job = make_job(db, task=task, status=JobStatus.DEAD)
            telling.dead(db, task=task, job=job.key, error="ValueError: no\nat line 3", poison=poison, now=NOW)
            keys[job.key] = task
    telling.dead_no_more(db, now=NOW)
    assert {ending for _, ending in told(db).values()} == {None}
    assert "no at line" not in one(db, "SELECT text FROM alerts")

    door.replay([key for key, task in keys.items() if task == "one"])
    telling.dead_no_more(db, now=NOW)

    assert {key: ending for key, (_, ending) in told(db).items()} == {
        "poison:one": "closed", "dead:one": "closed", "poison:two": None, "dead:two": None,
    }  # fmt: skip


def test_a_graveyard_is_not_walked_through(db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "MOST_DEAD", 1)
    telling.dead(db, task="gone", job="gone-1", error=None, now=NOW)
    for _ in range(2):
        make_job(db, task="other", status=JobStatus.DEAD)

    telling.dead_no_more(db, now=NOW)

    assert told(db) == {"dead:gone": ("error", None)}
    assert jobs.tasks_of_dead(db, most=1) is None


def test_what_is_rolled_back_is_not_told(database: Database) -> None:
    with suppress(ZeroDivisionError), database.write() as db:
        telling.tell(db, key="breaker:x", level="warn", text="open", now=NOW)
        raise ZeroDivisionError

    assert told(database.connection) == {}


def test_an_alert_is_closed_by_hand_with_a_reason(door: Door, db: sqlite3.Connection) -> None:
    telling.tell(db, key="orphans:runner-1", level="warn", text="a call was in flight", now=NOW)
    with pytest.raises(UsageError, match="wants a reason"):
        door.close_alert("orphans:runner-1", reason=" ")
    with pytest.raises(NotFound, match="did you mean"):
        door.close_alert("orphan:runner-1", reason="checked")

    door.close_alert("orphans:runner-1", reason="the bill\nwas checked")

    assert told(db) == {"orphans:runner-1": ("warn", "closed")}
    assert one(db, "SELECT text FROM events WHERE event = 'alert.closed'") == (
        "alert orphans:runner-1 closed by ada@cli: the bill was checked"
    )
    with pytest.raises(Refused, match="is over since"):
        door.close_alert("orphans:runner-1", reason="again")


def test_a_cap_told_again_after_a_raise_is_news_at_once(db: sqlite3.Connection) -> None:
    """It is no storm: the level was armed anew on purpose."""
    key = alerts.cap_key("day", "2030-03-17", 80)
    telling.tell(db, key=key, level="warn", text="80 %", now=NOW)
    read = alerts.by_key(db, key)
    assert read is not None
    alerts.known(db, read)
    alerts.rearm_cap(db, "day", "2030-03-17", below=50, now=NOW)

    telling.tell(db, key=key, level="warn", text="80 % of more", now=NOW)

    found = alerts.by_key(db, key)
    assert found is not None
    assert (found.edge, found.times, found.owed) == (2, 1, True)


def one(db: sqlite3.Connection, query: str) -> object:
    return db.execute(query).fetchone()[0]
