"""The log: the events of the home, the newest at the bottom; filtered, searched, read back as far as it is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from console.logbook import LogAsk, LogPage
from console.look import Look
from console.messages import Flash, JobWanted, LookNow
from console.panes.pane import Key, Pane
from console.seen import Ask, LogPart, Seen, View
from console.widgets.prompt import Prompt
from console.widgets.tail import Tail


class LogPane(Pane):
    """The tail, which is fed whether or not it is looked at, and the line a search is typed on."""

    view: ClassVar = View.LOG
    keys: ClassVar = (
        Key("f", "Follow", "follows the newest (End too); scrolling up holds the text where it is"),
        Key("l", "Level", "shows all, warnings and errors, or errors"),
        Key("/", "Search", "marks a text and goes to it; n to the next, N to the one before", rank=2),
        Key("e", "Error", "goes to the next error, E to the one before; from the end both look back", rank=4),
        Key("o", "One job", "shows only the job of the line under the cursor, and all again", rank=5),
        Key("w", "", "wraps lines that are longer than the screen"),
        Key("Enter", "", "opens the job of the line under the cursor"),
        Key("y", "", "copies its key"),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("l", "level", show=False),
        Binding("slash", "search", show=False),
        Binding("n", "seek(True, False)", show=False),
        Binding("N", "seek(False, False)", show=False),
        Binding("e", "seek(True, True)", show=False),
        Binding("E", "seek(False, True)", show=False),
        Binding("o", "one_job", show=False),
        Binding("enter", "job", show=False),
    ]

    def __init__(self, look: Look, monotonic: Callable[[], float], *, id: str) -> None:
        super().__init__(look, monotonic, id=id)
        self._tail = Tail(look, id="log-tail", reads=True)
        self._prompt = Prompt(look, id="log-prompt")

    @property
    def ask(self) -> Ask:
        return LogAsk(want=self._tail.want) if self._tail.want is not None else Ask()

    def compose(self) -> ComposeResult:
        yield self._tail
        yield self._prompt

    def open(self) -> None:
        self._prompt.display = False
        self._tail.take_keys()

    @property
    def typing(self) -> bool:
        return bool(self._prompt.display)

    def take(self, part: LogPart) -> None:
        self._tail.take(part)

    def draw(self, seen: Seen) -> None:
        """The tail draws itself when it gains something; here it gains what it asked for."""
        if isinstance(seen.ask, LogAsk) and isinstance(seen.page, LogPage):
            self._tail.arrive(seen.ask.want, seen.page)

    def copies(self) -> tuple[str, ...]:
        event = self._tail.current
        return (event.job,) if event is not None and event.job else ()

    # --- keys -----------------------------------------------------------------------------------------------------

    def action_level(self) -> None:
        self._tail.next_level()

    def action_search(self) -> None:
        self._prompt.display = True
        self._prompt.begin()
        self.post_message(LookNow())

    def action_seek(self, forward: bool, errors: bool) -> None:
        self._tail.seek(forward=forward, errors=errors)

    def action_one_job(self) -> None:
        if self._tail.sieve.job is not None:
            self._tail.only_job(None)
        elif (job := self._job("o shows only the job of a line")) is not None:
            self._tail.only_job(job)

    def action_job(self) -> None:
        if (job := self._job("Enter opens the job of a line")) is not None:
            self.post_message(JobWanted(job))

    def on_prompt_typed(self, message: Prompt.Typed) -> None:
        message.stop()
        self._close_prompt()
        self._tail.search(message.text)

    def on_prompt_left(self, message: Prompt.Left) -> None:
        message.stop()
        self._close_prompt()

    def _close_prompt(self) -> None:
        self.open()
        self.post_message(LookNow())

    def _job(self, does: str) -> str | None:
        """Of the line under the cursor; what is lacking is said."""
        event = self._tail.current
        if event is None:
            self.post_message(Flash(f"{does}: up chooses one"))
        elif event.job is None:
            self.post_message(Flash("this line is about no job"))
        return event.job if event is not None else None
