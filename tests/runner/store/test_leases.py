"""Claims, leases and what ends them: each job once, in order, and no write without its token."""

from __future__ import annotations

import random
from collections.abc import Callable
from sqlite3 import Connection

import pytest

from runner import upkeep
from runner.errors import LeaseLost
from runner.fingerprint import fingerprint
from runner.store import attempts, charges, jobs, leases
from runner.store.attempts import Outcome
from runner.store.jobs import JobStatus
from runner.store.leases import MAX_RESCUES, Lease
from runner.units import DAY_MS, UnixMs
from tests.factories import NOW, ManualClock, lease_of, make_charge, make_job, make_running


def lease(token: str = "token", runner: str = "runner-1") -> Lease:
    return Lease(runner=runner, token=token, until=UnixMs(NOW + 60_000))


def claimed(db: Connection, now: int = NOW) -> list[str]:
    """Keys in the order in which they are claimed."""
    found = []
    while (job := leases.claim(db, now=UnixMs(now), lease=lease())) is not None:
        found.append(job.key)
    return found


# --- claim ----------------------------------------------------------------------------------------------------------


def test_the_most_urgent_job_is_claimed_first(db: Connection) -> None:
    """By priority, then due time, then id."""
    make_job(db, key="third", priority=0, not_before=NOW - 5)
    make_job(db, key="second", priority=0, not_before=NOW - 10)
    make_job(db, key="fourth", priority=0, not_before=NOW - 5)
    make_job(db, key="last", priority=-9, not_before=NOW - 1_000)
    make_job(db, key="first", priority=9, not_before=NOW)

    assert claimed(db) == ["first", "second", "third", "fourth", "last"]


def test_claims_are_in_order_whatever_the_queue_holds(db: Connection) -> None:
    """Jobs of any priority and due time, finished ones and later ones among them, against a plain sort."""
    db.execute("BEGIN")  # hundreds of commits would say nothing more
    chance = random.Random(7)
    made = []
    for n in range(300):
        status = chance.choice((JobStatus.PENDING, JobStatus.PENDING, JobStatus.DONE, JobStatus.DEAD))
        priority, due = chance.randint(-9, 9), NOW + chance.randint(-5_000, 5_000)
        job = make_job(db, key=f"j{n}", priority=priority, not_before=due, status=status)
        if status is JobStatus.PENDING and due <= NOW:
            made.append((-priority, due, job.id, job.key))

    assert claimed(db) == [key for *_, key in sorted(made)]


@pytest.mark.parametrize("way", ["the head of the queue", "behind a later one", "lost before"])
def test_what_a_claim_gives_is_what_the_row_then_says(db: Connection, way: str) -> None:
    """Whichever statement found it."""
    made = make_job(db, not_before=NOW, max_usd=7)
    db.execute("UPDATE jobs SET waiting_gate = 'retry', waiting_on = 'a while', attempts = 1, starts = 2")
    if way == "behind a later one":
        make_job(db, priority=9, not_before=NOW + 1_000)
    if way == "lost before":
        db.execute("UPDATE jobs SET rescues = 1")

    found = leases.claim(db, now=UnixMs(NOW), lease=lease())

    assert found is not None
    assert found.starts == 3
    assert found == jobs.by_key(db, made.key)


def test_a_job_is_claimed_only_once(db: Connection, clock: ManualClock) -> None:
    """Of two claims in a row, the second leaves empty-handed."""
    due = make_job(db)

    first = leases.claim(db, now=clock.now(), lease=lease("a"))
    second = leases.claim(db, now=clock.now(), lease=lease("b"))

    assert first is not None
    assert first.key == due.key
    assert (first.status, first.lease, first.starts) == (JobStatus.RUNNING, "a", 1)
    assert second is None


def test_a_later_job_is_not_claimed_and_its_time_is_known(db: Connection, clock: ManualClock) -> None:
    make_job(db, not_before=NOW + 500, priority=9)
    make_job(db, not_before=NOW + 200, priority=-9)

    assert leases.claim(db, now=clock.now(), lease=lease()) is None
    assert jobs.next_due(db, after=clock.now()) == NOW + 200

    clock.advance(200)
    assert leases.claim(db, now=clock.now(), lease=lease()) is not None


def test_an_unclaimed_job_is_as_if_never_started(db: Connection, clock: ManualClock) -> None:
    job = make_job(db)
    before = jobs.by_key(db, job.key)
    leases.claim(db, now=clock.now(), lease=lease())

    leases.unclaim(db, id=job.id, not_before=UnixMs(NOW + DAY_MS), gate="pause:digest", fact="it is paused")

    after = jobs.by_key(db, job.key)
    assert before is not None
    assert after is not None
    assert (after.status, after.starts, after.attempts, after.lease) == (JobStatus.PENDING, 0, 0, None)
    assert (after.waiting_gate, after.not_before) == ("pause:digest", NOW + DAY_MS)
    assert jobs.wake(db, gate="pause:digest", now=clock.now()) == 1
    assert claimed(db) == [job.key]


# --- lost tokens ------------------------------------------------------------------------------------------------------


def _finish(db: Connection, id: int, token: str) -> None:
    leases.finish(db, id=id, token=token, status=JobStatus.DONE, now=UnixMs(NOW), result="1")


def _put_back(db: Connection, id: int, token: str) -> None:
    leases.put_back(db, id=id, token=token, not_before=UnixMs(0), gate="retry", fact="", counted=True)


def _check(db: Connection, id: int, token: str) -> None:
    leases.check_lease(db, id=id, token=token)


@pytest.mark.parametrize("write", [_finish, _put_back, _check])
def test_a_lost_token_writes_nothing(db: Connection, write: Callable[[Connection, int, str], None]) -> None:
    """The job was taken back and leased anew: the first holder's word changes no column."""
    job = make_running(db)
    lost = lease_of(job).token
    _put_back(db, job.id, lost)
    leases.claim(db, now=UnixMs(NOW), lease=lease("another"))
    before = db.execute("SELECT * FROM jobs").fetchall()

    with pytest.raises(LeaseLost):
        write(db, job.id, lost)

    assert db.execute("SELECT * FROM jobs").fetchall() == before


def test_a_job_is_finished_exactly_once(db: Connection) -> None:
    """The same token does not finish twice, nor put back what it finished."""
    job = make_running(db)
    token = lease_of(job).token
    leases.finish(db, id=job.id, token=token, status=JobStatus.DONE, now=UnixMs(NOW), result="1")

    with pytest.raises(LeaseLost):
        leases.finish(db, id=job.id, token=token, status=JobStatus.DEAD, now=UnixMs(NOW), error="no")
    with pytest.raises(LeaseLost):
        leases.put_back(db, id=job.id, token=token, not_before=UnixMs(NOW), gate="retry", fact="", counted=True)

    after = jobs.by_key(db, job.key)
    assert after is not None
    assert (after.status, after.result, after.attempts) == (JobStatus.DONE, "1", 1)


def test_a_snooze_takes_neither_attempt_nor_last_error(db: Connection) -> None:
    """Put back by a gate, a job keeps what its last real failure said, and the fingerprint of it."""
    job = make_running(db)
    token = lease_of(job).token
    leases.put_back(
        db, id=job.id, token=token, not_before=UnixMs(NOW), gate="retry", fact="", counted=True, error="E: it broke"
    )
    leases.claim(db, now=UnixMs(NOW), lease=lease("b"))
    leases.put_back(db, id=job.id, token="b", not_before=UnixMs(NOW), gate="cap:day", fact="cap", counted=False)

    after = jobs.by_key(db, job.key)
    assert after is not None
    assert after.attempts == job.attempts + 1
    assert (after.error, after.fingerprint) == ("E: it broke", fingerprint("E: it broke", task=job.task))


# --- rescue -----------------------------------------------------------------------------------------------------------


def test_jobs_of_vanished_runners_come_back(db: Connection) -> None:
    """Those of others only, with their attempt ended and not counted."""
    lost = make_running(db, runner="gone")
    mine = make_running(db, runner="me")

    assert upkeep.take_back(db, runner="me", now=UnixMs(NOW)) == 1

    after = jobs.by_key(db, lost.key)
    assert after is not None
    assert (after.status, after.attempts, after.rescues, after.not_before) == (JobStatus.PENDING, 0, 1, NOW)
    assert [each.outcome for each in attempts.of_job(db, lost.id)] == [Outcome.RESCUED]
    kept = jobs.by_key(db, mine.key)
    assert kept is not None
    assert kept.status is JobStatus.RUNNING


def test_a_job_whose_runner_vanishes_too_often_is_a_poison_pill(db: Connection) -> None:
    """Three rescues, then the dead letters, with no attempt counted; replay gives it all three again."""
    job = make_job(db)
    for n in range(MAX_RESCUES + 1):
        running = leases.claim(db, now=UnixMs(NOW), lease=lease(f"t{n}", runner="gone"))
        assert running is not None
        attempts.start(db, job_id=job.id, n=running.starts, runner="gone", now=UnixMs(NOW))
        upkeep.take_back(db, runner="me", now=UnixMs(NOW))

    after = jobs.by_key(db, job.key)
    assert after is not None
    assert (after.status, after.attempts, after.rescues) == (JobStatus.DEAD, 0, MAX_RESCUES)
    assert "poison pill" in (after.error or "")
    assert jobs.replay(db, id=job.id, now=UnixMs(NOW))
    replayed = jobs.by_key(db, job.key)
    assert replayed is not None
    assert replayed.rescues == 0


def test_a_runner_that_stood_still_is_no_jobs_fault(db: Connection) -> None:
    """However often it was frozen and ended: the job comes back each time, with nothing counted."""
    job = make_job(db)
    for n in range(MAX_RESCUES + 2):
        assert leases.claim(db, now=UnixMs(NOW), lease=lease(f"t{n}", runner="gone")) is not None
        upkeep.take_back(db, runner="me", now=UnixMs(NOW), blameless=True)

    after = jobs.by_key(db, job.key)
    assert after is not None
    assert (after.status, after.attempts, after.rescues) == (JobStatus.PENDING, 0, 0)


def test_a_cancelled_job_is_not_rescued(db: Connection) -> None:
    job = make_running(db, runner="gone")
    assert jobs.cancel(db, id=job.id, now=UnixMs(NOW)) is JobStatus.RUNNING

    upkeep.take_back(db, runner="me", now=UnixMs(NOW))

    after = jobs.by_key(db, job.key)
    assert after is not None
    assert after.status is JobStatus.CANCELLED


def test_a_call_in_flight_of_a_vanished_runner_goes_on_counting(db: Connection) -> None:
    job = make_running(db, runner="gone")
    make_charge(db, job, hold=700, runner="gone")

    upkeep.take_back(db, runner="me", now=UnixMs(NOW))

    spent = charges.spent_on_job(db, job.id)
    assert (spent.settled, spent.held) == (0, 700)
    assert db.execute("SELECT ended_at FROM charges").fetchone() == (NOW,)
