"""The palette: any act or view by its name. It presses the key for a person, so an act asks what it always asks."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.app import ComposeResult
from textual.screen import ModalScreen

from console.clean import clean
from console.line import EMPTY, Line, cell, fit, line, spread
from console.look import Look, Role
from console.registry import Command, matching
from console.widgets.lines import Lines

LONGEST = 40
"""Characters that may be typed."""
MOST = 12
"""Lines of the list."""
WIDEST = 96
NAME = 24
_MOVES = {"up": -1, "down": 1, "ctrl+p": -1, "ctrl+n": 1, "pageup": -MOST, "pagedown": MOST, "home": -999, "end": 999}


class Palette(ModalScreen[str]):
    """Dismisses with the key to be pressed; with the empty text when it was left.

    Every letter is text, `k` too: F9 stops everything from in here. What is pasted arrives nowhere.
    """

    def __init__(self, commands: Sequence[Command], look: Look) -> None:
        super().__init__()
        self.look = look
        self.typed = ""
        self._commands = tuple(commands)
        self._found = self._commands
        self._at = 0
        self._top = 0
        self._box = Lines(look, id="palette")

    def compose(self) -> ComposeResult:
        yield self._box

    def on_mount(self) -> None:
        self.redraw()

    def on_resize(self) -> None:
        self.redraw()

    @property
    def chosen(self) -> Command | None:
        """What Enter would do."""
        return self._found[self._at] if self._found else None

    def redraw(self) -> None:
        """Draw the line that is typed and the list; the box keeps its size whatever is found."""
        width = max(20, min(WIDEST, self.size.width - 2))
        rows = max(1, min(MOST, self.size.height - 10, len(self._commands)))
        self._top = max(0, min(self._top, self._at, len(self._found) - rows), self._at - rows + 1)
        shown = self._found[self._top : self._top + rows]
        lines = [self._row(one, place + self._top == self._at, width - 2) for place, one in enumerate(shown)]
        if not shown:
            lines = [line(("   nothing is called that", Role.DIM))]
        lines += [EMPTY] * (rows - len(lines))
        ways = line(
            ("Enter", Role.ACCENT), " does it  ", ("Esc", Role.ACCENT), " leaves  ", ("F9", Role.ACCENT), " kill "
        )
        typing = line((" : ", Role.DIM), (clean(self.typed), Role.STRONG), (self.look.free, Role.DIM))
        self._box.styles.width, self._box.styles.height = width, rows + 3
        self._box.show_lines((spread(typing, ways, width - 2, self.look), *lines))

    def on_key(self, event: events.Key) -> None:
        event.stop()
        event.prevent_default()
        if event.key == "escape":
            self.dismiss("")
        elif event.key == "enter":
            if self.chosen is not None:
                self.dismiss(self.chosen.press or "")
        elif event.key in _MOVES:
            self._at = max(0, min(len(self._found) - 1, self._at + _MOVES[event.key]))
            self.redraw()
        elif event.key in ("backspace", "ctrl+u"):
            self._type(self.typed[:-1] if event.key == "backspace" else "")
        elif event.character and event.is_printable and len(self.typed) < LONGEST:
            self._type(self.typed + event.character)

    def _type(self, text: str) -> None:
        self.typed = text
        self._found = matching(text, self._commands)
        self._at = self._top = 0
        self.redraw()

    def _row(self, command: Command, chosen: bool, width: int) -> Line:
        name = cell(command.name, NAME, self.look)
        key = f"{command.key:>6}  "
        if chosen:
            text = f" {self.look.at} {name}{key}{command.does}"
            return line((cell(text, width, self.look), Role.CURSOR))
        return fit(line(f"   {name}", (key, Role.ACCENT), (command.does, Role.DIM)), width, self.look)
