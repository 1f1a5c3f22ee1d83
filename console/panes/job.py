"""One job, opened from a list."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult

from console.line import line
from console.look import Look, Role
from console.panes.pane import Key, Pane
from console.seen import Ask, Seen, View
from console.views.detail import detail
from console.widgets.text import Text
from runner.errors import NotFound
from runner.snapshot import Job, JobDetail, Reader
from runner.units import UnixMs


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """The job, unless it is gone."""

    job: JobDetail | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobAsk(Ask):
    """One job with all that is kept of it."""

    job: int | str
    """Its id, or its key where no more is known of it."""

    def read(self, reader: Reader, *, now: UnixMs) -> JobPage:
        with suppress(NotFound):
            return JobPage(job=reader.job(self.job, now=now))
        return JobPage()


class JobPane(Pane):
    """Its page of text."""

    view: ClassVar = View.JOB
    name_: ClassVar = "Job"
    keys: ClassVar = (Key("r", "", "replays this job if it is dead", writes=True),)

    def __init__(self, look: Look, monotonic: Callable[[], float], *, id: str) -> None:
        super().__init__(look, monotonic, id=id)
        self._text = Text(look, id="job-text")
        self._job: int | str = 0
        self._page: JobPage | None = None
        self._drawn: tuple[JobPage, int] | None = None

    @property
    def ask(self) -> Ask:
        return JobAsk(job=self._job)

    def compose(self) -> ComposeResult:
        yield self._text

    def choose(self, job: int | str) -> None:
        """Show this one."""
        self._job, self._page, self._drawn = job, None, None
        self._text.show((), from_top=True)

    def open(self) -> None:
        self._text.focus()

    def draw(self, seen: Seen) -> None:
        page = seen.page if isinstance(seen.page, JobPage) else None
        if page is None:
            if self._page is None:
                self._text.show((line(("   not read", Role.WARN)),))
            return
        self._page = page
        if page.job is None:
            self._text.show((line(("   this job is gone: it was removed or pruned", Role.WARN)),))
        elif (page, self.size.width) != self._drawn:
            self._text.show(detail(page.job, self.size.width, now=seen.at))
        self._drawn = (page, self.size.width)

    def targets(self) -> tuple[Job, ...]:
        return (self._page.job.job,) if self._page is not None and self._page.job is not None else ()
