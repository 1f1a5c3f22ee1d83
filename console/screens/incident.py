"""A note on an incident, or its end: both are typed, and kept with the name of whoever typed them."""

from __future__ import annotations

from collections.abc import Callable

from console.line import Line
from console.look import Look, Role
from console.screens.question import fact
from console.screens.typed import Field, TypedQuestion
from console.seen import Seen
from console.views.report import closed_words
from runner.snapshot import Incident, Report


def _words(word: str, *, kind: str) -> Field:
    return Field(word, lambda typed: "" if typed.strip() else f"{kind} wants words, which are kept with your name")


class _IncidentQuestion(TypedQuestion):
    """About one incident, pinned when the question was opened; what is shown of it moves."""

    def __init__(
        self,
        incident: Incident,
        seen: Seen,
        look: Look,
        monotonic: Callable[[], float],
        *,
        verb: str,
        fields: tuple[Field, ...],
    ) -> None:
        super().__init__(seen, look, monotonic, verb=verb, fields=fields)
        self.pinned = incident

    def known(self) -> list[Line]:
        page = self.seen.page
        there = page.waits.incidents if isinstance(page, Report) else ()
        one = next((each for each in there if each.id == self.pinned.id), self.pinned)
        lines = [
            fact("about", one.subject),
            fact("what", one.last_text),
            fact("stands", closed_words(one, self.seen.at)),
        ]
        gone = isinstance(page, Report) and one is self.pinned and one not in there
        return [*lines, fact("now", ("somebody else has closed it", Role.WARN))] if gone else lines


class NoteQuestion(_IncidentQuestion):
    """Wants the note."""

    def __init__(self, incident: Incident, seen: Seen, look: Look, monotonic: Callable[[], float]) -> None:
        fields = (_words("note", kind="a note"),)
        super().__init__(incident, seen, look, monotonic, verb="keep this note", fields=fields)

    def asks(self) -> str:
        return f"Note on incident {self.pinned.id}?"


class CloseQuestion(_IncidentQuestion):
    """Wants the cause and the fix."""

    def __init__(self, incident: Incident, seen: Seen, look: Look, monotonic: Callable[[], float]) -> None:
        fields = (_words("cause", kind="the cause"), _words("fix", kind="the fix"))
        super().__init__(incident, seen, look, monotonic, verb="close it for good", fields=fields)

    @property
    def cause(self) -> str:
        """As it was typed."""
        return self.lines[0].strip()

    @property
    def fix(self) -> str:
        """As it was typed."""
        return self.lines[1].strip()

    def asks(self) -> str:
        return f"Close incident {self.pinned.id}?"
