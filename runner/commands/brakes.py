"""What keeps a task or a model from being worked: pauses and breakers, by hand."""

from __future__ import annotations

import sqlite3

from runner import telling
from runner.commands.base import Acts
from runner.errors import NotFound
from runner.settings import nearest
from runner.store import breakers, controls, events, rate_pauses, tallies
from runner.units import UnixMs


class BrakeActs(Acts):
    """Pausing tasks, tripping and resetting breakers."""

    def pause(self, name: str, *, reason: str | None = None) -> bool:
        """Take no new work of a task, its schedule included; False when it was paused already."""

        def act(db: sqlite3.Connection, now: UnixMs) -> bool:
            changed = controls.pause(db, name=name, reason=reason or "asked by a person", by=self._by, now=now)
            if changed:
                self._event(
                    db, now, "task.pause", f"{name} paused by {self._by}: {reason or 'no reason given'}", task=name
                )
            return changed

        return self._transact(act)

    def unpause(self, name: str) -> bool:
        """Lift a pause and wake the jobs that waited for it; False when there was none."""

        def act(db: sqlite3.Connection, now: UnixMs) -> bool:
            changed = controls.unpause(db, name=name)
            if changed:
                self._event(db, now, "task.unpause", f"{name} unpaused by {self._by}", task=name)
            return changed

        changed = self._transact(act)
        self._wake(f"pause:{name}")
        return changed

    def trip(self, name: str, *, reason: str) -> None:
        """Open a breaker by hand; only a person closes it again."""

        def act(db: sqlite3.Connection, now: UnixMs) -> None:
            breakers.trip(db, name, reason=reason, retry_at=None, now=now)
            text = f"breaker {name} tripped by {self._by}: {reason}"
            self._event(db, now, "breaker.open", text, level=events.WARN)
            telling.tell(db, key=f"breaker:{name}", level=events.WARN, text=text, now=now)

        self._transact(act)

    def reset(self, name: str, *, reason: str) -> None:
        """Close a breaker by hand, lift the pause of its rate, and wake the jobs that waited for either.

        What was counted towards its rates begins anew. Raises NotFound.
        """

        def act(db: sqlite3.Connection, now: UnixMs) -> None:
            lifted = rate_pauses.lift(db, name)
            if not breakers.reset(db, name, reason=reason, now=now) and not lifted:
                known = [
                    *(one.name for one in breakers.all_of(db)),
                    *(one.name for one in rate_pauses.all_of(db, now=now)),
                ]
                where = nearest(name, known) or "; `afk-runner breaker` lists them"
                raise NotFound(f"there is no breaker {name!r}{where}")
            tallies.forget(db, name)
            text = f"breaker {name} reset by {self._by}: {reason}{'; its rate is paused no more' if lifted else ''}"
            for what in ("breaker", "over_bound", "runaway"):
                telling.settled(db, key=f"{what}:{name}", text=text, now=now)
            self._event(db, now, "breaker.closed", text)

        self._transact(act)
        self._wake(f"breaker:{name}")
        self._wake(f"rate:{name}")
