"""What the keys do here."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

from console.line import EMPTY, Line, line, wrap
from console.look import Look, Role
from console.panes.pane import Pane
from console.registry import EVERYWHERE, QUITS, SCREEN
from console.widgets.text import Text

_INDENT = 14
"""Cells before what a key does."""
_NOTES = (
    ("k again", "cuts the grace of calls that are in flight"),
    ("F9", "the same as k; works while typing and in every dialog"),
)
_MOVES = (
    ("1 to 6", "Home, Jobs, Dead, Approvals, Schedules, Log"),
    ("m b i", "Spend, Breakers, Report, over what is open; q or Esc leads back"),
    ("arrows", "move; PgUp PgDn Home End too. j and k never move"),
    ("q", QUITS),
)
_TELLS = (
    ("?", "behind a number or a state: it may be old; DATA AS OF says of when it is"),
    ("LATE", "the runner missed two heartbeats"),
    ("SILENT", "the runner holds its lock and says nothing: hung or frozen"),
    ("DEAD", "the runner is gone and did not say goodbye"),
    ("PARKED", "the runner lives and does nothing, for a stop"),
)


class Help(ModalScreen[None]):
    """A page of keys; any of q, ?, Esc closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("k", "app.kill", show=False),
        Binding("q,escape,question_mark,enter", "close", show=False),
    ]

    def __init__(self, pane: Pane, look: Look, *, readonly: bool) -> None:
        super().__init__()
        self._text = _Keys(pane, look, readonly=readonly)

    def compose(self) -> ComposeResult:
        yield self._text

    def on_mount(self) -> None:
        self._text.take_keys()

    def action_close(self) -> None:
        self.dismiss(None)


class _Keys(Text):
    """Wrapped to whatever room there is."""

    def __init__(self, pane: Pane, look: Look, *, readonly: bool) -> None:
        super().__init__(look, id="help")
        self._pane = pane
        self._readonly = readonly

    def on_resize(self) -> None:
        self.show(help_lines(self._pane, self.size.width, readonly=self._readonly))


def help_lines(pane: Pane, width: int, *, readonly: bool) -> tuple[Line, ...]:
    """The keys that work in a pane, and the words its states are told in; no sentence is cut."""
    here = tuple((one.key, one.does) for one in pane.keys if not (readonly and one.writes))
    here_too = {key.key for key in pane.keys}
    kill, *others = [(one.key, one.does) for one in EVERYWHERE if one.key not in here_too]
    acts = (("read-only", "nothing can be changed: started with --readonly"),) if readonly else (kill, *_NOTES, *others)
    lines: list[Line] = []
    screen = tuple((one.key, one.does) for one in SCREEN if one.key not in ("q", "?"))
    for title, rows in (("ACTS", acts), ("HERE", here), ("MOVING", _MOVES), ("WORDS", _TELLS), ("SCREEN", screen)):
        if rows:
            lines.append(line((f" {title}", Role.DIM)))
            for key, does in rows:
                said = wrap(does, max(10, width - _INDENT - 1))
                signs = (f"   {key:<{_INDENT - 4}} ", *(" " * _INDENT for _ in said[1:]))
                lines += [line((sign, Role.ACCENT), text) for sign, text in zip(signs, said, strict=True)]
            lines.append(EMPTY)
    return tuple(lines[:-1])
