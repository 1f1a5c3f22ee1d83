"""What threads tell the screen, and what panes and lists tell it. Threads only ever post one of these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textual.message import Message

from console.seen import Seen
from console.views.table import RowId

if TYPE_CHECKING:
    from console.screens.question import Question
    from runner.commands import Door, Killed, Resumed, Targets
    from runner.snapshot import Reader


@dataclass
class Looked(Message):
    """The home was looked at."""

    seen: Seen
    number: int
    """Of the newest wish for a look that came before it; see `Watch.look`."""


@dataclass(frozen=True, slots=True)
class Said:
    """How an act went, in one line."""

    text: str
    bad: bool = False


@dataclass
class Do(Message):
    """A person wants something done through the write door."""

    key: str
    """That was pressed, for a console that may change nothing."""
    act: Callable[[Door], Said]
    """Runs in a thread of its own; what it raises of ours is said."""
    question: Question | None = None
    """Asked first; only a yes does it."""
    left: str = "left as it was"
    """Said after a no."""
    failed: str = "not done"
    """Said before the reason why it could not be done."""


@dataclass
class Done(Message):
    """An act has ended."""

    said: Said


@dataclass
class KillEnded(Message):
    """A kill was recorded, or could not be."""

    killed: Killed | None
    now: bool
    """It was asked to be without grace."""
    error: str | None = None


@dataclass
class ForceAsked(Message):
    """What a force would end is known, or could not be found out."""

    targets: Targets | None
    error: str | None = None


@dataclass
class ResumeEnded(Message):
    """A resume was recorded, or could not be."""

    resumed: Resumed | None
    error: str | None = None


@dataclass
class Plan(Message):
    """A person wants something done to jobs of which more has to be known before it is asked about."""

    key: str
    """That was pressed, for a console that may change nothing."""
    read: Callable[[Reader], Any]
    """Runs in a thread, in the turn of the reader."""
    then: Callable[[Any], Do | Flash]
    """What to do with what was read."""


@dataclass
class Planned(Message):
    """It is known, or could not be."""

    plan: Plan
    known: Any | None
    generation: int
    """Of the database that was on the screen when the key was pressed."""
    error: str | None = None


@dataclass
class LookNow(Message):
    """The view changed: the next tick is too far."""


@dataclass
class RowChosen(Message):
    """Enter on a row."""

    id: RowId


@dataclass
class JobWanted(Message):
    """A job is to be opened that is known by its key alone."""

    key: str


@dataclass
class PageWanted(Message):
    """The cursor comes to the end of the rows that are loaded."""

    to: str
    """`newest`, `newer`, `older` or `oldest`."""


@dataclass
class Flash(Message):
    """Something to be said on the flash line."""

    text: str
    bad: bool = False
