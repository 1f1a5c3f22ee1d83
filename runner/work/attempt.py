"""An attempt in progress: what the worker is ordered, and what is made of what it says."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runner.config import TaskConfig, TaskKind
from runner.gate.passes import Pass
from runner.home import Home
from runner.store.jobs import Job
from runner.units import UnixMs
from runner.work.outcome import FAR_MS, Cut, Ending


@dataclass(slots=True, kw_only=True, eq=False)
class Live:
    """An attempt in progress."""

    job: Job
    task: TaskConfig | None
    """None: the job names a task that is declared no more."""
    granted: Pass
    recorded: dict[str, str]
    """Steps of earlier attempts."""
    cut: Cut | None = None
    deadline: asyncio.TimerHandle | None = None

    @property
    def max_seconds_ms(self) -> int:
        """The time limit of the attempt."""
        return self.job.max_seconds_ms or (self.task.max_seconds_ms if self.task else 60_000)

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
        }
        if task.kind is TaskKind.COMMAND:
            order |= {
                "command": list(task.command),
                "cwd": str(task.cwd or home.work),
                "env": dict(task.env),
                "child_home": str(home.work / "home"),
            }
        elif task.kind is TaskKind.PROMPT:
            order |= {"model": task.model, "prompt": task.prompt, "inputs": task.inputs, "home": str(home.root)}
        return order

    def ending(self, answer: Mapping[str, Any], *, now: UnixMs) -> Ending:
        """What a worker said, read with care: the payload shares its process."""
        outcome, result, error, after = (answer.get(name) for name in ("outcome", "result", "error", "after_ms"))
        asked = after if isinstance(after, int) and not isinstance(after, bool) else 0
        upstream = self.granted.wait_until - now if self.granted.wait_until is not None else 0
        return Ending(
            outcome=outcome if outcome in ("done", "retry", "dead") else "died",
            result=_storable(result) if isinstance(result, str) else None,
            error=_storable(error[:8_000]) if isinstance(error, str) else None,
            after_ms=max(0, min(max(asked, upstream), FAR_MS)),
            cut=self.cut,
            refusal=self.granted.refusal,
        )


def _storable(text: str) -> str:
    """Half a surrogate pair cannot be written to a file or a row."""
    return text.encode("utf-8", "backslashreplace").decode()


def with_output(home: Home, live: Live, ending: Ending) -> Ending:
    """Write a prompt task's text to `outputs/`, where a person finds it in the morning."""
    text = json.loads(ending.result or '""')
    name = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in live.job.key)[:150]
    if name != live.job.key or name.startswith("."):  # two keys must not share one file
        name = f"{name.lstrip('.')}-{hashlib.sha256(live.job.key.encode()).hexdigest()[:8]}"
    path = home.outputs / f"{name}.md"
    part = path.with_suffix(".part")
    try:
        part.write_text(str(text) + "\n", "utf-8")
        os.replace(part, path)
    except OSError as error:
        return Ending(outcome="retry", error=f"{path} could not be written: {error.strerror}", refusal=None)
    return ending
