"""`afk-runner drill`: trips what guards a home, on purpose, and says what was seen.

Each drill has a home of its own in a directory that goes with it, with a real runner process on it, a model on loopback
that counts what reaches it, and pretend prices. The real home's database gets the dates, and nothing else.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from types import FrameType
from typing import NoReturn

from runner.commands import Door
from runner.drill.place import sweep
from runner.drill.sandbox import NotProven, Sandbox, Settings, must
from runner.drill.steps import STEPS
from runner.errors import RunnerError
from runner.home import Home
from runner.notify.trial import send_test
from runner.settings import load
from runner.store.drills import NAMES
from runner.units import plural

Say = Callable[[str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drilled:
    """How one drill went."""

    name: str
    facts: tuple[str, ...]
    """What was seen, in the order it was seen."""
    fault: str | None
    """Why it is not proven; None: it is."""
    took_s: float


def drill(home: Home, names: Sequence[str], *, for_real: bool = False, say: Say) -> Iterator[Drilled]:
    """Drill these, or all, one after the other, and write down in the home how each went. Raises StoreError.

    `for_real`: the drill of alerts also sends a message to the home's own addresses. `say` is told what is being done.
    A signal that ends us ends what we started.
    """
    if left := sweep():
        say(f"removed {plural(left, 'sandbox', 'sandboxes')} of a drill that was killed, with what worked in it")
    door = Door(home)
    try:
        with _ending_in_order():
            for name in names or NAMES:
                done = _one(name, say, own=home if for_real and name == "alert" else None)
                door.drilled(name, fault=done.fault, version=_version())
                yield done
    finally:
        door.close()


def _one(name: str, say: Say, *, own: Home | None) -> Drilled:
    step = STEPS[name]
    facts: list[str] = []
    fault = None
    began = time.monotonic()

    def see(fact: str) -> None:
        facts.append(fact)
        say(f"{name}: {fact}")

    say(f"{name}: {step.does}")
    try:
        with Sandbox(step.settings) as sandbox:
            step.run(sandbox, see)
        if own is not None:
            _tell_for_real(own, see)
    except NotProven as error:
        fault = str(error)
    except (RunnerError, OSError) as error:
        fault = f"the drill itself failed, {type(error).__name__}: {error}"
    return Drilled(name=name, facts=tuple(facts), fault=fault, took_s=time.monotonic() - began)


def _tell_for_real(home: Home, see: Callable[[str], None]) -> None:
    """Send a message to each address of the home, as `alerts test` does. Raises NotProven."""
    answers = send_test(load(home.root, environ=os.environ), home=home.root, host=socket.gethostname())
    must(bool(answers), "no address is configured: [alerts] urls in afk.toml names them")
    refused = [f"{answer.name}: {answer.fault}" for answer in answers if answer.fault is not None]
    must(not refused, f"an address took no message: {'; '.join(refused)}")
    for answer in answers:
        see(f"{answer.name} took a message")


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """What would end us at once raises instead, so that no runner and no directory is left."""
    before = {number: signal.signal(number, _end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, _: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _version() -> str:
    try:
        return metadata.version("afk-console")
    except metadata.PackageNotFoundError:
        return "unknown"


__all__ = ["Drilled", "NotProven", "Settings", "drill"]
