"""The first pane: what runs, what needs a person, what comes next, the end of the log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult

from console.line import line
from console.look import Look, Role
from console.panes.pane import Pane
from console.seen import PAGE, Ask, LogPart, Seen, View
from console.views.home import HomePage, needs, next_line
from console.views.running import running
from console.widgets.lines import Lines
from console.widgets.table import Table
from console.widgets.tail import Tail
from runner.snapshot import DraftState, Reader
from runner.units import UnixMs


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeAsk(Ask):
    """Reads it."""

    def read(self, reader: Reader, *, now: UnixMs) -> HomePage:
        return HomePage(
            running=reader.running(limit=PAGE, cut=True),
            dead=reader.dead(limit=1, cut=True),
            drafts=reader.drafts(state=DraftState.WAITING, limit=1),
            held=reader.held(),
            schedules=reader.schedules(now=now),
            incidents=reader.incidents_open(),
        )


class HomePane(Pane):
    """Three boxes whose heights depend on the screen alone, so that nothing jumps when a job ends."""

    view: ClassVar = View.HOME

    def __init__(self, look: Look, monotonic: Callable[[], float], *, id: str) -> None:
        super().__init__(look, monotonic, id=id)
        self.running = Table(look, id="running", drifts=True)
        """The jobs at work: what the keys move over."""
        self._needs = Lines(look, id="needs")
        self._log = Tail(look, id="home-log", keep=200, hint="[6]")
        self._log.can_focus = False
        self._workers = 2
        self._needs_height = 3
        self._seen: Seen | None = None

    @property
    def ask(self) -> Ask:
        return HomeAsk()

    def compose(self) -> ComposeResult:
        yield self.running
        yield self._needs
        yield self._log

    def open(self) -> None:
        self.running.take_keys()

    def on_resize(self) -> None:
        self._share_out()
        if self._seen is not None:
            self.draw(self._seen)

    def take(self, part: LogPart) -> None:
        self._log.take(part)

    def forget(self) -> None:
        self.running.forget()

    def copies(self) -> tuple[str, ...]:
        page = self._seen.page if self._seen is not None else None
        jobs = [job for job, _ in page.running] if isinstance(page, HomePage) else []
        return tuple(job.key for job in jobs if job.id == self.running.cursor)

    def draw(self, seen: Seen) -> None:
        self._seen = seen
        if seen.vitals is not None and (seen.vitals.workers or 2) != self._workers:
            self._workers = seen.vitals.workers or 2
            self._share_out()
        page = seen.page if isinstance(seen.page, HomePage) else None
        if page is not None:
            # What may be old is as old as it is: a clock that went on would say that somebody still works.
            as_of = seen.as_of if seen.stale and seen.as_of is not None else seen.at
            self.running.show(running(page.running, as_of, doubt="?" if seen.stale else ""))
        width, room = self.size.width, self._needs_height - 2
        found = needs(seen, page, width, self.look)
        waiting = found[: max(0, room)]
        title = line((" NEEDS YOU", Role.DIM), f"  {len(found)}" if found else ("  nothing", Role.DIM))
        blank = ((),) * (room - len(waiting))
        ahead = next_line(page.schedules if page else (), seen.at, width, self.look)
        self._needs.show_lines((title, *waiting, *blank, ahead))

    def _share_out(self) -> None:
        height = self.size.height
        working = max(3, min(self._workers + 2, height // 3))
        self.running.styles.height = working
        self._needs_height = 3 if height < 12 else 5 if height < 24 else 7
        self._needs.styles.height = self._needs_height
