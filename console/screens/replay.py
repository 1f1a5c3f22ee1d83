"""Replay? Asked where it may cost or repeat something: the set is frozen before the question is shown."""

from __future__ import annotations

from collections.abc import Callable

from console.format import count, money, plural
from console.line import Line
from console.look import Look, Role
from console.screens.question import Question, fact
from console.seen import Seen
from runner.snapshot import BreakerState, Job
from runner.units import usd

MOST = 1_000
"""Jobs of one act."""
TYPED_ABOVE = 20
"""With more jobs than this the number is typed."""


class ReplayQuestion(Question):
    """Names the number, the cost so far, what is left today and the effects that stand."""

    def __init__(
        self, jobs: tuple[Job, ...], effects: int, seen: Seen, look: Look, monotonic: Callable[[], float]
    ) -> None:
        word = str(len(jobs)) if len(jobs) > TYPED_ABOVE else ""
        super().__init__(seen, look, monotonic, verb=f"replay {plural(len(jobs), 'job')}", word=word)
        self.jobs = jobs
        self.effects = effects

    def asks(self) -> str:
        if len(self.jobs) == 1:
            return f"Replay {self.jobs[0].key}?"
        return f"Replay {count(len(self.jobs))} dead jobs?"

    def facts(self, width: int) -> list[Line]:  # noqa: ARG002 - short enough for any width
        spent = sum(job.settled + job.held for job in self.jobs)
        lines = [fact("set", f"{plural(len(self.jobs), 'job')}, frozen; dead letters that come later are not in it")]
        lines.append(fact("cost", f"{money(spent)} so far; it may cost as much again" if spent else "nothing so far"))
        vitals = self.seen.vitals
        if vitals is not None and vitals.spend.cap is not None:
            free = vitals.spend.free or 0
            lines.append(fact("money", (f"{usd(free)} left today", Role.WARN if free < spent else Role.PLAIN)))
        if self.effects:
            did = "It has" if len(self.jobs) == 1 else f"{count(self.effects)} of them have"
            lines.append(fact("effects", f"{did} recorded steps: those are kept and not done again"))
        for breaker in vitals.breakers if vitals else ():
            if breaker.state is not BreakerState.CLOSED:
                lines.append(fact("breaker", (f"{breaker.name} is open: calls to it wait", Role.WARN)))
        if self.seen.stopped:
            lines.append(fact("stop", ("everything is stopped: they wait until it is resumed", Role.WARN)))
        return lines


def needs_asking(jobs: tuple[Job, ...], effects: int) -> bool:
    """Whether a replay of these may cost or repeat something; one job that did nothing yet is simply replayed."""
    return len(jobs) > 1 or effects > 0 or any(job.settled or job.held for job in jobs)
