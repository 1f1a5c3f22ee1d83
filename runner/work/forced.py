"""Ending the processes of a home from outside, whatever state they are in, and seeing that they are gone."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from runner.home import Home
from runner.lock import holder_of
from runner.work.processes import descendants, end_tree, group_members, running, start_time

TERM_S = 4.0
"""How long a runner that was asked to end may take; half of it on, it is asked again, which cuts what it waits for."""
GUARD_S = 1.0
"""How long the guard of a runner that is gone may take to end what is left."""
GONE_S = 5.0
"""How long a killed process may take to be gone; one that waits for a disk outlasts it."""
_LOOK_S = 0.02


class Part(StrEnum):
    """What a process is to its home."""

    RUNNER = "runner"
    GUARD = "guard"
    WORKER = "worker"
    CHILD = "child"
    """Started by a worker's payload."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process that cannot be mistaken: its pid with its start time."""

    pid: int
    started: str
    part: Part

    @property
    def lives(self) -> bool:
        """Whether it is still there; another one with its pid is not it."""
        return start_time(self.pid) == self.started


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """One that is gone, and what it took."""

    process: Process
    by: str
    """`stop`, `TERM` or `KILL`: what came last before it went, to it or to its runner."""


def below(runners: Iterable[Process], home: Home) -> tuple[Process, ...]:
    """What works for these runners, and what earlier ones of the home left: guards, workers, and all below them.

    What works for another runner that holds the home, one that a supervisor started meanwhile say, is not among them.
    """
    tops = {one.pid for one in runners if one.lives}
    holder = holder_of(home.lock)
    spared = {holder, *descendants(holder)} if holder is not None and holder not in tops else set()
    guards = {*running("runner.work.guard", str(home.guard_lock))} - spared
    workers = {*running("runner.work.worker", str(home.tasks))} - spared
    found = {*guards, *workers}
    for pid in {*tops, *workers}:
        found |= {*descendants(pid)}
    for pid in workers:
        found |= {*group_members(pid)}
    parts = {**dict.fromkeys(workers, Part.WORKER), **dict.fromkeys(guards, Part.GUARD)}
    return tuple(
        Process(pid=pid, started=started, part=parts.get(pid, Part.CHILD))
        for pid in sorted(found - tops - spared)
        if (started := start_time(pid)) is not None
    )


def end(
    runners: Sequence[Process], others: Sequence[Process], home: Home
) -> tuple[tuple[Ended, ...], tuple[Process, ...]]:
    """TERM, then KILL to these runners and everything below them; what is gone, and what would not go.

    `others`: what was below them before the stop was set. Nothing else is touched: a process with the pid of one that
    ended meanwhile is not it. A runner's own process group is left alone, for a person's other programs may be in it.
    """
    known: dict[tuple[int, str], Process] = {(one.pid, one.started): one for one in (*runners, *others)}
    ended: dict[tuple[int, str], Ended] = {}

    def look() -> list[Process]:
        known.update({(one.pid, one.started): one for one in below(runners, home)})
        return [one for one in known.values() if one.lives]

    def note(by: str) -> None:
        for key, one in known.items():
            if key not in ended and not one.lives:
                ended[key] = Ended(process=one, by=by)

    note("stop")
    look()
    _ask(runners)
    if not _any(runners):
        _wait(known.values(), GUARD_S)
    note("TERM")
    for one in runners:
        _send(one, signal.SIGSTOP)  # it must not start another worker for each that is killed
    _kill(one for one in look() if one.part in (Part.WORKER, Part.CHILD))
    for one in runners:
        _send(one, signal.SIGKILL)
    _wait(known.values(), GUARD_S)
    _kill(look())
    _wait(known.values(), GONE_S)
    note("KILL")
    return tuple(ended.values()), tuple(one for one in known.values() if one.lives)


def _ask(runners: Sequence[Process]) -> None:
    """TERM, twice if need be, and time to go."""
    for _ in range(2):
        for one in runners:
            _send(one, signal.SIGTERM)
        _wait(runners, TERM_S / 2)


def _kill(processes: Iterable[Process]) -> None:
    """KILL each with its group and all below it; the guard last, for it ends what the others leave."""
    for one in sorted(processes, key=lambda one: one.part is Part.GUARD):
        if one.part is Part.WORKER and one.lives:
            end_tree(one.pid)
        else:
            _send(one, signal.SIGKILL)


def _send(process: Process, number: signal.Signals) -> None:
    """A signal to this very process: on Linux its pid cannot come to mean another one in between."""
    with suppress(ProcessLookupError, PermissionError):
        if not hasattr(os, "pidfd_open"):
            if process.lives:
                os.kill(process.pid, number)
            return
        try:
            handle = os.pidfd_open(process.pid)
        except OSError as error:
            if process.lives and not isinstance(error, ProcessLookupError):  # a kernel without it
                os.kill(process.pid, number)
            return
        try:
            if process.lives:
                signal.pidfd_send_signal(handle, number)
        finally:
            os.close(handle)


def _any(processes: Iterable[Process]) -> bool:
    return any(one.lives for one in processes)


def _wait(processes: Iterable[Process], seconds: float) -> None:
    waited = list(processes)
    deadline = time.monotonic() + seconds
    while _any(waited) and time.monotonic() < deadline:
        time.sleep(_LOOK_S)  # the kernel, or the process itself, is at it
