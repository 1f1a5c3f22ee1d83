"""What was installed for a home, written down in it: every verb talks to the one service that is there."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from runner.home import Home
from runner.service.machine import Machine
from runner.service.plan import Platform
from runner.service.tools import write_file
from runner.settings.service import NAME


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One installation."""

    platform: Platform
    name: str
    unit: str | None = None
    """The file; None: lines of the crontab."""
    session: str | None = None
    """launchd: where it was put, so that no verb talks to another place."""


def place(home: Home) -> Path:
    return home.root / "service.json"


def read(home: Home) -> Record | None:
    """What was installed; None when nothing was, or nobody can tell."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        told = json.loads(place(home).read_text())
        if not NAME.fullmatch(told["name"]):  # it becomes a path, for root as well, and the file is its owner's
            return None
        return Record(
            platform=Platform(told["platform"]),
            name=str(told["name"]),
            unit=None if told["unit"] is None else str(told["unit"]),
            session=None if told["session"] is None else str(told["session"]),
        )
    return None


def write(home: Home, machine: Machine, record: Record) -> None:
    """Write it down as the home's owner. Raises Refused."""
    text = json.dumps(asdict(record), indent=2) + "\n"
    write_file(place(home), text, mode=0o600, owner=(machine.uid, machine.gid))


def forget(home: Home) -> None:
    """Nothing is installed any more."""
    with suppress(OSError):
        place(home).unlink(missing_ok=True)
