"""How a filter that is being typed could go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runner.snapshot import EXAMPLES, FIELD_WORDS, JobStatus

GATES = ("breaker", "cap", "pause", "rate", "retry")
"""What jobs wait for."""
SHOWN = 8
"""Choices that are named."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What Tab would add, and between what there is to choose."""

    rest: str = ""
    told: str = ""


def complete(text: str, tasks: Sequence[str]) -> Completion:
    """The completion of the last word of a line."""
    if text.count('"') % 2:
        return Completion()
    word = text[max((place + 1 for place, char in enumerate(text) if char.isspace()), default=0) :].removeprefix("-")
    if not word:
        return Completion(told=" ".join(EXAMPLES.values())) if not text else Completion()
    name, colon, value = word.partition(":")
    if not colon:
        return _of(word, [*FIELD_WORDS], ends="")
    typed = value.rsplit(",", 1)[-1]
    plain = [task for task in tasks if not any(char.isspace() or char in '",' for char in task)]
    known = {"state": [status.value for status in JobStatus], "task": plain, "waiting": list(GATES)}
    return _of(typed, known.get(name.lower(), []), ends=" ", lists=not typed)


def _of(typed: str, known: Sequence[str], *, ends: str, lists: bool = False) -> Completion:
    fits = [one for one in known if one.startswith(typed.lower()) or one.startswith(typed)]
    if not fits or (not typed and not lists):
        return Completion()
    if len(fits) == 1:
        return Completion(rest=fits[0][len(typed) :] + (ends if len(fits[0]) > len(typed) else ""))
    more = " …" if len(fits) > SHOWN else ""
    low, high = min(fits), max(fits)
    same = next((place for place, char in enumerate(low) if high[place : place + 1] != char), len(low))
    return Completion(rest=low[len(typed) : same], told=" ".join(fits[:SHOWN]) + more)
