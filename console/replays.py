"""What becomes of dead letters by a person's word: a new life, the way back from it, or the end.

Which letters are meant is frozen when the key is pressed; what there is to know of them is read after, in a thread;
and only then it is asked about or done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from console.format import count, plural
from console.look import Look
from console.messages import Do, Flash, Plan, Said
from console.seen import Seen
from runner.errors import StoreError

if TYPE_CHECKING:
    from runner.commands import Bulk, Door
    from runner.snapshot import DeadGroup, DeadPage, Reader, ReplayPlan

MOST = 1_000
"""Letters of one act."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letters:
    """The dead letters that an act means, as they were on the screen."""

    ids: tuple[int, ...] = ()
    group: DeadGroup | None = None
    """Instead: all that share this error, up to the newest that was shown."""
    page: DeadPage | None = None
    """They were chosen from; None: from elsewhere."""


class Replays:
    """The replays of this console. It remembers the last, which can be undone."""

    def __init__(self, look: Look, monotonic: Callable[[], float]) -> None:
        self._look = look
        self._monotonic = monotonic
        self._last: tuple[tuple[int, ...], str, int] | None = None
        """Ids, the token of the replay, and the generation of the database they were in."""

    def replay(self, letters: Letters, seen: Seen) -> Plan | Flash:
        """Look up what a replay of these means, then ask where it may cost or repeat something."""
        if len(letters.ids) > MOST:
            return Flash(f"at most {count(MOST)} jobs at once; unmark some")

        def then(plan: ReplayPlan) -> Do | Flash:
            if not plan.ids:
                return Flash("not replayed: dead no more", bad=True)
            question = None
            if needs_asking(plan):
                from console.screens.replay import ReplayQuestion  # noqa: PLC0415 - loaded when it is asked

                question = ReplayQuestion(
                    plan, seen, self._look, self._monotonic, group=letters.group, page=letters.page
                )

            def act(door: Door) -> Said:
                first = question is not None and question.one_first
                ids = plan.ids[:1] if first else plan.ids
                bulk = door.replay_ids(ids)
                if not bulk.ids and self._last is not None and set(ids) <= set(self._last[0]):
                    return Said("queued again already; z undoes")  # the key was pressed twice
                if bulk.ids:
                    self._last = (bulk.ids, bulk.token, seen.generation)
                if first and bulk.ids:
                    rest = count(len(plan.ids) - 1)
                    return Said(f"{bulk.done[0]} queued again, alone; {rest} stay dead until you replay them")
                return told(bulk, "queued again", after="" if bulk.refused else "; z undoes")

            return Do("r", act, question, left="left dead")

        return Plan("r", reading(letters), then)

    def undo(self, seen: Seen) -> Do:
        """Take back the last replay, as far as its jobs were not claimed."""

        def act(door: Door) -> Said:
            # Taken here and not when the key was pressed: a replay that was still being written down is the last.
            last, self._last = self._last, None
            if last is None or last[2] != seen.generation:
                return Said("nothing to undo: z takes back the last replay of this console")
            try:
                bulk = door.undo_replay(last[0], token=last[1])
            except StoreError:
                self._last = last
                raise
            if not bulk.ids:
                return Said(_nothing_undone(bulk))
            return told(bulk, "dead again")

        return Do("z", act)


def discard(letters: Letters, seen: Seen, look: Look, monotonic: Callable[[], float]) -> Plan | Flash:
    """Look up what a removal of these means, then ask for their number."""
    if len(letters.ids) > MOST:
        return Flash(f"at most {count(MOST)} jobs at once; unmark some")

    def then(plan: ReplayPlan) -> Do | Flash:
        if not plan.ids:
            return Flash("not removed: dead no more", bad=True)

        def act(door: Door) -> Said:
            return told(door.discard_ids(plan.ids), "removed for good")

        from console.screens.replay import DiscardQuestion  # noqa: PLC0415 - loaded when it is asked

        question = DiscardQuestion(plan, seen, look, monotonic, group=letters.group, page=letters.page)
        return Do("D", act, question, left="left dead")

    return Plan("D", reading(letters), then)


def reading(letters: Letters) -> Callable[[Reader], ReplayPlan]:
    """How to look up what there is to know of them."""
    group = letters.group
    if group is None:
        return lambda reader: reader.replay_plan(letters.ids)
    return lambda reader: reader.replay_plan_of(group.fingerprint, died=group.died[0], id=group.ids[0])


def needs_asking(plan: ReplayPlan) -> bool:
    """Whether a replay of these may cost or repeat something; one job that did nothing yet is simply replayed."""
    return len(plan.ids) > 1 or plan.effects > 0 or plan.unknown > 0 or plan.spent > 0


def _nothing_undone(bulk: Bulk) -> str:
    if len(bulk.refused) == 1:
        return f"nothing to undo: {bulk.refused[0][1]}"
    reasons = Counter(why for _, why in bulk.refused).most_common(2)
    return f"nothing to undo: {'; '.join(f'{count(jobs)}: {why}' for why, jobs in reasons)}"


def told(bulk: Bulk, did: str, *, after: str = "") -> Said:
    """How it went: what was done, and what was refused and why."""
    done = bulk.done[0] if len(bulk.done) == 1 else plural(len(bulk.done), "job")
    refused = "; ".join(f"{key}: {why}" for key, why in bulk.refused[:2])
    more = f"; {count(len(bulk.refused))} refused: {refused}" if bulk.refused else ""
    return Said(f"{done} {did}{more}{after}", bad=bool(bulk.refused))
