"""Ending the runner's processes from outside: for one that does not do what it is told, frozen or gone wrong."""

from __future__ import annotations

import os
import socket
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass, replace

from runner import spending
from runner.commands.switch import Killed, SwitchActs
from runner.errors import StoreError
from runner.lock import HomeLock, holder_of, lock_is_held
from runner.starts import Starts
from runner.store import events, leases, runners
from runner.store.db import open_reader, translate
from runner.store.jobs import Job
from runner.store.runners import Runner, RunState
from runner.units import MicroUsd, UnixMs, iso, plural, usd
from runner.views import NOTHING
from runner.work.forced import Ended, Part, Process, below, end
from runner.work.processes import boot_id, start_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """What a force would end, as it stood when it was asked."""

    runners: tuple[Process, ...]
    """Those that stand by first: none may take over from one that is ended."""
    others: tuple[Process, ...]
    """Guards, workers and what is below them."""
    refused: tuple[str, ...]
    """Runners that are not touched, each a sentence that says why."""
    at_work: tuple[Job, ...] = ()
    """Jobs that are being worked on, each with what it cost so far."""
    unread: str = ""
    """Why the database could not be read; then what is at work is not known."""

    @property
    def processes(self) -> tuple[Process, ...]:
        """All of them."""
        return (*self.runners, *self.others)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forced:
    """The proof of a force: what was observed after it."""

    stop: Killed | None
    """None: it could not be set either, see `fault`."""
    fault: str = ""
    ended: tuple[Ended, ...] = ()
    left: tuple[Process, ...] = ()
    """What would not go; the kernel holds it."""
    refused: tuple[str, ...] = ()
    lock_held: bool = False
    holder: int | None = None
    """Who holds it, where that can be told."""
    leases: tuple[Job, ...] = ()
    """Jobs whose worker is gone; the next runner takes them back."""
    holds: int = 0
    """Calls of which nobody knows what they cost, those that were in flight included."""
    held: MicroUsd = NOTHING
    """Held for those; it goes on counting."""
    unread: str = ""
    """Why the database could not be asked for leases and holds."""

    @property
    def whole(self) -> bool:
        """Nothing of the home runs any more, and it is stopped."""
        return self.stop is not None and not self.left and not self.refused and not self.lock_held


class ForceActs(SwitchActs):
    """The rung of the ladder below `kill --now`."""

    def force_targets(self) -> Targets:
        """Which processes of this home run here, and what they work on. Changes nothing; reads without a lock."""
        rows: list[Runner] = []
        at_work: tuple[Job, ...] = ()
        unread = ""
        try:
            with closing(open_reader(self.path)) as db:
                rows, at_work = runners.present(db), tuple(leases.orphans(db, runner=""))
        except (StoreError, sqlite3.Error) as error:
            unread = self._why(error)
        found, refused = self._identify(rows)
        others = below(found, self.home)
        if os.getpid() in {one.pid for one in (*found, *others)}:
            refused = [*refused, "this very process is one of them; do it from a shell of your own"]
            found, others = [], ()
        return Targets(runners=tuple(found), others=others, refused=tuple(refused), at_work=at_work, unread=unread)

    def force(self, *, shown: Targets | None = None, reason: str | None = None) -> Forced:
        """Stop everything, then end the runner's processes: TERM, then KILL to what does not go.

        `shown`: what a person saw and agreed to; a runner that came since is left alone. Each is signalled only while
        its pid, start time, boot and host are those it wrote down, or while it holds the home's lock. Never raises
        for a database that cannot be used.
        """
        said = reason or "forced by a person"
        before = shown or self.force_targets()
        stop, fault = None, ""
        try:
            stop = self.kill(now=True, reason=said)
        except StoreError as error:
            fault = str(error)
        targets = self.force_targets()
        chosen, refused = list(targets.runners), list(targets.refused)
        if shown is not None:
            agreed = {(one.pid, one.started) for one in shown.runners}
            refused += [
                f"pid {one.pid} was not among those shown: it started since; look again"
                for one in chosen
                if (one.pid, one.started) not in agreed
            ]
            chosen = [one for one in chosen if (one.pid, one.started) in agreed]
        gone: tuple[Ended, ...] = ()
        left: tuple[Process, ...] = ()
        if chosen or (targets.others and not targets.runners and not targets.refused):
            gone, left = end(chosen, before.others, self.home)
        return self._prove(Forced(stop=stop, fault=fault, ended=gone, left=left, refused=tuple(refused)))

    def _identify(self, rows: list[Runner]) -> tuple[list[Process], list[str]]:
        """The runners that live here beyond a doubt, and why another one that holds the home is left alone."""
        host, boot = socket.gethostname(), boot_id()
        found = [
            Process(pid=row.pid, started=row.pid_started, part=Part.RUNNER)
            for row in rows
            if row.host == host and row.boot == boot and row.pid_started and start_time(row.pid) == row.pid_started
        ]
        holder = holder_of(self.home.lock)
        if holder is not None and holder not in {one.pid for one in found} and (started := start_time(holder)):
            found.append(Process(pid=holder, started=started, part=Part.RUNNER))  # the database does not know it
        working = {row.pid for row in rows if row.state is not RunState.STANDBY}
        if not lock_is_held(self.home.lock) or {one.pid for one in found} & {*working, holder}:
            return found, []
        for row in rows:
            if row.host != host and row.state is not RunState.STANDBY:
                return found, [f"runner pid {row.pid} is on {row.host}, not here on {host}: do it there"]
        lock = self.home.lock
        return found, [f"nobody can tell for certain which process holds {lock}; `fuser {lock}` names it"]

    def _prove(self, forced: Forced) -> Forced:
        """With what can be observed now, written down as an event if that is possible."""
        held = lock_is_held(self.home.lock)
        left: tuple[Job, ...] = ()
        calls, amount = 0, NOTHING
        unread = ""
        if not held:
            try:
                with closing(open_reader(self.path)) as db:
                    left = tuple(leases.orphans(db, runner=""))
                    standing = spending.held(db, runner_lives=False)
                    calls, amount = standing.calls, standing.total
            except (StoreError, sqlite3.Error) as error:
                unread = self._why(error)
        if forced.ended:
            with suppress(StoreError):
                self._transact(lambda db, at: self._say_forced(db, at, forced.ended))
            self._excuse(forced.ended)
        return replace(
            forced,
            lock_held=held,
            holder=holder_of(self.home.lock),
            leases=left,
            holds=calls,
            held=amount,
            unread=unread,
        )

    def _why(self, error: Exception) -> str:
        return str(translate(error, self.path) if isinstance(error, sqlite3.Error) else error)

    def _say_forced(self, db: sqlite3.Connection, at: UnixMs, ended: tuple[Ended, ...]) -> None:
        tops = [f"pid {one.process.pid} by {one.by}" for one in ended if one.process.part is Part.RUNNER]
        rest = len(ended) - len(tops)
        what = ", ".join(tops) or "no runner"
        text = f"ended from outside by {self._by}: {what}, and {plural(rest, 'process', 'processes')} of it"
        self._event(db, at, "runner.forced", text, level=events.WARN)
        how, host, boot = f"forced by {self._by} at {iso(at)}", socket.gethostname(), boot_id()
        for one in _runners_of(ended):
            runners.forced(db, pid=one.pid, pid_started=one.started, boot=boot, host=host, ended=how, now=at)

    def _excuse(self, ended: tuple[Ended, ...]) -> None:
        """Being ended by a person is no crash: the guard against a crash loop does not count it."""
        with suppress(StoreError, OSError), closing(HomeLock(self.home.lock)) as lock:
            if lock.take():  # else the next runner is there already, and the file is its own to write
                Starts(self.home.starts).excuse({one.pid for one in _runners_of(ended)})


def _runners_of(ended: tuple[Ended, ...]) -> list[Process]:
    """The runners that a signal of ours ended; one that was gone before it was asked went by itself."""
    return [one.process for one in ended if one.process.part is Part.RUNNER and one.by != "stop"]


def proof(forced: Forced) -> tuple[str, ...]:
    """What a force came to, a sentence a line, for people."""
    lines = [f"ended {one.process.part.value} {one.process.pid} by {one.by}" for one in forced.ended]
    if not forced.ended and not forced.refused:
        lines.append("nothing of this home runs here")
    lines += [f"NOT ENDED: {one.part.value} {one.pid} is held by the kernel" for one in forced.left]
    if forced.lock_held:
        by = f" by pid {forced.holder}: if it came since, the stop parks it" if forced.holder is not None else ""
        lines.append(f"the home's lock is held{by}")
        return tuple(lines)
    if forced.ended:
        lines.append("the home's lock is free: no runner works on it")
    if forced.unread:
        lines.append(f"leases and holds are not known: {forced.unread}")
        return tuple(lines)
    if forced.leases:
        names = ", ".join(f"{job.key} (attempt {job.starts})" for job in forced.leases[:5])
        more = f" and {len(forced.leases) - 5} more" if len(forced.leases) > 5 else ""
        lines.append(f"left {plural(len(forced.leases), 'lease')}, which the next runner takes back: {names}{more}")
    if forced.holds:
        what = f"{usd(forced.held)} of {plural(forced.holds, 'call')}"
        lines.append(f"{what} stay held and go on counting; `afk-runner spend --holds` lists them")
    return tuple(lines)
