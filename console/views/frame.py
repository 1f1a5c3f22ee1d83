"""The edges of the screen: the line of tabs and the bar of keys."""

from __future__ import annotations

from collections.abc import Sequence

from console.format import count
from console.line import Line, Part, Span, fit, line, pack, width_of
from console.look import Look, Role
from console.panes.pane import Pane
from console.seen import Seen, View


def tabs(seen: Seen, panes: Sequence[Pane], chosen: Pane, width: int, look: Look) -> Line:
    """The panes by their digits, the open one in brackets; a number and a `!` where something waits."""
    spans: list[Span] = [Span(look.rule, Role.DIM)]
    for pane in panes:
        if pane.view is View.JOB:
            continue
        number = pane.waits(seen)
        waits = f" {count(number)}!" if number else ""
        if pane is chosen:
            spans += line(("[", Role.DIM), (f"{pane.view.value} {pane.name_}{waits}", Role.ACCENT), ("]", Role.DIM))
        else:
            spans += line(f" {pane.view.value} {pane.name_}", (waits, Role.BAD), " ")
        spans.append(Span(look.rule, Role.DIM))
    if chosen.view is View.JOB:
        spans += line(("[", Role.DIM), ("Job", Role.ACCENT), ("]", Role.DIM))
    spans.append(Span(look.rule * max(0, width - width_of(tuple(spans))), Role.DIM))
    return fit(tuple(spans), width, look)


def key_bar(pane: Pane, width: int, *, readonly: bool) -> Line:
    """What a hand may do now. On a narrow screen the least urgent go first."""
    acts = [] if readonly else [("k", "Kill", 0), ("u", "Resume", 0), ("r", "Replay", 1), ("$", "Cap", 5)]
    here = [(key.key, key.word, key.rank) for key in pane.keys if key.word and not (readonly and key.writes)]
    rest = [("q", "Back", 1)] if pane.view is View.JOB else [("?", "Help", 0), ("q", "Quit", 2)]
    parts = [Part(spans=line((key, Role.ACCENT), f" {word}"), rank=rank) for key, word, rank in (*acts, *here, *rest)]
    return (Span(" "), *pack(parts, width - 1))
