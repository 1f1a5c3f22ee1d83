"""Acts of a person, each in a thread of its own, so that no lock and no full disk ever holds a key up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from textual.message import Message

from console.clean import clean, cleaned
from console.feed import Feed
from console.messages import Done, ForceAsked, KillEnded, Plan, Planned, RaiseEnded, ResumeEnded, Said
from console.screens.force import told
from runner.commands import Door, Targets, who
from runner.errors import RunnerError
from runner.home import Home
from runner.units import Clock, MicroUsd


class Acts:
    """Writes to one home and tells how it went.

    The threads are daemons: a terminal that is gone must not wait for somebody else's lock.
    """

    def __init__(self, home: Home, *, db: Path | None, clock: Clock, tell: Callable[[Message], object]) -> None:
        self._tell = tell
        # A kill has its own connection: it never stands behind a replay of a thousand jobs.
        self._kills = Door(home, db=db, clock=clock, by=who("console"))
        self._others = Door(home, db=db, clock=clock, by=who("console"))
        self._forces = Door(home, db=db, clock=clock, by=who("console"))
        self._force_turn = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._kill_turn = threading.Lock()
        self._other_turn = threading.Lock()

    def kill(self, *, now: bool) -> None:
        """Stop everything. Tells KillEnded."""

        def act() -> Message:
            try:
                with self._kill_turn:
                    return KillEnded(cleaned(self._kills.kill(now=now, reason="k in the console")), now)
            except (RunnerError, OSError) as error:
                return KillEnded(None, now, clean(str(error)))

        self._start(act)

    def force_targets(self) -> None:
        """Find out what a force would end. Tells ForceAsked."""

        def act() -> Message:
            try:
                with self._force_turn:
                    return ForceAsked(cleaned(self._forces.force_targets()))
            except (RunnerError, OSError) as error:
                return ForceAsked(None, clean(str(error)))

        self._start(act)

    def force(self, shown: Targets) -> None:
        """End these from outside. Tells Done."""

        def act() -> Message:
            try:
                with self._force_turn:
                    return Done(cleaned(told(self._forces.force(shown=shown, reason="K in the console"))))
            except (RunnerError, OSError) as error:
                return Done(Said(f"not done: {clean(str(error))}", bad=True))

        self._start(act)

    def do(self, act: Callable[[Door], Said]) -> None:
        """Any other act. Tells Done."""

        def run() -> Message:
            try:
                with self._other_turn:
                    return Done(cleaned(act(self._others)))
            except (RunnerError, OSError) as error:
                return Done(Said(f"not done: {clean(str(error))}", bad=True))

        self._start(run)

    def resume(self) -> None:
        """Clear the stop. Tells ResumeEnded."""

        def act() -> Message:
            try:
                with self._other_turn:
                    return ResumeEnded(cleaned(self._others.resume()))
            except (RunnerError, OSError) as error:
                return ResumeEnded(None, clean(str(error)))

        self._start(act)

    def raise_cap(self, cap: MicroUsd, *, reason: str) -> None:
        """Let today cost up to `cap`. Tells RaiseEnded."""

        def act() -> Message:
            try:
                with self._other_turn:
                    return RaiseEnded(cleaned(self._others.raise_cap(cap, reason=reason)))
            except (RunnerError, OSError) as error:
                return RaiseEnded(None, clean(str(error)))

        self._start(act)

    def plan(self, feed: Feed, plan: Plan, *, generation: int) -> None:
        """Look up what has to be known before an act. Tells Planned."""

        def act() -> Message:
            try:
                return Planned(plan, cleaned(feed.ask(plan.read)), generation)
            except (RunnerError, OSError) as error:
                return Planned(plan, None, generation, clean(str(error)))

        self._start(act)

    def wait(self, seconds: float) -> None:
        """Give acts that are under way this long to end."""
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _start(self, act: Callable[[], Message]) -> None:
        def run() -> None:
            ended = act()
            with suppress(RuntimeError):  # the screen is gone, and nobody is left to be told
                self._tell(ended)

        thread = threading.Thread(target=run, name="act", daemon=True)
        self._threads = [one for one in self._threads if one.is_alive()] + [thread]
        thread.start()
