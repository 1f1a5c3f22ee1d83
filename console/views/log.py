"""One event as one line."""

from __future__ import annotations

from console.clean import one_line
from console.format import clock_s
from console.line import Line, Span, cell, fit
from console.look import Look, Role
from runner.snapshot import Event

_LEVELS = {"info": ("info ", Role.DIM), "warn": ("WARN ", Role.WARN), "error": ("ERROR", Role.BAD)}


def event_line(event: Event, width: int, look: Look) -> Line:
    """Time, level, job or task, text; the event's stable word where there is room."""
    level, role = _LEVELS.get(event.level, (event.level, Role.PLAIN))
    subject = one_line(event.job or event.task or "")
    spans = [Span(f" {clock_s(event.at)[:8]} ", Role.DIM), Span(f"{level} ", role)]
    if width >= 110:
        spans.append(Span(f"{cell(one_line(event.event), 15, look)} ", Role.DIM))
    spans.append(Span(f"{cell(subject, 26 if width >= 110 else 20 if width >= 76 else 14, look)} "))
    spans.append(Span(one_line(event.text), Role.BAD if event.level == "error" else Role.PLAIN))
    return fit(tuple(spans), width, look)
