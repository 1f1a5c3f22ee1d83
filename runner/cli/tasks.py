"""The tasks jobs may be made of: those of `afk.toml`, and of `tasks/*.py` once a name asks for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from runner.config import Config, TaskConfig
from runner.home import Home
from runner.settings import load


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
