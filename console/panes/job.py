"""One job, opened from a list."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from console.line import line
from console.look import Look, Role
from console.messages import Do, Flash, LookNow, Said
from console.panes.pane import Key, Pane
from console.replays import told
from console.screens.cancel import CancelQuestion, can_be_cancelled
from console.seen import Ask, Seen, View
from console.views.detail import detail
from console.widgets.text import Text
from runner.errors import NotFound
from runner.snapshot import Job, JobDetail, JobStatus, Printed, Reader
from runner.units import SECOND_MS, UnixMs

if TYPE_CHECKING:
    from runner.commands import Door

PRINTS_MS = 2 * SECOND_MS
"""How often the output of a job at work is read: it commits nothing that could be noticed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """The job, unless it is gone."""

    job: JobDetail | None = None
    printed: Printed | None = None
    """By its newest start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobAsk(Ask):
    """One job with all that is kept of it."""

    job: int | str
    """Its id, or its key where no more is known of it."""
    turn: int = 0
    """Of a job at work: another one reads it again, though nothing changed in the database."""

    def read(self, reader: Reader, *, now: UnixMs) -> JobPage:
        with suppress(NotFound):
            found = reader.job(self.job, now=now)
            newest = found.attempts[-1].n if found.attempts else None
            return JobPage(job=found, printed=reader.printed(found.job.id, newest) if newest is not None else None)
        return JobPage()


class JobPane(Pane):
    """Its page of text."""

    view: ClassVar = View.JOB
    keys: ClassVar = (
        Key("Tab", "Section", "goes to the next section, Shift-Tab to the one before; End follows the output", rank=4),
        Key("x", "Cancel", "cancels this job unless it has ended; asks first", rank=3, writes=True),
        Key("y", "Copy", "copies its key to the clipboard (OSC 52; in tmux: set -s set-clipboard on)", rank=5),
        Key("r", "", "replays this job if it is dead", writes=True),
    )
    BINDINGS: ClassVar[list[BindingType]] = [Binding("x", "cancel", show=False)]

    def __init__(self, look: Look, monotonic: Callable[[], float], *, id: str) -> None:
        super().__init__(look, monotonic, id=id)
        self._text = Text(look, id="job-text")
        self._job: int | str = 0
        self._turn = 0
        self._page: JobPage | None = None
        self._drawn: tuple[JobPage, int] | None = None
        self._seen: Seen | None = None

    @property
    def ask(self) -> Ask:
        return JobAsk(job=self._job, turn=self._turn)

    def compose(self) -> ComposeResult:
        yield self._text

    def show_job(self, job: int | str) -> None:
        self._job, self._turn, self._page, self._drawn, self._seen = job, 0, None, None, None
        self._text.show((), from_top=True)

    def open(self) -> None:
        self._text.take_keys()

    def on_resize(self) -> None:
        if self._seen is not None and self._page is not None:
            self.draw(self._seen)  # it was wrapped for another width, or for none before its first layout

    def draw(self, seen: Seen) -> None:
        page = seen.page if isinstance(seen.page, JobPage) else None
        if page is None:
            if self._page is None:
                self._text.show((line(("   not read", Role.WARN)),))
            return
        self._page, self._seen = page, seen
        if page.job is None:
            self._text.show((line(("   this job is gone: it was removed or pruned", Role.WARN)),))
        elif (page, self.size.width) != self._drawn:
            found = detail(page.job, self.size.width, now=seen.at, printed=page.printed)
            self._text.show(tuple(found.lines), sections=found.sections)
        self._drawn = (page, self.size.width)
        self._go_on(page, seen)

    def _go_on(self, page: JobPage, seen: Seen) -> None:
        """Ask for the same job from now on, by its id, and for what it prints as long as it runs."""
        before = self.ask
        if page.job is not None:
            self._job = page.job.job.id
            if page.job.job.status is JobStatus.RUNNING:
                self._turn = seen.at // PRINTS_MS
        if self.ask != before:
            self.post_message(LookNow())

    def action_cancel(self) -> None:
        if self._page is None or self._page.job is None or self._seen is None:
            return
        job = self._page.job.job
        if not can_be_cancelled(job):
            self.post_message(Flash(f"{job.key} is {job.status} already: it cannot be cancelled", bad=True))
            return

        def act(door: Door) -> Said:
            bulk = door.cancel_ids((job.id,))
            bulk = replace(bulk, refused=tuple((job.key, why) for _, why in bulk.refused))
            running = job.status is JobStatus.RUNNING and bool(bulk.done)
            return told(bulk, "cancelled", after="; what runs is being ended" if running else "")

        question = CancelQuestion((job,), 1, self._seen, self.look, self.monotonic)
        self.post_message(Do("x", act, question))

    def targets(self) -> tuple[Job, ...]:
        return (self._page.job.job,) if self._page is not None and self._page.job is not None else ()
