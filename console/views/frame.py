"""The edges of the screen: the line of tabs and the bar of keys."""

from __future__ import annotations

from collections.abc import Sequence

from console.format import count
from console.line import Line, Part, Span, fit, line, pack, width_of
from console.look import Look, Role
from console.panes.pane import Pane
from console.registry import in_bar
from console.seen import Seen, View


def tabs(seen: Seen, chosen: View, width: int, look: Look) -> Line:
    """The views by their digits, the open one in brackets; a number and a `!` where something waits."""
    spans: list[Span] = [Span(look.rule, Role.DIM)]
    for view in View:
        if not view.value.isdigit():
            continue
        number = seen.waits(view)
        waits = f" {count(number)}!" if number else ""
        if view is chosen:
            spans += line(("[", Role.DIM), (f"{view.value} {view.tab}{waits}", Role.ACCENT), ("]", Role.DIM))
        else:
            spans += line(f" {view.value} {view.tab}", (waits, Role.BAD), " ")
        spans.append(Span(look.rule, Role.DIM))
    over: Line = ()
    if not chosen.value.isdigit():
        over = line(("[", Role.DIM), (chosen.tab, Role.ACCENT), ("]", Role.DIM), (look.rule, Role.DIM))
    left = fit(tuple(spans), width - width_of(over), look)
    return (*left, *over, Span(look.rule * max(0, width - width_of((*left, *over))), Role.DIM))


def folded(seen: Seen, vitals: Sequence[Line], *, sending: bool) -> Line:
    """The one line that stays when the vitals are hidden: a stop; else what makes the numbers doubtful."""
    if seen.stopped or sending:
        return vitals[2]
    return vitals[0] if seen.stale else vitals[2]


def key_bar(pane: Pane, width: int, *, readonly: bool) -> Line:
    """What a hand may do now. On a narrow screen the least urgent go first."""
    parts = [
        Part(spans=line((key, Role.ACCENT), f" {word}"), rank=rank)
        for key, word, rank in in_bar(pane, readonly=readonly)
    ]
    return (Span(" "), *pack(parts, width - 1))
