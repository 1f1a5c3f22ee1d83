"""An attempt in progress: what the worker is ordered, and what is made of what it says."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runner.config import TaskConfig, TaskKind
from runner.gate.admission import Refusal
from runner.gate.passes import Pass
from runner.home import Home
from runner.store.jobs import Job
from runner.units import UnixMs
from runner.work.outcome import FAR_MS, Cut, Ending
from runner.work.tools.files import safe_name

CONFINE_GATE = "confine"
"""What a job waits for that must be confined, on a machine where it cannot be."""
CONFINE_AGAIN_MS = 600_000


@dataclass(slots=True, kw_only=True, eq=False)
class Live:
    """An attempt in progress."""

    job: Job
    task: TaskConfig
    granted: Pass
    recorded: dict[str, str]
    """Steps of earlier attempts."""
    performers: tuple[str, ...] = ()
    """Tasks that do what cannot be undone: what an agent may draft."""
    cut: Cut | None = None
    began_at: float = 0.0
    """When its worker had the order, by the loop's clock."""
    deadline: float = math.inf
    """When its time is over, by the same."""

    @property
    def max_seconds_ms(self) -> int:
        """The time limit of the attempt."""
        return self.job.max_seconds_ms or self.task.max_seconds_ms

    def order(self, task: TaskConfig, *, home: Home, gate_url: str) -> dict[str, Any]:
        """What the worker is told to do."""
        order: dict[str, Any] = {
            "kind": task.kind.value,
            "task": task.name,
            "key": self.job.key,
            "n": self.job.starts,
            "payload": self.job.payload,
            "steps": self.recorded,
            "gate": gate_url,
            "token": self.granted.token,
            "max_output_tokens": self.granted.max_output_tokens,
            "agents": f"{home.work}/agents",
        }
        if task.kind is TaskKind.COMMAND:
            order |= {
                "command": list(task.command),
                "cwd": str(task.cwd or home.work),
                "env": dict(task.env),
                "child_home": str(home.work / "home"),
                "confine": task.confine,
            }
        elif task.kind is TaskKind.PROMPT:
            order |= {
                "model": task.model,
                "prompt": task.prompt,
                "inputs": task.inputs,
                "tools": list(task.tools),
                "domains": list(task.domains),
                "criteria": self.criteria,
                "max_tool_calls": self.granted.max_tool_calls,
                "performers": list(self.performers),
                "home": str(home.root),
                "outputs": str(home.outputs),
                "paces": str(home.work),
            }
        return order

    @property
    def criteria(self) -> list[str]:
        """What the answer must meet: the job's own criteria, else the task's."""
        own = json.loads(self.job.criteria) if self.job.criteria is not None else None
        return [str(one) for one in own] if isinstance(own, list) else list(self.task.criteria if self.task else ())

    def ending(self, answer: Mapping[str, Any], *, now: UnixMs) -> Ending:
        """What a worker said, read with care: the payload shares its process."""
        outcome, result = answer.get("outcome"), answer.get("result")
        error, after = answer.get("error"), answer.get("after_ms")
        asked = after if isinstance(after, int) and not isinstance(after, bool) else 0
        upstream = self.granted.wait_until - now if self.granted.wait_until is not None else 0
        refusal = self.granted.refusal
        if outcome == "unconfined" and self.task is not None and self.task.confine is not None:
            refusal = _not_confined(str(error), now=now)
        return Ending(
            outcome=outcome if outcome in ("done", "retry", "dead", "halted") else "died",
            result=_storable(result) if isinstance(result, str) else None,
            error=_storable(error[:8_000]) if isinstance(error, str) else None,
            after_ms=max(0, min(max(asked, upstream), FAR_MS)),
            cut=self.cut,
            refusal=refusal,
            unanswered=self.granted.unanswered,
            unusable=answer.get("unusable") is True,
        )


def _not_confined(why: str, *, now: UnixMs) -> Refusal:
    """The machine's fault and not the job's: it waits, unburnt, and looks again for a machine that was mended."""
    mend = "`afk-runner doctor` says the way out"
    fact = f"it was not run, for it cannot be confined here: {_storable(why[:500])}; {mend}"
    return Refusal(
        code="afk_unconfined",
        status=503,
        kind="api_error",
        message=fact,
        gate=CONFINE_GATE,
        fact=fact,
        lifts_at=UnixMs(now + CONFINE_AGAIN_MS),
    )


def _storable(text: str) -> str:
    """Half a surrogate pair cannot be written to a file or a row."""
    return text.encode("utf-8", "backslashreplace").decode()


def with_output(home: Home, live: Live, ending: Ending) -> Ending:
    """Write a prompt task's text to `outputs/`, where a person finds it in the morning."""
    text = json.loads(ending.result or '""')
    path = home.outputs / f"{safe_name(live.job.key)}.md"
    part = path.with_suffix(".part")
    try:
        part.write_text(str(text) + "\n", "utf-8")
        os.replace(part, path)
    except OSError as error:
        return Ending(outcome="retry", error=f"{path} could not be written: {error.strerror}", refusal=None)
    return ending
