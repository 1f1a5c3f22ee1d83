"""The one screen: vitals, tabs, the open pane, a flash line, the keys."""

from __future__ import annotations

from asyncio import Event
from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.events import DescendantFocus
from textual.screen import Screen
from textual.widget import AwaitMount

from console.clean import one_line
from console.line import fit, line
from console.look import Look, Role
from console.messages import Flash, JobWanted, LookNow, RowChosen
from console.output import TerminalBehind
from console.panes.pane import Pane
from console.panes.shelf import Shelf
from console.registry import QUITS
from console.seen import OVERLAYS, Ask, Beside, LogPart, Seen, View
from console.views.frame import folded, key_bar, tabs
from console.views.vitals import vitals
from console.widgets.lines import Lines
from runner.snapshot import Job, JobStatus

FLASH_S = 8.0
"""How long something said stays; what went wrong stays four times as long."""


WIDE = 120
"""Columns from which on an open job stands beside its list."""
LISTS = (View.JOBS, View.DEAD)


class Board(Screen[None]):
    """Draws what was seen, and knows which pane is open."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(view.value, f"open('{view.name}')", show=False) for view in View if view is not View.JOB),
        Binding("k", "app.kill", show=False),
        Binding("K", "app.force", show=False),
        Binding("u", "app.resume", show=False),
        Binding("r", "app.replay", show=False),
        Binding("z", "app.undo", show=False),
        Binding("y", "copy", show=False),
        Binding("dollar_sign", "app.raise_cap", show=False),
        Binding("question_mark", "app.help", show=False),
        Binding("colon", "app.palette", show=False),
        Binding("ctrl+e", "fold_vitals", show=False),
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
        """A stop of ours is on its way to the database, or no look has seen it there yet."""
        self._monotonic = monotonic
        self._vitals, self._tabs = Lines(look, id="vitals"), Lines(look, id="tabs")
        self._flash, self._keys = Lines(look, id="flash"), Lines(look, id="keys")
        self._body = Vertical(id="body")
        self._log_so_far = LogPart(fresh=True)
        """What the log has gained so far, for panes that come later."""
        self.panes = Shelf(look, monotonic, self._add)
        self._mounting: list[AwaitMount] = []
        """Panes that are on their way to the screen."""
        self._trail: list[View] = []
        """What lies under an open job or overlay, the top last, each view once: the way back."""
        self._keys_of: tuple[View, bool, int] | None = None
        """What the bar of keys was drawn for."""
        self._flash_until = 0.0
        self.made = Event()
        """All of it is there."""
        self._folded = False
        """Of the vitals only the line that matters most is shown."""

    def compose(self) -> ComposeResult:
        yield self._vitals
        yield self._tabs
        with self._body:
            yield self.pane
        yield self._flash
        yield self._keys

    def on_mount(self) -> None:
        self._show_body()
        self.made.set()

    def on_resize(self) -> None:
        self._place_body()
        if self.seen is not None:
            self.draw_edges()
            self._draw_body(self.seen)

    # --- what is seen ---------------------------------------------------------------------------------------------

    @property
    def pane(self) -> Pane:
        """The open one."""
        return self.panes[self.view]

    @property
    def beside(self) -> Pane | None:
        """The list that the open job stands beside, where there is room for both."""
        under = self._trail[-1] if self._trail and self.view is View.JOB else None
        return self.panes[under] if under in LISTS and self.size.width >= WIDE else None

    @property
    def lies_over(self) -> bool:
        """Whether the open pane lies over another one."""
        return bool(self._trail)

    @property
    def ask(self) -> Ask:
        """What the open pane needs read, or two side by side."""
        left = self.beside
        return self.pane.ask if left is None else Beside(left=left.ask, right=self.pane.ask)

    def see(self, seen: Seen) -> None:
        """Draw a look at the home. What belongs to a pane that was left meanwhile is not drawn."""
        if self.seen is not None and self.seen.generation != seen.generation:
            self._forget()
        self.seen = seen
        if self.panes.missing():
            self._log_so_far = seen.log.after(self._log_so_far)
        for pane in self.panes.values():
            pane.take(seen.log)
        self.draw_edges()
        self._draw_body(seen)

    def _draw_body(self, seen: Seen) -> None:
        left = self.beside
        if seen.ask != self.ask:
            return
        if left is None:
            self.pane.draw(seen)
            return
        listed, opened = seen.sides()
        left.draw(listed)
        self.pane.draw(opened)

    def draw_edges(self) -> None:
        """Draw vitals, tabs and keys."""
        width = self.size.width
        if self.seen is None or width <= 0:
            return
        board = vitals(self.seen, width, self.look, place=self.place, readonly=self.readonly, sending=self.sending)
        self._vitals.show_lines((folded(self.seen, board, sending=self.sending),) if self._folded else board)
        self._tabs.show_lines((tabs(self.seen, self.view, width, self.look),))
        keys_of = (self.view, self.pane.typing, width)
        if self._keys_of != keys_of:
            self._keys_of = keys_of
            self._keys.show_lines((key_bar(self.pane, width, readonly=self.readonly),))

    def flash(self, text: str, *, bad: bool = False) -> None:
        """Say one thing on the flash line."""
        said = line((f" {text}", Role.BAD if bad else Role.STRONG))
        self._flash.show_lines((fit(said, self.size.width, self.look),))
        self._flash_until = self._monotonic() + (4 * FLASH_S if bad else FLASH_S)

    def fade(self) -> None:
        """Take back what was said long enough."""
        if self._monotonic() > self._flash_until:
            self._flash.show_lines(())

    def _forget(self) -> None:
        for pane in self.panes.values():
            pane.forget()
        self._trail = [view for view in self._trail if view is not View.JOB]
        if self.view is View.JOB:
            self._open(self._trail.pop() if self._trail else View.HOME)

    # --- what is meant --------------------------------------------------------------------------------------------

    def targets(self) -> tuple[Job, ...]:
        """The dead jobs a replay means now: the marked ones, the one under the cursor, or the one that is open."""
        return tuple(job for job in self.pane.targets() if job.status is JobStatus.DEAD)

    def action_open(self, name: str) -> None:
        if self.view is View[name]:
            self.pane.open_again()
        if View[name] in OVERLAYS:
            self._lay_over(View[name])
            return
        self._trail = []
        self._open(View[name])

    def action_back(self, quits: bool) -> None:
        if self._trail:
            self._open(self._trail.pop())
        elif quits:
            self.app.exit()
        else:
            self.flash(f"q {QUITS}")

    def action_fold_vitals(self) -> None:
        """Give the room of the vitals to the pane, or take it back. A stop is shown all the same."""
        self._folded = not self._folded
        self._vitals.styles.height = 1 if self._folded else 4
        self.draw_edges()

    def action_no_move(self) -> None:
        self.flash("arrows move; k = KILL")

    def on_row_chosen(self, message: RowChosen) -> None:
        if isinstance(message.id, int):
            self._open_job(message.id)

    def on_job_wanted(self, message: JobWanted) -> None:
        self._open_job(message.key)

    def _open_job(self, job: int | str) -> None:
        self.panes[View.JOB].show_job(job)
        self._lay_over(View.JOB)

    def action_copy(self) -> None:
        """Give the key under the cursor, or the marked ones, to the clipboard of the person's terminal."""
        keys = self.pane.copies()
        if not keys:
            self.flash("y copies the key of the job under the cursor: there is none")
            return
        try:
            self.app.copy_to_clipboard(" ".join(one_line(key) for key in keys))
        except TerminalBehind:
            self.flash("not copied: the terminal does not keep up", bad=True)
        else:
            self.flash(f"copied {keys[0]}" if len(keys) == 1 else f"copied {len(keys)} keys, a blank between them")

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        """Keys are for the open job, also after a click into the list beside it."""
        if self.beside is not None and self.beside in event.widget.ancestors:
            self.pane.open()

    def on_flash(self, message: Flash) -> None:
        self.flash(message.text, bad=message.bad)

    def _lay_over(self, view: View) -> None:
        """Open a view that q leads back from. One overlay takes the place of the other."""
        self._trail = [one for one in self._trail if one is not view]
        if self.view is not view and not (self.view in OVERLAYS and view in OVERLAYS):
            self._trail.append(self.view)
        self._open(view)

    def _open(self, view: View) -> None:
        self.view = view
        self._show_body()
        self.draw_edges()
        self.post_message(LookNow())

    def _show_body(self) -> None:
        self._place_body()
        if self.pane.ready:
            self.pane.open()

    def _place_body(self) -> None:
        shown = (self.pane, self.beside)
        for one in self.panes.values():
            one.display = one in shown
        self._body.set_class(self.beside is not None, "-beside")

    def _add(self, pane: Pane) -> None:
        pane.display = pane.view is self.view
        pane.take(self._log_so_far)
        if self._body.is_attached:
            self._mounting.append(self._body.mount(pane))

    async def make_next(self) -> bool:
        """Make one of the panes that nobody asked for yet; False: there is none."""
        view = self.panes.missing()
        if view is None or not self.is_attached:
            return False
        _ = self.panes[view]
        await self.settle()
        return True

    async def settle(self) -> None:
        """Wait until the panes that are made take keys, whoever else waits for them too."""
        while self._mounting:
            mounting = self._mounting[0]
            await mounting
            if mounting in self._mounting:  # not before: a key that comes meanwhile has to wait as well
                self._mounting.remove(mounting)
