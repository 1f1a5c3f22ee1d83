"""What the task files of a home declare, asked of a child process: the asker imports no payload."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from runner.config import TaskConfig
from runner.errors import ConfigError
from runner.settings import SettingsError, read_python_task, task_lines
from runner.work.child import worker_environment

LOAD_TIMEOUT_S = 30
"""A task file that takes longer to import hangs."""


def discover(folder: Path, *, zone: ZoneInfo) -> Mapping[str, TaskConfig]:
    """Every function marked as a task in a folder's files, by name; `zone` is that of schedules without their own.

    Raises ConfigError that names each file and line at fault.
    """
    if not any(folder.glob("*.py")):
        return {}
    try:
        child = subprocess.run(
            [sys.executable, "-P", "-m", "runner.work.loader", str(folder), str(int(LOAD_TIMEOUT_S) + 5)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LOAD_TIMEOUT_S,
            check=False,
            env=worker_environment(),
            cwd=folder,
        )
        answer = _last(child.stdout)
        if not isinstance(answer, dict):
            raise ConfigError(f"{_reached(child.stdout, folder)}: it ended the process that imported it")
    except subprocess.TimeoutExpired as error:
        reached = _reached(error.stdout or b"", folder)
        text = f"{reached}: it was not imported within {LOAD_TIMEOUT_S:g} seconds; does it loop or wait?"
        raise ConfigError(text) from None
    except OSError as error:
        raise ConfigError(f"{folder}: no process could be started to import it: {error.strerror}") from None
    problems = list(answer["problems"])
    tasks = {}
    taken = task_lines(folder.parent)
    for found in answer["tasks"]:
        if found["name"] in taken:
            other = f"{folder.parent / 'afk.toml'}:{taken[found['name']]}"
            problems.append(
                f"{found['file']}:{found['line']}: task {found['name']!r} is declared at {other} as well; rename one"
            )
            continue
        try:
            tasks[found["name"]] = read_python_task(
                found["name"], found["options"], file=Path(found["file"]), line=found["line"], zone=zone
            )
        except SettingsError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    return tasks


def _last(said: bytes) -> Any:
    """The last whole line of what the child said; None when there is none."""
    for line in reversed(said.splitlines()):
        with suppress(ValueError):
            return json.loads(line)
    return None


def _reached(said: bytes, folder: Path) -> str:
    """The file the child was importing."""
    file = _last(said)
    return file if isinstance(file, str) else str(folder)
