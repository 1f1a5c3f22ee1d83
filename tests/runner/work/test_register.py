"""What is written down of an attempt that ends: a job that crosses a limit keeps what it had so far."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from zoneinfo import ZoneInfo

import pytest

from runner import upkeep
from runner.config import BudgetConfig, Config, TaskConfig, TaskKind
from runner.gate import admission
from runner.redact import Redactor
from runner.store import answers, jobs, leases, tool_calls
from runner.store.db import Database
from runner.store.jobs import JobStatus
from runner.units import MicroUsd, UnixMs
from runner.work.attempt import Live
from runner.work.outcome import Cut, Ending
from runner.work.register import Register
from tests.factories import NOW, ManualClock, make_job, make_step

SECRET = "sk-canary-0123456789"


def register(clock: ManualClock, **fields: object) -> Register:
    tasks: Mapping[str, TaskConfig] = {
        "digest": TaskConfig(name="digest", kind=TaskKind.PROMPT, criteria=("Is short.",), **fields),  # type: ignore[arg-type]
        "post": TaskConfig(name="post", kind=TaskKind.COMMAND, irreversible=True),
    }
    config = Config(zone=ZoneInfo("UTC"), budget=BudgetConfig(daily_usd=MicroUsd(1_000_000)), tasks=tasks)
    return Register(
        config=config,
        tasks=tasks,
        runner="runner-1",
        redactor=Redactor((SECRET,)),
        may_claim=lambda: True,
        clock=clock,
        rng=random.Random(1),
    )


def claimed(database: Database, books: Register) -> Live:
    with database.write() as db:
        (live,) = books.claim(db, 1).found
    return live


def turn(words: str) -> dict[str, object]:
    return {"asked": "x", "content": [{"type": "text", "text": words}], "stop_reason": "tool_use"}


@pytest.mark.parametrize(
    "ending",
    [
        Ending(outcome="died", cut=Cut.TIMEOUT),
        Ending(outcome="halted", error="it asked for more than its limit"),
        Ending(outcome="retry", error="not sent", refusal=admission.too_many_tools(3, 2)),
        Ending(outcome="died", error="killed", refusal=admission.too_many_tools(3, 2)),
    ],
)
def test_whoever_ends_a_job_at_a_limit_its_last_text_is_kept(database: Database, ending: Ending) -> None:
    """It comes from the recorded answers, so the worker need not live to hand it over; and it is free of secrets."""
    books, db = register(ManualClock()), database.connection
    make_job(db, key="job")
    live = claimed(database, books)
    for number, words in ((1, "First."), (2, f"Second, with {SECRET}."), (10, " ")):
        make_step(db, live.job, name=f"turn {number}", result=turn(words))
    make_step(db, live.job, name="verdict 1", result=[])

    with database.write() as held:
        books.close(held, live, ending, None)

    job = jobs.by_key(db, "job")
    assert job is not None
    assert (job.status, json.loads(job.result or "")) == (JobStatus.HALTED, "Second, with [redacted].")


def test_a_job_that_said_nothing_is_halted_without_a_result(database: Database) -> None:
    books = register(ManualClock())
    make_job(database.connection, key="job")
    live = claimed(database, books)

    with database.write() as db:
        books.close(db, live, Ending(outcome="died", cut=Cut.TIMEOUT), None)

    job = jobs.by_key(database.connection, "job")
    assert job is not None
    assert (job.status, job.result) == (JobStatus.HALTED, None)


def test_a_second_attempt_is_told_how_many_tool_calls_are_gone(database: Database) -> None:
    """A limit on the job is no limit on an attempt."""
    books = register(ManualClock(), max_tool_calls=5)
    job = make_job(database.connection, key="job")
    first = claimed(database, books)
    with database.write() as db:
        tool_calls.add(db, job.id, 3)
        tool_calls.add(db, job.id, 1)
        books.close(db, first, Ending(outcome="died", cut=Cut.SHUTDOWN), None)

    second = claimed(database, books)

    assert (first.granted.tool_calls, second.granted.tool_calls, second.granted.max_tool_calls) == (0, 4, 5)
    assert second.granted.over_its_tools() is None
    second.granted.tool_calls += 2
    refusal = second.granted.over_its_tools()
    assert refusal is not None
    assert refusal.final


@pytest.mark.parametrize(
    ("ending", "stays"),
    [
        (Ending(outcome="died", error="its worker died in the middle of it"), True),
        (Ending(outcome="died", cut=Cut.STOP), True),
        (Ending(outcome="retry", error="the step could not be recorded"), True),
        (Ending(outcome="retry", error="it is no answer", unusable=True), False),
        (Ending(outcome="halted", error="it was cut at its limit"), False),
        (Ending(outcome="done", result='"x"'), False),
    ],
)
def test_an_answer_that_is_not_recorded_is_there_for_the_next_attempt(
    database: Database, ending: Ending, stays: bool
) -> None:
    """But for one that was judged to be of no use, and for a job that is over."""
    books, db = register(ManualClock()), database.connection
    job = make_job(db, key="job")
    first = claimed(database, books)
    answers.keep(db, job.id, lease=first.granted.lease, step="turn 1", question="a hash", body="{}")
    first.granted.keeps = True

    with database.write() as held:
        books.close(held, first, ending, None)

    left = answers.of_job(db, job.id)
    assert left == ({"turn 1": ("a hash", "{}")} if stays else {})
    assert first.granted.kept == {}
    if (after := jobs.by_key(db, "job")) is not None and after.status is JobStatus.PENDING:
        db.execute("UPDATE jobs SET not_before = 0")
        assert claimed(database, books).granted.kept == left


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        (Ending(outcome="died", cut=Cut.STOP), JobStatus.DEAD),
        (Ending(outcome="died", cut=Cut.SHUTDOWN), JobStatus.DEAD),
        (Ending(outcome="retry", error="x", refusal=admission.stopped(None)), JobStatus.DEAD),
        (Ending(outcome="died", error="its worker died in the middle of it"), JobStatus.DEAD),
        (Ending(outcome="died", cut=Cut.UNSTARTED), JobStatus.PENDING),
        (Ending(outcome="done", result='"x"'), JobStatus.DONE),
    ],
)
def test_what_cannot_be_undone_is_not_begun_again_by_itself(
    database: Database, ending: Ending, status: JobStatus
) -> None:
    """Whether it was done nobody can know but a person who looks."""
    books = register(ManualClock())
    make_job(database.connection, key="job", task="post", max_attempts=1)
    live = claimed(database, books)

    with database.write() as db:
        books.close(db, live, ending, None)

    job = jobs.by_key(database.connection, "job")
    assert job is not None
    assert job.status is status
    cut_short = ending.cut in (Cut.STOP, Cut.SHUTDOWN) or ending.refusal is not None
    assert ("look what became of it" in (job.error or "")) is cut_short


def test_a_vanished_runner_leaves_what_cannot_be_undone_to_a_person(database: Database) -> None:
    books = register(ManualClock())
    for task in ("post", "digest"):
        make_job(database.connection, key=task, task=task)
        claimed(database, books)

    with database.write() as db:
        upkeep.take_back(db, runner="runner-2", now=UnixMs(NOW), irreversible={"post"})

    rows = dict(database.connection.execute("SELECT key, status FROM jobs").fetchall())
    assert rows == {"post": "dead", "digest": "pending"}


@pytest.mark.parametrize("end", ["dead by rescue", "cancelled while it waits", "cancelled by rescue", "done by hand"])
def test_no_end_of_a_job_leaves_an_answer_behind(database: Database, end: str) -> None:
    """Neither does it come back when the job is replayed."""
    books, db = register(ManualClock()), database.connection
    job = make_job(db, key="job", task="post" if end == "dead by rescue" else "digest")
    live = claimed(database, books)
    token = live.granted.lease
    answers.keep(db, job.id, lease=token, step="turn 1", question="a hash", body="{}")

    with database.write() as held:
        if end == "cancelled while it waits":
            leases.put_back(held, id=job.id, token=token, not_before=NOW, gate="x", fact="x", counted=False)
            assert len(answers.of_job(held, job.id)) == 1
            jobs.cancel(held, id=job.id, now=NOW)
        elif end == "done by hand":
            leases.finish(held, id=job.id, token=token, status=JobStatus.DONE, now=NOW)
        else:
            if end == "cancelled by rescue":
                jobs.cancel(held, id=job.id, now=NOW)
            upkeep.take_back(held, runner="runner-2", now=NOW, irreversible={"post"})

    assert answers.of_job(db, job.id) == {}
    if jobs.replay(db, id=job.id, now=NOW):
        assert claimed(database, books).granted.kept == {}


def test_an_agent_is_told_its_criteria_and_what_it_may_draft(database: Database) -> None:
    """The job's own criteria stand in place of the task's."""
    books, db = register(ManualClock()), database.connection
    make_job(db, key="plain")
    plain = claimed(database, books)
    own = make_job(db, key="own")
    db.execute("UPDATE jobs SET criteria = ? WHERE id = ?", (json.dumps(["Sings."]), own.id))

    judged = claimed(database, books)

    assert (plain.criteria, judged.criteria, plain.performers) == (["Is short."], ["Sings."], ("post",))


def test_a_job_whose_task_the_runner_does_not_know_waits_unburnt_for_its_next_start(database: Database) -> None:
    """Declared a moment ago, or no more: a running runner cannot tell which, and ends no job for it."""
    books = register(ManualClock())
    with database.write() as db:
        unknown = make_job(db, key="new", task="rate")
        known = make_job(db, key="old")
        assert [live.job.key for live in books.claim(db, 2).found] == ["old"]
    assert (unknown.status, known.status) == (JobStatus.PENDING, JobStatus.PENDING)
    with database.write() as db:
        row = db.execute("SELECT status, attempts, starts, waiting_gate FROM jobs WHERE key = 'new'").fetchone()
        assert row == ("pending", 0, 0, "task:rate")
        jobs.wake(db, gate="task:digest", now=NOW)
        assert books.claim(db, 1).found == []  # a start that does not declare it either: it waits on
        jobs.wake(db, gate="task:rate", now=NOW)
        assert jobs.next_due(db, after=UnixMs(NOW - 1)) == NOW
