"""The stop switch as a running runner sees it: a file, the environment, the control row; any one is enough."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping

from runner.home import Home
from runner.store import controls
from runner.store.controls import StopRow

ENVIRONMENT = "AFK_STOP in the environment"
"""The one that `resume` cannot lift."""
_OFF = StopRow(value=controls.OFF, seq=0, reason=None, by=None, at=None)


class StopSwitch:
    """Looked at four times a second and, because a kill must land at once, right before whatever spends or starts."""

    def __init__(self, home: Home, environ: Mapping[str, str] = os.environ) -> None:
        self._home = home
        self.by_environment = environ.get("AFK_STOP", "") not in ("", "0")
        """Only a restart in another environment lifts it."""
        self._outside = self.by_hand()
        self.row = _OFF
        """The control row as it was last read."""
        self._faults: dict[str, str] = {}
        self._parked: dict[str, str] = {}
        self._held: str | None = None
        """Why the first of those holds everything back; asked by any thread."""

    def look(self) -> None:
        """See what there is outside the database."""
        self._outside = self.by_hand()

    def read(self, db: sqlite3.Connection) -> None:
        """See the control row."""
        self.row = controls.stop_row(db)

    def distrust(self, what: str, reason: str) -> bool:
        """A database that cannot be `read` or `written` counts as a stop; True when that is news."""
        news = what not in self._faults
        self._faults[what] = f"the database cannot be {what}: {reason}"
        return news

    def can_read(self) -> None:
        """It can be read again."""
        self._faults.pop("read", None)

    def can_write(self) -> None:
        """It can be written again."""
        self._faults.pop("written", None)

    @property
    def trusts(self) -> bool:
        """Whether the database can be read and written, as far as is known."""
        return not self._faults

    def park(self, word: str, text: str) -> bool:
        """Hold everything back for a reason of our own, such as `disk`, until `unpark`; True when that is news."""
        news = word not in self._parked
        self._parked[word] = text
        self._held = next(iter(self._parked.values()))
        return news

    def unpark(self, word: str) -> bool:
        """That reason is gone; True when it held."""
        held = self._parked.pop(word, None) is not None
        self._held = next(iter(self._parked.values()), None)
        return held

    @property
    def word(self) -> str:
        """What to call the reason for which we are parked: `stop`, or the word of a reason of our own."""
        if self._outside is not None or self.row.is_set or self._faults:
            return "stop"
        return next(iter(self._parked), "stop")

    @property
    def fault(self) -> str | None:
        """Why we hold back although nobody said stop: what is wrong with the database, or a reason of our own."""
        return next(iter(self._faults.values()), None) or self._held

    @property
    def causes(self) -> tuple[bool, bool]:
        """Whether somebody stops us, and whether we hold back for a fault, as of the last look; both may be."""
        return self._outside is not None or self.row.is_set, self.fault is not None

    @property
    def is_set(self) -> bool:
        """As of the last look."""
        return self._outside is not None or self.row.is_set or bool(self._faults) or bool(self._parked)

    @property
    def without_grace(self) -> bool:
        """Calls in flight are not waited for."""
        return self.row.value == controls.STOP_NOW

    def outside(self) -> str | None:
        """Why nothing may start, as far as can be told without the database, looked up now. Any thread may ask."""
        return self.by_hand() or self._held

    def by_hand(self) -> str | None:
        """What somebody stops us by beside the control row, looked up now; None: nobody does. Any thread may ask."""
        if self._home.stop_set():
            return "a STOP file"
        return ENVIRONMENT if self.by_environment else None

    def who(self) -> str | None:
        """Who or what stops us, for a sentence that says "stopped by"; None: nobody does. Not for a fault of ours."""
        outside = self.by_hand()
        told = self.row if self.row.is_set and self.row.by else controls.stop_words(self._home.stop)
        if told is not None:
            return f"{told.by} ({told.reason})"
        return outside or (self.row.reason if self.row.is_set else None)

    def any(self, db: sqlite3.Connection) -> str | None:
        """The same with the control row, read now: the last look before bytes leave."""
        outside = self.outside()
        if outside is not None:
            return outside
        try:
            row = controls.stop_row(db)
        except sqlite3.Error as error:
            return f"the database cannot be read: {error}"
        return (row.reason or "the control row") if row.is_set else None
