"""What every pane is: a box below the tabs that says what it needs read, draws it, and names the keys it adds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from textual.containers import Vertical

from console.look import Look
from console.messages import Flash
from console.replays import Letters
from console.seen import Ask, LogPart, Seen, View
from runner.snapshot import Job, JobStatus


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a pane, as the bar and the help show it."""

    key: str
    word: str
    """In the bar; empty: only the help names it."""
    does: str
    """In the help, one sentence."""
    rank: int = 3
    """In the bar: the highest goes first when there is no room."""
    writes: bool = False
    """Not shown where nothing may be changed."""


class Pane(Vertical):
    """A tab's body. It draws what it is given and never reads; what it wants done it posts as `Do`."""

    view: ClassVar[View]
    keys: ClassVar[tuple[Key, ...]] = ()

    def __init__(self, look: Look, monotonic: Callable[[], float], *, id: str) -> None:
        super().__init__(id=id)
        self.look = look
        self.monotonic = monotonic
        """For questions: what is pressed right after they open is not an answer."""
        self.ready = False
        """Its boxes are on the screen, and one of them may have the keys."""

    @property
    def ask(self) -> Ask:
        """What it needs read now."""
        return Ask()

    def on_mount(self) -> None:
        self.ready = True
        if self.display:
            self.open()

    def open(self) -> None:
        """It was chosen: give its list the keys."""
        raise NotImplementedError  # each pane has its own

    def open_again(self) -> None:
        """Its key was pressed while it is open."""

    def show_job(self, job: int | str) -> None:
        """For the pane of one job: draw this one from now on."""

    def take(self, part: LogPart) -> None:
        """What the log has gained, whether or not it is open."""

    def draw(self, seen: Seen) -> None:
        """Draw a look at the home; `seen.page` is of its own kind, or None when it could not be read."""
        raise NotImplementedError  # each pane has its own

    def forget(self) -> None:
        """Another database: no id means what it meant."""

    def copies(self) -> tuple[str, ...]:
        """What `y` copies: the keys of its targets."""
        return tuple(job.key for job in self.targets())

    def targets(self) -> tuple[Job, ...]:
        """The jobs an act means now: the marked ones, or the one under the cursor."""
        return ()

    @property
    def typing(self) -> bool:
        """Whether letters are text here now."""
        return False

    @property
    def unmeant(self) -> str:
        """Why a key means nothing although something is listed; empty when nothing is."""
        return ""

    def say_unmeant(self, otherwise: str) -> None:
        """Answer a key that means nothing."""
        self.post_message(Flash(self.unmeant or otherwise))

    def letters(self) -> Letters | None:
        """The dead letters a replay means now; None: none."""
        dead = tuple(job.id for job in self.targets() if job.status is JobStatus.DEAD)
        return Letters(ids=dead) if dead else None
