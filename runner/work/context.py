"""What a task file gets: the `@task` mark, the `Context` its function is handed, and two ways to fail on purpose.

Loads nothing but the standard library, for every worker and every task file imports it; and of that only what every
task needs, for a worker is not ready before: asyncio and http.client take twice as long as all the rest.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    import http.client

    from anthropic import Anthropic, AsyncAnthropic

T = TypeVar("T")
Function = TypeVar("Function", bound=Callable[..., Any])

DECLARED: dict[str, Declared] = {}
"""Every task marked so far in this process, by name."""


class Dead(Exception):
    """Raise it when no retry can help: the job goes to the dead letters at once."""


class Retry(Exception):
    """Raise it to be tried again. It counts as an attempt, as any other exception does."""

    def __init__(self, message: str = "asked to be tried again", *, after_s: float = 0) -> None:
        """`after_s`: not before this many seconds, if the backoff is shorter."""
        super().__init__(message)
        self.after_s = after_s


class Unusable(Retry):
    """An answer of a model that is good for nothing: the next attempt is to ask anew."""


class Halted(Exception):
    """A limit of the job itself was crossed: it ends here, with what it had so far kept."""


class GateRefused(Exception):
    """The gate or the upstream behind it said no. `status` is the HTTP status, `code` the error code, if any."""

    def __init__(self, message: str, *, status: int, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """One function marked as a task."""

    name: str
    function: Callable[..., Any]
    options: Mapping[str, Any]
    """The words of a task's table in `afk.toml`: `every`, `schedule`, `max_usd`, `max_seconds`, ..."""


def task(name: str, **options: Any) -> Callable[[Function], Function]:
    """Mark a function `(ctx, payload)` as the task `name`; `def` or `async def`.

    Options are those of a `[tasks.NAME]` table, as strings and numbers: `every="1h"`, `max_usd="0.05"`.
    Raises ValueError when the name is taken.
    """

    def mark(function: Function) -> Function:
        if name in DECLARED:
            raise ValueError(f"two functions are marked as task {name!r}")
        DECLARED[name] = Declared(name=name, function=function, options=options)
        return function

    return mark


class Context:
    """What a task's function works with. Every call passes the gate; a recorded step is never done twice."""

    def __init__(self, *, gate: str, token: str, key: str, attempt: int, task: str, steps: Mapping[str, str]) -> None:
        self.key = key
        """Of the job."""
        self.attempt = attempt
        """1 for the first start; counts every start, snoozed ones too."""
        self.task = task
        self._gate = gate
        self._token = token
        self._steps = dict(steps)
        self._asked: dict[str, int] = {}
        self._http: http.client.HTTPConnection | None = None
        self._one_by_one = threading.Lock()
        """Held while the connection is used: an `async def` that asks side by side comes in several threads."""
        self._client: Anthropic | None = None

    def step(self, name: str, work: Callable[[], T]) -> T:
        """Do `work` once in the life of the job: its JSON result is recorded, and a later attempt takes the record.

        Gives the result as JSON gives it back, also the first time. Raises TypeError when it is not JSON.
        """
        if name not in self._steps:
            self._record(name, work())
        return json.loads(self._steps[name])  # type: ignore[no-any-return]

    def _record(self, name: str, value: object) -> None:
        try:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise TypeError(f"step {name!r} gave {type(value).__name__}, which is not JSON: {error}") from None
        self._call("PUT", f"/afk/v1/steps/{quote(name, safe='')}", {"result": value})
        self._steps[name] = text

    def ask(self, prompt: str, *parts: str, model: str, max_tokens: int = 1024, system: str | None = None) -> str:
        """One question to a model; its text. The answer is recorded: a later attempt does not buy it again.

        `parts` are appended to the prompt. Raises GateRefused when the gate or the upstream says no.
        """
        name = self._once("ask", prompt, parts, model, max_tokens, system)
        return self.step(name, lambda: ask(self.anthropic(), name, prompt, parts, model, max_tokens, system))

    def _once(self, kind: str, *words: object) -> str:
        """A name that the same words get again in a later attempt, and that the next same words do not."""
        digest = hashlib.sha256(repr(words).encode()).hexdigest()[:16]
        self._asked[kind + digest] = count = self._asked.get(kind + digest, 0) + 1
        return f"{kind}:{digest}:{count}"

    def recorded(self, name: str) -> Any:
        """The recorded result of a step; None when there is none."""
        text = self._steps.get(name)
        return None if text is None else json.loads(text)

    def anthropic(self) -> Anthropic:
        """A ready client of the `anthropic` SDK, pointed at the gate. Retries are the queue's, not the client's."""
        if self._client is None:
            from runner.work.asking import client_of  # noqa: PLC0415 - for those who ask

            self._client = client_of(self._gate, self._token)
        return self._client

    def draft(self, task: str, payload: object, summary: str) -> dict[str, Any]:
        """Write an action that cannot be undone down for a person; `{"draft", "state", "created"}`.

        When it is approved, a job of `task` is queued with this payload, once. The same words are the same draft, so a
        retry adds nothing. Raises GateRefused when they cannot be a draft, as when there is no such task.
        """
        return self.draft_as(self._once("draft", task, payload, summary), task, payload, summary)

    def draft_as(self, name: str, task: str, payload: object, summary: str) -> dict[str, Any]:
        """The same under a name that tells it from the job's other drafts."""
        asked = {"name": name, "task": task, "payload": payload, "summary": summary}
        return self._call("POST", "/afk/v1/drafts", asked)

    def enqueue(
        self, task: str, payload: object = None, *, key: str | None = None, priority: int | None = None
    ) -> dict[str, Any]:
        """Add a job; `{"key", "created", "status"}`. The same key is the same job, so a retry adds nothing."""
        asked = {"task": task, "payload": payload, "key": key, "priority": priority}
        return self._call("POST", "/afk/v1/jobs", {name: value for name, value in asked.items() if value is not None})

    def log(self, text: str) -> None:
        """Say something in the runner's log and on the console."""
        self._call("POST", "/afk/v1/log", {"text": str(text)})

    def _call(self, method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        import http.client  # noqa: PLC0415 - for those who ask

        data = json.dumps(body, allow_nan=False).encode()
        headers = {"authorization": f"Bearer {self._token}", "content-type": "application/json"}
        with self._one_by_one:
            if self._http is None:
                where = urlsplit(self._gate)
                self._http = http.client.HTTPConnection(where.hostname or "127.0.0.1", where.port, timeout=60)
            try:
                self._http.request(method, path, body=data, headers=headers)
                answer = self._http.getresponse()
                status, text = answer.status, answer.read()
            except (OSError, http.client.HTTPException):
                self._http.close()
                self._http = None
                raise
        if status != http.client.OK:
            raise refusal(status, text, ours=True)
        given = json.loads(text)
        return given if isinstance(given, dict) else {}


class AsyncContext:
    """The same for an `async def` task: every call is awaited."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.key = context.key
        self.attempt = context.attempt
        self.task = context.task
        self._client: AsyncAnthropic | None = None

    async def step(self, name: str, work: Callable[[], Awaitable[T]]) -> T:
        """See `Context.step`; `work` is awaited."""
        context = self._context
        if name not in context._steps:
            value = await work()
            await _in_thread(context._record, name, value)
        return json.loads(context._steps[name])  # type: ignore[no-any-return]

    async def ask(self, prompt: str, *parts: str, model: str, max_tokens: int = 1024, system: str | None = None) -> str:
        """See `Context.ask`."""
        context = self._context
        name = context._once("ask", prompt, parts, model, max_tokens, system)
        client = context.anthropic()
        return await self.step(name, lambda: _in_thread(ask, client, name, prompt, parts, model, max_tokens, system))

    def anthropic(self) -> AsyncAnthropic:
        """See `Context.anthropic`."""
        if self._client is None:
            from runner.work.asking import async_client_of  # noqa: PLC0415 - for those who ask

            self._client = async_client_of(self._context._gate, self._context._token)
        return self._client

    async def draft(self, task: str, payload: object, summary: str) -> dict[str, Any]:
        """See `Context.draft`."""
        return await _in_thread(self._context.draft, task, payload, summary)

    async def enqueue(
        self, task: str, payload: object = None, *, key: str | None = None, priority: int | None = None
    ) -> dict[str, Any]:
        """See `Context.enqueue`."""
        return await _in_thread(self._context.enqueue, task, payload, key=key, priority=priority)

    async def log(self, text: str) -> None:
        """See `Context.log`."""
        await _in_thread(self._context.log, text)


async def _in_thread(work: Callable[..., T], *words: Any, **named: Any) -> T:
    import asyncio  # noqa: PLC0415 - for those who await

    return await asyncio.to_thread(work, *words, **named)


def ask(  # noqa: PLR0917 - also called in a thread, with words in a row
    client: Anthropic, step: str, prompt: str, parts: tuple[str, ...], model: str, max_tokens: int, system: str | None
) -> str:
    """One call of the Messages API; the text of its answer, to be recorded as the step. Raises GateRefused, Retry."""
    from runner.work.asking import message_of, text_of  # noqa: PLC0415 - for those who ask

    asked: dict[str, Any] = {
        "model": model,
        "max_tokens": max_tokens,
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": text} for text in (prompt, *parts) if text]}
        ],
    }
    if system:
        asked["system"] = system
    return text_of(message_of(client, asked, step=step)["content"])


def refusal(status: int, body: bytes, *, ours: bool = False) -> GateRefused:
    """The error of an answer that is not 200, in the words of whoever gave it. `ours`: it cannot be an upstream's."""
    code = None
    message = body[:300].decode("utf-8", "replace").strip() or "an empty answer"
    try:
        error = json.loads(body)["error"]
        message = str(error["message"])
        code = (error.get("details") or {}).get("error_code")
    except (ValueError, KeyError, TypeError, AttributeError):
        pass  # not one of ours: its own words will do
    ours = ours or (isinstance(code, str) and code.startswith("afk_"))
    return GateRefused(message if ours else f"HTTP {status}: {message}", status=status, code=code)
