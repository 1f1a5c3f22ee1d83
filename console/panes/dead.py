"""The dead letters: what gave up, why, and what to replay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from console.look import Look
from console.messages import Flash, PageWanted
from console.panes.listed import ListPane
from console.panes.pane import Key
from console.seen import PAGE, Ask, Seen, View
from console.views.jobs import dead
from runner.snapshot import Job, Reader
from runner.units import UnixMs


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadAsk(Ask):
    """The newest dead letters."""

    def read(self, reader: Reader, *, now: UnixMs) -> tuple[Job, ...]:  # noqa: ARG002 - it needs no ages
        return reader.dead(limit=PAGE, cut=True)


class DeadPane(ListPane):
    """The list, with marks."""

    view: ClassVar = View.DEAD
    name_: ClassVar = "Dead"
    keys: ClassVar = (
        Key("Space", "Mark", "marks; * marks all that are listed, c clears the marks", rank=4, writes=True),
        Key("Enter", "Detail", "opens the job under the cursor; q or Esc leads back"),
        Key("r", "", "replays the marked jobs, or the one under the cursor; asks when it cost something", writes=True),
    )

    def __init__(self, look: Look, monotonic: Callable[[], float], *, id: str) -> None:
        super().__init__(look, monotonic, id=id, can_mark=True)
        self._jobs: tuple[Job, ...] = ()

    @property
    def ask(self) -> Ask:
        return DeadAsk()

    def waits(self, seen: Seen) -> int:
        return seen.vitals.counts.dead if seen.vitals else 0

    def draw_page(self, seen: Seen) -> None:
        self._jobs = seen.page if isinstance(seen.page, tuple) else ()
        total = seen.vitals.counts.dead if seen.vitals else None
        self.table.show(dead(seen, self._jobs), total=total)

    def forget(self) -> None:
        super().forget()
        self._jobs = ()

    def targets(self) -> tuple[Job, ...]:
        chosen = set(self.table.chosen())
        return tuple(job for job in self._jobs if job.id in chosen)

    def on_page_wanted(self, message: PageWanted) -> None:
        message.stop()
        if message.to == "oldest":
            self.post_message(Flash("only these are listed; afk-runner dead --limit N lists more"))
