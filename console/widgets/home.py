"""The first view: what runs, what needs a person, what comes next, the end of the log."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical

from console.line import line
from console.look import Look, Role
from console.seen import LogPart, Seen
from console.views.home import needs, next_line
from console.views.jobs import running
from console.widgets.lines import Lines
from console.widgets.table import Table
from console.widgets.tail import Tail


class Home(Vertical):
    """Three boxes whose heights depend on the screen alone, so that nothing jumps when a job ends."""

    def __init__(self, look: Look, *, id: str) -> None:
        super().__init__(id=id)
        self.look = look
        self.running = Table(look, id="running", drifts=True)
        """The jobs at work: what the keys move over."""
        self._needs = Lines(look, id="needs")
        self._log = Tail(look, id="home-log", keep=200, hint="[6]")
        self._log.can_focus = False
        self._workers = 2
        self._needs_height = 3
        self._seen: Seen | None = None

    def compose(self) -> ComposeResult:
        yield self.running
        yield self._needs
        yield self._log

    def on_resize(self) -> None:
        self._share_out()
        if self._seen is not None:
            self.show(self._seen)

    def take(self, part: LogPart) -> None:
        """Add what the log has gained."""
        self._log.take(part)

    def show(self, seen: Seen) -> None:
        """Draw a look at the home."""
        self._seen = seen
        if seen.vitals is not None and (seen.vitals.workers or 2) != self._workers:
            self._workers = seen.vitals.workers or 2
            self._share_out()
        if seen.page is not None:
            self.running.show(running(seen.page.running, seen.at))
        width, room = self.size.width, self._needs_height - 2
        found = needs(seen, width, self.look)
        waiting = found[: max(0, room)]
        title = line((" NEEDS YOU", Role.DIM), f"  {len(found)}" if found else ("  nothing", Role.DIM))
        blank = ((),) * (room - len(waiting))
        self._needs.show_lines((title, *waiting, *blank, next_line(seen, width, self.look)))

    def _share_out(self) -> None:
        height = self.size.height
        working = max(3, min(self._workers + 2, height // 3))
        self.running.styles.height = working
        self._needs_height = 3 if height < 12 else 5 if height < 24 else 7
        self._needs.styles.height = self._needs_height
