"""Events as lines, and the title above them."""

from __future__ import annotations

from console.clean import one_line
from console.format import clock_s, count
from console.line import EMPTY, Line, Part, Span, cell, fit, line, pack, width_of, wrap
from console.logbook import Sieve
from console.look import Look, Role
from runner.snapshot import Event

LEVEL_WORDS = {"info": "all levels", "warn": "warnings and errors", "error": "errors"}
_LEVELS = {"info": ("info ", Role.DIM), "warn": ("WARN ", Role.WARN), "error": ("ERROR", Role.BAD)}
_INDENT = 5
"""Cells before what a wrapped text goes on with."""
_LOWER = str.maketrans({chr(code): chr(code + 32) for code in range(ord("A"), ord("Z") + 1)})


def event_line(event: Event, width: int, look: Look, *, cursor: bool = False, sought: str = "") -> Line:
    """Time, level, job or task, text; the event's stable word where there is room."""
    spans = (*_head(event, width, look), _told(one_line(event.text), event))
    return _finished(fit(spans, width, look), width, look, cursor=cursor, sought=sought)


def event_lines(
    event: Event, width: int, look: Look, *, cursor: bool = False, sought: str = "", wrapped: bool = False
) -> tuple[Line, ...]:
    """The event on one line, or on as many as its text needs."""
    head = _head(event, width, look)
    room = width - width_of(head)
    if not wrapped or ("\n" not in event.text and width_of(line(event.text)) <= room):
        return (event_line(event, width, look, cursor=cursor, sought=sought),)
    first, *rest = wrap(event.text.rstrip("\n"), max(10, room))
    lines: list[Line] = [(*head, _told(first, event))]
    more = "\n".join(rest) if "\n" in event.text else " ".join(rest)
    for text in wrap(more, max(10, width - _INDENT)) if rest else ():
        lines.append((Span(" " * _INDENT), _told(text, event)))
    return tuple(_finished(fit(one, width, look), width, look, cursor=cursor, sought=sought) for one in lines)


def log_title(
    width: int,
    look: Look,
    *,
    sieve: Sieve | None,
    held: bool,
    newer: str,
    sought: str = "",
    wrapped: bool = False,
    skipped: int = 0,
    hint: str = "",
) -> Line:
    """Whether it follows, what it leaves out, and what is newer. `sieve`: None where there is nothing to choose."""
    state = line(("held", Role.WARN)) if held else line(("following", Role.DIM))
    parts = [
        Part(spans=line((" LOG", Role.DIM))),
        Part(spans=state),
        Part(spans=line((f"{look.down} {newer} newer, f follows", Role.DIM)) if held else EMPTY),
        Part(spans=line((f"{count(skipped)} skipped", Role.WARN)) if skipped else EMPTY, rank=2),
    ]
    if sieve is not None:
        role = Role.DIM if sieve.level == "info" else Role.ACCENT
        parts += [
            Part(spans=line((LEVEL_WORDS[sieve.level], role)), rank=4 if sieve.level == "info" else 1),
            Part(spans=line((f"job {_short(sieve.job, look)}", Role.ACCENT)) if sieve.job else EMPTY, rank=1),
            Part(spans=line((f"/{_short(sought, look)}", Role.ACCENT)) if sought else EMPTY, rank=3),
            Part(spans=line(("wrapped", Role.DIM)) if wrapped else EMPTY, rank=5),
        ]
    right = line((hint, Role.ACCENT))
    left = pack(parts, width - (width_of(right) + 2 if hint else 0))
    return (*left, Span(" " * max(2, width - width_of(left) - width_of(right))), *right) if hint else left


def _short(text: str, look: Look) -> str:
    return cell(one_line(text), 24, look).rstrip()


def _head(event: Event, width: int, look: Look) -> Line:
    level, role = _LEVELS.get(event.level, (event.level, Role.PLAIN))
    subject = one_line(event.job or event.task or "")
    spans = [Span(f" {clock_s(event.at)[:8]} ", Role.DIM), Span(f"{level} ", role)]
    if width >= 110:
        spans.append(Span(f"{cell(one_line(event.event), 15, look)} ", Role.DIM))
    spans.append(Span(f"{cell(subject, 26 if width >= 110 else 20 if width >= 76 else 14, look)} "))
    return tuple(spans)


def _told(text: str, event: Event) -> Span:
    return Span(text, Role.BAD if event.level == "error" else Role.PLAIN)


def _finished(spans: Line, width: int, look: Look, *, cursor: bool, sought: str) -> Line:
    """With its hits marked; under the cursor told by a sign first and a role second."""
    if not cursor:
        return _marked(spans, sought) if sought else spans
    text = "".join(span.text for span in spans)
    blanks = " " * max(0, width - width_of(spans))
    return (Span(f"{look.at}{text[1:]}{blanks}", Role.CURSOR),)


def _marked(spans: Line, sought: str) -> Line:
    sought = sought.translate(_LOWER)
    marked: list[Span] = []
    for span in spans:
        shown, start = span.text.translate(_LOWER), 0
        while (at := shown.find(sought, start)) >= 0:
            end = at + len(sought)
            marked += [Span(span.text[start:at], span.role), Span(span.text[at:end], Role.ACCENT)]
            start = end
        marked.append(Span(span.text[start:], span.role))
    return tuple(span for span in marked if span.text)
