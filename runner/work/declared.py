"""What the task files of a home declare, asked of a child process: the asker imports no payload."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from zoneinfo import ZoneInfo

from runner.config import TaskConfig
from runner.errors import ConfigError
from runner.settings import SettingsError, read_python_task
from runner.work.child import worker_environment

LOAD_TIMEOUT_S = 60
"""A task file that takes longer to import hangs."""


def discover(folder: Path, *, zone: ZoneInfo) -> Mapping[str, TaskConfig]:
    """Every function marked as a task in a folder's files, by name; `zone` is that of schedules without their own.

    Raises ConfigError that names each file and line at fault.
    """
    if not any(folder.glob("*.py")):
        return {}
    try:
        child = subprocess.run(
            [sys.executable, "-P", "-m", "runner.work.loader", str(folder)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LOAD_TIMEOUT_S,
            check=False,
            env=worker_environment(),
            cwd=folder,
        )
        answer = json.loads(child.stdout)
    except subprocess.TimeoutExpired:
        raise ConfigError(f"the task files in {folder} did not load within {LOAD_TIMEOUT_S} seconds") from None
    except (OSError, ValueError):
        raise ConfigError(f"the task files in {folder} ended the process that loaded them") from None
    problems = list(answer["problems"])
    tasks = {}
    for found in answer["tasks"]:
        try:
            tasks[found["name"]] = read_python_task(
                found["name"], found["options"], file=Path(found["file"]), line=found["line"], zone=zone
            )
        except SettingsError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    return tasks
