"""What is installed to keep a home's runner going, as the files on this machine tell it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from runner.home import Home


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """One service of a home."""

    platform: str
    """`launchd`, `launchd-daemon`, `systemd-user`, `systemd-system`, `cron`."""
    unit: Path | None
    """Its file; None for lines of a crontab."""
    current: bool | None
    """Whether the file is what would be rendered now; None: it cannot be told."""
    loaded: bool | None
    """Whether the supervisor knows it; None: it was not asked, or gave no answer."""
    note: str
    """A sentence for people."""


def installed(home: Home, *, ask: bool = False) -> tuple[Installed, ...]:  # noqa: ARG001 - filled in with the platforms
    """What is installed for this home. Runs no other program unless `ask`."""
    return ()
