"""Dead letters by error, and the undo of a replay: counted by triggers, read from indexes, restored to the letter."""

from __future__ import annotations

import random
from pathlib import Path
from sqlite3 import Connection

import pytest

from runner.commands import Door
from runner.errors import StoreBusy
from runner.fingerprint import fingerprint
from runner.home import Home
from runner.snapshot import letters
from runner.snapshot.letters import FEW, MOST, MOST_GROUPS, SAMPLE
from runner.store import db as store
from runner.store import jobs, leases
from runner.store.db import Database
from runner.store.jobs import UNKNOWN_EFFECT, Job, JobStatus
from runner.store.leases import Lease
from runner.units import UnixMs
from tests.factories import NOW, ManualClock, make_attempt, make_charge, make_job, make_step


def die(db: Connection, *, error: str = "HTTP 504", at: int = NOW, task: str = "digest", attempts: int = 4) -> Job:
    return make_job(db, status=JobStatus.DEAD, error=error, finished_at=at, task=task, attempts=attempts)


def row(db: Connection, job: Job) -> tuple[object, ...]:
    return tuple(db.execute("SELECT * FROM jobs WHERE id = ?", (job.id,)).fetchone())


def claim(db: Connection, clock: ManualClock) -> Job:
    found = leases.claim(db, now=clock.now(), lease=Lease(runner="r", token="t", until=UnixMs(NOW + 60_000)))
    assert found is not None
    return found


@pytest.fixture
def home(database: Database) -> Home:
    return Home(database.path.parent)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW + 5_000)


@pytest.fixture
def door(home: Home, clock: ManualClock) -> Door:
    return Door(home, clock=clock)


# --- groups ---------------------------------------------------------------------------------------------------------


def test_groups_are_what_a_count_of_all_jobs_gives(db: Connection) -> None:
    """Whatever is done to jobs, by whom ever: the counters follow."""
    db.execute("BEGIN")  # hundreds of commits would say nothing more
    chance = random.Random(11)
    made: list[int] = []
    for step in range(600):
        act = chance.choice(("die", "die", "replay", "remove", "touch"))
        if act == "die" or not made:
            made.append(die(db, error=chance.choice(("a", "b 1", "b 2", "c")), at=NOW + step).id)
            continue
        id = chance.choice(made)
        if act == "replay":
            jobs.replay(db, id=id, now=UnixMs(NOW))
        elif act == "remove":
            db.execute("DELETE FROM jobs WHERE id = ?", (id,))
        else:
            db.execute(
                "UPDATE jobs SET fingerprint = ?, finished_at = finished_at + 7 WHERE id = ? AND status = 'dead'",
                (chance.choice((None, "x", "y")), id),
            )
    counted = db.execute(
        "SELECT coalesce(fingerprint, ''), count(*), max(finished_at) FROM jobs WHERE status = 'dead' GROUP BY 1"
    ).fetchall()

    assert len(counted) > 3
    assert sorted(db.execute("SELECT fingerprint, jobs, last_at FROM dead_groups").fetchall()) == sorted(counted)


def test_groups_are_listed_by_their_newest_death(db: Connection) -> None:
    die(db, error="HTTP 504 after 60s", at=NOW - 9_000, task="research")
    old = die(db, error="the box is gone", at=NOW - 5_000, task="intake")
    die(db, error="HTTP 504 after 3s", at=NOW - 1_000, task="summarise")

    page = letters.page(db)

    http, box = page.groups
    assert (http.error, http.jobs, http.tasks) == ("HTTP 504 after 3s", 2, ("research", "summarise"))
    assert (http.first_at, http.last_at) == (NOW - 9_000, NOW - 1_000)
    assert (box.jobs, box.ids, box.died) == (1, (old.id,), (NOW - 5_000,))
    assert (page.total, page.ids[-1], page.more_groups) == (3, http.ids[-1], False)


def test_few_letters_are_all_shown_and_many_begin_folded(db: Connection) -> None:
    for number in range(FEW):
        die(db, at=NOW + number)
    assert len(letters.page(db).groups[0].listed) == FEW

    die(db)
    folded = letters.page(db)
    assert (folded.unfolded, folded.groups[0].listed, folded.groups[0].jobs) == (False, (), FEW + 1)
    turned = letters.page(db, unfolded=False, turned=frozenset({folded.groups[0].fingerprint}))
    assert len(turned.groups[0].listed) == FEW + 1


def test_a_group_lists_the_newest_first_and_more_when_asked(db: Connection) -> None:
    made = [die(db, at=NOW + number).id for number in range(SAMPLE + 20)]
    print_ = fingerprint("HTTP 504", task="summarise")

    few = letters.page(db, unfolded=True).groups[0]
    more = letters.page(db, unfolded=True, reach={print_: SAMPLE + 10}).groups[0]

    assert [job.id for job in few.listed] == made[::-1][:SAMPLE]
    assert [job.id for job in more.listed] == made[::-1][: SAMPLE + 10]


def test_many_errors_list_fewer_letters_each(database: Database, db: Connection) -> None:
    """A page stays a page, whoever unfolds everything."""
    with database.write():
        for number in range(60 * 15):
            die(db, error="x" * (number % 60 + 1), at=NOW + number)

    page = letters.page(db, unfolded=True)

    assert {len(group.listed) for group in page.groups} == {15}
    assert sum(len(group.listed) for group in page.groups) <= MOST
    with database.write():
        for number in range(60 * 10):
            die(db, error="x" * (number % 60 + 1), at=NOW + number)
    assert {len(group.listed) for group in letters.page(db, unfolded=True).groups} == {MOST // 60}


def test_what_died_without_an_error_is_a_group_too(db: Connection) -> None:
    job = die(db)
    db.execute("UPDATE jobs SET error = NULL, fingerprint = NULL")

    (group,) = letters.page(db).groups

    assert (group.fingerprint, group.error, group.jobs, group.ids) == ("", "", 1, (job.id,))
    assert letters.plan_of_group(db, "", died=UnixMs(NOW), id=job.id).ids == (job.id,)


def test_a_look_costs_the_same_beside_any_number_of_letters(db: Connection) -> None:
    """Counted in steps of SQLite's own machine, with the same error six times as often."""
    costs = []
    for number in (MOST * 2, MOST * 10):
        db.execute(
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?) "
            "INSERT INTO jobs (key, task, payload, status, not_before, max_attempts, error, fingerprint, created_at, "
            "finished_at) SELECT 'k' || ? || '-' || n, 'digest', '{}', 'dead', 0, 1, 'e', 'f', 0, n FROM n",
            (number, number),
        )
        steps = 0

        def one() -> int:
            nonlocal steps
            steps += 1
            return 0

        db.set_progress_handler(one, 10)
        letters.page(db, unfolded=True)
        db.set_progress_handler(None, 0)
        costs.append(steps)

    assert costs[1] <= costs[0] * 1.1, costs


def test_every_query_goes_through_an_index(db: Connection) -> None:
    job = die(db)
    asked: list[str] = []
    db.set_trace_callback(asked.append)
    letters.page(db, unfolded=True)
    letters.plan_of_group(db, fingerprint("HTTP 504", task="summarise"), died=UnixMs(NOW), id=job.id)
    db.set_trace_callback(None)

    plans = [step[3] for sql in asked for step in db.execute(f"EXPLAIN QUERY PLAN {sql}")]
    assert len(plans) > 10
    assert [plan for plan in plans if plan.startswith("SCAN jobs") and "USING INDEX jobs_dead" not in plan] == []
    assert [plan for plan in plans if "attempts" in plan or "steps" in plan] == [
        "SEARCH attempts USING PRIMARY KEY (job_id=?)",
        "SEARCH steps USING PRIMARY KEY (job_id=?)",
    ]
    # Only the jobs of one act, which were named, are put in order.
    assert sum("TEMP B-TREE" in plan for plan in plans) == 1


def test_more_errors_than_are_listed_are_told(db: Connection) -> None:
    for number in range(MOST_GROUPS + 1):
        die(db, error="x" * (number + 1), at=NOW + number)

    page = letters.page(db)

    assert (len(page.groups), page.more_groups) == (MOST_GROUPS, True)
    assert page.groups[0].error == "x" * (MOST_GROUPS + 1)


# --- what a replay would mean ---------------------------------------------------------------------------------------


def test_a_plan_names_cost_estimate_and_effects(db: Connection) -> None:
    """The estimate is the dearest attempt of each, for a new life may be as dear as the worst of the old."""
    first, second, third = die(db), die(db, error=f"lost; {UNKNOWN_EFFECT}"), die(db)
    make_attempt(db, first, n=1)
    make_attempt(db, first, n=2)
    make_charge(db, first, cost=50_000, n=1)
    make_charge(db, first, cost=20_000, n=2)
    make_charge(db, second, hold=7_000)
    make_step(db, first)
    make_step(db, first, name="mail")
    jobs.replay(db, id=third.id, now=UnixMs(NOW))

    plan = letters.plan_of(db, [first.id, second.id, third.id, 999])

    assert set(plan.ids) == {first.id, second.id}
    assert (plan.gone, plan.spent, plan.estimate) == (2, 77_000, 57_000)
    assert (plan.effects, plan.unknown) == (1, 1)


def test_a_plan_of_an_error_ends_where_the_list_ended(db: Connection) -> None:
    shown = [die(db, at=NOW + number) for number in range(3)]
    other = die(db, error="another", at=NOW)
    late = die(db, at=NOW + 9)

    plan = letters.plan_of_group(db, fingerprint("HTTP 504", task="summarise"), died=UnixMs(NOW + 2), id=shown[-1].id)

    assert plan.ids == tuple(job.id for job in reversed(shown))
    assert (plan.newer, plan.older) == (1, 0)
    assert not {other.id, late.id} & set(plan.ids)


def test_a_plan_takes_a_thousand_and_tells_of_the_rest(database: Database, db: Connection) -> None:
    with database.write():
        made = [die(db, at=NOW + number) for number in range(MOST + 2)]

    plan = letters.plan_of_group(
        db, fingerprint("HTTP 504", task="summarise"), died=UnixMs(NOW + MOST), id=made[MOST].id
    )

    assert (len(plan.ids), plan.ids[0], plan.older, plan.newer) == (MOST, made[MOST].id, 1, 1)


# --- undo -----------------------------------------------------------------------------------------------------------


def test_an_undone_replay_leaves_no_trace_on_the_job(db: Connection, door: Door, clock: ManualClock) -> None:
    job = die(db, attempts=3)
    db.execute("UPDATE jobs SET rescues = 2, cancel = 1, starts = 7 WHERE id = ?", (job.id,))
    make_attempt(db, job, n=3)
    before = row(db, job)

    replayed = door.replay_ids([job.id])
    clock.advance(60_000)
    undone = door.undo_replay(replayed.ids, token=replayed.token)

    assert row(db, job) == before
    assert undone.done == (job.key,)
    assert letters.page(db).groups[0].last_at == NOW
    said = db.execute("SELECT event, job FROM events ORDER BY id").fetchall()
    assert said == [("job.replay", job.key), ("job.unreplay", job.key)]


def test_what_was_claimed_is_not_undone(db: Connection, door: Door, clock: ManualClock) -> None:
    """Whether it still runs, went back behind a gate, or is over."""
    made = [die(db, at=NOW + number) for number in range(4)]
    replayed = door.replay_ids([job.id for job in made])
    for job in made[1:]:
        db.execute("UPDATE jobs SET priority = 5 WHERE id = ?", (job.id,))
    running, back, over = (claim(db, clock) for _ in range(3))
    db.execute("UPDATE jobs SET lease = 'u' || id WHERE status = 'running'")
    leases.put_back(
        db, id=back.id, token=f"u{back.id}", not_before=UnixMs(NOW), gate="cap:day", fact="the cap", counted=False
    )
    leases.finish(db, id=over.id, token=f"u{over.id}", status=JobStatus.DONE, now=UnixMs(NOW))

    undone = door.undo_replay(replayed.ids, token=replayed.token)

    assert undone.done == (made[0].key,)
    assert dict(undone.refused) == {
        running.key: "it is running by now",
        back.key: "it was started since",
        over.key: "it is done by now",
    }


def test_an_undo_means_its_own_replay_and_happens_once(db: Connection, home: Home, door: Door) -> None:
    job = die(db)
    mine = door.replay_ids([job.id])
    assert door.undo_replay(mine.ids, token=mine.token).done == (job.key,)
    assert door.undo_replay(mine.ids, token=mine.token).refused == ((job.key, "it is dead again already"),)

    theirs = Door(home, clock=ManualClock(), by="ben@cli").replay([job.key])
    assert theirs.done == (job.key,)
    assert door.undo_replay(mine.ids, token=mine.token).refused == ((job.key, "it was replayed again since"),)
    found = jobs.by_id(db, job.id)
    assert found is not None
    assert found.status is JobStatus.PENDING


def test_a_key_that_was_given_away_is_not_replayed(db: Connection, door: Door) -> None:
    """A set of ids never means another job that has the key by now."""
    job = die(db)
    door.remove([job.key])
    other = make_job(db, key=job.key, status=JobStatus.DEAD)

    bulk = door.replay_ids([job.id])

    assert (bulk.done, bulk.refused) == ((), ((str(job.id), "it was removed"),))
    found = jobs.by_id(db, other.id)
    assert found is not None
    assert found.status is JobStatus.DEAD


def test_a_bulk_that_is_cut_short_tells_what_stands(
    database: Database, db: Connection, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.write():
        made = [die(db, at=NOW + number).id for number in range(250)]
    transact, calls = door._transact, 0

    def sometimes(act: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise StoreBusy("somebody else writes")
        return transact(act)  # type: ignore[arg-type]

    monkeypatch.setattr(door, "_transact", sometimes)
    bulk = door.replay_ids(made)

    assert (len(bulk.done), len(bulk.refused)) == (200, 50)
    assert bulk.refused[0][1] == "somebody else writes"
    assert db.execute("SELECT count(*) FROM jobs WHERE status = 'dead'").fetchone() == (50,)


# --- discard --------------------------------------------------------------------------------------------------------


def test_only_what_is_still_dead_is_discarded(db: Connection, door: Door) -> None:
    """One that was replayed and is done by now was not what was shown."""
    dead, done, owing = die(db), make_job(db, status=JobStatus.DONE), die(db)
    make_charge(db, owing, hold=5_000)

    bulk = door.discard_ids([dead.id, done.id, owing.id])

    assert bulk.done == (dead.key,)
    assert dict(bulk.refused) == {done.key: "it is done, not dead", owing.key: "a call of it is not settled"}
    assert jobs.by_id(db, dead.id) is None


def test_an_old_home_counts_its_letters_when_it_is_upgraded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every = store._migrations()
    dead = next(number for number, sql in every if "dead_groups" in sql)
    monkeypatch.setattr(store, "_migrations", lambda: every[: dead - 1])
    old = Database.open(tmp_path / "agent.db", create=True)
    die(old.connection, at=NOW)
    die(old.connection, at=NOW + 4)
    old.close()
    monkeypatch.setattr(store, "_migrations", lambda: every)

    opened = Database.open(tmp_path / "agent.db")

    assert opened.connection.execute("SELECT jobs, last_at FROM dead_groups").fetchall() == [(2, NOW + 4)]
    opened.close()
