"""The `[tasks.*]` tables: prompt and command tasks and when they are due."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from runner.config import (
    LONGEST_CRITERION,
    MOST_CRITERIA,
    SERVER_TOOLS,
    TOOLS,
    TaskConfig,
    TaskKind,
)
from runner.settings.notes import Notes, SettingsError
from runner.settings.schedules import read_schedule
from runner.settings.sections import OFFLINE, given
from runner.settings.table import NAME, Table, nearest, quoted
from runner.units import DAY_MS, SECOND_MS

_KEYS_OF_KIND = {
    TaskKind.PROMPT: ("model", "prompt", "inputs", "tools", "domains", "criteria"),
    TaskKind.COMMAND: ("command", "cwd", "env", "confine"),
}
MOST_USES = 100
"""Of one tool at the vendor in one call. Each may read a whole context window, and money is held for all of them."""

_LABEL = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
# A top-level domain alone may not be opened, neither as a host nor with a star before it.
_DOMAIN = re.compile(rf"(?:\*\.)?(?:{_LABEL}\.)+{_LABEL}(?::[0-9]{{1,5}})?")

# What the runner tells its children. An owner's value would lead calls past the gate, or show a payload a key.
_RUNNERS_OWN = re.compile(
    r"AFK_.*|HOME|NO_PROXY|no_proxy|(ANTHROPIC|OPENAI)_(API_KEY|AUTH_TOKEN|BASE_URL|API_BASE)"
    r"|CLAUDE_CONFIG_DIR|CLAUDE_CODE_(OAUTH_TOKEN|USE_.*)|CODEX_(HOME|API_KEY)|OPENCODE_CONFIG.*",
    re.DOTALL,
)


def read_tasks(table: Table, *, home: Path, zone: ZoneInfo, models: Mapping[str, str]) -> dict[str, TaskConfig]:
    tasks = {}
    for name in table:
        if not NAME.fullmatch(name):
            table.refuse(name, "must be named with up to 64 letters, digits, dots, dashes and underscores")
        tasks[name] = _task(table.table(name), name, home=home, zone=zone, models=models)
    return tasks


def _task(table: Table, name: str, *, home: Path, zone: ZoneInfo, models: Mapping[str, str]) -> TaskConfig:
    kind = _kind(table)
    fields = given(
        model=_model(table, models),
        prompt=table.text("prompt"),
        inputs=_inputs(table),
        tools=_tools(table),
        domains=_domains(table),
        criteria=_criteria(table),
        command=_command(table),
        cwd=_cwd(table, home),
        env=_env(table.table("env")),
        confine=table.choice("confine", ("network",)),
        **_common(table, zone),
    )
    if kind:
        _check_kind(table, kind)
    table.close()
    return TaskConfig(name=name, kind=kind or TaskKind.COMMAND, **fields)


def read_python_task(name: str, options: object, *, file: Path, line: int, zone: ZoneInfo) -> TaskConfig:
    """A function's `@task` options, which are the keys of a `[tasks.*]` table. Raises SettingsError."""
    notes = Notes(file, {(): line})
    table = Table(notes, ("task", name), options)
    if not NAME.fullmatch(name):
        notes.add((), f"task {quoted(name)} must be named with up to 64 letters, digits, dots, dashes and underscores")
    task = TaskConfig(name=name, kind=TaskKind.PYTHON, **_common(table, zone))
    table.close()
    if notes.problems:
        raise SettingsError(notes.problems)
    return task


def _common(table: Table, zone: ZoneInfo) -> dict[str, Any]:
    """What every kind of task has."""
    fields = given(
        schedule=read_schedule(table, zone),
        priority=table.count("priority", -9, 9),
        max_usd=table.money("max_usd"),
        daily_usd=table.money("daily_usd"),
        max_seconds_ms=table.span("max_seconds", SECOND_MS, 30 * DAY_MS),
        on_timeout=table.choice("on_timeout", ("halt", "retry")),
        max_attempts=table.count("max_attempts", 1, 100),
        max_output_tokens=table.count("max_output_tokens", 1),
        server_tools=_server_tools(table.table("server_tools")),
        max_tool_calls=table.count("max_tool_calls", 0),
        irreversible=table.flag("irreversible"),
        hours_saved=_hours(table),
    )
    if fields.get("irreversible") and "schedule" in fields:
        table.refuse("irreversible", "is true, so no schedule may start the task: a person does, or approves its draft")
    return fields


def _server_tools(table: Table) -> Mapping[str, int]:
    uses = {name: table.count(name, 1, MOST_USES) for name in SERVER_TOOLS}
    table.close()
    return MappingProxyType({name: most for name, most in uses.items() if most is not None})


def _kind(table: Table) -> TaskKind | None:
    value = table.take("kind")
    if value is None:
        table.lacks("kind", 'write "prompt" or "command"')
    elif value == TaskKind.PYTHON:
        table.refuse("kind", 'is "python": a Python task is declared by its @task decorator in tasks/*.py, not here')
    else:
        word = table.choice("kind", (TaskKind.PROMPT, TaskKind.COMMAND))
        return TaskKind(word) if word else None
    return None


def _check_kind(table: Table, kind: TaskKind) -> None:
    """A prompt task has model and prompt, a command task has command, and neither has what is the other's."""
    needed = ("model", "prompt") if kind is TaskKind.PROMPT else ("command",)
    for key in needed:
        if key not in table:
            table.lacks(key, f"a {kind} task needs it")
    for other, keys in _KEYS_OF_KIND.items():
        for key in keys:
            if other is not kind and key in table:
                table.refuse(key, f"means nothing to a {kind} task; only a {other} task has it")


def _model(table: Table, models: Mapping[str, str]) -> str | None:
    model = table.text("model", such_as="claude-haiku-4-5")
    if model is None or model.startswith(f"{OFFLINE}/") or _routed(model, models):
        return model
    near = nearest(model, [route for route in models if not route.endswith("*")])
    text = f"{table.named('model')} is {quoted(model)}, which no line of [models] leads to an upstream{near}"
    table.notes.lacks(("models", model), text, at=(*table.path, "model"))
    return None


def _routed(model: str, models: Iterable[str]) -> bool:
    return any(model.startswith(route[:-1]) if route.endswith("*") else model == route for route in models)


def _inputs(table: Table) -> str | None:
    inputs = table.text("inputs", such_as="inputs/*.md")
    if inputs is not None and (inputs.startswith(("/", "~")) or ".." in PurePosixPath(inputs).parts):
        table.refuse("inputs", "must stay below the home: no leading / or ~, and no ..")
        return None
    if inputs is not None:
        try:
            _check_pattern(inputs)
        except (ValueError, NotImplementedError, IndexError) as error:
            table.refuse("inputs", f'is {quoted(inputs)}, which is no pattern such as "inputs/*.md": {error}')
            return None
    return inputs


def _check_pattern(pattern: str) -> None:
    """Raises what `Path.glob` does, which looks at the pattern before it looks at any disk."""
    # From Python 3.13 on this is no error, and means a single star.
    if any("**" in part and part != "**" for part in PurePosixPath(pattern).parts):
        raise ValueError("** must be a whole part of a path, as in inputs/**/*.md")
    next(iter(Path(os.devnull).glob(pattern)), None)


def _tools(table: Table) -> tuple[str, ...] | None:
    tools = table.strings("tools")
    if tools is None:
        return None
    for index, name in tools.items():
        if name not in TOOLS:
            known = ", ".join(TOOLS)
            text = f"{table.named('tools')} has {quoted(name)}, which is none of {known}{nearest(name, TOOLS)}"
            table.notes.add((*table.path, "tools", index), text)
    if "read_file" in tools.values() and "inputs" not in table:
        table.refuse("tools", 'has "read_file", which reads the task\'s inputs; name them as inputs = "inputs/*.md"')
    if "fetch_url" in tools.values() and not table.raw("domains"):
        table.refuse("tools", 'has "fetch_url", which asks only hosts that are named: domains = ["example.org"]')
    return tuple(dict.fromkeys(tools.values()))


def _domains(table: Table) -> tuple[str, ...] | None:
    domains = table.strings("domains")
    if domains is None:
        return None
    tools = table.raw("tools")
    if domains and isinstance(tools, list) and "fetch_url" not in tools:
        table.refuse("domains", 'means nothing to a task without the tool "fetch_url"')
    for index, domain in domains.items():
        last = domain.partition(":")[0].rpartition(".")[2]
        if not _DOMAIN.fullmatch(domain) or last.isdecimal() or domain.count(".") < 1 + domain.startswith("*."):
            text = (
                f'{table.named("domains")} has {quoted(domain)}; write hosts such as "example.org" or "*.example.net"'
            )
            table.notes.add((*table.path, "domains", index), text)
    return tuple(domain.lower() for domain in domains.values())


def _criteria(table: Table) -> tuple[str, ...] | None:
    criteria = table.strings("criteria")
    if criteria is None:
        return None
    for index, criterion in criteria.items():
        if not criterion.strip() or len(criterion) > LONGEST_CRITERION:
            text = f"{table.named('criteria')} must hold sentences of 1 to {LONGEST_CRITERION} characters"
            table.notes.add((*table.path, "criteria", index), text)
    if table.raw("criteria") == []:
        table.refuse("criteria", "is empty, so nothing would be checked; write sentences, or leave it out")
    if len(criteria) > MOST_CRITERIA:
        table.refuse("criteria", f"has {len(criteria)} sentences, {MOST_CRITERIA} are the most")
    return tuple(criteria.values())


def _command(table: Table) -> tuple[str, ...] | None:
    command = table.strings("command")
    if command is None:
        return None
    # A first word that is no string was refused already.
    if table.raw("command") == [] or (0 in command and not command[0].strip()):
        table.refuse("command", 'must begin with a program, such as ["claude", "-p", "…"]')
    return tuple(command.values())


def _cwd(table: Table, home: Path) -> Path | None:
    cwd = table.text("cwd")
    if cwd is None:
        return None
    if cwd.startswith("~"):
        table.refuse("cwd", "must be written out; ~ is not expanded here")
        return None
    return Path(os.path.abspath(home / cwd))


def _env(table: Table) -> Mapping[str, str]:
    variables = {}
    for name in table:
        value = table.take(name)
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            table.refuse(name, "is not the name of an environment variable")
        elif _RUNNERS_OWN.fullmatch(name):
            table.refuse(name, "is set by the runner and cannot be set here")
        elif not isinstance(value, str) or "\0" in value:
            table.refuse(name, "must be a string without NUL characters")
        elif re.fullmatch(r"env:[A-Za-z_][A-Za-z0-9_]*", value):
            table.refuse(name, "names a secret; a command is given no secrets")
        else:
            variables[name] = value
    return MappingProxyType(variables)


def _hours(table: Table) -> Decimal | None:
    value = table.take("hours_saved")
    if value is None:
        return None
    try:
        hours = Decimal(value) if isinstance(value, int | str | Decimal) and not isinstance(value, bool) else None
    except InvalidOperation:
        hours = None
    if hours is None or not hours.is_finite() or not 0 <= hours <= 10_000:
        table.refuse("hours_saved", "must be a number of hours from 0 to 10000, such as 0.5")
        return None
    return hours
