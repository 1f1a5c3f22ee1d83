"""The tasks jobs may be made of: those of `afk.toml`, and of `tasks/*.py` once a name asks for them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from runner.cli.shell import find_home, reading, remark
from runner.config import Config, TaskConfig
from runner.enqueue import DECLARED
from runner.errors import ConfigError, UsageError
from runner.home import Home
from runner.settings import load, nearest
from runner.units import SystemClock


class KnownTasks(Mapping[str, TaskConfig]):
    """Looks names up. Python tasks are found by starting a child, so only for a name `afk.toml` does not have."""

    def __init__(self, home: Home, *, environ: Mapping[str, str]) -> None:
        """Read the configuration. Raises ConfigError."""
        self._home = home
        self.config: Config = load(home.root, environ=_KeysAside(environ))
        self._found: Mapping[str, TaskConfig] | None = None

    def __getitem__(self, name: str) -> TaskConfig:
        own = self.config.tasks.get(name)
        return own if own is not None else self._python()[name]

    def __iter__(self) -> Iterator[str]:
        yield from self.config.tasks
        yield from self._python()

    def __len__(self) -> int:
        return len(self.config.tasks) + len(self._python())

    def _python(self) -> Mapping[str, TaskConfig]:
        if self._found is None:
            self._found = {}
            if any(self._home.tasks.glob("*.py")):
                from runner.work.declared import discover  # noqa: PLC0415 - most names are found without

                self._found = discover(self._home.tasks, zone=self.config.zone)
        return self._found


class _KeysAside(Mapping[str, str]):
    """An environment in which every variable has a value: adding a job needs no key, only the runner does.

    A cron line or another terminal may enqueue without the runner's environment; no secret read here is ever used.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def __getitem__(self, name: str) -> str:
        return self._environ.get(name) or "unset://unset"

    def __iter__(self) -> Iterator[str]:
        return iter(self._environ)

    def __len__(self) -> int:
        return len(self._environ)


def check_task(name: str, home: Path | None) -> None:
    """Raise UsageError for a name that no task and no schedule has: to pause a misspelt one would hold back nobody."""
    with reading(home) as reader:
        scheduled = [view.schedule.name for view in reader.schedules(now=SystemClock().now())]
    if name in scheduled:
        return
    try:
        known = KnownTasks(find_home(home), environ=os.environ)
        if name in known:
            return
    except ConfigError:
        remark(f"the configuration is refused, so whether there is a task {name!r} was not checked")
        return
    raise UsageError(f"there is no task {name!r}{nearest(name, [*known, *scheduled]) or DECLARED}")
