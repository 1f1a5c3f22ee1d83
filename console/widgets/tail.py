"""The log: it follows, until somebody reads it; then it stays where it was left and counts what is new.

It holds a run of events without a gap, so that whoever scrolls, searches or jumps misses none; what it does not hold
it wants from the database, by id. Place and cursor are ids too: what comes and what goes moves no text.
"""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from console.box import NEWEST, Box
from console.format import count
from console.line import Line, line
from console.logbook import LEVELS, LogPage, Run, Sieve, Want, begun, nearest
from console.look import Look, Role
from console.messages import Flash, LookNow
from console.seen import LogPart
from console.views.log import LEVEL_WORDS, event_lines, log_title
from console.widgets.lines import Lines
from runner.snapshot import Event

KEEP = 5_000
"""Events held while it follows, and twice as many while somebody reads; others are read from the database again."""
NEAR = 50
"""Events before an end of the run at which more are wanted."""


class Tail(Lines, can_focus=True):
    """Draws the events that end at the bottom of its box."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,ctrl+p", "move(-1)", show=False),
        Binding("down,ctrl+n", "move(1)", show=False),
        Binding("pageup", "move_page(-1)", show=False),
        Binding("pagedown,space", "move_page(1)", show=False),
        Binding("home", "oldest", show=False),
        Binding("end,f", "follow", show=False),
        Binding("w", "wrap", show=False),
    ]

    def __init__(
        self, look: Look, *, id: str | None = None, keep: int = KEEP, hint: str = "", reads: bool = False
    ) -> None:
        """`reads`: it may be filtered and searched, and asks for what it does not hold."""
        super().__init__(look, id=id)
        self.want: Want | None = None
        """What it needs from the database."""
        self.sieve = Sieve()
        self.sought = ""
        self._keep = keep
        self._hint = hint
        self._reads = reads
        self._live = Run()
        """The newest events, of every kind."""
        self._run = Run()
        """Those that are shown or near: it touches the live ones while it follows."""
        self._box = Box(room=self._room, height=self._height)
        self._beyond = 0
        """Events newer than the run."""
        self._beyond_more = False
        """And some that were not even counted."""
        self._skipped = 0
        self._wrapped = False

    @property
    def following(self) -> bool:
        """Whether new events move the text."""
        return self._box.cursor is None

    @property
    def current(self) -> Event | None:
        """The event under the cursor, as it is shown."""
        return self._box.current(self._run)

    # --- what comes -----------------------------------------------------------------------------------------------

    def take(self, part: LogPart) -> None:
        """Add what the log has gained."""
        if part.fresh:
            self.sieve = Sieve(level=self.sieve.level)
            self._run = Run()
            self._box.follow()
            self._beyond, self._beyond_more, self._skipped, self.want = 0, False, 0, None
        if not part.fresh and not part.events:
            return
        before = self._live
        self._live = begun(part, before).newest(self._keep)
        self._skipped += part.skipped
        gained = Run(before.upto, self._live.upto, part.events).sieved(self.sieve)
        if part.fresh or (self.following and (part.skipped or not self._run.touches(gained))):
            self._run = self._live.sieved(self.sieve)
        elif not part.skipped and self._run.upto >= before.upto:
            self._run = self._run.joined(gained)
        else:
            self._beyond += len(gained.events)
            self._beyond_more |= part.skipped > 0
        self._trim()
        self.redraw()

    def arrive(self, want: Want, page: LogPage) -> None:
        """Take what was read from the database."""
        if want != self.want:
            return
        self.want = None
        run = page.run
        if run is None or (want.seeks and page.hit is None):
            self._flash(f"no {'older' if want.before is not None else 'newer'} {self._sought_word(want)}")
        elif self._run.touches(run) and not want.around:
            self._run = self._run.joined(run)
        elif want.seeks or want.around or want.after == 0:
            self._run = run
            self._beyond, self._beyond_more = 0, True
        self._join_live()
        if want.after == 0 and self._run.events:
            self._go(0)
        elif page.hit is not None and run is not None:
            if want.around:
                self._box.bottom = NEWEST
            self._go(self._run.place(page.hit), middle=True)
        elif self._box.cursor is not None and self.current is None:
            self._go(self._run.place(self._box.cursor))  # what it was on is left out now: on to what is shown nearest
        self._trim()
        self.redraw()
        self._tell(LookNow())

    # --- keys -----------------------------------------------------------------------------------------------------

    def action_move(self, by: int) -> None:
        self._stay()
        if self._box.cursor is None:
            if by < 0:
                self._hold()
            return
        if self._scroll_inside(by):
            return
        self._step(by)

    def action_move_page(self, pages: int) -> None:
        self._stay()
        if self._box.cursor is None and pages > 0:
            return
        if self._box.cursor is None:
            self._hold()
        elif self._scroll_inside(pages * max(1, self._room() - 1)):
            return
        self._step(pages * max(1, self._box.seen_whole(self._run) - 1))

    def action_oldest(self) -> None:
        if self._run.since and self._reads:
            self._wish(Want(sieve=self.sieve, after=0))
        elif self._run.events:
            self._go(0)

    def action_follow(self) -> None:
        self._box.follow()
        self._skipped = 0
        if self.want is not None:
            self.want = None
            self._tell(LookNow())
        self._join_live()
        if self._run.upto < self._live.upto:
            self._run = self._live.sieved(self.sieve)
        self._beyond, self._beyond_more = 0, False
        self._trim()
        self.redraw()

    def action_wrap(self) -> None:
        self._wrapped = not self._wrapped
        self._box.inside = 0
        self._box.keep_in_sight(self._run)
        self.redraw()

    # --- filter and search ----------------------------------------------------------------------------------------

    def next_level(self) -> str:
        """Leave out the milder events, then go round; the word for what is shown."""
        level = LEVELS[(LEVELS.index(self.sieve.level) + 1) % len(LEVELS)]
        self._sift(Sieve(level=level, job=self.sieve.job))
        return LEVEL_WORDS[level]

    def only_job(self, job: str | None) -> None:
        """Show only what is told of this job; None: of all."""
        self._sift(Sieve(level=self.sieve.level, job=job))

    def search(self, text: str) -> None:
        """Mark this text where it stands, and go to the nearest, looking back."""
        self.sought = text
        if text:
            here = self.current
            if here is None or nearest((here,), text=text) is None:
                self.seek(forward=False)
        self.redraw()

    def seek(self, *, forward: bool, errors: bool = False) -> None:
        """Go to the next or previous event with the text, or error. From the end both look back."""
        text = None if errors else self.sought
        forward = forward and self._box.cursor is not None
        if text == "":
            self._flash("/ searches first")
            return
        self._join_live()
        events = self._run.events
        index = self._run.place(self._box.cursor) if self._box.cursor is not None else len(events)
        found = nearest(events[index + 1 :] if forward else reversed(events[:index]), text=text)
        if found is not None:
            self._go(self._run.place(found.id), middle=True)
        elif forward and self._run.upto < self._live.upto:
            self._wish(Want(sieve=self.sieve, after=self._run.upto, text=text, errors=errors))
        elif not forward and self._run.since:
            self._wish(Want(sieve=self.sieve, before=self._run.since + 1, text=text, errors=errors))
        else:
            self._flash(f"no {'newer' if forward else 'older'} {f'/{text}' if text else 'error'}")

    def _sift(self, sieve: Sieve) -> None:
        finer, self.sieve, self.want = sieve.within(self.sieve), sieve, None
        live = self._live.sieved(sieve)
        if self._box.cursor is None:
            self._run = live
        elif finer:
            self._run = self._run.sieved(sieve)
        elif self._box.cursor > self._live.since:
            self._run, self._beyond, self._beyond_more = live, 0, False
        else:
            self._wish(Want(sieve=sieve, before=self._box.cursor, around=True))
        self._beyond_more |= self._beyond > 0  # how many of them pass is not known
        self._beyond = 0
        if self._box.cursor is not None and self._run.events:
            self._go(max(0, self._run.place(self._box.cursor)))
        self.redraw()

    def _sought_word(self, want: Want) -> str:
        return "error" if want.errors else f"/{want.text}" if want.text else "event"

    # --- place ----------------------------------------------------------------------------------------------------

    def _stay(self) -> None:
        """A hand moves: a jump that still waits for the database would come as a surprise."""
        if self.want is not None and (self.want.seeks or self.want.after == 0):
            self.want = None
            self._tell(LookNow())

    def _hold(self) -> None:
        self._box.hold(self._run)
        self.redraw()

    def _step(self, by: int) -> None:
        """Move the cursor; below the newest event it follows again."""
        self._join_live()
        index = self._run.place(self._box.cursor or 0)
        if by > 0 and index == len(self._run.events) - 1 and self._run.upto >= self._live.upto:
            self.action_follow()
        else:
            self._go(index + by, back=by < 0)

    def _go(self, index: int, *, back: bool = False, middle: bool = False) -> None:
        """Put the cursor on this event, and the box where it is seen."""
        self._box.go(self._run, index, back=back, middle=middle)
        self.redraw()

    def _scroll_inside(self, by: int) -> bool:
        """Move within an event that is longer than the box; False when the cursor has to move."""
        scrolled = self._box.scroll_inside(self._run, by)
        if scrolled:
            self.redraw()
        return scrolled

    # --- the run --------------------------------------------------------------------------------------------------

    def _join_live(self) -> None:
        live = self._live.sieved(self.sieve) if self._run.upto < self._live.upto else None
        if live is not None and self._run.touches(live):
            self._run = self._run.joined(live)
        if self._run.upto >= self._live.upto:
            self._beyond, self._beyond_more = 0, False

    def _trim(self) -> None:
        if self._box.cursor is None:
            self._run = self._run.newest(self._keep)
        elif len(self._run.events) > 2 * self._keep:
            bottom = self._box.last(self._run)
            cut = self._run.oldest(bottom + self._keep)
            self._beyond += len(self._run.events) - len(cut.events)
            self._run = cut.newest(self._keep + min(bottom, self._keep))

    def _fetch(self) -> None:
        """Wish for older or newer events before they are missed."""
        if not self._reads or self.want is not None:
            return
        events, bottom = self._run.events, self._box.last(self._run)
        if self._run.since and bottom < max(NEAR, 2 * self._room()):
            self._wish(Want(sieve=self.sieve, before=self._run.since + 1))
        elif self._box.cursor is not None and bottom >= len(events) - NEAR and self._run.upto < self._live.upto:
            self._join_live()
            if self._run.upto < self._live.upto:
                self._wish(Want(sieve=self.sieve, after=self._run.upto))

    def _wish(self, want: Want) -> None:
        self.want = want
        self._tell(LookNow())

    # --- drawing --------------------------------------------------------------------------------------------------

    def redraw(self) -> None:
        """Draw the events that end at the bottom."""
        width = self.size.width
        if width <= 0:
            return
        self._fetch()
        lines: list[Line] = [self._title(width)]
        shown = self._box.lines(self._run, self._lines)
        lines += shown
        if not shown:
            lines.append(line((f"   {self._nothing()}", Role.DIM)))
        self.show_lines(tuple(lines))

    def on_resize(self) -> None:
        self._box.keep_in_sight(self._run)
        self.redraw()

    def _lines(self, event: Event) -> tuple[Line, ...]:
        cursor = event.id == self._box.cursor
        return event_lines(event, self.size.width, self.look, cursor=cursor, sought=self.sought, wrapped=self._wrapped)

    def _height(self, event: Event) -> int:
        return len(event_lines(event, self.size.width, self.look, wrapped=True)) if self._wrapped else 1

    def _title(self, width: int) -> Line:
        below = len(self._run.events) - 1 - self._run.place(self._box.bottom)
        return log_title(
            width,
            self.look,
            sieve=self.sieve if self._reads else None,
            held=not self.following,
            newer=f"{count(below + self._beyond)}{'+' if self._beyond_more else ''}",
            sought=self.sought,
            wrapped=self._wrapped,
            skipped=self._skipped,
            hint=self._hint,
        )

    def _nothing(self) -> str:
        if self.want is not None:
            return "not read yet"
        if self.sieve == Sieve():
            return "nothing was logged yet"
        told = "" if self.sieve.level == "info" else f" of {LEVEL_WORDS[self.sieve.level]}"
        return f"nothing{told}{f' of job {self.sieve.job}' if self.sieve.job else ''} is kept"

    def _flash(self, text: str) -> None:
        self._tell(Flash(text))

    def _tell(self, message: Message) -> None:
        # The sender is otherwise whoever called us: a message does not go on from the pane that sent it.
        self.post_message(message.set_sender(self))

    def _room(self) -> int:
        return max(0, self.size.height - 1)
