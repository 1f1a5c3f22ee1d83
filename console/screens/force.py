"""End the runner's processes from outside? Names each of them, what it works on and what that cost so far."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from textual import events

from console.format import money, plural
from console.line import Line, fit
from console.look import Look, Role
from console.messages import Said
from console.screens.question import Question, fact
from console.seen import Seen
from runner.units import usd

if TYPE_CHECKING:
    from runner.commands import Forced, Targets

NAMED = 2
"""Jobs at work that are named."""


class ForceQuestion(Question):
    """Dismisses with True on `y` once `force` was typed. What it names is what will be ended, and nothing else.

    It opens before it is known what runs, so that what is typed meanwhile goes nowhere else.
    """

    def __init__(self, seen: Seen, look: Look, monotonic: Callable[[], float]) -> None:
        super().__init__(seen, look, monotonic, verb="stop everything and end these processes", word="force")
        self.targets: Targets | None = None
        self.fault = ""
        """Why there is nothing to be asked about."""

    def found(self, targets: Targets) -> None:
        """Ask about these from now on."""
        self.targets = targets
        self._opened = self._monotonic()
        self.redraw()

    def on_key(self, event: events.Key) -> None:
        if self.targets is None and event.key not in ("k", "n", "q", "escape"):
            event.prevent_default()
            event.stop()

    def asks(self) -> str:
        return "End the runner's processes from outside?"

    def facts(self, width: int) -> list[Line]:
        targets = self.targets
        if targets is None:
            return [fact("", "looking which processes run")]
        by_part: dict[str, list[str]] = {}
        for one in targets.others:
            by_part.setdefault(one.part.value, []).append(str(one.pid))
        below = "; ".join(f"{plural(len(pids), part)} {' '.join(pids)}" for part, pids in by_part.items())
        names = ", ".join(str(one.pid) for one in targets.runners)
        lines = [
            fact("runner", (f"pid {names}" if names else "gone already", Role.STRONG)),
            fact("below it", below or "nothing"),
        ]
        if targets.unread:
            lines.append(fact("at work", ("not known: the database cannot be read", Role.WARN)))
        else:
            cost = sum(job.settled + job.held for job in targets.at_work)
            spent = f", {money(cost)} so far" if cost else ""
            lines.append(
                fact("at work", f"{plural(len(targets.at_work), 'job')}{spent}" if targets.at_work else "no job")
            )
            for job in targets.at_work[:NAMED]:
                spent = f", {money(job.settled + job.held)}" if job.settled + job.held else ""
                lines.append(fact("", f"{job.key} ({job.task}){spent}"))
            if len(targets.at_work) > NAMED:
                lines.append(fact("", f"and {plural(len(targets.at_work) - NAMED, 'job')} more"))
        lines.append(fact("how", "TERM, KILL 4s later; holds of calls in flight go on counting"))
        lines += [fact("not", (text, Role.WARN)) for text in targets.refused]
        return [fit(one, width, self.look) for one in lines]


def told(forced: Forced) -> Said:
    """The proof in one line: `afk-runner kill --force` prints it whole."""
    parts = []
    if forced.ended:
        first = forced.ended[0]
        more = f" and {len(forced.ended) - 1} more" if len(forced.ended) > 1 else ""
        parts.append(f"ended {first.process.part.value} {first.process.pid} by {first.by}{more}")
    elif not forced.refused:
        parts.append("nothing of this home runs here")
    parts += [f"NOT ended: {one.part.value} {one.pid}" for one in forced.left]
    parts += [f"not ended: {text}" for text in forced.refused]
    if forced.fault:
        parts.append(forced.fault)
    if forced.lock_held:
        parts.append("the lock is still held")
    else:
        parts.append(f"lock free, {plural(len(forced.leases), 'lease')} left")
        if forced.holds:
            parts.append(f"{usd(forced.held)} held")
    return Said("; ".join(parts), bad=not forced.whole)
