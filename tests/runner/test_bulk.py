"""Very many jobs at once: what is too much for memory goes through a file, in the same order."""

from __future__ import annotations

import sqlite3

import pytest

from runner import bulk
from runner.bulk import BulkDoor
from runner.config import TaskConfig, TaskKind
from runner.enqueue import Enqueued, JobRequest
from runner.errors import UsageError
from runner.home import Home
from runner.store.db import Database
from runner.store.jobs import JobStatus

TASKS = {"echo": TaskConfig(name="echo", kind=TaskKind.PYTHON)}


@pytest.fixture
def door(database: Database, monkeypatch: pytest.MonkeyPatch) -> BulkDoor:
    """One whose memory holds a hundred jobs, and whose file is read twenty at a time."""
    monkeypatch.setattr(bulk, "_IN_MEMORY", 100 * bulk._ROW)
    monkeypatch.setattr(bulk, "_LOT", 20)
    return BulkDoor(Home(database.path.parent), db=database.path)


def test_what_went_through_a_file_is_added_in_its_order(door: BulkDoor, db: sqlite3.Connection) -> None:
    """Each with what it was asked with; a key of a lot before is told as there."""
    asked = [JobRequest(task="echo", payload={"n": n, "word": "é\n"}, key=f"k{n}", priority=n % 3) for n in range(333)]
    requests = enumerate([*asked, asked[5], asked[6]._replace(payload="other")], start=1)

    added = door.enqueue_all(TASKS, requests, max_attempts=4)

    door.close()
    assert (added.created, added.existing) == (333, 2)
    assert added.keys[0] == Enqueued("k0", created=True, status=JobStatus.PENDING)
    again = Enqueued("k5", created=False, status=JobStatus.PENDING)
    assert added.keys[-2:] == (again, again._replace(key="k6", other_payload=True))
    wanted = [(one.key, n, "é\n", n % 3) for n, one in enumerate(asked)]
    sql = "SELECT key, payload ->> 'n', payload ->> 'word', priority FROM jobs ORDER BY id"
    assert db.execute(sql).fetchall() == wanted


def test_a_request_that_cannot_be_a_job_takes_back_what_is_in_the_file(door: BulkDoor, db: sqlite3.Connection) -> None:
    """The last line of many names a task that nobody declared."""
    requests = [(n, JobRequest(task="echo" if n < 250 else "ecco", payload=n)) for n in range(1, 251)]

    with pytest.raises(UsageError, match="line 250: there is no task 'ecco'"):
        door.enqueue_all(TASKS, requests, max_attempts=4)

    door.close()
    assert db.execute("SELECT count(*) FROM jobs").fetchone() == (0,)
