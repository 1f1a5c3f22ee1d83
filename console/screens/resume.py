"""Resume? It always asks, for nothing else here starts spending."""

from __future__ import annotations

from collections.abc import Callable

from console.format import clock, clock_s, count, model_name
from console.line import Line
from console.look import Look, Role
from console.screens.question import Question, fact
from console.seen import Seen
from runner.snapshot import BreakerState, Health
from runner.units import usd


class ResumeQuestion(Question):
    """Names who stopped it, what will start and what may be spent."""

    def __init__(self, seen: Seen, look: Look, monotonic: Callable[[], float]) -> None:
        word = "resume" if doubts(seen) else ""
        super().__init__(seen, look, monotonic, verb="resume", word=word)

    def see(self, seen: Seen) -> None:
        if not self.word and doubts(seen):
            self.word = "resume"  # a doubt that came up while it was asked
        super().see(seen)

    def asks(self) -> str:
        return "Resume the runner?"

    def facts(self, width: int) -> list[Line]:  # noqa: ARG002 - short enough for any width
        vitals = self.seen.vitals
        if vitals is None or self.seen.trouble is not None:
            by = "by the STOP file" if self.seen.stop_file else "not known"
            unread = ("cannot be read: what would start is not known", Role.BAD)
            return [fact("database", unread), fact("stopped", by)]
        stop, counts, spend = vitals.stop, vitals.counts, vitals.spend
        by = f"{clock_s(stop.at)} by {stop.by}" if stop.at is not None else ", ".join(stop.sources) or "no longer set"
        lines = [
            fact("careful", (doubt, Role.WARN)) for doubt in doubts(self.seen)
        ]  # first: a small screen cuts the end
        lines += [fact("stopped", by), fact("reason", stop.reason or "none given")]
        lines.append(fact("starts", f"{count(counts.pending)} queued jobs, as they come due"))
        if spend.cap is not None:
            free = usd(spend.free or 0)
            lines.append(fact("money", f"{free} left today of {usd(spend.cap)}, until {clock(spend.resets_at)}"))
        return lines


def doubts(seen: Seen) -> list[str]:
    """Why a single key is not enough."""
    if seen.vitals is None or seen.trouble is not None:
        return ["the database cannot be read"]
    open_ones = [one.name for one in seen.vitals.breakers if one.state is not BreakerState.CLOSED]
    found = [f"breaker {model_name(name)} is open" for name in open_ones[:2]]
    if seen.vitals.spend.free == 0:
        found.append("the day's cap is reached: calls will be refused")
    if seen.vitals.runner.health is Health.SILENT:
        found.append("the runner is silent: it holds its lock and does not read")
    return found
