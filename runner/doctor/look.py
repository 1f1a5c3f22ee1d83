"""What every check is given to look at."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runner.config import Config, TaskConfig
from runner.doctor.finding import Finding
from runner.home import Home
from runner.units import UnixMs

MAC = "darwin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One examination of one home."""

    home: Home
    environ: Mapping[str, str]
    now: UnixMs
    config: Config | None = None
    """None: refused, which has findings of its own."""
    tasks: Mapping[str, TaskConfig] = field(default_factory=dict)
    """Those of afk.toml and of tasks/*.py, as far as they could be read."""
    offline: bool = False
    """No connection is opened."""
    platform: str = sys.platform

    @property
    def person(self) -> Path:
        """The home directory of the person, not ours."""
        return Path(self.environ.get("HOME") or Path.home())

    def command(self, verb: str) -> str:
        """`afk-runner VERB` for this home, to be typed as it stands."""
        return f"afk-runner {verb} --home {shlex.quote(str(self.home.root))}"


Check = Callable[[Look], Iterator[Finding]]
"""Looks at one matter, changes nothing, and gives its findings as it makes them."""
