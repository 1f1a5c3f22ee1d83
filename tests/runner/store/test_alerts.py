"""The outbox of a home that was there before anything was delivered."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.store import alerts
from runner.store import db as store
from runner.store.db import Database
from tests.factories import NOW


def test_after_an_upgrade_what_still_holds_is_told_and_what_is_over_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = store._migrations()
    before = next(number for number, script in every if "CREATE TABLE tellings" in script)
    monkeypatch.setattr(store, "_migrations", lambda: every[: before - 1])
    old = Database.open(tmp_path / "agent.db", create=True)
    for key, closed_at in (("breaker:x", None), ("breaker:y", NOW)):
        old.connection.execute(
            "INSERT INTO alerts (at, key, level, text, closed_at) VALUES (?, ?, 'warn', 'open', ?)",
            (NOW, key, closed_at),
        )
    old.close()
    monkeypatch.setattr(store, "_migrations", lambda: every)

    upgraded = Database.open(tmp_path / "agent.db")

    assert [one.key for one in alerts.owed(upgraded.connection, limit=10)] == ["breaker:x"]
    found = alerts.by_key(upgraded.connection, "breaker:y")
    assert found is not None
    assert (found.ending, found.times, found.last_at) == ("settled", 1, NOW)
    assert alerts.counts(upgraded.connection) == (1, 1)
    upgraded.close()
