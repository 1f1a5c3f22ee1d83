"""Going back to a backup: the replaced database is kept, the home stays stopped, and no money is forgotten."""

from __future__ import annotations

import os
import random
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.care.backup import backup
from runner.care.check import Verdict, check
from runner.care.restore import Restored, Terms, restore
from runner.errors import Refused, StoreCorrupt, StoreNewer
from runner.home import Home
from runner.lock import HomeLock
from runner.store import attempts, breakers, charges, controls, drafts, jobs, leases, schedules
from runner.store.attempts import Outcome
from runner.store.db import Database
from runner.store.drafts import NewDraft
from runner.store.jobs import JobStatus
from runner.store.runners import RunState
from runner.units import DAY_MS, HOUR_MS, MicroUsd, UnixMs
from tests.factories import (
    NOW,
    lease_of,
    make_attempt,
    make_charge,
    make_job,
    make_runner,
    make_running,
    make_settings,
    make_step,
)

CAP = 1_000_000
TODAY = "2030-03-17"
NOISE = random.Random(1).randbytes(30 * 4096)
"""Broken in the same way in every run."""


def take(home: Home, name: str = "b.db") -> Path:
    dest = home.root.parent / name
    backup(home, dest, force=True, keep=None, now=UnixMs(NOW), version="0.1.0", progress=lambda _, __: None)
    return dest


def go_back(home: Home, source: Path, **wishes: Any) -> Restored:
    given = {"cap": (MicroUsd(CAP), ZoneInfo("UTC")), "spent": None, "irreversible": {"post"}, "by": "ada@cli"}
    return restore(home, source, Terms(**{**given, "now": UnixMs(NOW), **wishes}), progress=lambda _, __: None)


def rows(path: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


def spent_today(home: Home) -> int:
    with closing(sqlite3.connect(home.db)) as db:
        return charges.spent_since_day(db, TODAY).committed


def sound(home: Home) -> bool:
    """Whether a deep look finds nothing, but for calls and caps that no runner would have left like this."""
    lines = list(check(home.db, deep=True, now=UnixMs(NOW)))
    return {line.name for line in lines if line.verdict is not Verdict.OK} <= {"cap", "holds"}


def finish(db: sqlite3.Connection, job: jobs.Job) -> None:
    leases.finish(db, id=job.id, token=lease_of(job).token, status=JobStatus.DONE, now=UnixMs(NOW))
    db.execute("UPDATE attempts SET outcome = ?, ended_at = ? WHERE job_id = ?", (Outcome.DONE, NOW, job.id))


# --- what is exchanged ------------------------------------------------------------------------------------------------


def test_the_rows_are_those_of_the_backup_and_the_replaced_ones_are_kept(home: Home, db: sqlite3.Connection) -> None:
    """With what was only in its log, as one sound file; the new one is as private."""
    make_job(db, key="before")
    source = take(home)
    make_job(db, key="after")
    db.close()

    done = go_back(home, source)

    assert rows(home.db, "SELECT key FROM jobs") == [("before",)]
    assert done.kept is not None
    assert done.kept.name == "agent.db.before-restore-20300317T174640Z"
    assert rows(done.kept, "SELECT key FROM jobs ORDER BY id") == [("before",), ("after",)]
    assert rows(done.kept, "PRAGMA integrity_check") == [("ok",)]
    assert home.db.stat().st_mode & 0o777 == 0o600
    assert {path.name for path in home.root.glob("agent.db*")} <= {
        *("agent.db", "agent.db-turn-a", "agent.db-turn-b", done.kept.name),
        *("agent.db-wal", "agent.db-shm", f"{done.kept.name}-wal", f"{done.kept.name}-shm"),
    }
    assert sound(home)


def test_it_stays_stopped_until_a_person_resumes(home: Home, db: sqlite3.Connection) -> None:
    """By the row, which is exchanged with the rest, and by the file; both say why."""
    source = take(home)
    db.close()

    go_back(home, source)

    assert "restored from b.db" in home.stop.read_text()
    with closing(sqlite3.connect(home.db)) as now:
        row = controls.stop_row(now)
    assert row.is_set
    assert "would be done again" in (row.reason or "")


def test_what_would_be_done_again_and_what_is_lost_are_named(home: Home, db: sqlite3.Connection) -> None:
    make_settings(db)
    for key in ("waits", "ended\nby\r\nhand", "pruned"):
        make_job(db, key=key)
    at_work = make_running(db, key="at work")
    draft = NewDraft(job_id=at_work.id, job="at work", task="digest", n=1, name="send", performs="post", payload="{}",
                     priority=0, max_attempts=1, summary="send it")  # fmt: skip
    made, _ = drafts.add(db, draft, now=UnixMs(NOW))
    source = take(home)
    finish(db, at_work)
    drafts.approve(db, made.id, became="draft-1", by="ada", now=UnixMs(NOW))
    for key in ("ended\nby\r\nhand", "pruned"):
        db.execute("UPDATE jobs SET status = 'cancelled', finished_at = 1 WHERE key = ?", (key,))
    db.execute("DELETE FROM jobs WHERE key = 'pruned'")
    make_job(db, key="queued since")
    make_job(db, key="done since", status=JobStatus.DONE)
    db.close()

    done = go_back(home, source)

    assert done.carried.again == ("ended\nby\r\nhand", "pruned", "at work")
    assert done.again is not None
    assert done.again.read_bytes() == b"ended\nby\r\nhand\0pruned\0at work\0"
    assert done.carried.lost == ("queued since",)
    assert done.carried.drafts == 1


def _begin(db: sqlite3.Connection, key: str) -> jobs.Job:
    """It is at work."""
    job = jobs.by_key(db, key)
    assert job is not None
    lease = leases.Lease(runner="runner-1", token=f"t-{key}", until=UnixMs(NOW))
    db.execute(leases.TAKE, (lease.token, lease.until, lease.runner, job.id))
    make_attempt(db, job, outcome=None)
    taken = jobs.by_key(db, key)
    assert taken is not None
    return taken


def _go_on(db: sqlite3.Connection) -> None:
    """What jobs of the task `post` went through since the backup."""
    done = _begin(db, "done")
    make_step(db, done)
    make_charge(db, done, cost=4_000, n=1)
    finish(db, done)
    was_at_work = jobs.by_key(db, "was at work")
    assert was_at_work is not None
    finish(db, was_at_work)
    _begin(db, "begun")
    tried = _begin(db, "tried")
    attempts.end(db, job_id=tried.id, n=1, outcome=Outcome.RETRY, now=UnixMs(NOW))
    token = lease_of(tried).token
    leases.put_back(db, id=tried.id, token=token, not_before=UnixMs(NOW), gate="retry", fact="503", counted=True)
    db.execute("DELETE FROM jobs WHERE key = 'pruned'")


def test_what_cannot_be_undone_is_not_done_again(home: Home, db: sqlite3.Connection) -> None:
    """Done stays done, what was begun is a dead letter, and an attempt that was used is used."""
    make_settings(db)
    for key in ("waits", "done", "begun", "tried", "pruned"):
        make_job(db, key=key, task="post", max_attempts=2)
    make_running(db, key="was at work", task="post")
    make_running(db, key="at work", task="post")
    source = take(home)
    _go_on(db)
    db.close()

    done = go_back(home, source)

    assert done.carried.standing.ended == ("done", "was at work")
    assert done.carried.standing.unknown == ("begun", "pruned")
    assert (done.carried.again, done.again) == ((), None)
    assert dict(rows(home.db, "SELECT key, status || ' ' || attempts FROM jobs")) == {
        "waits": "pending 0", "done": "done 1", "begun": "dead 1", "tried": "pending 1", "pruned": "dead 1",
        "was at work": "done 1", "at work": "running 0",
    }  # fmt: skip
    assert rows(home.db, "SELECT DISTINCT instr(error, 'may have done it') > 0 FROM jobs WHERE status = 'dead'") == [
        (1,)
    ]
    assert rows(home.db, "SELECT name FROM steps") == [("fetch",)]
    assert rows(home.db, "SELECT sum(cost) FROM attempts") == [(4_000,)]
    assert sound(home)


def test_what_the_backup_knows_to_be_done_is_not_undone_by_an_older_database(
    home: Home, db: sqlite3.Connection
) -> None:
    """As when the wrong backup was restored first."""
    make_settings(db)
    make_job(db, key="done", task="post")
    older = take(home, "older.db")
    job = _begin(db, "done")
    at_work = take(home, "at work.db")
    finish(db, job)
    newer = take(home, "newer.db")
    db.close()
    _lost(home)

    go_back(home, older)
    go_back(home, at_work, now=UnixMs(NOW + 1_000))
    assert rows(home.db, "SELECT status, starts FROM jobs") == [("running", 1)]
    done = go_back(home, newer, now=UnixMs(NOW + 2_000))

    assert done.vouched
    assert rows(home.db, "SELECT status, starts FROM jobs") == [("done", 1)]


def test_a_job_whose_task_may_be_irreversible_is_not_guessed_about(home: Home, db: sqlite3.Connection) -> None:
    """Settings that cannot be read stand in the way of a restore only where it matters."""
    make_settings(db)
    job = make_running(db, task="post")
    source = take(home)
    finish(db, job)

    with pytest.raises(Refused, match=f"job {job.key} went on since the backup: mend afk.toml"):
        go_back(home, source, irreversible=None)

    assert not home.stop_set()
    later = take(home)
    db.close()
    assert go_back(home, later, irreversible=None).vouched


def test_ids_are_never_given_twice(home: Home, db: sqlite3.Connection) -> None:
    """Files of output, screens and the keys of approved drafts are made of them."""
    make_job(db)
    source = take(home)
    last = max(make_job(db).id for _ in range(5))
    db.close()

    go_back(home, source)

    with closing(sqlite3.connect(home.db, isolation_level=None)) as now:
        assert make_job(now).id == last + 1


def test_what_guards_the_home_comes_along(home: Home, db: sqlite3.Connection) -> None:
    """Breakers that stop calls, pauses, and due times that are over; one whose job is not over comes again."""
    source = take(home)
    breakers.trip(db, "anthropic/x", reason="$9 a minute", retry_at=None, now=UnixMs(NOW))
    controls.pause(db, name="digest", reason="the feed is down", by="ada", now=UnixMs(NOW))
    make_job(db, key="over", status=JobStatus.DONE)
    make_job(db, key="open")
    for n, (key, skipped) in enumerate([("over", None), ("open", None), (None, "too late")]):
        schedules.take_slot(db, schedule="tick", due_at=UnixMs(n), now=UnixMs(n), job_key=key, skipped=skipped)
    db.close()

    carried = go_back(home, source).carried

    assert (carried.breakers, carried.pauses, carried.slots) == (1, 1, 2)
    assert rows(home.db, "SELECT state, reason FROM breakers") == [("open", "$9 a minute")]
    assert rows(home.db, "SELECT due_at FROM slots") == [(0,), (2,)]
    assert sound(home)


# --- money ------------------------------------------------------------------------------------------------------------


def test_what_was_spent_since_goes_on_counting(home: Home, db: sqlite3.Connection) -> None:
    """On its day, on its task, and on its job where the backup has it; a call that was open ends at its true cost."""
    make_settings(db)
    at_work = make_running(db, key="at work")
    call = make_charge(db, at_work, hold=50_000, n=at_work.starts)
    source = take(home)
    charges.settle(db, call, cost=MicroUsd(20_000), usage="{}", now=UnixMs(NOW))
    make_charge(db, at_work, hold=30_000, cost=25_000, n=at_work.starts)
    make_charge(db, make_job(db, key="after", task="triage"), hold=70_000)
    before = spent_today(home)
    db.close()

    done = go_back(home, source)

    assert done.vouched
    assert (done.held, done.carried.calls, done.carried.cost) == (0, 2, 95_000)
    assert spent_today(home) == before == 115_000
    assert rows(home.db, "SELECT settled, held FROM jobs") == [(45_000, 0)]
    assert rows(home.db, "SELECT task, settled, held FROM spend_totals ORDER BY task") == [
        ("digest", 45_000, 0),
        ("triage", 0, 70_000),
    ]
    assert sound(home)


def test_a_hold_that_was_written_off_since_stays_written_off(home: Home, db: sqlite3.Connection) -> None:
    job = make_running(db)
    call = make_charge(db, job, hold=50_000, n=job.starts)
    source = take(home)
    charges.release(db, call, note="written off by ada: never billed", now=UnixMs(NOW))
    db.close()

    go_back(home, source)

    assert spent_today(home) == 0
    assert rows(home.db, "SELECT state, note FROM charges") == [("released", "written off by ada: never billed")]


def test_days_whose_calls_became_sums_are_kept_as_sums(home: Home, db: sqlite3.Connection) -> None:
    """Even where the row of no call is left in either file."""
    source = take(home)
    job = make_job(db, status=JobStatus.DONE)
    make_charge(db, job, day="2030-03-02", cost=9_000, held_at=NOW - 15 * DAY_MS)
    db.execute("INSERT INTO charges_folded SELECT day, task, model, 1, cost FROM charges")
    db.execute("DELETE FROM charges")
    db.close()

    done = go_back(home, source)

    assert done.carried.cost == 9_000
    assert rows(home.db, "SELECT cost FROM spend WHERE day = '2030-03-02'") == [(9_000,)]
    assert sound(home)


def test_a_second_restore_counts_nothing_twice(home: Home, db: sqlite3.Connection) -> None:
    job = make_running(db)
    make_charge(db, job, cost=5_000, n=job.starts)
    source = take(home)
    make_charge(db, job, cost=7_000, n=job.starts)
    db.close()

    go_back(home, source)
    again = go_back(home, source, now=UnixMs(NOW + HOUR_MS))

    assert again.carried.calls == 1
    assert spent_today(home) == 12_000
    assert sound(home)


def _lost(home: Home) -> None:
    home.db.unlink()


def _garbage(home: Home) -> None:
    home.db.write_bytes(NOISE[:40_960])


def _pages(home: Home) -> None:
    with home.db.open("r+b") as file:
        file.seek(8 * 4096)
        file.write(NOISE[: 30 * 4096])


def _made_anew(home: Home) -> None:
    home.db.unlink()
    Database.open(home.db, create=True).close()


@pytest.mark.parametrize("fate", [_lost, _garbage, _pages, _made_anew])
def test_where_nobody_can_tell_what_was_spent_the_cap_counts_as_used_up(
    home: Home, db: sqlite3.Connection, fate: Callable[[Home], None]
) -> None:
    """A database that is lost, broken, or made anew knows nothing of this afternoon; a person may write it off."""
    make_settings(db, daily_usd=CAP)
    make_charge(db, make_job(db), cost=300_000)
    source = take(home)
    make_charge(db, make_job(db), cost=200_000)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    fate(home)

    done = go_back(home, source)

    assert not done.vouched
    assert done.held == CAP - 300_000
    assert spent_today(home) == CAP
    (note, ended) = rows(home.db, "SELECT note, ended_at FROM charges WHERE task = '(restore)' AND state = 'held'")[0]
    assert "not known" in note
    assert ended is not None, "it stands, and is not in flight"
    assert sound(home)


def test_a_broken_database_is_kept_with_its_log(home: Home, db: sqlite3.Connection) -> None:
    """Somebody may still get something out of it; beside the new one that log would be taken for its own."""
    make_settings(db, daily_usd=CAP)
    source = take(home)
    make_job(db, key="in the log")
    log = home.db.with_name("agent.db-wal").read_bytes()
    db.close()
    home.db.write_bytes(b"SQLite format 3\0" + NOISE[:40_960])
    home.db.with_name("agent.db-wal").write_bytes(log)

    done = go_back(home, source)

    assert done.kept is not None
    assert done.kept.with_name(done.kept.name + "-wal").read_bytes() == log
    assert rows(home.db, "SELECT key FROM jobs") == []
    assert sound(home)


def test_a_log_that_outlived_its_database_is_put_aside(home: Home, db: sqlite3.Connection) -> None:
    source = take(home)
    make_job(db, key="in the log")
    log = home.db.with_name("agent.db-wal").read_bytes()
    db.close()
    home.db.unlink()
    home.db.with_name("agent.db-wal").write_bytes(log)

    done = go_back(home, source)

    assert done.kept is None
    assert [path.read_bytes() for path in home.root.glob("agent.db.before-restore-*-wal")] == [log]
    assert rows(home.db, "SELECT key FROM jobs") == []
    assert sound(home)


def test_a_person_may_say_what_was_spent(home: Home, db: sqlite3.Connection) -> None:
    """As when a home has moved, and nothing ran since the backup."""
    make_settings(db, daily_usd=CAP)
    make_charge(db, make_job(db), cost=300_000)
    source = take(home)
    db.close()
    _made_anew(home)

    nothing = go_back(home, source, spent=MicroUsd(0))
    assert (nothing.held, spent_today(home)) == (0, 300_000)
    _made_anew(home)
    some = go_back(home, source, spent=MicroUsd(40_000), now=UnixMs(NOW + 1_000))
    assert (some.held, spent_today(home)) == (40_000, 340_000)


def test_days_between_count_too_where_the_month_still_does(home: Home, db: sqlite3.Connection) -> None:
    """Each may have cost its cap; those of an earlier month count against nothing any more."""
    make_settings(db, daily_usd=CAP)
    make_runner(db, heartbeat_at=NOW - 40 * DAY_MS)
    source = take(home)
    source.with_name("b.db.json").unlink()  # nothing but its rows says when it was made
    db.close()
    _lost(home)

    done = go_back(home, source)

    assert (done.held_days, done.held) == (17, 17 * CAP)
    assert rows(home.db, "SELECT day, hold FROM charges ORDER BY day") == [
        ("2030-03-01", 15 * CAP),
        ("2030-03-16", CAP),
        (TODAY, CAP),
    ]
    with closing(sqlite3.connect(home.db)) as now:
        assert charges.committed_since(now, UnixMs(NOW - HOUR_MS)) == CAP
    assert sound(home)


def test_an_older_file_that_took_its_place_does_not_vouch(home: Home, db: sqlite3.Connection) -> None:
    """A machine rolled back to last week is of the same home, and knows nothing of the days since."""
    make_settings(db, daily_usd=CAP)
    make_runner(db, heartbeat_at=NOW - 3 * DAY_MS)
    old = take(home, "old.db")
    db.execute("UPDATE runners SET heartbeat_at = ?", (NOW - HOUR_MS,))
    source = take(home)
    db.close()
    home.db.write_bytes(old.read_bytes())

    assert not go_back(home, source).vouched


def test_without_a_cap_to_go_by_nothing_is_exchanged(home: Home, db: sqlite3.Connection) -> None:
    source = take(home)
    db.close()
    _lost(home)

    with pytest.raises(Refused, match=r"mend afk\.toml first"):
        go_back(home, source, cap=None)

    assert not home.db.exists()
    assert not home.stop_set()


CALL = st.tuples(
    st.sampled_from(["digest", "triage"]),
    st.integers(0, 2),
    st.integers(0, 90_000),
    st.sampled_from(["held", "settled"]),
)


@settings(max_examples=12)
@given(
    before=st.lists(CALL, max_size=5),
    after=st.lists(CALL, max_size=5),
    ended=st.lists(st.sampled_from(["", "settled", "released"]), min_size=5, max_size=5),
    twice=st.booleans(),
)
def test_no_cap_is_looser_after_a_restore_than_it_was_before(
    before: list[tuple[Any, ...]], after: list[tuple[Any, ...]], ended: list[str], twice: bool
) -> None:
    """Whatever was called, settled or freed on either side of the backup."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        home.create()
        Database.open(home.db, create=True).close()
        with closing(sqlite3.connect(home.db, isolation_level=None)) as db:
            made = [_call(db, *call) for call in before]
            source = take(home)
            for charge, how in zip(made, ended, strict=False):
                if how == "settled":
                    charges.settle(db, charge, cost=MicroUsd(1), usage="{}", now=UnixMs(NOW))
                elif how == "released":
                    charges.release(db, charge, note="freed", now=UnixMs(NOW))
            for call in after:
                _call(db, *call)
            counted = _counted(db)

        go_back(home, source)
        if twice:
            go_back(home, source, now=UnixMs(NOW + 1_000))

        with closing(sqlite3.connect(home.db)) as db:
            assert _counted(db) == counted
        assert sound(home)


def _call(db: sqlite3.Connection, task: str, days: int, amount: int, state: str) -> int:
    job = make_job(db, task=task)
    make_attempt(db, job)
    return make_charge(
        db, job, day=f"2030-03-{17 - days}", held_at=NOW - days * DAY_MS, hold=amount,
        cost=amount // 2 if state == "settled" else None,
    )  # fmt: skip


def _counted(db: sqlite3.Connection) -> list[int]:
    """What each kind of cap counts."""
    days = [f"2030-03-{day}" for day in range(14, 18)]
    return [
        *(charges.spent_since_day(db, day, task=task).committed for day in days for task in (None, "digest", "triage")),
        *(charges.committed_since(db, UnixMs(NOW - span)) for span in (HOUR_MS, DAY_MS, 2 * DAY_MS)),
    ]


# --- what is refused --------------------------------------------------------------------------------------------------


def test_a_living_runner_is_in_the_way(home: Home, db: sqlite3.Connection) -> None:
    source = take(home)
    lock = HomeLock(home.lock)
    assert lock.take()

    with pytest.raises(Refused, match=f"end it first with `afk-runner service stop`, or `kill {os.getpid()}`"):
        go_back(home, source)

    lock.close()
    assert not home.stop_set()


def test_a_runner_that_stands_by_is_in_the_way(home: Home, db: sqlite3.Connection) -> None:
    """It has the replaced database open, and waits for the lock that a restore holds."""
    make_runner(db, pid=os.getpid(), state=RunState.STANDBY)
    source = take(home)

    with pytest.raises(Refused, match="stands by"):
        go_back(home, source)


def test_who_keeps_reading_is_in_the_way(home: Home, db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in the log could not be kept; the home is left as it was."""
    monkeypatch.setattr("runner.care.exchange.READERS_WAIT_MS", 50)
    source = take(home)
    make_job(db, key="after")
    db.execute("BEGIN")
    db.execute("SELECT * FROM jobs").fetchall()

    with pytest.raises(Refused, match="keeps reading"):
        go_back(home, source)

    db.execute("ROLLBACK")
    assert db.execute("SELECT key FROM jobs").fetchall() == [("after",)]
    assert not home.stop_set()
    assert not list(home.root.glob("*restor*"))


def test_a_file_that_is_not_a_sound_backup_is_refused(home: Home, db: sqlite3.Connection, tmp_path: Path) -> None:
    """A flipped bit, somebody else's database, one of a newer program, no file, the database itself."""
    source = take(home)
    flipped = bytearray(source.read_bytes())
    flipped[-1] ^= 1
    source.write_bytes(flipped)
    empty = tmp_path / "empty.db"
    empty.touch()
    foreign = tmp_path / "bookmarks.db"
    with closing(sqlite3.connect(foreign)) as other:
        other.execute("CREATE TABLE bookmarks (url TEXT)")
    newer = take(home, "newer.db")
    newer.with_name("newer.db.json").unlink()
    with closing(sqlite3.connect(newer)) as other:
        other.execute("PRAGMA user_version = 999")

    for bad, kind, says in (
        (source, StoreCorrupt, "is not the file that its page"),
        (foreign, StoreCorrupt, "bookmarks.db is no sound backup of a home .*another program.*; nothing was changed"),
        (empty, StoreCorrupt, "empty.db is no sound backup of a home .it holds no schema.; nothing was changed"),
        (newer, StoreNewer, "install the newer version"),
        (tmp_path / "nowhere", Refused, "there is no file"),
        (home.db, Refused, "is the database itself"),
    ):
        with pytest.raises(kind, match=says):
            go_back(home, bad)
    assert not home.stop_set()
    assert not list(home.root.glob("*restor*"))


def test_a_backup_of_an_older_schema_is_brought_up_to_date(home: Home, db: sqlite3.Connection, tmp_path: Path) -> None:
    from runner.store import db as store

    old = tmp_path / "old.db"
    with closing(sqlite3.connect(old, isolation_level=None)) as made:
        for number, script in store._migrations()[:8]:
            for statement in store._statements(script):
                made.execute(statement)
            made.execute(f"PRAGMA user_version = {number}")
        made.execute(f"PRAGMA application_id = {store.APPLICATION_ID}")
        make_job(made, key="of old")
    db.close()

    go_back(home, old)

    assert rows(home.db, "SELECT key FROM jobs") == [("of old",)]
    assert rows(old, "PRAGMA user_version") == [(8,)]
    assert sound(home)
