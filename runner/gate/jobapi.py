"""The small API a payload has at the gate: record a step, add a job, draft an action, say something.

Every write names its lease.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from runner.config import TaskConfig
from runner.enqueue import Enqueued, JobRequest, insert_jobs, new_job
from runner.errors import Refused
from runner.gate import plain
from runner.gate.aside import beside
from runner.gate.body import json_object
from runner.gate.http import BadRequest, Request
from runner.gate.passes import Pass
from runner.redact import Redactor
from runner.store import answers, drafts, events, leases, steps
from runner.store.drafts import Draft, NewDraft
from runner.store.jobs import NewJob
from runner.store.writer import Writer
from runner.units import Clock

MAX_STEP_BYTES = 1_000_000
MAX_NAME_CHARS = 200
MAX_SUMMARY_CHARS = 1_000
MOST_DRAFTS = 20
"""Of one job: a person is to read each of them."""


class JobApi:
    """Serves `/afk/v1/…` to the attempt whose token was sent."""

    def __init__(
        self,
        *,
        writer: Writer,
        tasks: Mapping[str, TaskConfig],
        max_attempts: int,
        redactor: Redactor,
        clock: Clock,
    ) -> None:
        self._writer = writer
        self._tasks = tasks
        self._max_attempts = max_attempts
        self._redact = redactor
        self._clock = clock

    async def serve(self, request: Request, granted: Pass) -> dict[str, Any]:
        """The answer to one request. Raises BadRequest, RunnerError."""
        body = await beside(granted, request.body, lambda: json_object(request.body))
        where = (request.method, request.path)
        if request.path.startswith("/afk/v1/steps/") and request.method == "PUT":
            result = await beside(granted, request.body, lambda: plain.dumps(body.get("result")))
            return await self._step(granted, unquote(request.path.removeprefix("/afk/v1/steps/")), result)
        if where == ("POST", "/afk/v1/jobs"):
            return await self._enqueue(granted, body)
        if where == ("POST", "/afk/v1/drafts"):
            return await self._draft(granted, body)
        if where == ("POST", "/afk/v1/log"):
            return await self._log(granted, body)
        raise BadRequest(404, f"there is no {request.method} {request.path[:100]} here")

    async def _step(self, granted: Pass, name: str, result: str) -> dict[str, Any]:
        if not is_name(name):
            raise BadRequest(400, f"a step's name has 1 to {MAX_NAME_CHARS} printable characters")
        if len(result.encode("utf-8", "replace")) > MAX_STEP_BYTES:
            raise BadRequest(
                413, f"the result of step {name!r} has more than {MAX_STEP_BYTES:,} bytes; write a file instead"
            )

        def record(db: sqlite3.Connection) -> None:
            leases.check_lease(db, id=granted.job_id, token=granted.lease)
            steps.record(
                db, job_id=granted.job_id, n=granted.n, name=name, result=self._redact(result), now=self._clock.now()
            )
            if granted.keeps:
                answers.drop(db, granted.job_id, step=name)

        await self._writer.write(record)
        return {"recorded": name}

    async def _enqueue(self, granted: Pass, body: dict[str, Any]) -> dict[str, Any]:
        unknown = body.keys() - {"task", "payload", "key", "priority"}
        task, key, priority = body.get("task"), body.get("key"), body.get("priority")
        if unknown or not isinstance(task, str) or not isinstance(key, str | None):
            raise BadRequest(400, 'a job is asked for as {"task", "payload", "key", "priority"}')
        if priority is not None and (not isinstance(priority, int) or isinstance(priority, bool)):
            raise BadRequest(400, "priority is a whole number")
        if (known := self._tasks.get(task)) is not None and known.irreversible:
            raise BadRequest(
                403,
                f"task {task!r} does what cannot be undone, so no payload may start it; "
                "draft it, and a person approves or rejects it",
            )
        wanted = JobRequest(task=task, payload=body.get("payload"), key=key, priority=priority)
        new = new_job(self._tasks, wanted, now=self._clock.now(), max_attempts=self._max_attempts)
        answer = await self._writer.write(lambda db: self._insert(db, granted, new))
        return {"key": answer.key, "created": answer.created, "status": answer.status.value}

    def _insert(self, db: sqlite3.Connection, granted: Pass, new: NewJob) -> Enqueued:
        leases.check_lease(db, id=granted.job_id, token=granted.lease)
        return insert_jobs(db, [new], now=self._clock.now(), by=f"job {granted.job}")[0]

    async def _draft(self, granted: Pass, body: dict[str, Any]) -> dict[str, Any]:
        task, name, summary = body.get("task"), body.get("name"), body.get("summary")
        if (
            body.keys() - {"task", "payload", "name", "summary"}
            or not isinstance(task, str)
            or not isinstance(name, str)
            or not isinstance(summary, str)
        ):
            raise BadRequest(400, 'an action is drafted as {"task", "payload", "summary", "name"}')
        if not is_name(name):
            raise BadRequest(400, f"a draft's name has 1 to {MAX_NAME_CHARS} printable characters")
        if not 0 < len(summary.strip()) <= MAX_SUMMARY_CHARS:
            raise BadRequest(
                400, f"a draft's summary has 1 to {MAX_SUMMARY_CHARS:,} characters: a person decides by it"
            )
        wanted = JobRequest(task=task, payload=body.get("payload"))
        new = new_job(self._tasks, wanted, now=self._clock.now(), max_attempts=self._max_attempts)
        draft = NewDraft(
            job_id=granted.job_id,
            job=granted.job,
            task=granted.task,
            n=granted.n,
            name=name,
            performs=task,
            payload=self._redact(new.payload),
            priority=new.priority,
            max_attempts=new.max_attempts,
            summary=self._redact(summary.strip()),
        )
        kept, created = await self._writer.write(lambda db: self._keep(db, granted, draft))
        return {"draft": kept.id, "state": kept.state.value, "created": created}

    def _keep(self, db: sqlite3.Connection, granted: Pass, draft: NewDraft) -> tuple[Draft, bool]:
        leases.check_lease(db, id=granted.job_id, token=granted.lease)
        now = self._clock.now()
        before = drafts.of_job(db, granted.job_id)
        if len(before) >= MOST_DRAFTS and draft.name not in {each.name for each in before}:
            raise Refused(f"this job has {len(before)} drafts already, which is the most")
        kept, created = drafts.add(db, draft, now=now)
        if created:
            events.record(
                db,
                now=now,
                level=events.WARN,
                event="draft.waiting",
                text=f"draft {kept.id} waits for a person: {draft.performs}: {draft.summary}",
                task=granted.task,
                job=granted.job,
                attempt=granted.n,
            )
        return kept, created

    async def _log(self, granted: Pass, body: dict[str, Any]) -> dict[str, Any]:
        text = body.get("text")
        if not isinstance(text, str):
            raise BadRequest(400, "text must be a string")
        await self._writer.write(
            lambda db: events.record(
                db,
                now=self._clock.now(),
                level=events.INFO,
                event="job.log",
                text=self._redact(text),
                task=granted.task,
                job=granted.job,
                attempt=granted.n,
            )
        )
        return {"logged": True}


def is_name(text: str) -> bool:
    """Whether a step or a draft may be called so."""
    return 0 < len(text) <= MAX_NAME_CHARS and text.isprintable()
