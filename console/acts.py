"""Acts of a person, each in a thread of its own, so that no lock and no full disk ever holds a key up.

The write door is loaded with the first of them, or by `load` once the first picture is drawn.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from textual.message import Message

from console.clean import clean, cleaned
from console.feed import Feed
from console.messages import Done, ForceAsked, KillEnded, Plan, Planned, ResumeEnded, Said
from runner.errors import RunnerError
from runner.home import Home
from runner.units import Clock

if TYPE_CHECKING:
    from runner.commands import Door, Targets

T = TypeVar("T")

KILL_FIRST_S = 0.01
"""How long a kill has the interpreter to itself: beside a picture that is drawn it would take twice as long."""
WARM_WAIT_S = 0.05
"""How long opening the database beforehand may wait for somebody who locks it: a kill may stand behind it."""


class Lane:
    """A door of its own, through which one act goes at a time."""

    def __init__(self, open_door: Callable[[], Door]) -> None:
        self.turn = threading.Lock()
        self._open_door = open_door
        self._door: Door | None = None

    def warm(self) -> None:
        """Open the door and the database behind it. Raises StoreError, OSError."""
        self.through(lambda door: door.ready(wait_s=WARM_WAIT_S))

    def let_go(self) -> None:
        """Close the database behind the door, if it is open. The next act opens what stands there then."""
        with self.turn:
            if self._door is not None:
                self._door.close()

    def through(self, act: Callable[[Door], T]) -> T:
        """What the act gives, once those before it have ended. Raises what it raises."""
        with self.turn:
            if self._door is None:
                self._door = self._open_door()
            return act(self._door)


class Acts:
    """Writes to one home and tells how it went.

    The threads are daemons: a terminal that is gone must not wait for somebody else's lock.
    """

    def __init__(self, home: Home, *, db: Path | None, clock: Clock, tell: Callable[[Message], object]) -> None:
        def open_door() -> Door:
            from runner.commands import Door, who  # noqa: PLC0415 - the first picture does not wait for it

            return Door(home, db=db, clock=clock, by=who("console"))

        self._tell = tell
        # A kill never stands behind a replay of a thousand jobs, and what a force looks for never before a kill.
        self.kills, self.forces, self.others = Lane(open_door), Lane(open_door), Lane(open_door)
        self._threads: list[threading.Thread] = []

    def load(self) -> None:
        """Load what acts need, so that the first of them is as quick as any."""
        threading.Thread(target=import_module, args=["runner.commands"], name="load", daemon=True).start()

    def renew(self, *, warm: bool) -> None:
        """Let go of a database that is gone or is another one, which else nobody could remove.

        `warm`: and have that of the kills open, as long as it is well: no kill is to stand behind a locked one.
        """

        def run() -> None:
            self.kills.let_go()
            with suppress(RunnerError, OSError):  # the first act says what is the matter
                if warm:
                    self.kills.warm()
            for lane in (self.forces, self.others):
                lane.let_go()

        threading.Thread(target=run, name="renew", daemon=True).start()

    def kill(self, *, now: bool) -> None:
        """Stop everything. Tells KillEnded. Gives it a moment before whatever is drawn next."""

        def act(door: Door) -> Message:
            return KillEnded(cleaned(door.kill(now=now, reason="k in the console")), now)

        begun = self._start(self.kills, act, lambda why: KillEnded(None, now, why))
        begun.join(KILL_FIRST_S)

    def force_targets(self) -> None:
        """Find out what a force would end. Tells ForceAsked."""
        self._start(
            self.forces, lambda door: ForceAsked(cleaned(door.force_targets())), lambda why: ForceAsked(None, why)
        )

    def force(self, shown: Targets) -> None:
        """End these from outside. Tells Done."""
        from console.screens.force import told  # noqa: PLC0415

        self._start(
            self.forces,
            lambda door: Done(cleaned(told(door.force(shown=shown, reason="K in the console")))),
            lambda why: _failed("not done", why),
        )

    def resume(self) -> None:
        """Clear the stop. Tells ResumeEnded."""
        self._start(self.others, lambda door: ResumeEnded(cleaned(door.resume())), lambda why: ResumeEnded(None, why))

    def do(self, act: Callable[[Door], Said], *, failed: str = "not done") -> None:
        """Any other act; `failed` is said before the reason why it could not be done. Tells Done."""
        self._start(self.others, lambda door: Done(cleaned(act(door))), lambda why: _failed(failed, why))

    def plan(self, feed: Feed, plan: Plan, *, generation: int) -> None:
        """Look up what has to be known before an act. Tells Planned."""
        self._run(
            lambda: Planned(plan, cleaned(feed.ask(plan.read)), generation),
            lambda why: Planned(plan, None, generation, why),
        )

    def wait(self, seconds: float) -> None:
        """Give acts that are under way this long to end."""
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _start(self, lane: Lane, act: Callable[[Door], Message], failed: Callable[[str], Message]) -> threading.Thread:
        return self._run(lambda: lane.through(act), failed)

    def _run(self, act: Callable[[], Message], failed: Callable[[str], Message]) -> threading.Thread:
        def run() -> None:
            try:
                ended = act()
            except (RunnerError, OSError) as error:
                ended = failed(clean(str(error)))
            except Exception as error:  # a fault of ours must not leave the screen waiting for ever
                ended = failed(clean(f"a fault of this program: {error!r}"))
            with suppress(RuntimeError):  # the screen is gone, and nobody is left to be told
                self._tell(ended)

        thread = threading.Thread(target=run, name="act", daemon=True)
        self._threads = [one for one in self._threads if one.is_alive()] + [thread]
        thread.start()
        return thread


def _failed(what: str, why: str) -> Message:
    return Done(Said(f"{what}: {why}", bad=True))
