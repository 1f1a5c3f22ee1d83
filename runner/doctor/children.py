"""What the commands of a home may reach: which can be confined, which are not, and the agents among them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from runner.config import TaskConfig, TaskKind
from runner.doctor.finding import Finding, Level
from runner.text import one_line
from runner.work import agents, confine

VERSION_S = 8.0
"""How long an agent is asked for its version."""
TRIED = {"claude": (2, 1, 197), "codex": (0, 169, 0), "opencode": (1, 18, 33)}
"""With these versions it was seen that every call of theirs comes to the gate; `make test-agents` runs them."""
NEWER = {
    "claude": "npm install -g @anthropic-ai/claude-code@latest",
    "codex": "npm install -g @openai/codex@latest",
    "opencode": "npm install -g opencode-ai@latest",
}


def children(tasks: Mapping[str, TaskConfig]) -> Iterator[Finding]:
    """Every finding about what the tasks start."""
    commands = [task for task in tasks.values() if task.kind is TaskKind.COMMAND]
    for task in commands:
        yield from _program(task)
    yield from _agents(commands)
    yield from _confined([task.name for task in commands if task.confine])
    yield from _open(commands)
    python = [task.name for task in tasks.values() if task.kind is TaskKind.PYTHON]
    if python:
        text = (
            f"Python tasks run as you, with your files and your network: {_named(python)}; only commands are confined"
        )
        yield Finding(level=Level.OK, name="confine", text=text)


def _program(task: TaskConfig) -> Iterator[Finding]:
    if shutil.which(task.command[0]) is not None:
        return
    if os.path.isabs(task.command[0]):
        text = f"task {task.name}: {task.command[0]} is no program that can be run here, so its jobs fail"
        yield Finding(level=Level.WARN, name="tasks", text=text, mend="mend the path in command, or install it")
    else:
        text = f"task {task.name}: there is no program {task.command[0]!r} on this PATH; the service's may differ"
        yield Finding(level=Level.WARN, name="tasks", text=text, mend="write its whole path into command")


def _agents(commands: list[TaskConfig]) -> Iterator[Finding]:
    """Agents that tasks start, and those that lie on this PATH."""
    started = {task.command[0]: agents.named(task.command) for task in commands}
    programs = {shutil.which(path) or path: agent for path, agent in started.items() if agent}
    for agent in (*agents.KNOWN, *agents.UNSERVED):
        if agent not in programs.values() and (path := shutil.which(agent)):
            programs[path] = agent
    found = sorted(programs.items())
    with ThreadPoolExecutor(max_workers=len(found) or 1) as asking:  # one that hangs costs no other its answer
        answers = list(asking.map(_version, (path for path, _ in found)))
    for (path, agent), said in zip(found, answers, strict=True):
        if said is None:
            if shutil.which(path) is not None:  # a program that is not there has a finding of its own
                yield _mute(path, used=agent in started.values())
            continue
        if agent in agents.KNOWN:
            yield _known(path, agent, said)
        else:
            used = agent in started.values()
            mend = "name an agent that speaks the Anthropic or the OpenAI wire" if used else None
            level = Level.WARN if used else Level.OK
            yield Finding(level=level, name="agents", text=f"{path} ({said}): {agents.UNSERVED[agent]}", mend=mend)


def _mute(path: str, *, used: bool) -> Finding:
    text = f"{path} does not say its version: it does not run here, or does not end"
    mend = f"{path} --version, then install it again"
    return Finding(level=Level.WARN if used else Level.OK, name="agents", text=text, mend=mend if used else None)


def _known(path: str, agent: str, said: str) -> Finding:
    """An agent that can be led to the gate; one older than the one that was tried may go its own way."""
    text = f"{path} ({said}): {agents.KNOWN[agent]}"
    tried = TRIED.get(agent)
    number = re.search(r"\d+(?:\.\d+)+", said)
    if tried is None:
        return Finding(level=Level.OK, name="agents", text=text)
    seen = ".".join(map(str, tried))
    if number is None or tuple(map(int, number[0].split("."))) < tried:
        text = f"{text}; that was seen with {seen}, and of an older one nobody knows"
        return Finding(level=Level.WARN, name="agents", text=text, mend=NEWER[agent])
    return Finding(level=Level.OK, name="agents", text=f"{text}; seen with {seen}")


def _version(path: str) -> str | None:
    """What a program calls its version, asked without a key or a login of the owner's; None: it does not run."""
    with tempfile.TemporaryDirectory() as nowhere:
        try:
            said = subprocess.run(
                [path, "--version"],
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=VERSION_S,
                check=False,
                cwd=nowhere,
                env={
                    "PATH": os.environ.get("PATH", os.defpath),
                    "HOME": nowhere,
                    **agents.habits(max_output_tokens=None),
                },
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
    lines = said.stdout.decode("utf-8", "replace").strip().splitlines()
    return one_line(lines[0], 60) if lines else "it does not say its version"


def _confined(wanted: list[str]) -> Iterator[Finding]:
    if not wanted:
        return
    why = confine.obstacle()
    if why is None:
        text = f"confined to the gate when they run, tried just now: {_named(wanted)}"
        yield Finding(level=Level.OK, name="confine", text=text)
    else:
        text = f"cannot be confined here, so they are not run: {_named(wanted)}; {why}"
        yield Finding(level=Level.FAIL, name="confine", text=text, mend=confine.way_out())


def _open(commands: list[TaskConfig]) -> Iterator[Finding]:
    unconfined = [task for task in commands if not task.confine]
    for task in unconfined:
        if agent := agents.named(task.command):
            text = f"task {task.name}: {agent} is not confined, so what it reads may lead it to any host"
            yield Finding(level=Level.WARN, name="confine", text=text, mend=f'[tasks.{task.name}] confine = "network"')
    others = [task.name for task in unconfined if not agents.named(task.command)]
    if others:
        yield Finding(level=Level.OK, name="confine", text=f"not confined, as afk.toml has it: {_named(others)}")


def _named(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
