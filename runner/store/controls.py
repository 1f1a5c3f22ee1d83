"""The switches a person sets, pauses among them, and what the runner was configured with.

Runs in the caller's transaction. The STOP file is the same switch outside the database: who and why stand in it, too.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.regular import read_regular
from runner.text import one_line
from runner.units import UnixMs, iso

OFF, STOP, STOP_NOW = "0", "1", "2"
BY_HAND = "the control row, set by hand"
"""The reason of a stop that somebody wrote into the table without one."""
MOST_FILE_BYTES = 4096
MOST_REASON, MOST_BY = 500, 100
"""Characters of a reason and of a name in the STOP file; together always fewer bytes than are read of it."""
_CONFIG = "config:"


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRow:
    """The control row `stop`."""

    value: str
    """`0` off, `1` stop, `2` stop without grace."""
    seq: int
    """How often it was set or cleared; a runner says which one it has acted on."""
    reason: str | None
    by: str | None
    at: UnixMs | None

    @property
    def is_set(self) -> bool:
        """Anything but a plain `0` is a stop: a hand that typed something meant something."""
        return self.value != OFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A task that takes no new work, until a person says otherwise."""

    name: str
    reason: str
    by: str
    at: UnixMs


def stop_row(db: sqlite3.Connection) -> StopRow:
    """The stop switch. A missing row counts as set: somebody removed what says we may run."""
    return _stop(db.execute("SELECT value, seq, reason, by, at FROM control WHERE key = 'stop'").fetchone())


def _stop(row: Sequence[Any] | None) -> StopRow:
    if row is None:
        return StopRow(value=STOP, seq=0, reason="a control table without its stop row", by=None, at=None)
    if row[0] != OFF and row[2] is None:  # who and when are then of the `resume` before it
        return StopRow(value=row[0], seq=row[1], reason=BY_HAND, by=None, at=None)
    return StopRow(value=row[0], seq=row[1], reason=row[2], by=row[3], at=row[4])


@dataclass(frozen=True, slots=True, kw_only=True)
class StopWords:
    """What a kill wrote into the STOP file."""

    reason: str
    by: str
    at: UnixMs | None
    """When the file was written last; None for a time that no calendar has."""


def stop_text(*, reason: str, by: str) -> str:
    """What a kill writes into the STOP file; `stop_words` reads it."""
    return f"{one_line(reason, MOST_REASON)}\nby {one_line(by, MOST_BY)}\n"


def stop_words(file: Path) -> StopWords | None:
    """What a kill wrote into the STOP file; None for no file, and for one that holds anything else."""
    try:
        status, data = read_regular(file, limit=MOST_FILE_BYTES)
        reason, by, *rest = data.decode("utf-8").split("\n")
    except (OSError, ValueError):  # fewer than two lines, and what is no text
        return None
    name = by.removeprefix("by ")
    strange = len(reason) > MOST_REASON or len(name) > MOST_BY or not reason.strip() or not name.strip() or name == by
    if strange or rest != [""] or any(one_line(text) != text for text in (reason, name)):
        return None
    at = UnixMs(status.st_mtime_ns // 1_000_000)
    return StopWords(reason=reason, by=name, at=at if iso(at) else None)


CLAIMS = "SELECT (SELECT value FROM control WHERE key = 'stop'), EXISTS (SELECT 1 FROM pauses)"


def claims(db: sqlite3.Connection) -> tuple[bool, bool]:
    """Whether the switch lets new work start, and whether any task is paused: all that most claims need to know."""
    value, paused = db.execute(CLAIMS).fetchone()
    return value == OFF, bool(paused)


def set_stop(db: sqlite3.Connection, value: str, *, reason: str | None, by: str, now: UnixMs) -> StopRow:
    """Turn the stop switch; gives it as it is then."""
    db.execute(
        "INSERT INTO control (key, value, seq, reason, by, at) VALUES ('stop', ?, 1, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET value = excluded.value, seq = seq + 1, reason = excluded.reason, "
        "by = excluded.by, at = excluded.at",
        (value, reason, by, now),
    )
    return stop_row(db)


@dataclass(frozen=True, slots=True)
class Everything:
    """All of the table that a screen shows, read in one look."""

    stop: StopRow
    settings: dict[str, str]
    ping: Ping | None


def everything(db: sqlite3.Connection) -> Everything:
    """The stop switch, the settings and the pings, as `stop_row`, `settings` and `ping` give them."""
    rows = {row[0]: row for row in db.execute("SELECT key, value, seq, reason, by, at FROM control")}
    ping = rows.get("ping")
    return Everything(
        _stop(rows["stop"][1:] if "stop" in rows else None),
        {key[len(_CONFIG) :]: row[1] for key, row in rows.items() if key.startswith(_CONFIG)},
        Ping(fault=ping[3], at=ping[5]) if ping else None,
    )


def settings(db: sqlite3.Connection) -> dict[str, str]:
    """What the last runner wrote down of its configuration: `timezone`, `daily_usd`, `workers`, ..."""
    return dict(db.execute("SELECT substr(key, 8), value FROM control WHERE key LIKE 'config:%'").fetchall())


def put_settings(db: sqlite3.Connection, values: dict[str, str], *, now: UnixMs) -> None:
    """Write down the configuration that is in force from now on."""
    db.execute("DELETE FROM control WHERE key LIKE 'config:%'")
    db.executemany(
        "INSERT INTO control (key, value, at) VALUES (?, ?, ?)",
        [(f"config:{name}", value, now) for name, value in values.items()],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """How the pings to the outside go."""

    at: UnixMs | None
    """When one was answered last; None: never."""
    fault: str | None
    """What was wrong with the last one; None: it was answered."""


def note_ping(db: sqlite3.Connection, *, fault: str | None, now: UnixMs) -> None:
    """One was answered, or was not."""
    db.execute(
        "INSERT INTO control (key, value, reason, at) VALUES ('ping', ?, ?, ?) ON CONFLICT DO UPDATE SET "
        "value = excluded.value, reason = excluded.reason, at = coalesce(excluded.at, at)",
        ("1" if fault is None else "0", fault, now if fault is None else None),
    )


def ping(db: sqlite3.Connection) -> Ping | None:
    """How they go; None when none was ever sent."""
    row = db.execute("SELECT reason, at FROM control WHERE key = 'ping'").fetchone()
    return Ping(fault=row[0], at=row[1]) if row else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What the last runner that a supervisor started could open."""

    at: UnixMs
    places: dict[str, str | None]
    """Why each place could not be opened, by its path; None: it could."""


def note_reach(db: sqlite3.Connection, places: Mapping[str, str | None], *, now: UnixMs) -> None:
    """It was looked at."""
    db.execute(
        "INSERT INTO control (key, value, at) VALUES ('reach', ?, ?) ON CONFLICT DO UPDATE SET "
        "value = excluded.value, at = excluded.at",
        (json.dumps(places), now),
    )


def reach(db: sqlite3.Connection) -> Reach | None:
    """What it found; None: no such runner ever looked."""
    row = db.execute("SELECT at, value FROM control WHERE key = 'reach'").fetchone()
    return Reach(at=row[0], places=json.loads(row[1])) if row else None


def tidied_at(db: sqlite3.Connection) -> UnixMs | None:
    """When everything was last looked at that may be let go of; None: never."""
    row = db.execute("SELECT at FROM control WHERE key = 'upkeep'").fetchone()
    return UnixMs(row[0]) if row and row[0] is not None else None


def note_tidied(db: sqlite3.Connection, *, now: UnixMs) -> None:
    """Everything was looked at."""
    db.execute(
        "INSERT INTO control (key, value, at) VALUES ('upkeep', '1', ?) ON CONFLICT DO UPDATE SET at = excluded.at",
        (now,),
    )


def pause(db: sqlite3.Connection, *, name: str, reason: str, by: str, now: UnixMs) -> bool:
    """Pause a task; False when it was paused already."""
    return bool(
        db.execute(
            "INSERT INTO pauses (name, reason, by, at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (name, reason, by, now),
        ).rowcount
    )


def all_paused(db: sqlite3.Connection) -> list[Pause]:
    """Every pause by name."""
    rows = db.execute("SELECT name, reason, by, at FROM pauses ORDER BY name")
    return [Pause(name=row[0], reason=row[1], by=row[2], at=row[3]) for row in rows]


def unpause(db: sqlite3.Connection, *, name: str) -> bool:
    """Lift a pause; False when there was none."""
    return bool(db.execute("DELETE FROM pauses WHERE name = ?", (name,)).rowcount)


def paused(db: sqlite3.Connection, name: str) -> Pause | None:
    """The pause of one task."""
    row = db.execute("SELECT name, reason, by, at FROM pauses WHERE name = ?", (name,)).fetchone()
    return Pause(name=row[0], reason=row[1], by=row[2], at=row[3]) if row else None
