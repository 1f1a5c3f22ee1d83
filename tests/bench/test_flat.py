"""The same claims without a clock, for every test run: what SQLite does for a job, counted in its own steps and pages.

A step is one instruction of SQLite's virtual machine. The number is the same on every machine and under any load, so a
scan that creeps into a query shows at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner.home import Home
from runner.snapshot import Reader
from runner.store import jobs
from runner.store.db import Database
from runner.units import UnixMs
from tests.bench.ours import CLOCK, RUNNER, Store, finish_and_claim
from tests.factories import make_runner, make_settings

MANY = 3_000


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    """One home without a past, and one with many finished jobs."""
    made = []
    for name in ("empty", "old"):
        (tmp_path / name).mkdir()
        store = Store(tmp_path / name / "agent.db")
        if name == "old":
            store.keep_finished(MANY)
        with store.database.write() as db:
            make_runner(db, id=RUNNER)
            make_settings(db)
        store.fill(20)
        store.drain()
        made.append(store)
    yield made[0], made[1]
    for store in made:
        store.database.close()


def steps(database: Database, act: Callable[[], object]) -> int:
    """Instructions SQLite ran for `act` on the writer's connection."""
    return _counted(database.connection.set_progress_handler, act)


def _counted(set_handler: Callable[[Callable[[], int] | None, int], None], act: Callable[[], object]) -> int:
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return 0

    set_handler(step, 1)
    try:
        act()
    finally:
        set_handler(None, 0)
    return count


def test_a_finish_and_claim_costs_the_same_beside_any_past(stores: tuple[Store, Store]) -> None:
    """The statements of one job do as much beside thousands of finished rows as beside none."""
    costs = []
    for store in stores:
        store.fill(2)
        with store.database.write() as db:
            job = finish_and_claim(db, None)
            costs.append(steps(store.database, lambda db=db, job=job: finish_and_claim(db, job)))

    assert costs[1] <= 1.1 * costs[0], costs


def test_looking_for_the_next_due_job_costs_the_same_beside_any_past(stores: tuple[Store, Store]) -> None:
    """Nothing is due: the claim and the look for the next due time find that out at once."""
    costs = []
    for store in stores:
        db = store.database.connection
        costs.append(
            steps(store.database, lambda db=db: (finish_and_claim(db, None), jobs.next_due(db, after=UnixMs(0))))
        )

    assert costs[1] <= 1.1 * costs[0], costs


def test_a_screen_costs_the_same_beside_any_past(stores: tuple[Store, Store]) -> None:
    """Vitals, running jobs, dead letters and events are read from indexes and counters."""
    costs = []
    for store in stores:
        reader = Reader(Home(store.path.parent))
        newest = reader.events(limit=1)[-1].id

        def frame(reader: Reader = reader, newest: int = newest) -> None:
            reader.vitals(now=CLOCK.now())
            reader.running(cut=True)
            reader.dead(cut=True)
            reader.jobs(cut=True, limit=10)
            reader.events(after=newest - 5)

        costs.append(_counted(reader._connection.set_progress_handler, frame))
        reader.close()

    assert costs[1] <= 1.1 * costs[0], costs


def test_a_job_is_one_commit_of_few_pages(stores: tuple[Store, Store]) -> None:
    """One commit a job, counted by SQLite; every page more in it costs a tenth of a synced write."""
    store = stores[0]
    said: list[str] = []
    wal = store.path.with_name("agent.db-wal")
    store.fill(100)
    store.database.checkpoint(truncate=True)
    store.database.connection.set_trace_callback(said.append)
    count, _ = store.drain()
    store.database.connection.set_trace_callback(None)

    assert count == 100
    assert sum(each == "COMMIT" for each in said) == count + 1, "and one that found nothing"
    assert wal.stat().st_size / (4096 + 24) / count < 6


def test_no_statement_of_a_job_builds_a_table_of_its_own(stores: tuple[Store, Store]) -> None:
    """A list of three words or more in a rule or a trigger is one: it costs as much as the write it guards."""
    said: list[str] = []
    db = stores[0].database.connection
    db.set_trace_callback(said.append)
    stores[0].fill(2)
    stores[0].drain()
    db.set_trace_callback(None)
    written = {text for text in said if text.startswith(("INSERT", "UPDATE", "SELECT", "\nUPDATE", "\nSELECT"))}

    built = {text for text in written if any(step[1] == "OpenEphemeral" for step in db.execute(f"EXPLAIN {text}"))}

    assert len(written) >= 8
    assert not built
