"""Cancel? Always asked: the set is frozen, and looked up anew, before the question is shown."""

from __future__ import annotations

from collections.abc import Callable

from console.format import count, money, plural
from console.line import Line
from console.look import Look, Role
from console.screens.question import Question, fact
from console.seen import Seen
from runner.snapshot import Job, JobStatus

TYPED_ABOVE = 20
"""With more jobs than this the number is typed."""


class CancelQuestion(Question):
    """Names the number, the cost so far, and what running ones lose."""

    def __init__(
        self, jobs: tuple[Job, ...], chosen: int, seen: Seen, look: Look, monotonic: Callable[[], float]
    ) -> None:
        """`jobs`: as they stand now; `chosen`: how many there were when they were marked."""
        self.open = tuple(job for job in jobs if can_be_cancelled(job))
        number = len(self.open)
        word = str(number) if number > TYPED_ABOVE else ""
        super().__init__(seen, look, monotonic, verb=f"cancel {plural(number, 'job')}", word=word)
        self.over = chosen - number

    def asks(self) -> str:
        return f"Cancel {self.open[0].key}?" if len(self.open) == 1 else f"Cancel {count(len(self.open))} jobs?"

    def facts(self, width: int) -> list[Line]:  # noqa: ARG002 - short enough for any width
        running = sum(job.status is JobStatus.RUNNING for job in self.open)
        pending = len(self.open) - running
        parts = [f"{count(number)} {word}" for number, word in ((pending, "pending"), (running, "running")) if number]
        lines = [fact("set", f"{' and '.join(parts)}, frozen: later ones are not in it")]
        if self.over:
            lines.append(fact("", (f"{count(self.over)} more have ended by now, or are gone", Role.WARN)))
        spent = sum(job.settled + job.held for job in self.open)
        lines.append(fact("cost", f"{money(spent)} so far, which stays spent" if spent else "nothing so far"))
        if running:
            what = "its attempt is" if running == 1 else "their attempts are"
            lines.append(fact("running", (f"{what} cut short; what was done stays done", Role.WARN)))
        lines.append(fact("after", "it cannot be replayed: queue the work anew"))
        return lines


def can_be_cancelled(job: Job) -> bool:
    """Whether it has not ended."""
    return job.status in (JobStatus.PENDING, JobStatus.RUNNING)
