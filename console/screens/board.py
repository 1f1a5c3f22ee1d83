"""The one screen: vitals, tabs, the body of the open view, a flash line, the keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import Screen
from textual.widget import Widget

from console.line import fit, line
from console.look import Look, Role
from console.messages import Flash, LookNow, PageWanted, RowChosen
from console.paging import Window
from console.seen import Ask, Seen, View
from console.views.detail import detail
from console.views.frame import NAMES, key_bar, tabs
from console.views.jobs import all_jobs, dead
from console.views.schedules import schedules
from console.views.vitals import vitals
from console.widgets.home import Home
from console.widgets.lines import Lines
from console.widgets.table import Table
from console.widgets.tail import Tail
from console.widgets.text import Text
from runner.snapshot import Job, JobDetail, JobStatus

FLASH_S = 8.0
"""How long something said stays; what went wrong stays four times as long."""


class Board(Screen[None]):
    """Draws what was seen, and knows which view is open and what its cursor is on."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(view.value, f"open('{view.name}')", show=False) for view in NAMES),
        Binding("k", "app.kill", show=False),
        Binding("u", "app.resume", show=False),
        Binding("r", "app.replay", show=False),
        Binding("dollar_sign", "app.raise_cap", show=False),
        Binding("question_mark", "app.help", show=False),
        Binding("q", "back(True)", show=False),
        Binding("escape", "back(False)", show=False),
        Binding("j", "no_move", show=False),
    ]

    def __init__(self, look: Look, monotonic: Callable[[], float], *, place: str, readonly: bool) -> None:
        super().__init__()
        self.look = look
        self.place = place
        self.readonly = readonly
        self.view = View.HOME
        self.seen: Seen | None = None
        self.sending = False
        """A stop of ours is on its way to the database."""
        self._monotonic = monotonic
        self._vitals, self._tabs = Lines(look, id="vitals"), Lines(look, id="tabs")
        self._flash, self._keys = Lines(look, id="flash"), Lines(look, id="keys")
        self._home = Home(look, id="home")
        self._all = Table(look, id="jobs")
        self._dead = Table(look, id="dead", can_mark=True)
        self._schedules = Table(look, id="schedules")
        self._log = Tail(look, id="log")
        self._job = Text(look, id="job")
        self._boxes: dict[View, Widget] = {
            View.HOME: self._home,
            View.JOBS: self._all,
            View.DEAD: self._dead,
            View.SCHEDULES: self._schedules,
            View.LOG: self._log,
            View.JOB: self._job,
        }
        self._window = Window()
        self._window_jobs: tuple[Job, ...] = ()
        """The page of the list of all jobs that was drawn last."""
        self._jobs: tuple[Job, ...] = ()
        """Jobs of the open view, as they were drawn last."""
        self._job_drawn: tuple[JobDetail, int] | None = None
        self._job_id: int | None = None
        self._came_from = View.HOME
        self._covered = True
        """The open view was not drawn since it was opened: what its box still shows is of another time."""
        self._flash_until = 0.0

    def compose(self) -> ComposeResult:
        yield self._vitals
        yield self._tabs
        with Vertical(id="body"):
            yield from self._boxes.values()
        yield self._flash
        yield self._keys

    def on_mount(self) -> None:
        self._show_body()

    def on_resize(self) -> None:
        if self.seen is not None:
            self.draw_edges()
            if self.seen.ask == self.ask:
                self._draw_body(self.seen)

    # --- what is seen ---------------------------------------------------------------------------------------------

    @property
    def ask(self) -> Ask:
        """What the open view needs read."""
        if self.view is View.JOBS:
            return self._window.ask
        return Ask(view=self.view, job_id=self._job_id if self.view is View.JOB else None)

    def see(self, seen: Seen) -> None:
        """Draw a look at the home. What belongs to a view that was left meanwhile is not drawn."""
        if self.seen is not None and self.seen.generation != seen.generation:
            self._forget()
        self.seen = seen
        self._log.take(seen.log)
        self._home.take(seen.log)
        self.draw_edges()
        if seen.ask == self.ask:
            self._draw_body(seen)

    def draw_edges(self) -> None:
        """Draw vitals, tabs and keys."""
        width = self.size.width
        if self.seen is None or width <= 0:
            return
        board = vitals(self.seen, width, self.look, place=self.place, readonly=self.readonly, sending=self.sending)
        self._vitals.show_lines(board)
        self._tabs.show_lines((tabs(self.seen, self.view, width, self.look),))
        self._keys.show_lines((key_bar(self.view, width, readonly=self.readonly),))

    def flash(self, text: str, *, bad: bool = False) -> None:
        """Say one thing on the flash line."""
        said = line((f" {text}", Role.BAD if bad else Role.STRONG))
        self._flash.show_lines((fit(said, self.size.width, self.look),))
        self._flash_until = self._monotonic() + (4 * FLASH_S if bad else FLASH_S)

    def fade(self) -> None:
        """Take back what was said long enough."""
        if self._monotonic() > self._flash_until:
            self._flash.show_lines(())

    def _draw_body(self, seen: Seen) -> None:
        page = seen.page
        if self.view is View.HOME:
            self._home.show(seen)
        elif page is None:
            box = self._boxes[self.view]
            if self._covered and isinstance(box, Lines):
                box.show_lines((line(("   not read", Role.WARN)),))
            return
        self._covered = False
        if page is None:
            return
        match self.view:
            case View.JOBS:
                self._draw_jobs(seen, page.jobs)
            case View.DEAD:
                self._jobs = page.jobs
                total = seen.vitals.counts.dead if seen.vitals else None
                self._dead.show(dead(seen, page.jobs), total=total)
            case View.SCHEDULES:
                self._schedules.show(schedules(page.schedules, seen.at))
            case View.JOB if page.job is not None:
                if (page.job, self.size.width) != self._job_drawn:
                    self._job.show(detail(page.job, self.size.width, now=seen.at))
                    self._job_drawn = (page.job, self.size.width)
                self._jobs = (page.job.job,)
            case View.JOB:
                self._jobs, self._job_drawn = (), None
                self._job.show((line(("   this job is gone: it was removed or pruned", Role.WARN)),))

    def _draw_jobs(self, seen: Seen, rows: tuple[Job, ...]) -> None:
        table = self._all
        kept = self._window.keeping(table.cursor, rows, self._window_jobs)
        if kept is not None:
            self._window = kept
            self.post_message(LookNow())
            return
        self._jobs = self._window_jobs = rows
        listing = all_jobs(rows, seen.at, newest=not self._window.above(rows), full=self._window.below(rows))
        table.show(listing)

    def _forget(self) -> None:
        for table in (self._home.running, self._all, self._dead, self._schedules):
            table.forget()
        self._window, self._window_jobs, self._jobs = Window(), (), ()
        if self.view is View.JOB:
            self._open(self._came_from)

    # --- what is meant --------------------------------------------------------------------------------------------

    def targets(self) -> tuple[Job, ...]:
        """The dead jobs a replay means now: the marked ones, the one under the cursor, or the one that is open."""
        if self.view is View.JOB:
            wanted = {job.id for job in self._jobs}
        elif self.view in (View.JOBS, View.DEAD):
            table = self._all if self.view is View.JOBS else self._dead
            wanted = {id for id in table.chosen() if isinstance(id, int)}
        else:
            wanted = set()
        return tuple(job for job in self._jobs if job.id in wanted and job.status is JobStatus.DEAD)

    def action_open(self, name: str) -> None:
        if self.view is View.JOBS and View[name] is View.JOBS:
            self.on_page_wanted(PageWanted("newest"))
        self._open(View[name])

    def action_back(self, quits: bool) -> None:
        if self.view is View.JOB:
            self._open(self._came_from)
        elif quits:
            self.app.exit()
        else:
            self.flash("q quits; the runner goes on")

    def action_no_move(self) -> None:
        self.flash("arrows move; k = KILL")

    def on_row_chosen(self, message: RowChosen) -> None:
        if isinstance(message.id, int):
            self._came_from, self._job_id = self.view, message.id
            self._job.show((), from_top=True)
            self._job_drawn = None
            self._open(View.JOB)

    def on_page_wanted(self, message: PageWanted) -> None:
        if self.view is not View.JOBS:
            if message.to == "oldest":
                self.flash("only these are listed; afk-runner dead --limit N lists more")
            return
        table = self._all
        window = self._window.moved(message.to, self._window_jobs)
        if message.to in ("newest", "oldest"):
            table.forget(at_end=message.to == "oldest")
            self._jobs = ()
        if window != self._window:
            self._window = window
            self.post_message(LookNow())

    def on_flash(self, message: Flash) -> None:
        self.flash(message.text, bad=message.bad)

    def _open(self, view: View) -> None:
        self.view = view
        if view is not View.JOB:
            self._job_id = None
        self._jobs = ()
        self._covered = True
        self._show_body()
        self.draw_edges()
        self.post_message(LookNow())

    def _show_body(self) -> None:
        for view, box in self._boxes.items():
            box.display = view is self.view
        (self._home.running if self.view is View.HOME else self._boxes[self.view]).focus()
