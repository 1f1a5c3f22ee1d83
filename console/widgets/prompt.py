"""One line that is typed, where a title stands otherwise: a search, a filter."""

from __future__ import annotations

from dataclasses import dataclass

from textual import events
from textual.message import Message

from console.clean import clean, one_line
from console.line import Line, line, width_of
from console.look import Look, Role
from console.widgets.lines import Lines

LONGEST = 200
"""Characters of a line."""


class Prompt(Lines, can_focus=True):
    """Every letter is text while it has the keys, `k` too: F9 stops everything from in here.

    Enter gives the line, Esc leaves it. Nothing that is typed or pasted is anything but text.
    """

    @dataclass
    class Typed(Message):
        """Enter: this is the line."""

        text: str

    @dataclass
    class Changed(Message):
        """The line is another one, and is still typed."""

        text: str

    @dataclass
    class Left(Message):
        """Esc: the line is not wanted."""

    def __init__(self, look: Look, *, id: str | None = None, mark: str = "/") -> None:
        super().__init__(look, id=id)
        self.display = False  # until it is asked for
        self.text = ""
        self._mark = mark
        """What stands before the line."""
        self._hint = ""
        self._told = ""

    def begin(self, text: str = "") -> None:
        """Take the keys, and begin with this."""
        self.text, self._hint, self._told = text, "", ""
        self.take_keys()
        self.redraw()

    def hint(self, rest: str, *, told: str = "") -> None:
        """Show how the line could go on, which Tab takes; `told`: what is wrong with it, or what it means."""
        self._hint, self._told = rest, told
        self.redraw()

    def redraw(self) -> None:
        """Draw the line; of one that is too long its end, for that is where it is typed."""
        width = self.size.width
        text = one_line(self.text)
        head: Line = line((f" {self._mark} ", Role.ACCENT))
        tail: Line = line((self.look.free, Role.ACCENT), (self._hint, Role.DIM), (f"  {self._told}", Role.WARN))
        room = max(1, width - width_of(head) - 1)
        while width_of(line(text)) > room:
            text = text[1:]
        self.show_lines(((*head, *line(text), *tail),))

    def on_resize(self) -> None:
        self.redraw()

    def on_key(self, event: events.Key) -> None:
        event.stop()  # no key means here what it means outside
        event.prevent_default()
        if event.key == "enter":
            self.post_message(self.Typed(self.text))
        elif event.key == "escape":
            self.post_message(self.Left())
        elif event.key == "tab":
            self._set(self.text + self._hint)
        elif event.key == "backspace":
            self._set(self.text[:-1])
        elif event.key == "ctrl+u":
            self._set("")
        elif event.key == "ctrl+w":
            self._set(self.text.rstrip()[: -len(self.text.rstrip().split(" ")[-1]) or None])
        elif event.character and event.is_printable:
            self._set(self.text + event.character)

    def on_paste(self, event: events.Paste) -> None:
        event.stop()
        self._set(self.text + (clean(event.text, LONGEST).splitlines() or [""])[0])

    def _set(self, text: str) -> None:
        text = clean(text[:LONGEST])
        if text == self.text:
            return
        self.text, self._hint, self._told = text, "", ""
        self.redraw()
        self.post_message(self.Changed(text))
