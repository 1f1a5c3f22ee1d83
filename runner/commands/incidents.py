"""Acts on incidents: notes, and closing one with its cause and what was done about it; and how a drill went."""

from __future__ import annotations

import sqlite3

from runner.commands.base import Acts
from runner.errors import NotFound, Refused, UsageError
from runner.store import drills, events, incidents
from runner.store.incidents import TEXT_LIMIT, Incident
from runner.units import UnixMs, iso


class IncidentActs(Acts):
    """What a person writes down about what went wrong."""

    def note(self, id: int, text: str) -> None:
        """Add to the journal of an incident, closed ones too. Raises UsageError, NotFound."""
        said = _said(text, "a note")

        def act(db: sqlite3.Connection, now: UnixMs) -> None:
            incident = _known(db, id)
            incidents.note(db, id, text=said, by=self._by, now=now)
            words = f"note on incident {id} ({incident.subject}) by {self._by}: {said}"
            self._event(db, now, "incident.note", words)

        self._transact(act)

    def close_incident(self, id: int, *, cause: str, fix: str) -> None:
        """Close an incident for good; what it tells of may still hold, and then it says so.

        Raises UsageError, NotFound, and Refused when it was closed before, saying by whom.
        """
        why, done = _said(cause, "the cause"), _said(fix, "the fix")

        def act(db: sqlite3.Connection, now: UnixMs) -> None:
            incident = _known(db, id)
            if not incidents.close(db, id, cause=why, fix=done, by=self._by, now=now):
                raise Refused(
                    f"incident {id} was closed by {incident.closed_by} at {iso(incident.closed_at)}; "
                    f"`afk-runner incidents note {id} TEXT` adds to its journal"
                )
            words = f"incident {id} ({incident.subject}) closed by {self._by}: cause: {why}; fix: {done}"
            self._event(db, now, "incident.closed", words, level=events.INFO)

        self._transact(act)

    def drilled(self, name: str, *, fault: str | None, version: str) -> None:
        """Write down that a drill proved its part, or why it did not."""

        def act(db: sqlite3.Connection, now: UnixMs) -> None:
            if fault is None:
                drills.proven(db, name, by=self._by, version=version, now=now)
                self._event(db, now, "drill.proven", f"drill {name} proven by {self._by}")
            else:
                drills.failed(db, name, fault=fault, now=now)
                words = f"drill {name} failed, tried by {self._by}: {fault}"
                self._event(db, now, "drill.failed", words, level=events.ERROR)

        self._transact(act)


def _known(db: sqlite3.Connection, id: int) -> Incident:
    found = incidents.get(db, id)
    if found is None:
        raise NotFound(f"there is no incident {id}; `afk-runner incidents --all` lists them")
    return found


def _said(text: str, what: str) -> str:
    said = " ".join(text.split())
    if not said:
        raise UsageError(f"{what} wants words; it is kept with your name")
    if len(said) > TEXT_LIMIT:
        raise UsageError(f"{what} has {len(said):,} characters; the most is {TEXT_LIMIT:,}")
    return said
