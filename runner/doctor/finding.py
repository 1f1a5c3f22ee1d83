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
    """`home`, `config`, `database`, `tasks`, `agents`, `confine`, `prices`, `runner`, `stop`, `disk`."""
    text: str
    mend: str | None = None
    """What to do about it; None: nothing needs to be done, or the text says it."""

    def document(self) -> dict[str, Any]:
        """As `doctor --json` carries it."""
        return {"name": self.name, "level": self.level.value, "text": self.text, "mend": self.mend}
