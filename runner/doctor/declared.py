"""What is declared: afk.toml, and the tasks of it and of tasks/*.py."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field

from runner.config import Config, TaskConfig
from runner.doctor.children import children
from runner.doctor.finding import Finding, fail, ok
from runner.doctor.look import Look
from runner.doctor.sense import past, sense
from runner.errors import ConfigError, RunnerError, StoreError
from runner.home import Home
from runner.settings import SettingsError, load
from runner.settings.notes import Problem
from runner.settings.secrets import DOTENV_REFUSED, NO_SECRET
from runner.snapshot import Reader
from runner.units import plural
from runner.writable import opened, task_code


@dataclass(slots=True)
class Declared:
    """What was read, for the checks that come after."""

    config: Config | None = None
    tasks: dict[str, TaskConfig] = field(default_factory=dict)


def settings(look: Look, into: Declared) -> Iterator[Finding]:
    """Every problem of afk.toml with its line, or what it comes to."""
    home = look.home
    try:
        config = load(home.root, environ=look.environ)
    except SettingsError as error:
        for problem in error.problems:
            yield fail("config", str(problem), _mend(problem, home))
        return
    except ConfigError as error:
        mend = f"edit {home.config}" if home.config.exists() else look.command("init")
        yield fail("config", str(error), mend)
        return
    into.config, into.tasks = config, dict(config.tasks)
    text = (
        f"{plural(len(config.tasks), 'task')} in afk.toml, {plural(config.runner.workers, 'worker')}, "
        f"days of {config.zone.key}"
    )
    yield ok("config", text)


def _mend(problem: Problem, home: Home) -> str:
    if DOTENV_REFUSED in problem.text:
        return f"what is said of {home.env} comes first"
    missing = NO_SECRET.search(problem.text)
    if missing is not None:
        env = shlex.quote(str(home.env))
        return f"printf '\\n{missing[1]}=%s\\n' 'the secret' >> {env} && chmod 600 {env}"
    if not problem.text.endswith("open to others; chmod 600 it"):
        return f"edit {problem.path}, then run doctor again"
    return f"chmod 600 {problem.path}" if problem.path == home.env else "chmod 600 the file that is named"


def files(look: Look, into: Declared) -> Iterator[Finding]:
    """Whether every file of tasks/ can be imported; asked of a child process, which has a time limit of its own."""
    folder = look.home.tasks
    count = len(list(folder.glob("*.py"))) if folder.is_dir() else 0
    if not count or look.config is None or opened(look.home.root, task_code(folder)):  # which has its own finding
        return
    from runner.work.declared import discover  # noqa: PLC0415 - starts a child; most homes have no task files

    try:
        found = discover(folder, zone=look.config.zone)
    except RunnerError as error:
        for line in str(error).splitlines():
            yield fail("tasks", line, f"edit the file named, below {folder}")
        return
    into.tasks |= found
    yield ok("tasks", f"{plural(len(found), 'task')} in {plural(count, 'file')}, all sound")


def tasks(look: Look) -> Iterator[Finding]:
    """What the tasks start, and which of them can never do what they were meant for."""
    if look.config is None:
        return
    yield from children(look.tasks)
    yield from sense(look.config, look.tasks)
    with suppress(StoreError), closing(Reader(look.home)) as reader:  # the database has its own finding
        yield from past(look.tasks, reader.schedules(now=look.now), now=look.now)
