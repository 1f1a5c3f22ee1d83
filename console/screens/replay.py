"""Replay? Remove? Asked where it may cost, repeat or lose something: the set is frozen before the question is shown."""

from __future__ import annotations

from collections.abc import Callable

from textual import events

from console.format import count, model_name, money, plural
from console.line import Line, wrap
from console.look import Look, Role
from console.screens.question import FRAME, SETTLE_S, Question, fact
from console.seen import Seen
from runner.snapshot import BreakerState, DeadGroup, DeadPage, ReplayPlan
from runner.units import usd

TYPED_ABOVE = 20
"""With more jobs than this the number is typed."""


class LettersQuestion(Question):
    """About dead letters: what became of the frozen set while it is asked is told, and the set stays as it is."""

    def __init__(
        self,
        plan: ReplayPlan,
        seen: Seen,
        look: Look,
        monotonic: Callable[[], float],
        *,
        verb: str,
        word: str,
        group: DeadGroup | None = None,
        page: DeadPage | None = None,
    ) -> None:
        """`group`: they are all of this error. `page`: they were chosen from."""
        super().__init__(seen, look, monotonic, verb=f"{verb} {plural(len(plan.ids), 'job')}", word=word)
        self.plan = plan
        self.group = group
        self.chosen_from = page

    def changed(self) -> list[Line]:
        """Who is not in the set, or will be refused."""
        lines = []
        newer, gone = max(self.plan.newer, self._newer()), self._gone()
        if newer:
            lines.append(fact("newer", f"{plural(newer, 'dead job')} since: NOT in the set"))
        if gone:
            lines.append(fact("gone", (f"{count(gone)} dead no more: will be refused", Role.WARN)))
        if self.plan.gone:
            lines.append(fact("left out", f"{count(self.plan.gone)} that were dead no more"))
        if self.plan.older:
            most = count(len(self.plan.ids))
            lines.append(fact("left out", f"{count(self.plan.older)} older ones: one act takes {most}"))
        return lines

    def _newer(self) -> int:
        """Letters that came since the list was shown, as far as the list that is shown now knows."""
        now, before = self.seen.page, self.chosen_from
        if not isinstance(now, DeadPage) or before is None:
            return 0
        if self.group is None:
            return _since(now.died, now.ids, before.died[:1], before.ids[:1])
        same = (group for group in now.groups if group.fingerprint == self.group.fingerprint)
        return sum(_since(one.died, one.ids, self.group.died[:1], self.group.ids[:1]) for one in same)

    def _gone(self) -> int:
        now = self.seen.page
        if not isinstance(now, DeadPage) or now.total > len(now.ids):
            return 0  # it does not list every letter: who is not in it may be dead all the same
        return len(set(self.plan.ids) - set(now.ids))


class ReplayQuestion(LettersQuestion):
    """Names the number, the cost so far, the estimate, what is left today and the effects that stand.

    Where it is about an error, `c` replays one of them first.
    """

    def __init__(
        self,
        plan: ReplayPlan,
        seen: Seen,
        look: Look,
        monotonic: Callable[[], float],
        *,
        group: DeadGroup | None = None,
        page: DeadPage | None = None,
    ) -> None:
        word = str(len(plan.ids)) if len(plan.ids) > TYPED_ABOVE else ""
        super().__init__(plan, seen, look, monotonic, verb="replay", word=word, group=group, page=page)
        self.can_try = group is not None and len(plan.ids) > 1
        self.one_first = False
        """It was answered with one of them, the newest."""

    def asks(self) -> str:
        if len(self.plan.ids) == 1:
            return f"Replay {self.plan.keys[0]}?"
        return f"Replay {count(len(self.plan.ids))} dead jobs?"

    def facts(self, width: int) -> list[Line]:  # noqa: ARG002 - short enough for any width
        plan, vitals = self.plan, self.seen.vitals
        changed = self.changed()
        lines = [fact("set", f"{plural(len(plan.ids), 'job')}, frozen; later ones are not in it")]
        if self.can_try:
            lines.append(fact("try one", ("c", Role.ACCENT), f" replays {plan.keys[0]} alone; the rest stay dead"))
        if plan.unknown:
            lines.append(fact("effects", (f"{count(plan.unknown)} may have done what cannot be undone", Role.BAD)))
        lines += changed
        lines.append(fact("cost", f"{money(plan.spent)} so far" if plan.spent else "nothing so far"))
        if vitals is not None and vitals.spend.cap is not None:
            free = vitals.spend.free or 0
            role = Role.WARN if free < plan.estimate else Role.PLAIN
            lines.append(fact("money", (f"estimate {money(plan.estimate)} of {usd(free)} left today", role)))
        elif plan.estimate:
            lines.append(fact("money", f"estimate {money(plan.estimate)}"))
        if plan.effects:
            lines.append(fact("effects", f"{count(plan.effects)} with recorded steps: kept, not done again"))
        if self.seen.stopped:
            lines.append(fact("stop", ("everything is stopped: they wait for resume", Role.WARN)))
        for breaker in vitals.breakers if vitals else ():
            if breaker.state is not BreakerState.CLOSED:
                lines.append(fact("breaker", (f"{model_name(breaker.name)} is open: calls wait", Role.WARN)))
        return lines

    def on_key(self, event: events.Key) -> None:
        if event.key == "c" and self.can_try:
            event.prevent_default()
            event.stop()
            if self._monotonic() - self._opened >= SETTLE_S:
                self.one_first = True
                self.dismiss(True)


class DiscardQuestion(LettersQuestion):
    """Names them, and wants their number typed: nothing brings them back."""

    def __init__(
        self,
        plan: ReplayPlan,
        seen: Seen,
        look: Look,
        monotonic: Callable[[], float],
        *,
        group: DeadGroup | None = None,
        page: DeadPage | None = None,
    ) -> None:
        word = str(len(plan.ids))
        super().__init__(plan, seen, look, monotonic, verb="remove for good", word=word, group=group, page=page)

    def asks(self) -> str:
        return f"Remove {plural(len(self.plan.ids), 'dead job')} for good?"

    def facts(self, width: int) -> list[Line]:
        lines = [fact("loses", "history, steps and result; what they cost stays in the ledger"), *self.changed()]
        if self.plan.unknown:
            lines.append(fact("effects", (f"{count(self.plan.unknown)} may have done what cannot be undone", Role.BAD)))
        room = self.size.height - FRAME - 2 - len(lines)
        names = _names(self.plan.keys, max(10, width - 11), max(1, room))
        return [*lines, *(fact("" if place else "names", name) for place, name in enumerate(names))]


def _names(keys: tuple[str, ...], width: int, room: int) -> list[str]:
    """As many of the keys as there is room for, and how many there are beside."""
    shown = min(len(keys), room * width // 4 + 1)
    while True:
        rest = f", and {count(len(keys) - shown)} more" if shown < len(keys) else ""
        names = wrap(f"{', '.join(keys[:shown])}{rest}", width)
        if len(names) <= room or shown <= 1:
            return names
        shown -= 1


def _since(died: tuple[int, ...], ids: tuple[int, ...], newest: tuple[int, ...], id: tuple[int, ...]) -> int:
    """How many of these died after the newest one that was shown; each tuple of it is empty when there was none."""
    bound = (*newest, *id)
    return sum(pair > bound for pair in zip(died, ids, strict=True))
