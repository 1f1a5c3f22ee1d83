"""`afk-runner drill`: trips what guards a home, on purpose, and says what was seen.

Each drill has a home of its own in a directory that goes with it, with a real runner process on it, a model on loopback
that counts what reaches it, and pretend prices. The real home's database gets the dates, and nothing else.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from types import FrameType
from typing import NoReturn

from runner.commands import Door
from runner.drill.sandbox import NotProven, Sandbox, Settings
from runner.drill.steps import STEPS
from runner.errors import RunnerError
from runner.home import Home
from runner.store.drills import NAMES

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

    `say` is told what is being done. A signal that ends us ends what we started.
    """
    door = Door(home)
    try:
        with _ending_in_order():
            for name in names or NAMES:
                done = _one(name, say)
                door.drilled(name, fault=done.fault, version=_version())
                yield done
    finally:
        door.close()


def _one(name: str, say: Say) -> Drilled:
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
    except NotProven as error:
        fault = str(error)
    except (RunnerError, OSError) as error:
        fault = f"the drill itself failed, {type(error).__name__}: {error}"
    return Drilled(name=name, facts=tuple(facts), fault=fault, took_s=time.monotonic() - began)


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
