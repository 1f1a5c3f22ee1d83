"""The database, as far as a quick look can tell."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from runner.doctor import database
from runner.doctor.look import Look
from tests.runner.doctor.conftest import levels


def test_a_large_database_is_not_read_whole(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that takes minutes is one nobody takes at three in the morning."""
    with closing(sqlite3.connect(look.home.db)) as db, db:
        db.execute("CREATE TABLE much (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT")
        counted = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)"
        db.execute(f"INSERT INTO much (text) {counted} SELECT 'x' || i FROM n")
    monkeypatch.setattr(database, "QUICK_S", -1)

    found = list(database.database(look))

    assert levels(found) == ["ok", "ok"]
    assert "too large to be read whole in a moment" in found[1].text


@pytest.mark.parametrize(
    ("version", "level", "mend"),
    [(999, "fail", "install the version that wrote it"), (1, "warn", "end the older runner, then afk-runner run")],
)
def test_a_database_of_another_version_is_told_with_the_way_out(
    look: Look, version: int, level: str, mend: str
) -> None:
    with closing(sqlite3.connect(look.home.db)) as db, db:
        db.execute(f"PRAGMA user_version = {version}")

    found = list(database.database(look))[-1]

    assert found.level.value == level
    assert (found.mend or "").startswith(mend)


def test_a_log_that_nobody_brings_back_is_told(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LONG_WAL_BYTES", 1_000)
    with closing(sqlite3.connect(look.home.db)) as db, db:
        db.execute("CREATE TABLE something (id INTEGER PRIMARY KEY) STRICT")
        db.commit()

        found = list(database.database(look))[-1]

    assert found.level.value == "warn"
    assert "a program has been reading for a long time" in found.text
