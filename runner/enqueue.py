"""From a request for a job to its row: what is refused, what the key is, what became of it.

Used by everybody who adds work: a person, a payload, a schedule.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from runner.config import LONGEST_CRITERION, MOST_CRITERIA, TaskConfig, TaskKind
from runner.errors import UsageError
from runner.nesting import TOO_DEEP, is_too_deep, openings
from runner.settings import nearest
from runner.store import events, jobs
from runner.store.jobs import Existing, JobStatus, NewJob
from runner.units import MicroUsd, UnixMs

MAX_PAYLOAD_BYTES = 1_000_000
"""Larger inputs belong in a file that the payload names."""
MAX_KEY_CHARS = 200
DECLARED = "; afk.toml and tasks/*.py declare them, and `afk-runner schedules` lists those with a schedule"
"""How a sentence about an unknown task ends when nothing like it is known."""


class JobRequest(NamedTuple):
    """A job somebody asks for. A tuple, for a bulk makes a hundred thousand."""

    task: str
    payload: object
    """Any JSON value."""
    key: str | None = None
    """None: made from task and payload, so that asking twice gives one job."""
    again: bool = False
    """Make a fresh key on purpose."""
    priority: int | None = None
    not_before: UnixMs | None = None
    max_usd: MicroUsd | None = None
    max_seconds_ms: int | None = None
    max_attempts: int | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    criteria: tuple[str, ...] = ()
    """Sentences that must hold of the answer, in place of the task's; empty: the task's."""


class Enqueued(NamedTuple):
    """What became of a request. A tuple, for a bulk makes a hundred thousand."""

    key: str
    created: bool
    """False: the key existed, and nothing was added."""
    status: JobStatus
    """Of the job with that key."""
    other_payload: bool = False
    """The job with that key was queued with another payload than was asked for now."""
    other_task: str | None = None
    """The task of the job with that key, where another one was asked for now."""


def became(new: Sequence[NewJob], before: Sequence[Existing | None]) -> list[Enqueued]:
    """What to say of jobs of which `jobs.insert_all` says this."""
    return [
        Enqueued(job.key, True, JobStatus.PENDING) if there is None else Enqueued(job.key, False, *there)
        for job, there in zip(new, before, strict=True)
    ]


def new_job(tasks: Mapping[str, TaskConfig], request: JobRequest, *, now: UnixMs, max_attempts: int) -> NewJob:
    """The row a request asks for. Raises UsageError with one sentence."""
    task = tasks.get(request.task)
    if task is None:
        raise UsageError(f"there is no task {request.task!r}{nearest(request.task, list(tasks)) or DECLARED}")
    try:
        payload = jobs.canonical(request.payload)
    except RecursionError:
        raise UsageError(f"the payload of {request.task} is {TOO_DEEP}") from None
    except (ValueError, TypeError) as error:
        raise UsageError(f"the payload of {request.task} is not JSON: {error}") from None
    try:
        size = len(payload.encode())
    except UnicodeEncodeError:
        raise UsageError(f"the payload of {request.task} holds half a surrogate pair, which is not text") from None
    if size > MAX_PAYLOAD_BYTES:
        raise UsageError(
            f"the payload of {request.task} has {size:,} bytes, {MAX_PAYLOAD_BYTES:,} are the most; "
            "put it in a file and name the file"
        )
    key = jobs.content_key(request.task, payload) if request.key is None else request.key
    if request.again:
        key = f"{key}-{os.urandom(4).hex()}"
    if not 0 < len(key) <= MAX_KEY_CHARS or not key.isprintable() or key != key.strip():
        raise UsageError(f"the key {key[:40]!r} is not 1 to {MAX_KEY_CHARS} printable characters without outer spaces")
    priority = task.priority if request.priority is None else request.priority
    if not -9 <= priority <= 9:
        raise UsageError(f"priority {priority} is not between -9 (last) and 9 (first)")
    attempts = request.max_attempts or task.max_attempts or (1 if task.irreversible else max_attempts)
    return NewJob(  # by place, which costs half
        key,
        request.task,
        payload,
        request.not_before if request.not_before is not None else now,
        attempts,
        priority,
        request.max_usd,
        request.max_seconds_ms,
        request.max_output_tokens,
        request.max_tool_calls,
        _criteria(task, request.criteria) if request.criteria else None,
    )


def _criteria(task: TaskConfig, criteria: tuple[str, ...]) -> str:
    if task.kind is not TaskKind.PROMPT:
        raise UsageError(f"{task.name} is a {task.kind} task, whose result nobody judges; only a prompt task's is")
    if len(criteria) > MOST_CRITERIA or not all(one.strip() and len(one) <= LONGEST_CRITERION for one in criteria):
        most = f"{MOST_CRITERIA} sentences of 1 to {LONGEST_CRITERION} characters"
        raise UsageError(f"the criteria of a job are at most {most}")
    return json.dumps(criteria, ensure_ascii=False)


def insert_jobs(db: sqlite3.Connection, new: Sequence[NewJob], *, now: UnixMs, by: str) -> list[Enqueued]:
    """Insert in the caller's transaction, telling of each key what became of it."""
    before = jobs.insert_all(db, new, now=now)
    created = before.count(None)
    if created == 1:
        made = new[before.index(None)]
        events.record(
            db, now=now, level=events.INFO, event="job.queued", text=f"queued by {by}", task=made.task, job=made.key
        )
    elif created:
        events.record(db, now=now, level=events.INFO, event="job.queued", text=f"{created} jobs queued by {by}")
    return became(new, before)


def parse_payload(text: str) -> object:
    """The JSON value of a payload. Raises UsageError naming where it breaks."""
    if len(text) > MAX_PAYLOAD_BYTES:
        raise UsageError(
            f"the payload has {len(text):,} characters, {MAX_PAYLOAD_BYTES:,} are the most; "
            "put it in a file and name the file"
        )
    try:
        return read_json(text)
    except json.JSONDecodeError as error:
        raise UsageError(
            f"the payload is not JSON at line {error.lineno} column {error.colno}: {error.msg}; "
            'write it as \'{"name": "value"}\''
        ) from None
    except ValueError as error:
        raise UsageError(f"the payload {error}") from None


def read_json(text: str) -> object:
    """The JSON value of a text that somebody wrote.

    Raises JSONDecodeError, or a ValueError that goes on after the text's name: `is nested …`, `holds …`.
    """
    words: list[str] = []  # what the parser calls a constant: NaN and the infinities
    try:
        value = json.loads(text, parse_constant=words.append)
    except json.JSONDecodeError:
        raise
    except RecursionError:
        raise ValueError(f"is {TOO_DEEP}") from None
    except ValueError:  # all that is left: the time to read a number grows with its square
        most = sys.get_int_max_str_digits()
        raise ValueError(f"holds a number of more than {most:,} digits; write it as a string") from None
    if words:
        raise ValueError(f"is not JSON: {words[0]} is not a JSON value")
    if is_too_deep(value, openings=openings(text)):
        raise ValueError(f"is {TOO_DEEP}")
    return value
