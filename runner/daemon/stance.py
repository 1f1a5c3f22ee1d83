"""What the runner is doing about the stop switch: it works, drains or is parked, and says so."""

from __future__ import annotations

import time
from collections.abc import Callable

from runner.daemon.switch import StopSwitch
from runner.store.runners import RunState
from runner.work.outcome import Cut
from runner.work.pool import Pool

Tell = Callable[[RunState, str | None, int], None]
"""Makes state, reason and the turn of the switch that was acted on known to others."""


class Stance:
    """Brings the pool in line with the switch."""

    def __init__(self, *, switch: StopSwitch, pool: Pool, grace_ms: int, tell: Tell) -> None:
        """`grace_ms`: what attempts in progress get to end well."""
        self._switch = switch
        self._pool = pool
        self._grace_s = grace_ms / 1000
        self._tell = tell
        self._state = RunState.STARTING
        self._reason: str | None = None
        self._seq = 0
        """The last turn of the switch that was acted on."""
        self._causes = (False, False)
        """What held then: the state's note, and who is told of a stop, go by it."""
        self._note: str | None = None
        self._cut_at: float | None = None
        """When the grace of a stop is over, on the monotonic clock."""

    def obey(self, *, ending: bool) -> None:
        """Do what the switch says; called with every tick. `ending`: we leave in any case, and start nothing more."""
        seq = self._switch.row.seq
        if not self._switch.is_set:
            self._cut_at = None
            if not ending and (self._state in (RunState.PARKED, RunState.DRAINING) or seq != self._seq):
                self.move(RunState.RUNNING, self._note)
                self._pool.grow_old()
                self._pool.pump()
            return
        now = time.monotonic()
        if self._cut_at is None:
            self._cut_at = now + self._grace_s
        if self._pool.running and (self._switch.without_grace or now >= self._cut_at):
            self._pool.cut_all(Cut.STOP, at_once=self._switch.without_grace)
        state = RunState.DRAINING if self._pool.running or ending else RunState.PARKED
        reason = self._switch.word
        if (state, reason, seq, self._switch.causes) != (self._state, self._reason, self._seq, self._causes):
            self.move(state, reason)

    def note(self, text: str | None) -> None:
        """Say while it runs why it starts nothing although nobody stopped it; None: that is over."""
        self._note = text
        if self._state is RunState.RUNNING:
            self.move(RunState.RUNNING, text)

    @property
    def state(self) -> RunState:
        """What it is doing."""
        return self._state

    @property
    def reason(self) -> str | None:
        """Why it is parked or draining, in a word or a few."""
        return self._reason

    def move(self, state: RunState, reason: str | None) -> None:
        """Take a state, and say so."""
        self._state, self._reason = state, reason
        self._seq, self._causes = self._switch.row.seq, self._switch.causes
        self._tell(state, reason, self._seq)
