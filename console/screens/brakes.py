"""Trip or reset a breaker? Both want a reason, and a reset names what will flow again."""

from __future__ import annotations

from collections.abc import Callable

from console.format import clock_s, plural, when
from console.line import Line
from console.look import Look, Role
from console.screens.question import fact
from console.screens.typed import TypedQuestion, reason
from console.seen import Seen
from console.views.breakers import Brake, BreakersPage, pause_of, state_word, waiting_for
from runner.snapshot import BreakerState
from runner.units import usd


class _BrakeQuestion(TypedQuestion):
    """About one breaker, pinned when the question was opened; what is shown of it moves."""

    def __init__(
        self, brake: Brake, seen: Seen, look: Look, monotonic: Callable[[], float], *, verb: str, kind: str
    ) -> None:
        super().__init__(seen, look, monotonic, verb=verb, fields=(reason(kind=kind),))
        self.pinned = brake

    @property
    def brake(self) -> Brake:
        """As it was seen last."""
        page = self.seen.page
        same = (
            (one for one in page.brakes if one.raw == self.pinned.raw) if isinstance(page, BreakersPage) else iter(())
        )
        return next(same, self.pinned)

    def _stands(self) -> Line:
        view, one = self.brake.view, self.brake.view.breaker
        word, role = state_word(view, self.seen.at)
        since = f" since {when(one.changed_at, self.seen.at)}" if one.state is not BreakerState.CLOSED else ""
        why = f": {one.reason}" if one.reason else ""
        return fact("stands", (word, role), f"{since}{why}")


class TripQuestion(_BrakeQuestion):
    """Opens it for good."""

    def __init__(self, brake: Brake, seen: Seen, look: Look, monotonic: Callable[[], float]) -> None:
        super().__init__(brake, seen, look, monotonic, verb="trip it", kind="a trip")

    def asks(self) -> str:
        return f"Trip {self.pinned.shown}?"

    def known(self) -> list[Line]:
        whole = self.pinned.shown.endswith("/*")
        what = "no call to any model of this upstream leaves" if whole else "no call to it leaves"
        return [
            self._stands(),
            fact("then", f"{what} until a person resets it"),
            fact("jobs", "those that want one wait for that; calls in flight go on"),
        ]


class ResetQuestion(_BrakeQuestion):
    """Closes it, and says what that sets going."""

    def __init__(self, brake: Brake, seen: Seen, look: Look, monotonic: Callable[[], float]) -> None:
        super().__init__(brake, seen, look, monotonic, verb="reset it: calls to it may leave", kind="a reset")

    def asks(self) -> str:
        return f"Reset {self.pinned.shown}?"

    def known(self) -> list[Line]:
        waits = waiting_for(self.brake, self.seen)
        due = f"{plural(waits, 'job waits', 'jobs wait')} for it and will start at once" if waits else "none waits now"
        lines = [
            self._stands(),
            fact("flows", "calls to it, at once and without a trial"),
            fact("jobs", (due, Role.WARN if waits else Role.PLAIN)),
        ]
        pause = pause_of(self.brake.view, self.seen.at)
        if pause is not None:
            lines.append(fact("pause", f"lifted, though it was to last until {clock_s(pause.until)}"))
            lines.append(fact("", pause.reason))
        vitals = self.seen.vitals
        if vitals is not None:
            free = vitals.spend.free
            lines.append(fact("money", f"{usd(free)} of today's cap is free" if free is not None else "no cap is told"))
            if vitals.stop.set:
                lines.append(fact("stop", ("is set: nothing flows before u", Role.WARN)))
        return lines
