"""All jobs, newest first, over pages found by id."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from console.look import Look
from console.messages import LookNow, PageWanted
from console.paging import Window
from console.panes.listed import ListPane
from console.panes.pane import Key
from console.seen import PAGE, Ask, Seen, View
from console.views.jobs import all_jobs
from runner.snapshot import Job, Reader
from runner.units import UnixMs


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsAsk(Ask):
    """A page of all jobs."""

    upto: int | None = None
    """Jobs with this id and older ones; None: the newest."""
    after: int | None = None
    """Instead: the oldest of the jobs newer than this id."""

    def read(self, reader: Reader, *, now: UnixMs) -> tuple[Job, ...]:  # noqa: ARG002 - it needs no ages
        return reader.jobs(upto=self.upto, after=self.after, limit=PAGE, cut=True)


class JobsPane(ListPane):
    """The list with its sliding window."""

    view: ClassVar = View.JOBS
    name_: ClassVar = "Jobs"
    keys: ClassVar = (
        Key("Enter", "Detail", "opens the job under the cursor; q or Esc leads back"),
        Key("r", "", "replays the job under the cursor if it is dead", writes=True),
        Key("Home", "", "goes to the newest"),
    )

    def __init__(self, look: Look, monotonic: Callable[[], float], *, id: str) -> None:
        super().__init__(look, monotonic, id=id)
        self._window = Window()
        self._jobs: tuple[Job, ...] = ()
        """The page that was drawn last."""

    @property
    def ask(self) -> Ask:
        return JobsAsk(upto=self._window.upto, after=self._window.after)

    def to_newest(self) -> None:
        """Go to the first page."""
        self._go("newest")

    def draw_page(self, seen: Seen) -> None:
        rows = seen.page if isinstance(seen.page, tuple) else ()
        kept = self._window.keeping(self.table.cursor, rows, self._jobs)
        if kept is not None:
            self._window = kept
            self.post_message(LookNow())
            return
        self._jobs = rows
        newest, full = not self._window.above(rows), self._window.below(rows)
        self.table.show(all_jobs(rows, seen.at, newest=newest, full=full))

    def forget(self) -> None:
        super().forget()
        self._window, self._jobs = Window(), ()

    def targets(self) -> tuple[Job, ...]:
        chosen = set(self.table.chosen())
        return tuple(job for job in self._jobs if job.id in chosen)

    def on_page_wanted(self, message: PageWanted) -> None:
        message.stop()
        self._go(message.to)

    def _go(self, to: str) -> None:
        window = self._window.moved(to, self._jobs)
        if to in ("newest", "oldest"):
            self.table.forget(at_end=to == "oldest")
        if window != self._window:
            self._window = window
            self.post_message(LookNow())
