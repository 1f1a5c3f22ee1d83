"""Finding the jobs a filter means, a bounded number of rows at a time, so that no look at a million of them is long.

A search goes from id to id in one direction. Where the filter names a state or a task it goes along an index; else over
the rows. The caller says how many rows it may look at and goes on from where it ended.
"""

from __future__ import annotations

import heapq
import itertools
import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from runner.snapshot.filter import EVERYTHING, Field, Filter, Term
from runner.store.jobs import Job, JobStatus, job_of
from runner.units import UnixMs
from runner.views import columns

FIRST_STEP = 512
"""Rows looked at first; every further step takes four times as many, so that what is near is found at once."""
LAST_STEP = 16_384
SORTED_MOST = 300_000
"""Entries of an index that is not in the order of ids, beyond which going over the rows is quicker."""
NARROW = 20_000
"""A state with fewer jobs than this always leads the search."""
FEW = 2_000
"""Waiting jobs, of which the index of gates is used."""
TASKS_MOST = 16
"""Tasks that are searched each along its own part of the index."""

_OPEN = frozenset({JobStatus.PENDING, JobStatus.RUNNING})
_WAITING = "status = 'pending' AND waiting_gate IS NOT NULL"
_ENDED = frozenset({JobStatus.HALTED, JobStatus.CANCELLED, JobStatus.DEAD})


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search has found so far."""

    ids: tuple[int, ...]
    """In the order of the search."""
    go_on: int | None
    """The id it goes on from; None: there is nothing more to look at."""
    looked: int
    """Rows it looked at, or index entries."""


class _Source(NamedTuple):
    """A part of an index in which all that can match stands."""

    sql: str
    """Ids beyond the first value in the order of the search, as many as the last value says."""
    values: tuple[str, ...] = ()


def find(
    db: sqlite3.Connection,
    wanted: Filter,
    *,
    now: UnixMs,
    beyond: int | None = None,
    oldest_first: bool = False,
    limit: int,
    most: int,
) -> Found:
    """The first `limit` matching ids beyond an id, the newest first unless asked otherwise.

    Ends after about `most` rows, whatever was found by then.
    """
    first, last = db.execute("SELECT (SELECT min(id) FROM jobs), (SELECT max(id) FROM jobs)").fetchone()
    if first is None:
        return Found(ids=(), go_on=None, looked=0)
    at = beyond if beyond is not None else (first - 1 if oldest_first else last + 1)
    at = max(at, first - 1) if oldest_first else min(at, last + 1)
    where, values = condition(wanted, now=now)
    sources = _sources(db, wanted, oldest_first=oldest_first)
    order = "ASC" if oldest_first else "DESC"
    found: list[int] = []
    looked, step = 0, max(FIRST_STEP, limit)
    while looked < most and len(found) < limit:
        step = min(step, most - looked)
        if sources is None:
            upto = at + step if oldest_first else at - step
            span = "id > ? AND id <= ?" if oldest_first else "id < ? AND id >= ?"
            sql = f"SELECT id FROM jobs WHERE {span} AND {where} ORDER BY id {order} LIMIT ?"  # noqa: S608 - our own words
            hits = db.execute(sql, (at, upto, *values, limit - len(found))).fetchall()
            ended = upto >= last if oldest_first else upto <= first
            looked += step
        else:
            chunk = _next(db, sources, at, step, oldest_first=oldest_first)
            sql = (
                f"SELECT id FROM jobs WHERE id IN (SELECT value FROM json_each(?)) AND {where} "  # noqa: S608 - our own words
                f"ORDER BY id {order} LIMIT ?"
            )
            hits = db.execute(sql, (json.dumps(chunk), *values, limit - len(found))).fetchall() if chunk else []
            ended = len(chunk) < step
            upto = chunk[-1] if chunk else at
            looked += len(chunk)
        found += [int(row[0]) for row in hits]
        if len(found) >= limit:
            return Found(ids=tuple(found), go_on=found[-1], looked=looked)
        if ended:
            return Found(ids=tuple(found), go_on=None, looked=looked)
        at, step = upto, min(step * 4, LAST_STEP)
    return Found(ids=tuple(found), go_on=at, looked=looked)


def listed(
    db: sqlite3.Connection, ids: Sequence[int], wanted: Filter | None, *, now: UnixMs, dearest: int | None, cut: bool
) -> tuple[Job, ...]:
    """Those of these jobs that are there and meant, in the order of `ids`; or so many of the dearest, dearest first."""
    where, values = condition(wanted or EVERYTHING, now=now)
    last = "" if dearest is None else "ORDER BY settled + held DESC, id DESC LIMIT ?"
    sql = (
        f"SELECT {columns(cut=cut)} FROM jobs "  # noqa: S608 - our own words
        f"WHERE id IN (SELECT value FROM json_each(?)) AND {where} {last}"
    )
    given = (json.dumps(list(ids)), *values, *(() if dearest is None else (dearest,)))
    found = [job_of(row) for row in db.execute(sql, given)]
    if dearest is None:
        place = {id: number for number, id in enumerate(ids)}
        found.sort(key=lambda job: place[job.id])
    return tuple(found)


def condition(wanted: Filter, *, now: UnixMs) -> tuple[str, tuple[str | int, ...]]:
    """The filter as SQL over `jobs`, and its parameters: no word of a person becomes SQL."""
    clauses, values = ["TRUE"], list[str | int]()
    for term in wanted.terms:
        sql, given = _clause(term, now)
        clauses.append(f"NOT ({sql})" if term.negated else f"({sql})")
        values += given
    return " AND ".join(clauses), tuple(values)


def exact_total(db: sqlite3.Connection, wanted: Filter) -> int | None:
    """How many jobs match, where counters know it; None elsewhere."""
    counts = _counts(db)
    states = _states(wanted)
    if any(term.field is not Field.STATE for term in wanted.terms):
        return None
    return sum(counts[state] for state in states)


def tasks(db: sqlite3.Connection, like: tuple[str, ...] = ("%",), *, limit: int) -> list[str]:
    """Names of tasks that have jobs, by name: one seek of the index each."""
    found: list[str] = []
    seen = itertools.count()
    name = db.execute("SELECT min(task) FROM jobs").fetchone()[0]
    while name is not None and len(found) < limit and next(seen) < 1_000:
        if any(db.execute("SELECT ? LIKE ? ESCAPE '\\'", (name, pattern)).fetchone()[0] for pattern in like):
            found.append(name)
        name = db.execute("SELECT min(task) FROM jobs WHERE task > ?", (name,)).fetchone()[0]
    return found


def _clause(term: Term, now: UnixMs) -> tuple[str, list[str | int]]:
    if term.field in _NUMBERS:
        return _NUMBERS[term.field].format(sign=term.sign, turned=_TURNED[term.sign]), [_number(term, now)]
    if term.field is Field.STATE:
        return f"status IN ({', '.join('?' * len(term.values))})", list(term.values)
    if term.field is Field.TASK:
        exact = [value for value in term.values if "*" not in value]
        parts = [f"task IN ({', '.join('?' * len(exact))})"] if exact else []
        patterns = [_like(value) for value in term.values if "*" in value]
        return " OR ".join([*parts, *["task LIKE ? ESCAPE '\\'"] * len(patterns)]), [*exact, *patterns]
    sql = _TEXTS[term.field]
    return sql, [_like(term.values[0])] * sql.count("?")


_NUMBERS = {Field.AGE: "created_at {turned} ?", Field.COST: "settled + held {sign} ?"}
_TURNED = {"<": ">", ">": "<"}
"""An older job was made earlier."""
_TEXTS = {
    Field.KEY: "key LIKE ? ESCAPE '\\'",
    Field.ERR: "coalesce(error, '') LIKE ? ESCAPE '\\'",
    Field.WORD: "key LIKE ? ESCAPE '\\' OR coalesce(error, '') LIKE ? ESCAPE '\\'",
    Field.WAITING: "status = 'pending' AND "
    "(coalesce(waiting_gate, '') LIKE ? ESCAPE '\\' OR coalesce(waiting_on, '') LIKE ? ESCAPE '\\')",
}


def _number(term: Term, now: UnixMs) -> int:
    return now - term.number if term.field is Field.AGE else term.number


def _like(text: str) -> str:
    """The pattern: with a `*` in it the whole text is meant, else any part."""
    escaped = "".join(f"\\{char}" if char in "\\%_" else char for char in text)
    return escaped.replace("*", "%") if "*" in text else f"%{escaped}%"


def _states(wanted: Filter) -> frozenset[JobStatus]:
    states = frozenset(JobStatus)
    for term in wanted.terms:
        if term.field is Field.STATE:
            named = frozenset(JobStatus(value) for value in term.values)
            states = states - named if term.negated else states & named
        elif term.field is Field.WAITING and not term.negated:
            states &= {JobStatus.PENDING}
    return states


def _counts(db: sqlite3.Connection) -> dict[JobStatus, int]:
    names = ", ".join(status.value for status in JobStatus)
    row = db.execute(f"SELECT {names} FROM board").fetchone()  # noqa: S608 - our own constants
    return dict(zip(JobStatus, row, strict=True))


def _sources(db: sqlite3.Connection, wanted: Filter, *, oldest_first: bool) -> list[_Source] | None:
    """The parts of indexes to search; None: the rows themselves, in their order."""
    states = _states(wanted)
    counts = _counts(db)
    number = sum(counts[state] for state in states)
    by_state = None
    if JobStatus.DONE not in states and sum(counts[state] for state in states & _OPEN) <= SORTED_MOST:
        by_state = [_of_state(state, oldest_first=oldest_first) for state in JobStatus if state in states]
        if any(term.field is Field.WAITING and not term.negated for term in wanted.terms) and _few_wait(db):
            by_state = [_of_waiting(oldest_first=oldest_first)]
    names = _names(db, wanted)
    if names is not None and (by_state is None or _tasks_have_fewer(db, names, number)):
        return [_of_task(name, oldest_first=oldest_first) for name in names]
    # What is a good part of all is found sooner over the rows than it is sorted.
    few = number <= NARROW or number * 3 < sum(counts.values())
    return by_state if few else None


def _few_wait(db: sqlite3.Connection) -> bool:
    # Its entries do not hold the state, so each costs a row; of many, those of `jobs_open` are sooner gone over.
    sql = f"SELECT count(*) FROM (SELECT 1 FROM jobs INDEXED BY jobs_waiting WHERE {_WAITING} LIMIT ?)"  # noqa: S608
    return bool(db.execute(sql, (FEW,)).fetchone()[0] < FEW)


def _tasks_have_fewer(db: sqlite3.Connection, names: list[str], number: int) -> bool:
    for name in names:
        sql = "SELECT count(*) FROM (SELECT 1 FROM jobs INDEXED BY jobs_task WHERE task = ? LIMIT ?)"
        number -= db.execute(sql, (name, min(number, NARROW))).fetchone()[0]
        if number <= 0:
            return False
    return True


def _of_state(state: JobStatus, *, oldest_first: bool) -> _Source:
    # The state stands there as a literal: only so SQLite sees that the partial index has all of it.
    index = "jobs_ended" if state in _ENDED else "jobs_open"
    return _Source(_ids(f"jobs INDEXED BY {index}", f"status = '{state.value}'", oldest_first=oldest_first))


def _of_waiting(*, oldest_first: bool) -> _Source:
    return _Source(_ids("jobs INDEXED BY jobs_waiting", _WAITING, oldest_first=oldest_first))


def _of_task(name: str, *, oldest_first: bool) -> _Source:
    return _Source(_ids("jobs INDEXED BY jobs_task", "task = ?", oldest_first=oldest_first), (name,))


def _ids(table: str, where: str, *, oldest_first: bool) -> str:
    beyond, order = (">", "ASC") if oldest_first else ("<", "DESC")
    return f"SELECT id FROM {table} WHERE {where} AND id {beyond} ? ORDER BY id {order} LIMIT ?"  # noqa: S608 - our own words


def _names(db: sqlite3.Connection, wanted: Filter) -> list[str] | None:
    """The tasks all matching jobs are of, when they are few."""
    term = next((term for term in wanted.terms if term.field is Field.TASK and not term.negated), None)
    if term is None:
        return None
    if not any("*" in value for value in term.values):
        return list(dict.fromkeys(term.values))[:TASKS_MOST] if len(term.values) <= TASKS_MOST else None
    # An underscore is escaped, so a name without `*` is matched as it is; LIKE also takes other cases of its letters.
    like = tuple(_like(value) if "*" in value else _like(value)[1:-1] for value in term.values)
    names = tasks(db, like, limit=TASKS_MOST + 1)
    return names if len(names) <= TASKS_MOST else None


def _next(db: sqlite3.Connection, sources: list[_Source], at: int, step: int, *, oldest_first: bool) -> list[int]:
    """The next ids of all sources together."""

    def one(source: _Source) -> Iterator[int]:
        for row in db.execute(source.sql, (*source.values, at, step)):
            yield int(row[0])

    if len(sources) == 1:
        return list(one(sources[0]))
    return list(itertools.islice(heapq.merge(*map(one, sources), reverse=not oldest_first), step))
