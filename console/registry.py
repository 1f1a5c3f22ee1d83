"""Everything a person may do here, once: the key bar, the help and the palette are made from it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from console.panes.pane import Key, Pane
from console.terminal import what_goes_on

_PRESSES = {"Enter": "enter", "Space": "space", "Home": "home", "End": "end", "Tab": "tab"}
_SYMBOLS = {"?": "question_mark", "$": "dollar_sign", "/": "slash", ":": "colon", "*": "asterisk"}


QUITS = f"quits; {what_goes_on(os.environ)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One act or view."""

    id: str
    """Never changes: what tests and notes call it."""
    key: str
    """As it is shown."""
    name: str
    """Of few words; what the palette looks for."""
    does: str
    """One sentence, for the help."""
    word: str = ""
    """In the key bar; empty: not there."""
    rank: int = 3
    """In the bar: the highest goes first when there is no room; 0 stays."""
    writes: bool = False
    """Absent where nothing may be changed."""

    @property
    def press(self) -> str | None:
        """The key as the library calls it; None: it is none that could be pressed for a person."""
        return pressed(self.key)


EVERYWHERE = (
    Command(
        id="kill",
        key="k",
        name="Kill",
        does="kill: stops everything at once, without asking; nothing new starts or is spent",
        word="Kill",
        rank=0,
        writes=True,
    ),
    Command(
        id="force",
        key="K",
        name="Force",
        does="force: ends the runner's processes from outside; names them, asks for a word",
        writes=True,
    ),
    Command(
        id="resume",
        key="u",
        name="Resume",
        does="resume: asks first, always; y confirms, Enter does not",
        word="Resume",
        rank=0,
        writes=True,
    ),
    Command(
        id="replay",
        key="r",
        name="Replay",
        does="replays what is marked or under the cursor, if it is dead",
        word="Replay",
        rank=1,
        writes=True,
    ),
    Command(
        id="undo",
        key="z",
        name="Undo the last replay",
        does="undoes the last replay of this console while its jobs wait to be claimed",
        writes=True,
    ),
    Command(
        id="raise",
        key="$",
        name="Raise today's cap",
        does="raises today's cap until midnight; asks for the amount and a reason",
        word="Cap",
        rank=5,
        writes=True,
    ),
)
"""Acts that work on every pane."""

VIEWS = (
    Command(id="home", key="1", name="Home", does="what runs, what needs you, what comes next, the log"),
    Command(id="jobs", key="2", name="Jobs", does="all jobs, the newest first"),
    Command(id="dead", key="3", name="Dead", does="the dead letters"),
    Command(id="approvals", key="4", name="Approvals", does="actions that wait for your word"),
    Command(id="schedules", key="5", name="Schedules", does="when each task is due next"),
    Command(id="log", key="6", name="Log", does="what was said, the newest at the bottom"),
    Command(id="spend", key="m", name="Spend", does="the money: caps, tasks, models, hours", word="Spend", rank=6),
    Command(id="breakers", key="b", name="Breakers", does="what is broken, and who says so", word="Breakers", rank=6),
    Command(id="report", key="i", name="Report", does="what happened, its worth, incidents", word="Report", rank=7),
)
"""Panes, and those that lie over any of them."""

SCREEN = (
    Command(id="copy", key="y", name="Copy the key", does="copies the key of the job under the cursor"),
    Command(id="palette", key=":", name="Commands", does="finds any of these by its name", word="Commands", rank=7),
    Command(
        id="vitals",
        key="Ctrl-E",
        name="Hide the vitals",
        does="hides the four lines on top but never a stop; again shows",
    ),
    Command(id="redraw", key="Ctrl-L", name="Redraw", does="draws the screen anew, if something else wrote on it"),
    Command(id="help", key="?", name="Help", does="what the keys do here", word="Help", rank=0),
    Command(id="quit", key="q", name="Quit", does=QUITS, word="Quit", rank=2),
)
"""What is about the screen alone."""


def of_pane(pane: Pane) -> tuple[Command, ...]:
    """What a pane adds; what works everywhere is left out, if it is named there again."""
    known = {command.key for command in (*EVERYWHERE, *SCREEN)}
    return tuple(
        Command(
            id=f"{pane.view.name.lower()}.{key.key}",
            key=key.key,
            name=key.word or _name(key),
            does=key.does,
            word=key.word,
            rank=key.rank,
            writes=key.writes,
        )
        for key in pane.keys
        if key.key not in known
    )


def commands(pane: Pane, *, readonly: bool) -> tuple[Command, ...]:
    """All that can be done now by a key that the palette can press: acts of the pane first, then the rest."""
    views = tuple(view for view in VIEWS if view.key != pane.view.value)
    palette = (*of_pane(pane), *EVERYWHERE, *views, *(one for one in SCREEN if one.id != "palette"))
    return tuple(one for one in palette if one.press is not None and not (readonly and one.writes))


def in_bar(pane: Pane, *, readonly: bool) -> tuple[tuple[str, str, int], ...]:
    """Key, word and rank of what the key bar shows, in its order."""
    if pane.typing:
        return (("Enter", "Take", 0), ("Esc", "Leave", 0), *(() if readonly else (("F9", "Kill", 0),)))
    here = [(key.key, key.word, key.rank) for key in pane.keys]
    over = _words([view for view in VIEWS if view.key != pane.view.value])
    back = [("q", "Back", 1)]
    ends = [*over, *_words(SCREEN)] if pane.view.value.isdigit() else [*back, *over]
    acts = [] if readonly else _words(EVERYWHERE)
    kept = [one for one, key in zip(here, pane.keys, strict=True) if not (readonly and key.writes)]
    return tuple(one for one in (*acts, *kept, *ends) if one[1])


def pressed(key: str) -> str | None:
    """A shown key as the library calls it."""
    if key.startswith("Ctrl-") and len(key) == 6:
        return f"ctrl+{key[-1].lower()}"
    if len(key) == 1:
        return key if key.isalnum() else _SYMBOLS.get(key)
    return _PRESSES.get(key)


def matching(typed: str, among: Sequence[Command]) -> tuple[Command, ...]:
    """Those whose name has the typed letters in their order, the closest first; all, when nothing is typed."""
    wanted = [*typed.casefold().replace(" ", "")]
    if not wanted:
        return tuple(among)
    scored = [(score, place, one) for place, one in enumerate(among) if (score := _score(wanted, one)) is not None]
    return tuple(one for _, _, one in sorted(scored, key=lambda found: found[:2]))


def _score(wanted: Sequence[str], command: Command) -> tuple[int, int] | None:
    """Gaps between the letters, and where the first stands: less is closer. None: it has not all of them."""
    best: tuple[int, int] | None = None
    text = command.name.casefold()
    for first in (place for place, char in enumerate(text) if char == wanted[0]):
        at, gaps = first, 0
        for char in wanted[1:]:
            found = text.find(char, at + 1)
            if found < 0:
                break
            # A letter that begins a word is as good as the next one.
            gaps += 0 if found == at + 1 or text[found - 1] == " " else found - at
            at = found
        else:
            score = (gaps, first)
            best = score if best is None or score < best else best
    return best


def _words(commands: Sequence[Command]) -> list[tuple[str, str, int]]:
    return [(one.key, one.word, one.rank) for one in commands]


def _name(key: Key) -> str:
    """The first words of what it does, where the bar has no word for it."""
    first = key.does.replace(";", ",").split(",", 1)[0]
    return f"{first[:1].upper()}{first[1:40]}"
