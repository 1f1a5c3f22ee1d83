"""What a look at one matter found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    """How a finding is meant."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    name: str
    """The matter in one word, such as `home`, `upstream` or `clock`; RUNBOOK lists them."""
    text: str
    mend: str | None = None
    """What to do about it; None: nothing needs to be done, or the text says it."""

    def document(self) -> dict[str, Any]:
        """As `doctor --json` carries it."""
        return {"name": self.name, "level": self.level.value, "text": self.text, "mend": self.mend}


def ok(name: str, text: str) -> Finding:
    """All is well with it."""
    return Finding(level=Level.OK, name=name, text=text)


def warn(name: str, text: str, mend: str | None = None) -> Finding:
    """It works, and a person should know."""
    return Finding(level=Level.WARN, name=name, text=text, mend=mend)


def fail(name: str, text: str, mend: str | None = None) -> Finding:
    """It does not work, or not for long."""
    return Finding(level=Level.FAIL, name=name, text=text, mend=mend)
