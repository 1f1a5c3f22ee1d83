"""Closing an alert by hand, where nothing else does."""

from __future__ import annotations

import sqlite3

from runner import telling
from runner.commands.base import Acts
from runner.errors import NotFound, Refused, UsageError
from runner.settings import nearest
from runner.store import alerts
from runner.units import UnixMs, iso

MOST_REASON = 500


class AlertActs(Acts):
    """What a person may do about an alert."""

    def close_alert(self, key: str, *, reason: str) -> None:
        """Say that what an alert tells of is dealt with. What it tells of is not changed; it may be told anew.

        Raises UsageError, NotFound, and Refused for one that is over.
        """
        said = " ".join(reason.split())[:MOST_REASON]
        if not said:
            raise UsageError("closing an alert wants a reason, which is kept with your name")

        def act(db: sqlite3.Connection, now: UnixMs) -> None:
            found = alerts.by_key(db, key)
            if found is None:
                near = nearest(key, alerts.open_keys(db, ""))
                raise NotFound(f"there is no alert {key!r}{near or '; `afk-runner alerts` lists them'}")
            if found.closed_at is not None:
                raise Refused(f"{key} is over since {iso(found.closed_at)} ({found.ending})")
            telling.settled(db, key=key, now=now, quiet=True)
            self._event(db, now, "alert.closed", f"alert {key} closed by {self._by}: {said}")

        self._transact(act)
