"""The edges of the screen: the line of tabs and the bar of keys."""

from __future__ import annotations

from console.format import count
from console.line import Line, Part, Span, fit, line, pack, width_of
from console.look import Look, Role
from console.seen import Seen, View

NAMES = {
    View.HOME: "Home",
    View.JOBS: "Jobs",
    View.DEAD: "Dead",
    View.SCHEDULES: "Schedules",
    View.LOG: "Log",
}


def tabs(seen: Seen, view: View, width: int, look: Look) -> Line:
    """The views by their digits, the open one in brackets; a number and a `!` where something waits."""
    dead = seen.vitals.counts.dead if seen.vitals else 0
    spans: list[Span] = [Span(look.rule, Role.DIM)]
    for one, name in NAMES.items():
        waits = f" {count(dead)}!" if one is View.DEAD and dead else ""
        if one is view:
            spans += line(("[", Role.DIM), (f"{one.value} {name}{waits}", Role.ACCENT), ("]", Role.DIM))
        else:
            spans += line(f" {one.value} {name}", (waits, Role.BAD), " ")
        spans.append(Span(look.rule, Role.DIM))
    if view is View.JOB:
        spans += line(("[", Role.DIM), ("Job", Role.ACCENT), ("]", Role.DIM))
    spans.append(Span(look.rule * max(0, width - width_of(tuple(spans))), Role.DIM))
    return fit(tuple(spans), width, look)


def key_bar(view: View, width: int, *, readonly: bool) -> Line:
    """What a hand may do now. On a narrow screen the least urgent go first."""
    acts = [] if readonly else [("k", "Kill", 0), ("u", "Resume", 0), ("r", "Replay", 1), ("$", "Cap", 5)]
    rest = [("q", "Back", 1)] if view is View.JOB else [("Enter", "Detail", 3), ("?", "Help", 0), ("q", "Quit", 2)]
    if view is View.LOG:
        rest[0] = ("f", "Follow", 3)
    if view is View.SCHEDULES:
        rest.pop(0)
    if view is View.DEAD and not readonly:
        rest.insert(0, ("Space", "Mark", 4))
    parts = [Part(spans=line((key, Role.ACCENT), f" {word}"), rank=rank) for key, word, rank in (*acts, *rest)]
    return (Span(" "), *pack(parts, width - 1))
