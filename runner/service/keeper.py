"""What every supervisor can do for us, in the same words. Whether it did is for the witness to say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from runner.service.plan import File


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a supervisor says of the service. None: it was not reached, or its words mean nothing to us."""

    loaded: bool | None
    text: str
    """Its words, in one sentence."""
    pid: int | None = None
    enabled: bool | None = None
    """Whether it comes back with the next boot or login."""


class Keeper(Protocol):
    """One supervisor and one service of it. What it refuses is raised as Refused."""

    unit: Path | None
    """Its file; None: lines of a crontab."""
    session: str | None

    def there(self) -> str | None:
        """The text that is installed; None when nothing is."""
        ...

    def ask(self) -> Told:
        """Look, without a change."""
        ...

    def put(self, file: File) -> None:
        """Install the text, and start nothing."""
        ...

    def begin(self) -> None:
        """Start what is installed, also after it was turned off for good."""
        ...

    def nudge(self) -> None:
        """It was started and nothing came of it: once more, if the supervisor has a way."""
        ...

    def end(self, *, persist: bool) -> None:
        """Stop it; `persist`: also after the next boot or login."""
        ...

    def again(self, *, changed: bool) -> None:
        """Stop and start it; `changed`: with the definition that was just put."""
        ...

    def drop(self) -> None:
        """Remove it, stopped as it is."""
        ...
