"""A line of the screen: pieces of text with a role each. All widths are terminal cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

from console.clean import one_line
from console.look import Look, Role


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of text of one role."""

    text: str
    role: Role = Role.PLAIN


Line = tuple[Span, ...]

EMPTY: Line = ()

FULLEST = 4
"""Characters that one cell may take, its combining marks included: more of a long text need not be measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a line that may be left out when there is no room."""

    spans: Line
    rank: int = 0
    """0 always stays; of the others the highest goes first."""


def line(*pieces: str | tuple[str, Role]) -> Line:
    """A line of plain texts and (text, role) pairs; line feeds are shown, as a line has none."""
    return tuple(
        Span(one_line(piece)) if isinstance(piece, str) else Span(one_line(piece[0]), piece[1]) for piece in pieces
    )


def plain(spans: Line) -> str:
    """The text alone."""
    return "".join(span.text for span in spans)


def width_of(spans: Line) -> int:
    """Cells it takes."""
    cells = 0
    for span in spans:  # most of what a tick costs goes by here
        text = span.text
        cells += len(text) if text.isascii() else cell_len(text)
    return cells


def fit(spans: Line, width: int, look: Look) -> Line:
    """The line cut to `width`, its cut marked; a shorter one is left as it is."""
    letters = 0
    for span in spans:
        letters += len(span.text)
    if letters <= (width + 1) * FULLEST and width_of(spans) <= width:
        return spans
    room = max(0, width - 1)
    kept: list[Span] = []
    for span in spans:
        text = span.text[: (room + 1) * FULLEST]
        taken = cell_len(text)
        if taken > room:
            kept.append(Span(set_cell_size(text, room) + look.more, span.role))
            break
        kept.append(span)
        room -= taken
    return tuple(kept) if width > 0 else EMPTY


def cell(text: str, width: int, look: Look, *, right: bool = False) -> str:
    """The text in exactly `width` cells, cut with a mark or filled with blanks."""
    text = text[: (width + 1) * FULLEST]
    taken = cell_len(text)
    if taken > width:
        return set_cell_size(text, width - 1) + look.more if width > 0 else ""
    return " " * (width - taken) + text if right else text + " " * (width - taken)


def cell_apart(text: str, width: int, look: Look) -> str:
    """The same of a text whose end tells it from others: it is cut in the middle."""
    if width < 3 or cell_len(text[: (width + 1) * FULLEST]) <= width:
        return cell(text, width, look)
    end, room = len(text), width // 2
    while room > 0 and end > len(text) - width * FULLEST:
        wide = cell_len(text[end - 1])
        if wide > room:
            break
        room, end = room - wide, end - 1
    while end < len(text) and not cell_len(text[end]):
        end += 1  # its letter was cut off: on the sign of the cut it would be another
    tail = text[end:]
    return cell(set_cell_size(text[: width * FULLEST], width - 1 - cell_len(tail)) + look.more + tail, width, look)


def pack(parts: Sequence[Part], width: int, *, gap: int = 2) -> Line:
    """As many parts as fit, in their order, `gap` blanks between them; those of the highest rank go first."""
    chosen = [part for part in parts if part.spans]
    while len(chosen) > 1 and _packed(chosen, gap) > width:
        least = max(chosen, key=lambda part: part.rank)
        if least.rank == 0:
            break
        chosen = [part for part in chosen if part is not least]
    packed: list[Span] = []
    for part in chosen:
        if packed:
            packed.append(Span(" " * gap))
        packed += part.spans
    return tuple(packed)


def _packed(parts: Iterable[Part], gap: int) -> int:
    widths = [width_of(part.spans) for part in parts]
    return sum(widths) + gap * (len(widths) - 1)


def spread(left: Line, right: Line, width: int, look: Look) -> Line:
    """One line with `right` at its right end; `right` goes when there is no room for both."""
    blanks = width - width_of(left) - width_of(right)
    return (*left, Span(" " * blanks), *right) if blanks >= 2 else fit(left, width, look)


def wrap(text: str, width: int) -> list[str]:
    """A text on as many lines as it needs, broken at blanks where there are some; keeps the text's own line feeds."""
    return [one for paragraph in text.split("\n") for one in _wrap_one(paragraph, max(1, width))]


def _wrap_one(text: str, width: int) -> list[str]:
    lines: list[str] = []
    start = 0
    while True:
        end = start + _fitting(text, start, width)
        if end >= len(text):
            return [*lines, text[start:]]
        blank = text.rfind(" ", start + (end - start) // 2, end + 1)
        if blank > start:
            end = blank
        lines.append(text[start:end])
        start = end
        while start < len(text) and text[start] == " ":
            start += 1


def _fitting(text: str, start: int, width: int) -> int:
    """How many characters from `start` fit into `width` cells; at least one, so that wrapping comes to an end."""
    piece = text[start : start + width * FULLEST]
    if piece.isascii():
        return min(len(piece), width)
    room = width
    for number, char in enumerate(piece):
        room -= cell_len(char)
        if room < 0:
            return max(1, number)
    return len(piece)
