"""Whether a database is sound, and whether its rows tell one story. Only reads, and works on a live home.

Each look is one statement, so that it sees one moment while others write.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from zoneinfo import ZoneInfo

from runner.care import rules
from runner.errors import StoreCorrupt, StoreError, StoreNewer, StoreOlder
from runner.store import charges, controls, raises
from runner.store.db import open_reader, schema_version
from runner.units import MicroUsd, UnixMs, day_of, plural, usd

SHOWN = 3
"""Examples of what breaks a rule."""
RESTORE = "keep the file, and go back to a backup: afk-runner restore FILE"
REPORT = "nothing mends it by itself; take a backup before you change anything, and report it with this line"


class Verdict(StrEnum):
    """How a line is meant."""

    OK = "ok"
    WARN = "warn"
    """It mends itself, or is a person's to know."""
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One thing that was looked at."""

    name: str
    verdict: Verdict
    text: str
    mend: str | None = None


def check(database: Path, *, deep: bool, now: UnixMs) -> Iterator[Line]:
    """Look at one thing after the other, the quick ones first. Raises StoreError when there is nothing to look at."""
    try:
        db = open_reader(database)
    except StoreCorrupt as error:
        yield _failed("file", str(error), RESTORE)
        return
    except (StoreOlder, StoreNewer) as error:
        yield _failed("schema", str(error))
        return
    with closing(db):
        yield _ok("schema", f"number {schema_version(db)}, the one this program reads")
        pages = _pages(db, deep=deep)
        yield pages
        if pages.verdict is Verdict.FAIL:
            return  # the rows of a broken file say nothing
        yield _foreign_keys(db)
        if deep:
            for rule in rules.ALL:
                yield _rule(db, rule)
            yield _cap(db, now=now)


def _pages(db: sqlite3.Connection, *, deep: bool) -> Line:
    pragma = "integrity_check" if deep else "quick_check"
    try:
        said = [row[0] for row in db.execute(f"PRAGMA {pragma}({SHOWN})")]
    except sqlite3.Error as error:
        said = [str(error)]
    if said != ["ok"]:
        return _failed("file", f"not sound: {'; '.join(said)}", RESTORE)
    return _ok("file", "every page and index is sound" if deep else "every page is sound")


def _foreign_keys(db: sqlite3.Connection) -> Line:
    broken = db.execute("PRAGMA foreign_key_check").fetchmany(SHOWN)
    if broken:
        tables = ", ".join(f"{row[0]} row {row[1]} has no {row[2]}" for row in broken)
        return _failed("links", f"rows belong to none: {tables}", REPORT)
    return _ok("links", "every row belongs to one that is there")


def _rule(db: sqlite3.Connection, rule: rules.Rule) -> Line:
    try:
        broken = db.execute(rule.sql).fetchmany(SHOWN + 1)
    except sqlite3.Error as error:
        raise StoreError(f"while looking at {rule.name}: {error}") from error
    if not broken:
        return _ok(rule.name, rule.holds)
    examples = ", ".join(str(row[0]) for row in broken[:SHOWN])
    more = " and more" if len(broken) > SHOWN else ""
    text = f"{rule.broken}: {examples}{more}"
    return Line(
        name=rule.name, verdict=Verdict.WARN if rule.mends else Verdict.FAIL, text=text, mend=rule.mends or REPORT
    )


def _cap(db: sqlite3.Connection, *, now: UnixMs) -> Line:
    """Today against its cap. Caps of other days are not on record."""
    told = controls.settings(db)
    if not told.get("daily_usd", "").isdigit() or "timezone" not in told:
        return _ok("cap", "no runner was ever started, so no cap is in force")
    cap, zone = MicroUsd(int(told["daily_usd"])), ZoneInfo(told["timezone"])
    day = day_of(now, zone)
    raised = raises.standing(db, day, over=cap)
    limit = raised.cap if raised else cap
    spent = charges.spent_since_day(db, day).committed
    if spent <= limit:
        return _ok("cap", f"{usd(spent)} settled and held today, of {usd(limit)}")
    over = db.execute(
        "SELECT count(*), coalesce(sum(cost - hold), 0) FROM charges WHERE day >= ? AND cost > hold", (day,)
    ).fetchone()
    if spent - over[1] <= limit:
        answers = plural(over[0], "answer")
        text = f"{usd(spent)} of {usd(limit)} today: {answers} cost more than its bound; the alert says whose"
        return Line(name="cap", verdict=Verdict.WARN, text=text)
    text = f"{usd(spent)} settled and held today, over the cap of {usd(limit)}"
    return _failed(
        "cap", text, "if the cap was lowered today, that is why; else stop it, afk-runner kill, and report it"
    )


def _ok(name: str, text: str) -> Line:
    return Line(name=name, verdict=Verdict.OK, text=text)


def _failed(name: str, text: str, mend: str | None = None) -> Line:
    return Line(name=name, verdict=Verdict.FAIL, text=text, mend=mend)
