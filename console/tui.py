"""The program on the terminal: one tick, the acts, and what is said about them."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.filter import LineFilter
from textual.screen import Screen

from console import terminal
from console.acts import Acts
from console.clean import clean
from console.feed import Feed
from console.format import exact_age, place
from console.look import ASCII, UNICODE, Look
from console.messages import (
    Do,
    Done,
    Flash,
    ForceAsked,
    KillEnded,
    Looked,
    LookNow,
    Plan,
    Planned,
    ResumeEnded,
)
from console.output import ThriftyApp
from console.registry import QUITS, commands
from console.replays import Replays
from console.screens.board import Board
from console.screens.question import Question
from console.seen import Seen
from console.theme import Scrubber
from console.watch import Watch
from runner.home import Home
from runner.units import Clock, SystemClock

ESC_K = "alt+k"
"""What a terminal and tmux make of Esc and k in quick succession: the kill is meant, and the Esc before it."""
KILLS = ("k", "f9", ESC_K)
"""They wait for nothing."""
CHECK_S = 1.0
NO_LOOK = sys.maxsize
"""Number of a look that was not asked for yet."""
PICTURE_S = 0.02
"""Longer than a picture takes."""
FINISH_S = 1.5
OVERDUE_S = 2.0
"""A kill that takes longer than this is told with the command that does the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the console was started."""

    look: Look = UNICODE
    readonly: bool = False
    """No key changes anything."""


class ConsoleApp(ThriftyApp[None]):
    """Wires the feed to the board and the keys to the acts."""

    CSS_PATH = Path(str(resources.files("styles") / "console.tcss"))  # absolute: works from any directory
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f9", "kill", priority=True, show=False),
        Binding(ESC_K, "leave_and_kill", priority=True, show=False),
        Binding("ctrl+c", "how_to_quit", priority=True, show=False),
        Binding("ctrl+l", "draw_anew", priority=True, show=False),
    ]

    def __init__(
        self,
        home: Home,
        *,
        db: Path | None = None,
        options: Options | None = None,
        clock: Clock | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        made: Callable[[], object] = lambda: None,
    ) -> None:
        """`made`: called once all panes are."""
        super().__init__(ansi_color=True)
        self.options = options or Options()
        self.theme = "ansi-dark"
        self._colours = self.get_css_variables()
        self.stylesheet.set_variables(self._colours)
        self.set_class(self.options.look is ASCII, "-ascii")
        self.animation_level = "none"
        self.home = home
        self._made = made
        self.clock = clock or SystemClock()
        self.monotonic = monotonic
        self.feed = Feed(home, db=db)
        self.acts = Acts(home, db=db, clock=self.clock, tell=self.post_message)
        where = place(home.root, os.environ.get("HOME", ""))
        self.board = Board(self.options.look, monotonic, place=where, readonly=self.options.readonly)
        self.replays = Replays(self.options.look, monotonic)
        self.seen = Seen(at=self.clock.now())
        self._scrubber = Scrubber()
        self.watch_home = Watch(self.feed, self.clock, self.post_message, ask=self.board.ask)
        self.looked = 0
        """Number of the look that is on the screen."""
        self._killing = 0
        """Kills on their way to the database."""
        self._kill_began = 0.0
        self._killed_at: int | None = None
        """The look asked for when a kill of ours was recorded; None again once it or a later one sees no stop."""

    def get_line_filters(self) -> Sequence[LineFilter]:
        return [*super().get_line_filters(), self._scrubber]

    def refresh_css(self, animate: bool = True) -> None:
        """Read the styles again if they would say something else: at the start they never do."""
        if self.get_css_variables() != self._colours:
            self._colours = self.get_css_variables()
            super().refresh_css(animate)

    def get_default_screen(self) -> Screen[None]:
        return self.board  # the library's own, below it, would be laid out and drawn first

    async def on_mount(self) -> None:
        await self.board.made.wait()
        self._see(self.feed.read(self.board.ask, now=self.clock.now()))
        self.call_after_refresh(self._make_rest)
        self.watch_home.start()
        self.set_interval(CHECK_S, self._check)

    async def _make_rest(self) -> None:
        """Load and make what the first picture did not wait for, a pane at a time: a key goes before the next one."""
        if not self.options.readonly:
            self.acts.load()
            self.acts.renew(warm=self.seen.trouble is None)
        await self._make_next()

    async def _make_next(self) -> None:
        if await self.board.make_next():
            self.call_later(self._make_next)
        else:
            self._made()

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Key) and event.key not in KILLS and self.board.is_attached:
            await self.board.settle()  # or what is pressed next would find no pane that takes it
        await super().on_event(event)

    def on_app_blur(self) -> None:
        self.watch_home.slow = True

    def on_app_focus(self) -> None:
        self.watch_home.slow = False

    def on_unmount(self) -> None:
        self.watch_home.stop()

    def finish(self) -> None:
        """After the screen is gone: a kill pressed just before must still arrive."""
        self.acts.wait(FINISH_S)
        self.feed.close()

    # --- looking --------------------------------------------------------------------------------------------------

    def _check(self) -> None:
        """What must be noticed even while no look comes to its end."""
        if not self.is_headless and terminal.lost(sys.__stdin__):
            self.exit()
        self.board.fade()
        if self._killing and self.monotonic() - self._kill_began > OVERDUE_S:
            self._kill_began = self.monotonic() + 3600  # said once
            self.board.flash(f"the database does not answer; in another terminal: {self._cli('kill --now')}", bad=True)

    def on_look_now(self, _: LookNow) -> None:
        self.look()

    def look(self) -> int:
        """Look at the home now; the number of the look."""
        return self.watch_home.look(self.board.ask)

    def on_looked(self, message: Looked) -> None:
        self.looked = message.number
        self._see(message.seen)

    def _see(self, seen: Seen) -> None:
        before, self.seen = self.seen, seen
        other_file = before.generation not in (0, seen.generation)
        well = seen.trouble is None
        if not self.options.readonly and (other_file or well != (before.trouble is None)):
            self.acts.renew(warm=well)  # only then: opening it brings an older one up to date, and a look must not
        if not self._awaits_kill and not seen.stopped and well:
            self._killed_at = None
        self.board.sending = self._awaits_kill
        self.board.see(seen)
        top = self._top
        if isinstance(top, Question):
            if other_file:
                top.dismiss(False)
            else:
                top.see(seen)
        if other_file:
            self.board.flash("this is another database: marks and questions about the old one are dropped", bad=True)
        elif seen.back_after_ms is not None:
            self.board.flash(f"the database is back after {exact_age(seen.back_after_ms)}")

    @property
    def _top(self) -> Screen[object] | None:
        """The screen that has the keys; None: the program is ending, and what threads tell still comes."""
        return self.screen_stack[-1] if self.screen_stack else None

    # --- acts -----------------------------------------------------------------------------------------------------

    @property
    def _awaits_kill(self) -> bool:
        """Whether a kill of ours is under way, or recorded and not seen yet."""
        return self._killing > 0 or (self._killed_at is not None and self.looked < self._killed_at)

    def action_kill(self) -> None:
        """Stop everything at once. A second time it cuts the grace; it is never a toggle."""
        if self._refused("k"):
            return
        again = self._killing > 0 or self._killed_at is not None or self.seen.stopped
        if not self._killing:
            self._kill_began = self.monotonic()
        self._killing += 1
        self.acts.kill(now=again)  # before anything is drawn
        self.board.sending = self._awaits_kill
        self.board.draw_edges()
        self.board.flash("stop sent, without grace" if again else "stop sent")

    def action_leave_and_kill(self) -> None:
        """Stop everything, and leave what Esc leaves."""
        self.action_kill()
        if self.screen is not self.board or self.board.pane.typing or self.board.lies_over:
            self.simulate_key("escape")

    def on_kill_ended(self, message: KillEnded) -> None:
        self._killing -= 1
        if message.killed is None:
            self.board.flash(f"{message.error}; try {self._cli('kill --now')}", bad=True)
        else:
            self._killed_at = NO_LOOK
            self.set_timer(PICTURE_S, self._look_after_kill)  # a look beside the picture would make both take longer
            if message.killed.failed:
                self.board.flash(f"stopped by the STOP file; but {'; '.join(message.killed.failed)}", bad=True)
            else:
                key = "F9" if self._top is not self.board or self.board.pane.typing else "k"
                again = f"stop recorded; {key} again cuts calls in flight"
                self.board.flash("stop recorded, without grace" if message.now else again)
        self.board.sending = self._awaits_kill
        self.board.draw_edges()

    def _look_after_kill(self) -> None:
        if self._killed_at is not None:
            self._killed_at = self.look()

    def action_force(self) -> None:
        """Ask whether to end the runner's processes from outside."""
        if self._refused("K"):
            return
        from console.screens.force import ForceQuestion  # noqa: PLC0415 - the first picture does not wait for it

        question = ForceQuestion(self.seen, self.options.look, self.monotonic)

        def answered(yes: bool | None) -> None:
            if yes and question.targets is not None:
                self.board.flash("stop sent; ending them")
                self.acts.force(question.targets)
            elif question.fault:
                self.board.flash(f"not forced: {question.fault}", bad=True)
            else:
                self.board.flash("left as they are; k stops without ending them")

        self.push_screen(question, answered)
        self.acts.force_targets()

    def on_force_asked(self, message: ForceAsked) -> None:
        from console.screens.force import ForceQuestion  # noqa: PLC0415

        question, targets = self._top, message.targets
        if not isinstance(question, ForceQuestion) or question.targets is not None:
            return  # it was left meanwhile
        if targets is not None and targets.processes:
            question.found(targets)
            return
        refused = targets.refused if targets is not None else ()
        question.fault = message.error or "; ".join(refused) or "nothing of this home runs here"
        question.dismiss(False)

    def action_resume(self) -> None:
        """Ask whether to clear the stop."""
        if self._refused("u"):
            return
        if not self.seen.stopped and self.seen.trouble is None and not self._killing:
            self.board.flash("nothing is stopped: there is nothing to resume")
            return
        from console.screens.resume import ResumeQuestion  # noqa: PLC0415

        self.push_screen(ResumeQuestion(self.seen, self.options.look, self.monotonic), self._resume)

    def _resume(self, yes: bool | None) -> None:
        if yes:
            self.acts.resume()
        else:
            self.board.flash("left stopped")

    def on_resume_ended(self, message: ResumeEnded) -> None:
        resumed = message.resumed
        if resumed is None:
            self.board.flash(f"not resumed: {message.error}", bad=True)
        elif resumed.remaining:
            self.board.flash(f"still stopped by {'; '.join(resumed.remaining)}", bad=True)
        else:
            self._killed_at = None
            self.board.flash("resumed" if resumed.cleared else "nothing was stopped any more")
        self.look()

    def action_raise_cap(self) -> None:
        """Ask for a higher cap of today, and why."""
        if self._refused("$"):
            return
        from console.screens.raising import raise_of  # noqa: PLC0415

        self.on_do(raise_of(self.seen, self.options.look, self.monotonic))

    def action_replay(self) -> None:
        """Replay what is marked or under the cursor, after asking where it may cost or repeat something."""
        letters = self.board.pane.letters()
        if self._refused("r"):
            return
        if letters is None:
            self.board.pane.say_unmeant("r replays dead jobs: 3 lists them, arrows choose one")
        else:
            self._next(self.replays.replay(letters, self.seen))

    def action_undo(self) -> None:
        """Take back the last replay, as far as nothing was claimed."""
        self._next(self.replays.undo(self.seen))

    def on_plan(self, message: Plan) -> None:
        """Look up what has to be known before it is asked about."""
        if not self._refused(message.key):
            self.acts.plan(self.feed, message, generation=self.seen.generation)

    def on_planned(self, message: Planned) -> None:
        if message.known is None:
            self.board.flash(f"not done: {message.error}", bad=True)
        elif message.generation != self.seen.generation or self._top is not self.board:
            self.board.flash("not done: the screen changed meanwhile")
        else:
            self._next(message.plan.then(message.known))

    def _next(self, message: Do | Plan | Flash) -> None:
        if isinstance(message, Do):
            self.on_do(message)
        elif isinstance(message, Plan):
            self.on_plan(message)
        else:
            self.board.on_flash(message)

    def on_do(self, message: Do) -> None:
        """Do what a pane wants done, after asking where it wants that asked."""
        if self._refused(message.key):
            return
        if message.question is None:
            self.acts.do(message.act, failed=message.failed)
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self.acts.do(message.act, failed=message.failed)
            else:
                self.board.flash(message.left)

        self.push_screen(message.question, answered)

    def on_done(self, message: Done) -> None:
        self.board.flash(message.said.text, bad=message.said.bad)
        self.look()

    def action_help(self) -> None:
        from console.screens.help import Help  # noqa: PLC0415

        self.push_screen(Help(self.board.pane, self.options.look, readonly=self.options.readonly))

    def action_palette(self) -> None:
        from console.screens.palette import Palette  # noqa: PLC0415 - the first picture does not wait for it

        def chosen(press: str | None) -> None:
            if press:
                self.simulate_key(press)

        self.push_screen(Palette(commands(self.board.pane, readonly=self.options.readonly), self.options.look), chosen)

    def action_draw_anew(self) -> None:
        self.redraw_all()

    def action_how_to_quit(self) -> None:
        self.board.flash(f"q {QUITS}")

    def _refused(self, key: str) -> bool:
        if self.options.readonly:
            self.board.flash(f"{key} is off: started with --readonly")
        return self.options.readonly

    def _cli(self, verb: str) -> str:
        return f"afk-runner {verb} --home {clean(str(self.home.root))}"
