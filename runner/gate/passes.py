"""Who may pass the gate: one token an attempt, good as long as the attempt lives."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from runner.gate.admission import Refusal, too_many_tools
from runner.gate.call import Call
from runner.units import MicroUsd, UnixMs


@dataclass(slots=True, kw_only=True, eq=False)
class Pass:
    """One attempt's right to call, and what became of its calls."""

    job_id: int
    job: str
    """The job's key."""
    n: int
    task: str
    lease: str
    runner: str
    job_cap: MicroUsd | None
    task_cap: MicroUsd | None
    max_output_tokens: int | None
    server_tools: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Uses in one call of each tool at the vendor that the task allows."""
    max_tool_calls: int | None = None
    """Most tool calls that models may ask for in the job; None: no limit."""
    tool_calls: int = 0
    """Asked for so far, in all attempts; counted only where there is a limit."""
    kept: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Answers of earlier attempts that were not recorded, by the step that is to: the hash of the question, and it."""
    keeps: bool = field(init=False, default=False)
    """An answer that is not recorded is kept for the job, or may be."""
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    refusal: Refusal | None = None
    """Why a model call got no answer from a model: what the job waits for if the attempt fails. None: nothing."""
    asked: int = 0
    """Model calls that came."""
    served: int = 0
    """Those of them whose client got an answer of a model, or the beginning of one."""
    turned_down: str = "nobody waited for it"
    """Why the last of the others got none."""
    wait_until: UnixMs | None = None
    """An upstream that failed asked for no call before then."""
    revoked: bool = False
    """The attempt is over: what was admitted and not yet sent must not be."""
    calls: set[asyncio.Task[None]] = field(default_factory=set)
    """Calls in flight at an upstream."""
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a large body of the attempt is worked on."""

    def __post_init__(self) -> None:
        self.keeps = bool(self.kept)

    def call(
        self,
        *,
        upstream: str,
        model: str,
        hold: MicroUsd,
        request_hash: str = "",
        tokens: int = 0,
        step: str | None = None,
    ) -> Call:
        """A call of this attempt for the ledger. `tokens`: the most it may take in and put out."""
        return Call(
            job_id=self.job_id,
            job=self.job,
            n=self.n,
            task=self.task,
            lease=self.lease,
            job_cap=self.job_cap,
            task_cap=self.task_cap,
            upstream=upstream,
            model=model,
            runner=self.runner,
            hold=hold,
            request_hash=request_hash,
            tokens=tokens,
            step=step,
        )

    def launch(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Do it as a call in flight, which the end of the attempt cuts."""
        task = asyncio.ensure_future(work)
        self.calls.add(task)
        task.add_done_callback(self.calls.discard)
        return task

    def refused(self, refusal: Refusal) -> None:
        """A call of the attempt was refused."""
        self.refusal = refusal
        self.turned_down = refusal.message.removeprefix("not sent: ")

    @property
    def unanswered(self) -> str | None:
        """That no model answered any of its calls, and why; None: one did, or none was asked."""
        if not self.asked or self.served:
            return None
        if self.asked == 1:
            return f"its one model call got no answer: {self.turned_down}"
        return f"none of its {self.asked} model calls got an answer, the last one: {self.turned_down}"

    def over_its_tools(self) -> Refusal | None:
        """Why no more calls may go, once models asked for more tools than the job may use."""
        if self.max_tool_calls is None or self.tool_calls <= self.max_tool_calls:
            return None
        return too_many_tools(self.tool_calls, self.max_tool_calls)

    def cut(self) -> None:
        """Cut the calls in flight. Each once: a second cancel would break into the closing of its connection."""
        for call in self.calls:
            if not call.cancelling():
                call.cancel()

    def answered(self) -> None:
        """A model answered a call, so what ends a job has been got round.

        A gate that lifts by itself stays noted: of calls side by side one may pass where another was refused, and the
        attempt must not be burnt for the one.
        """
        if self.refusal is not None and self.refusal.final:
            self.refusal = None


class Passes:
    """The passes in force."""

    def __init__(self) -> None:
        self._by_token: dict[str, Pass] = {}

    def issue(self, granted: Pass) -> None:
        """Let an attempt through from now on."""
        self._by_token[granted.token] = granted

    def revoke(self, granted: Pass) -> None:
        """End a pass; its calls in flight are cut and their holds stand."""
        granted.revoked = True
        self._by_token.pop(granted.token, None)
        granted.cut()

    def of(self, token: str) -> Pass | None:
        """The pass a token stands for."""
        return self._by_token.get(token)
