"""Opening a file: fresh, old, newer, somebody else's, and one that goes away."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runner.errors import StoreBusy, StoreCorrupt, StoreMissing, StoreNewer, StoreOlder, StoreReadOnly
from runner.lock import HomeLock, held_by_another
from runner.store import db as store
from runner.store.db import Database, open_reader, schema_version
from tests.factories import make_job


def test_a_fresh_file_gets_the_schema_and_the_durability_it_needs(database: Database) -> None:
    connection = database.connection
    assert schema_version(connection) == len(store._migrations()) >= 1
    assert connection.execute("PRAGMA application_id").fetchone() == (store.APPLICATION_ID,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,), "FULL"
    assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)
    assert os.stat(database.path).st_mode & 0o077 == 0


def test_an_old_file_is_migrated_once_and_keeps_its_rows(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new migration runs on the next opening, in one transaction with its record, and not again."""
    make_job(database.connection, key="kept")
    newest = store._migrations()
    more = [*newest, (len(newest) + 1, "CREATE TABLE fresh (id INTEGER);\nINSERT INTO fresh VALUES (1);\n")]
    monkeypatch.setattr(store, "_migrations", lambda: more)

    for _ in range(2):
        again = Database.open(database.path)
        assert schema_version(again.connection) == len(more)
        assert again.connection.execute("SELECT count(*) FROM fresh").fetchone() == (1,)
        assert again.connection.execute("SELECT key FROM jobs").fetchall() == [("kept",)]
        again.close()


def test_an_old_file_is_not_migrated_under_the_runner_of_another_process(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would go on as its own schema says. Who holds the home migrates it, and anybody once that one has ended."""
    newest = store._migrations()
    more = [*newest, (len(newest) + 1, "CREATE TABLE fresh (id INTEGER);\n")]
    monkeypatch.setattr(store, "_migrations", lambda: more)
    lock = database.path.with_name("runner.lock")
    with older_runner(lock):
        with pytest.raises(StoreOlder, match=f"schema {len(newest)}.*end the older runner"):
            Database.open(database.path)
        assert schema_version(database.connection) == len(newest)
        Database.open(database.path.with_name("fresh.db"), create=True).close()  # has no schema that anybody knows

    ours = HomeLock(lock)
    assert ours.take()
    Database.open(database.path).close()
    ours.close()

    assert schema_version(database.connection) == len(more)
    with older_runner(lock):
        assert held_by_another(lock), "what was ours is not for ever"
        Database.open(database.path).close()


@contextmanager
def older_runner(lock: Path) -> Iterator[None]:
    """Another process that holds the home, with our pid in the file, as a container's may be."""
    code = (
        "import sys; from pathlib import Path; from runner.lock import HomeLock; lock = HomeLock(Path(sys.argv[1])); "
        "assert lock.take(); Path(sys.argv[1]).write_text(sys.argv[2]); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(lock), str(os.getpid())], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        yield
        holder.communicate()


def test_a_reader_says_that_a_file_is_older_and_changes_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = store._migrations()
    more = [*newest, (len(newest) + 1, "CREATE TABLE fresh (id INTEGER);\n")]
    monkeypatch.setattr(store, "_migrations", lambda: more)

    with pytest.raises(StoreOlder, match=f"schema {len(newest)}.*`afk-runner run`"):
        store.open_reader(database.path)

    assert schema_version(database.connection) == len(newest)


def test_a_migration_that_fails_leaves_the_file_as_it_was(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    newest = store._migrations()
    broken = [*newest, (len(newest) + 1, "CREATE TABLE fresh (id INTEGER);\nINSERT INTO nowhere VALUES (1);\n")]
    monkeypatch.setattr(store, "_migrations", lambda: broken)

    with pytest.raises(store.StoreError):
        Database.open(database.path)

    assert schema_version(database.connection) == len(newest)
    assert database.connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'fresh'").fetchone() is None


def test_a_newer_file_is_refused_by_writer_and_reader(database: Database) -> None:
    database.connection.execute("PRAGMA user_version = 999")
    with pytest.raises(StoreNewer, match="schema 999"):
        Database.open(database.path)
    with pytest.raises(StoreNewer, match="schema 999"):
        open_reader(database.path)


def test_a_file_of_another_program_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE bookmarks (url TEXT)")
    other.close()
    before = path.read_bytes()

    for open_it in (lambda: Database.open(path, create=True), lambda: open_reader(path)):
        with pytest.raises(StoreCorrupt, match="another program"):
            open_it()

    assert path.read_bytes() == before


def test_garbage_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    path.write_bytes(os.urandom(8_192))
    with pytest.raises(StoreCorrupt, match="not a sound database"):
        Database.open(path)


@pytest.mark.parametrize(("make", "what"), [(Path.mkdir, "a folder"), (os.mkfifo, "no file of data")])
@pytest.mark.parametrize("create", [False, True])
def test_what_is_no_file_is_told_as_what_it_is(
    tmp_path: Path, make: Callable[[Path], object], what: str, create: bool
) -> None:
    """SQLite calls it a disk I/O error, or one that cannot be opened."""
    make(path := tmp_path / "agent.db")

    for open_it in (lambda: Database.open(path, create=create), lambda: open_reader(path)):
        with pytest.raises(StoreCorrupt, match=f"agent.db is {what}; move it away, and `afk-runner restore` a backup"):
            open_it()


def test_a_missing_file_is_made_only_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    with pytest.raises(StoreMissing):
        Database.open(path)
    with pytest.raises(StoreMissing):
        open_reader(path)
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_not_followed_to_make_a_file(tmp_path: Path) -> None:
    (tmp_path / "agent.db").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreReadOnly):
        Database.open(tmp_path / "agent.db", create=True)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("how", ["moved", "deleted", "replaced"])
def test_a_file_that_went_is_not_written(database: Database, how: str) -> None:
    """A connection would go on writing into the old file without a word; the old file is found as it was."""
    make_job(database.connection, key="before")
    aside = database.path.with_name("aside.db")
    if how == "deleted":
        database.path.unlink()
    else:
        database.path.rename(aside)
    if how == "replaced":
        shutil.copy(aside, database.path)

    with pytest.raises(StoreMissing, match="moved, deleted or replaced"), database.write() as db:
        make_job(db, key="after")

    assert [row[0] for row in database.connection.execute("SELECT key FROM jobs")] == ["before"]
    if how == "moved":
        aside.rename(database.path)
        with database.write() as db:
            make_job(db, key="after")


def test_a_transaction_is_all_or_nothing(database: Database) -> None:
    with pytest.raises(sqlite3.IntegrityError), database.write() as db:
        db.execute("UPDATE jobs SET priority = 99 WHERE id = ?", (make_job(db).id,))

    assert database.connection.execute("SELECT count(*) FROM jobs").fetchone() == (0,)
    assert database.connection.execute("SELECT pending FROM board").fetchone() == (0,)


def test_a_hand_in_the_way_is_busy_and_not_corrupt(database: Database) -> None:
    """Somebody with `sqlite3` holds the write lock and takes no turn."""
    database.connection.execute("PRAGMA busy_timeout = 10")
    with sqlite3.connect(database.path, isolation_level=None) as hand:
        hand.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusy, match="locked"), database.write():
            pass
        hand.execute("ROLLBACK")
    hand.close()
    with database.write() as db:
        make_job(db)


def test_a_reader_shows_text_that_is_not_utf8(database: Database) -> None:
    """Whatever a payload wrote, a screen can show it."""
    job = make_job(database.connection)
    database.connection.execute("UPDATE jobs SET error = CAST(X'66fffe' AS TEXT) WHERE id = ?", (job.id,))
    reader = open_reader(database.path)
    assert reader.execute("SELECT error FROM jobs").fetchone() == ("f\ufffd\ufffd",)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("DELETE FROM jobs")
    reader.close()


def test_a_poke_reaches_whoever_listens_by_then(database: Database) -> None:
    """The pipe is held open; a runner that has gone, and one that listens at a new pipe, are noticed."""
    pipe = database.path.with_name("runner.fifo")

    def listen() -> int:
        os.mkfifo(pipe)
        return os.open(pipe, os.O_RDWR | os.O_NONBLOCK)

    database.poke()
    for _ in range(2):
        runner = listen()
        for _ in range(2):
            database.poke()
        assert os.read(runner, 10) == b".."
        os.close(runner)
        pipe.unlink()
    database.poke()
