"""The log beside an open database: what was taken from under it is noticed, and what others write there is kept."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from runner.daemon.log import LogFile
from runner.daemon.watch import Watch
from runner.errors import StoreError
from runner.home import Home
from runner.redact import Redactor
from runner.snapshot import Reader
from runner.store.db import Database, open_reader
from runner.store.inplace import LOG_MOVED
from tests.factories import NOW, make_job, new_database

LOST = f"agent.db-wal: {LOG_MOVED}"


def beside(database: Database, end: str) -> Path:
    return database.path.with_name(database.path.name + end)


def take(database: Database, how: str) -> None:
    """The log and its index, as a hand takes them away or puts others there."""
    for end in ("-wal", "-shm"):
        if how == "replaced":
            shutil.copy(beside(database, end), aside := database.path.with_name("aside"))
            aside.rename(beside(database, end))
        else:
            beside(database, end).unlink()


ENQUEUE = """
import sys
from pathlib import Path
from runner.store.db import Database
from tests.factories import make_job
database = Database.open(Path(sys.argv[1]))
with database.write() as db:
    make_job(db, key=sys.argv[2])
"""
LOOK = """
import sys
from pathlib import Path
from runner.store.db import open_reader
open_reader(Path(sys.argv[1])).close()
"""
LIST = """
import sqlite3, sys
print(*[row[0] for row in sqlite3.connect(sys.argv[1]).execute("SELECT key FROM jobs ORDER BY id")], sep="\\n")
"""


def elsewhere(script: str, *words: str | Path) -> list[str]:
    """What a program prints that begins now, and so works on the files that are there now."""
    done = subprocess.run([sys.executable, "-c", script, *map(str, words)], check=True, stdout=subprocess.PIPE)
    return done.stdout.decode().split("\n")[:-1]


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_a_log_that_went_is_not_written(database: Database, how: str) -> None:
    make_job(database.connection, key="before")
    take(database, how)

    with pytest.raises(StoreError, match=LOST), database.write() as db:
        make_job(db, key="after")
    with pytest.raises(StoreError, match=LOST):
        database.checkpoint(truncate=True)

    assert [row[0] for row in database.connection.execute("SELECT key FROM jobs")] == ["before"]


@pytest.mark.parametrize("end", ["-wal", "-shm"])
def test_the_runner_s_watch_and_a_reader_see_that_it_went(home: Home, end: str) -> None:
    with closing(new_database(home.db)) as database:
        watch, reader = Watch(database, LogFile(home.logs, Redactor(()))), Reader(home)
        beside(database, end).unlink()

        with pytest.raises(StoreError, match=f"agent.db{end}: {LOG_MOVED}"):
            watch.changed()
        with pytest.raises(StoreError, match=f"agent.db{end}: {LOG_MOVED}"):
            reader.vitals(now=NOW)
        watch.close()
        reader.close()


def test_what_another_program_was_told_is_queued_is_not_lost(database: Database) -> None:
    """Who closes a database last deletes the log that stands there, whoever wrote it."""
    make_job(database.connection, key="before")
    database.checkpoint(truncate=True)
    take(database, "deleted")
    elsewhere(ENQUEUE, database.path, "after")

    database.close()

    assert elsewhere(LIST, database.path) == ["before", "after"]


@pytest.mark.parametrize("looked", [False, True])
def test_where_nobody_else_wrote_all_that_was_written_goes_into_the_file_at_the_end(
    database: Database, looked: bool
) -> None:
    """Who only looks makes a log too, an empty one."""
    make_job(database.connection, key="before")
    take(database, "deleted")
    if looked:
        elsewhere(LOOK, database.path)
        assert beside(database, "-wal").stat().st_size == 0

    database.close()

    assert elsewhere(LIST, database.path) == ["before"]


def test_a_process_that_lost_its_log_opens_the_database_no_more(database: Database) -> None:
    """It would read the other log by the index of its own."""
    take(database, "deleted")
    with pytest.raises(StoreError, match=LOST):
        database.still_there()
    elsewhere(ENQUEUE, database.path, "after")

    with pytest.raises(StoreError, match="start it again"):
        open_reader(database.path)
    with pytest.raises(StoreError, match="start it again"):
        Database.open(database.path)


def test_a_log_that_was_put_back_is_gone_on_with(database: Database) -> None:
    aside = database.path.with_name("aside")
    beside(database, "-wal").rename(aside)
    with pytest.raises(StoreError, match=LOST):
        database.still_there()
    aside.rename(beside(database, "-wal"))

    with database.write() as db:
        make_job(db, key="after")
    open_reader(database.path).close()


def test_what_sqlite_does_with_the_log_is_no_loss(database: Database) -> None:
    """Cut short, written anew, and left alone by others that close."""
    for n in range(3):
        with database.write() as db:
            make_job(db, key=f"job {n}")
        database.checkpoint(truncate=True)
        Database.open(database.path).close()
        elsewhere(ENQUEUE, database.path, f"other {n}")
        open_reader(database.path).close()
        database.still_there(index_too=True)

    assert len(elsewhere(LIST, database.path)) == 6
    database.still_there(index_too=True)
