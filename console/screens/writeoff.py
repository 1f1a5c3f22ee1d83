"""Write a hold off? Its cost is not known, so whatever it was, it counts as nothing from then on."""

from __future__ import annotations

from collections.abc import Callable

from console.format import age
from console.line import Line
from console.look import Look, Role
from console.screens.question import fact
from console.screens.typed import TypedQuestion, reason
from console.seen import Seen
from console.views.spend import SpendPage
from runner.snapshot import HeldCall
from runner.units import exact_usd


class WriteOffQuestion(TypedQuestion):
    """Wants to know why."""

    def __init__(self, hold: HeldCall, seen: Seen, look: Look, monotonic: Callable[[], float]) -> None:
        fields = (reason(kind="a write-off"),)
        super().__init__(seen, look, monotonic, verb="write it off: it counts as nothing", fields=fields)
        self.hold = hold

    def asks(self) -> str:
        return f"Write off hold {self.hold.id} of {exact_usd(self.hold.hold)}?"

    def known(self) -> list[Line]:
        hold = self.hold
        page = self.seen.page
        gone = isinstance(page, SpendPage) and hold.id not in {one.id for one in page.holds}
        held = f"for {age(self.seen.at - hold.held_at)}, for task {hold.task}, {hold.job or 'whose job was removed'}"
        lines = [
            fact("holds", held),
            fact("call", f"to {hold.model}, counted to {hold.day}"),
            fact("stands", (hold.why, Role.WARN)),
            fact("danger", "if the call did cost that, a cap may be passed by as much"),
        ]
        return [*lines, fact("now", ("it holds nothing any more", Role.WARN))] if gone else lines
