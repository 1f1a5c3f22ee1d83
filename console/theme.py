"""Roles as colours: the terminal's own sixteen, one accent, and none of them the only bearer of a meaning."""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter
from textual.strip import Strip

from console.clean import clean
from console.line import Line, width_of
from console.look import Role

STYLES: dict[Role, Style] = {
    Role.PLAIN: Style(),
    Role.DIM: Style(dim=True),
    Role.STRONG: Style(bold=True),
    Role.ACCENT: Style(color="cyan", bold=True),
    Role.GOOD: Style(color="green"),
    Role.WARN: Style(color="yellow", bold=True),
    Role.BAD: Style(color="red", bold=True),
    Role.STOP: Style(color="red", bold=True, reverse=True),
    Role.CURSOR: Style(color="cyan", reverse=True),
    Role.GONE: Style(dim=True, strike=True),
}


def strip_of(line: Line, width: int) -> Strip:
    """The line as the screen draws it, in exactly `width` cells."""
    segments = [Segment(span.text, STYLES[span.role]) for span in line]
    return Strip(segments, width_of(line)).adjust_cell_length(width, Style())


class Scrubber(LineFilter):
    """The second belt: whatever slipped past `clean`, a widget of the library included, is made visible here.

    Lines get longer by that, which may look wrong, but a terminal never obeys it.
    """

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002 - the library's signature
        if all(segment.control or segment.text.isprintable() for segment in segments):
            return segments
        return [_scrubbed(segment) for segment in segments]


def _scrubbed(segment: Segment) -> Segment:
    text, style, control = segment
    return segment if control else Segment(clean(text).replace("\n", "\\n"), style)


def texts(strips: Sequence[Strip]) -> list[str]:
    """What strips say, for tests and for copying."""
    return [strip.text for strip in strips]
