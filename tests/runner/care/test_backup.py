"""A backup is of one moment of a live home, whole, private, and in place at once or not at all."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from runner.care import backup as backups
from runner.care import copying
from runner.care.backup import Backup, backup
from runner.care.check import Verdict, check
from runner.errors import Refused, StoreCorrupt, StoreError
from runner.home import Home
from runner.store.db import Database
from runner.units import DAY_MS, UnixMs
from tests.factories import NOW, make_job


def take(home: Home, dest: Path, **wishes: Any) -> Backup:
    given = {"force": False, "keep": None, "now": UnixMs(NOW), "version": "0.1.0", "progress": lambda _, __: None}
    return backup(home, dest, **{**given, **wishes})


def rows(path: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


def test_it_is_of_one_moment_while_others_write(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step lets writers go on; what they commit together is in it together or not at all, and it ends."""
    monkeypatch.setattr(copying, "PAGES", 4)
    database = Database.open(home.db)
    written = 0

    def write() -> None:
        nonlocal written
        with database.write() as db:
            for half in ("a", "b"):
                make_job(db, key=f"{written}{half}", payload="x" * 2_000)
        written += 1

    write()
    done = take(home, tmp_path / "b.db", progress=lambda _, __: write())
    database.close()

    assert written > 10
    keys = {row[0] for row in rows(done.path, "SELECT key FROM jobs")}
    assert keys == {"0a", "0b"}
    assert done.jobs == 2


def test_it_is_one_private_file_and_a_page_that_says_what_it_is(home: Home, tmp_path: Path) -> None:
    """Beside a page that a program can check it by; nothing else is left, and it needs no -wal."""
    before = os.umask(0)
    try:
        done = take(home, tmp_path / "b.db")
    finally:
        os.umask(before)

    assert {stat.S_IMODE(path.stat().st_mode) for path in (done.path, done.page)} == {0o600}
    assert {path.name for path in tmp_path.iterdir()} == {"home", "b.db", "b.db.json"}
    assert rows(done.path, "PRAGMA journal_mode") == [("delete",)]
    page = json.loads(done.page.read_text())
    assert page["sha256"] == copying.digest(done.path)
    assert ".env" in page["not_inside"]
    assert [line for line in check(done.path, deep=True, now=UnixMs(NOW)) if line.verdict is not Verdict.OK] == []


def test_what_is_there_is_replaced_on_demand_alone(home: Home, db: sqlite3.Connection, tmp_path: Path) -> None:
    dest = tmp_path / "b.db"
    dest.write_text("precious")

    with pytest.raises(Refused, match="--force replaces it"):
        take(home, dest)
    assert dest.read_text() == "precious"
    make_job(db)
    take(home, dest, force=True)

    assert rows(dest, "SELECT count(*) FROM jobs") == [(1,)]


def test_somebody_quicker_is_not_overwritten(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The place is looked at again in the act of taking it."""
    dest = tmp_path / "b.db"
    monkeypatch.setattr(backups, "verify", lambda _: dest.write_text("precious"))

    with pytest.raises(Refused, match="is there already"):
        take(home, dest)

    assert dest.read_text() == "precious"
    assert {path.name for path in tmp_path.iterdir()} == {"home", "b.db"}


def test_a_folder_gets_dated_names_and_keeps_so_many(home: Home, tmp_path: Path) -> None:
    """What has another name is not ours to delete."""
    folder = tmp_path / "backups"
    folder.mkdir()
    for name in ("agent-old.db", "photo.jpg", "agent-20200101T000000Z.db.gz"):
        (folder / name).touch()

    for day in range(4):
        done = take(home, folder, keep=2, now=UnixMs(NOW + day * DAY_MS))

    assert done.path.name == "agent-20300320T174640Z.db"
    assert [path.name for path in done.removed] == ["agent-20300318T174640Z.db"]
    assert {path.name for path in folder.iterdir()} == {
        *("agent-old.db", "photo.jpg", "agent-20200101T000000Z.db.gz"),
        *("agent-20300319T174640Z.db", "agent-20300319T174640Z.db.json"),
        *("agent-20300320T174640Z.db", "agent-20300320T174640Z.db.json"),
    }


def test_two_of_one_second_stand_side_by_side_and_the_first_goes_first(home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()

    done = [take(home, folder, keep=2, now=NOW) for _ in range(3)]

    assert [backup.path.name for backup in done] == [
        "agent-20300317T174640Z.db",
        "agent-20300317T174640Z-2.db",
        "agent-20300317T174640Z-3.db",
    ]
    assert done[2].removed == (done[0].path,)


@pytest.mark.parametrize("name", ["agent.db", "agent.db-wal", "agent.db.new"])
def test_the_database_itself_is_no_place(home: Home, name: str) -> None:
    with pytest.raises(Refused, match="place of the database itself"):
        take(home, home.root / name, force=True)


def test_places_that_cannot_be_are_named(home: Home, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="there is no folder"):
        take(home, tmp_path / "nowhere" / "b.db")
    (tmp_path / "b.db").touch()
    with pytest.raises(Refused, match="is no folder"):
        take(home, tmp_path / "b.db", keep=3)
    with pytest.raises(Refused, match="there is no folder"):  # a disk that is away does not become a folder
        take(home, tmp_path / "nowhere" / "backups", keep=3)


@pytest.mark.parametrize(
    ("name", "wishes"),
    [("backups", {}), ("backups", {"keep": 14}), ("on.disk", {"folder": True}), ("a.d", {"keep": 1})],
)
def test_a_folder_that_is_not_there_is_made(home: Home, tmp_path: Path, name: str, wishes: dict[str, Any]) -> None:
    folder = tmp_path / name

    done = take(home, folder, **wishes)

    assert done.path.parent == folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_copy_that_is_not_sound_is_not_put_in_place(home: Home, db: sqlite3.Connection, tmp_path: Path) -> None:
    """The last good backup stands, and the sentence says what is wrong."""
    last = take(home, tmp_path / "b.db")
    db.execute("PRAGMA foreign_keys = OFF")
    db.execute("INSERT INTO steps VALUES (999, 'fetch', '1', 1, 1)")
    before = copying.digest(last.path)

    with pytest.raises(StoreCorrupt, match="belongs to none of jobs"):
        take(home, last.path, force=True)

    assert copying.digest(last.path) == before
    assert not (tmp_path / ".agent-backup.part").exists()


def test_what_a_killed_backup_left_is_cleared_and_a_placed_one_untouched(home: Home, tmp_path: Path) -> None:
    """Killed after the link, its part is a second name of the backup: it must not be written into."""
    placed = take(home, tmp_path / "a.db")
    before = copying.digest(placed.path)
    os.link(placed.path, tmp_path / ".agent-backup.part")
    (tmp_path / ".agent-backup.part-wal").write_bytes(b"left over")

    done = take(home, tmp_path / "b.db")

    assert copying.digest(placed.path) == before
    assert rows(done.path, "PRAGMA integrity_check") == [("ok",)]
    assert not list(tmp_path.glob(".agent*"))


def test_two_backups_into_one_folder_do_not_mix(home: Home, tmp_path: Path) -> None:
    refused = []

    def second(_: int, __: int) -> None:
        try:
            take(home, tmp_path / "c.db")
        except Refused as error:
            refused.append(str(error))

    done = take(home, tmp_path / "b.db", progress=second)

    assert refused
    assert "under way" in refused[0]
    assert rows(done.path, "PRAGMA integrity_check") == [("ok",)]


def test_a_disk_that_fills_up_leaves_nothing_half(home: Home, db: sqlite3.Connection, tmp_path: Path) -> None:
    """A limit on the size of files stands in for the disk."""
    import resource
    import signal

    for n in range(50):
        make_job(db, payload="x" * 20_000, key=str(n))
    old, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
        with pytest.raises(StoreError, match="the copy to"):
            take(home, tmp_path / "b.db")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (old, hard))
        signal.signal(signal.SIGXFSZ, handler)

    assert {path.name for path in tmp_path.iterdir()} == {"home"}


def test_an_older_schema_is_backed_up_too(home: Home, db: sqlite3.Connection, tmp_path: Path) -> None:
    """Before an upgrade is when it is wanted most."""
    db.execute("PRAGMA user_version = 3")

    assert take(home, tmp_path / "b.db").schema == 3
