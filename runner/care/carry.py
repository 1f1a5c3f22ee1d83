"""What a restored database must not forget: the money that was spent since it was copied, and what guards the home.

The ledger of the database that is replaced and the one of the backup are united: a call that either knows is counted,
and no day of any task counts less than before. So no cap is looser after a restore than it was before it. Where the
replaced database cannot vouch for that, what may have been spent meanwhile is held until a person says otherwise.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from runner.care.standing import Standing, bring_along
from runner.store import charges, controls, raises
from runner.units import MicroUsd, UnixMs, day_of, start_of_day

NOTHING = MicroUsd(0)
NOBODY = "(restore)"
"""In the place of a task: no task can have that name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What came along from the replaced database, and what did not."""

    calls: int = 0
    """Model calls that the backup does not know."""
    cost: MicroUsd = NOTHING
    """Of these, and of days whose calls are not known one by one."""
    standing: Standing = field(default_factory=Standing)
    """Of jobs that do what cannot be undone."""
    again: tuple[str, ...] = ()
    """Keys of jobs that have ended since, and would be done again."""
    lost: tuple[str, ...] = ()
    """Keys of jobs that wait or run in the replaced database and are not in the backup."""
    drafts: int = 0
    """Decided since; they wait again."""
    breakers: int = 0
    pauses: int = 0
    slots: int = 0
    """Due times that were dealt with since: they do not come again."""


def vouches(db: sqlite3.Connection) -> bool:
    """Whether `old`, attached, is what the backup became: the same home, and it was alive no earlier than that."""
    ours, theirs = (_home(db, name) for name in ("main", "old"))
    return ours is not None and ours == theirs and last_sign(db, "old") >= last_sign(db, "main")


def _home(db: sqlite3.Connection, schema: str) -> str | None:
    row = db.execute(f"SELECT value FROM {schema}.control WHERE key = 'home'").fetchone()  # noqa: S608 - our own word
    return row[0] if row else None


def last_sign(db: sqlite3.Connection, schema: str = "main") -> UnixMs:
    """The last time that something happened in it."""
    sql = (
        "SELECT max(coalesce((SELECT max(heartbeat_at) FROM {0}.runners), 0), "
        "coalesce((SELECT at FROM {0}.events ORDER BY id DESC LIMIT 1), 0), "
        "coalesce((SELECT max(held_at) FROM {0}.charges), 0))"
    )
    return UnixMs(db.execute(sql.format(schema)).fetchone()[0])


SAME = "m.id = o.id AND m.held_at = o.held_at AND m.job_id = o.job_id AND m.n = o.n AND m.runner = o.runner"
"""One call in both ledgers."""

# What ended since ends here too, at its true cost.
ENDED = f"""
UPDATE charges AS m SET state = o.state, hold = min(m.hold, o.hold), cost = o.cost, usage = o.usage, note = o.note,
       ended_at = o.ended_at
  FROM old.charges AS o WHERE {SAME} AND m.state = 'held' AND (o.state <> 'held' OR o.ended_at IS NOT NULL)
"""  # noqa: S608 - our own constants

# A job of the backup that only shares its id with the one that made the call is not charged for it.
UNKNOWN = f"""
SELECT o.id, o.day, o.zone, o.held_at,
       CASE WHEN NOT :same AND EXISTS (SELECT 1 FROM main.jobs AS j WHERE j.id = o.job_id) THEN 0
            WHEN EXISTS (SELECT 1 FROM main.jobs AS j JOIN old.jobs AS k ON k.id = j.id
                          WHERE j.id = o.job_id AND j.key <> k.key) THEN 0
            ELSE o.job_id END,
       o.n, o.task, o.upstream, o.model, o.runner, o.state, o.hold, o.cost, o.ended_at, o.note, o.usage
  FROM old.charges AS o
 WHERE o.state <> 'released' AND NOT EXISTS (SELECT 1 FROM main.charges AS m WHERE {SAME})
 ORDER BY o.id
"""  # noqa: S608 - our own constants
ADD = """
INSERT INTO charges (id, day, zone, held_at, job_id, n, task, upstream, model, runner, state, hold, cost, ended_at,
                     note, usage)
VALUES (iif(EXISTS (SELECT 1 FROM charges WHERE id = ?), NULL, ?),
        ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

# No day of any task counts less than it did, whatever became of the rows of its calls.
SHORT = """
SELECT o.day, o.task, o.settled + o.held - coalesce(m.settled + m.held, 0) AS missing
  FROM old.spend_totals AS o LEFT JOIN main.spend_totals AS m USING (day, task) WHERE missing > 0
"""


def carry(db: sqlite3.Connection, *, same: bool, irreversible: Collection[str] | None, now: UnixMs) -> Carried:
    """Bring along what `old`, attached, knows and the backup does not, in the caller's transaction.

    `same`: both are of one home, so that an id means one thing in both. `irreversible`: the tasks that do what cannot
    be undone; None: not known. Raises Refused where that matters.
    """
    db.execute(ENDED)
    unknown = db.execute(UNKNOWN, {"same": same}).fetchall()
    db.executemany(ADD, [(row[0], *row) for row in unknown])
    cost = sum(row[12] if row[12] is not None else row[11] for row in unknown)
    for day, task, missing in db.execute(SHORT).fetchall():
        _add_sum(db, day=day, task=task, settled=missing)
        cost += missing
    _move_numbers_on(db)
    return Carried(
        calls=len(unknown),
        cost=MicroUsd(cost),
        standing=bring_along(db, irreversible, now=now) if same else Standing(),
        again=_keys(db, AGAIN, same=same),
        lost=_keys(db, LOST),
        drafts=_drafts(db),
        breakers=_breakers(db),
        pauses=db.execute("INSERT OR IGNORE INTO pauses SELECT name, reason, by, at FROM old.pauses").rowcount,
        slots=_slots(db),
    )


def _add_sum(db: sqlite3.Connection, *, day: str, task: str, settled: int) -> None:
    db.execute(
        "INSERT INTO charges_folded (day, task, model, calls, settled) VALUES (?, ?, '', 0, ?) "
        "ON CONFLICT DO UPDATE SET settled = settled + excluded.settled",
        (day, task, settled),
    )
    db.execute(
        "INSERT INTO spend_totals (day, task, settled, held) VALUES (?, ?, ?, 0) "
        "ON CONFLICT DO UPDATE SET settled = settled + excluded.settled",
        (day, task, settled),
    )


def _move_numbers_on(db: sqlite3.Connection) -> None:
    """Ids of jobs and drafts are never given twice: files, screens and the keys of approved drafts are made of them."""
    db.execute(
        "UPDATE sqlite_sequence SET seq = max(seq, coalesce((SELECT seq FROM old.sqlite_sequence AS o "
        "WHERE o.name = sqlite_sequence.name), 0))"
    )
    db.execute(
        "INSERT INTO sqlite_sequence (name, seq) SELECT name, seq FROM old.sqlite_sequence "
        "WHERE name IN (SELECT name FROM main.sqlite_schema) AND name NOT IN (SELECT name FROM main.sqlite_sequence)"
    )


# Of one home, a job that the replaced database has no more has ended and was pruned.
AGAIN = """
SELECT key FROM main.jobs AS m
 WHERE finished_at IS NULL
   AND (EXISTS (SELECT 1 FROM old.jobs AS o WHERE o.id = m.id AND o.key = m.key AND o.finished_at IS NOT NULL)
        OR (:same AND NOT EXISTS (SELECT 1 FROM old.jobs AS o WHERE o.id = m.id)))
 ORDER BY id
"""
LOST = """
SELECT key FROM old.jobs AS o
 WHERE finished_at IS NULL AND NOT EXISTS (SELECT 1 FROM main.jobs AS m WHERE m.key = o.key)
 ORDER BY id
"""


def _keys(db: sqlite3.Connection, sql: str, **values: object) -> tuple[str, ...]:
    return tuple(row[0] for row in db.execute(sql, values))


def _drafts(db: sqlite3.Connection) -> int:
    sql = (
        "SELECT count(*) FROM main.drafts AS m JOIN old.drafts AS o ON o.id = m.id AND o.job_key = m.job_key "
        "AND o.name = m.name WHERE m.state = 'waiting' AND o.state <> 'waiting'"
    )
    return int(db.execute(sql).fetchone()[0])


def _breakers(db: sqlite3.Connection) -> int:
    """Those that stop calls go on stopping them: one of them may have ended a runaway."""
    return db.execute(
        "INSERT OR REPLACE INTO breakers (name, state, failures, opens, retry_at, reason, changed_at) "
        "SELECT name, 'open', failures, opens, retry_at, reason, changed_at FROM old.breakers AS o "
        "WHERE o.state <> 'closed' AND NOT EXISTS (SELECT 1 FROM main.breakers AS m "
        "WHERE m.name = o.name AND m.state = 'open' AND m.retry_at IS NULL)"
    ).rowcount


def _slots(db: sqlite3.Connection) -> int:
    """A due time whose job is over, or that was skipped, is over; one whose job was not is left to come again."""
    return db.execute(
        "INSERT OR IGNORE INTO slots (schedule, due_at, at, job_key, skipped) "
        "SELECT schedule, due_at, at, job_key, skipped FROM old.slots AS o WHERE job_key IS NULL "
        "OR NOT EXISTS (SELECT 1 FROM old.jobs AS j WHERE j.key = o.job_key AND j.finished_at IS NULL)"
    ).rowcount


def hold_unknown(
    db: sqlite3.Connection, *, cap: MicroUsd, zone: ZoneInfo, since: UnixMs, now: UnixMs, spent: MicroUsd | None
) -> tuple[MicroUsd, int]:
    """Hold what may have been spent since the backup and nobody can tell; how much, in how many days.

    That is what each day's cap left free: as much as could have been spent. `spent`: a person knows how much it was.
    """
    today = day_of(now, zone)
    note = f"what was spent between the backup of {day_of(since, zone)} and its restoring is not known here"
    if spent is not None:
        _hold(db, today, spent, zone=zone, at=now, now=now, note=f"{note}; a person said how much it was")
        return spent, int(spent > 0)
    yesterday = (date.fromisoformat(today) - timedelta(days=1)).isoformat()
    # Older days count against no cap any more: the longest looks back to the first of the month, or 24 hours.
    first = max(min(today[:-2] + "01", yesterday), min(today, day_of(since, zone)))
    free, days = dict[str, int](), 0
    for number in range((date.fromisoformat(today) - date.fromisoformat(first)).days + 1):
        day = (date.fromisoformat(first) + timedelta(days=number)).isoformat()
        left = _free(db, day, cap)
        days += left > 0
        # What only a month still counts is one hold, so that a person has three to write off and not thirty.
        where = day if day >= yesterday else first
        free[where] = free.get(where, 0) + left
    for day, amount in free.items():
        end = start_of_day(date.fromisoformat(day) + timedelta(days=1), zone)
        _hold(db, day, MicroUsd(amount), zone=zone, at=UnixMs(min(now, end - 1)), now=now, note=note)
    return MicroUsd(sum(free.values())), days


def _free(db: sqlite3.Connection, day: str, cap: MicroUsd) -> int:
    """What the cap of a day left free."""
    raised = raises.standing(db, day, over=cap)
    sql = "SELECT coalesce(sum(settled + held), 0) FROM spend_totals WHERE day = ?"
    return max(0, (raised.cap if raised else cap) - int(db.execute(sql, (day,)).fetchone()[0]))


def _hold(
    db: sqlite3.Connection, day: str, amount: MicroUsd, *, zone: ZoneInfo, at: UnixMs, now: UnixMs, note: str
) -> None:
    if not amount:
        return
    new = charges.NewCharge(
        day=day,
        zone=zone.key,
        job_id=0,
        n=0,
        task=NOBODY,
        upstream="unknown",
        model="unknown",
        runner=NOBODY,
        hold=amount,
    )
    charges.let_stand(db, charges.hold(db, new, now=at), note=note, now=now)


def told_cap(db: sqlite3.Connection) -> tuple[MicroUsd, ZoneInfo] | None:
    """The day's cap and its zone as the last runner of this database had them."""
    told = controls.settings(db)
    with suppress(ValueError, KeyError, OSError):
        return MicroUsd(int(told["daily_usd"])), ZoneInfo(told["timezone"])
    return None


def attach(db: sqlite3.Connection, path: Path) -> bool:
    """Attach the replaced database as `old`; False when it cannot be read or is not sound."""
    try:
        db.execute("ATTACH ? AS old", (f"{path.absolute().as_uri()}?mode=ro",))
        return bool(db.execute("PRAGMA old.quick_check(1)").fetchone()[0] == "ok")
    except sqlite3.Error:
        return False
