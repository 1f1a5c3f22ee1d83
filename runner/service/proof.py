"""Whether a verb did what it was to do, by what is observed after it."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass

from runner.errors import Refused
from runner.home import Home
from runner.service import launchd
from runner.service.keeper import Keeper, Told
from runner.service.machine import Machine
from runner.service.plan import Plan, Platform
from runner.service.witness import Patience, Seen, in_unit, look
from runner.work.processes import ancestors, running, start_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Looks until what must come to be is there, or says what is there instead."""

    home: Home
    platform: Platform
    plan: Plan
    machine: Machine
    keeper: Keeper
    patience: Patience

    def started(self, before: Seen) -> str:
        """What came up. Raises Refused when nothing did."""
        if self.platform is Platform.CRON:
            return "its lines are in the crontab and read back; the first run is within 5 minutes"
        nudges: list[bool] = []
        began = self.patience.now()

        def look_again() -> Seen | None:
            seen = look(self.home)
            if seen.works and seen.key != before.key:
                return seen
            known = {row.id for row in before.standing_by}
            if any(row.id not in known for row in seen.standing_by):
                return seen
            if not nudges and self.patience.now() - began > self.patience.start_s / 6:
                nudges.append(True)
                self.keeper.nudge()
            return None

        seen = self.patience.until(look_again, within_s=self.patience.start_s)
        if seen is None:
            raise Refused(
                f"no heartbeat of a new runner came within {self.patience.start_s:.0f} s; {self.keeper.ask().text}; "
                f"{self._where_it_says_why()}"
            )
        if not seen.works or seen.key == before.key:
            return f"a new runner stands by for {before.text}"
        return seen.text

    def ended(self, before: Seen, answer: Told) -> str:
        """What is gone. `answer`: what the supervisor said before. Raises Refused when it is not."""
        ours = self._holds(before, answer)
        if self.platform is Platform.CRON and ours and before.pid is not None:
            with suppress(ProcessLookupError, PermissionError):  # what cron has started goes on by itself
                os.kill(before.pid, signal.SIGTERM)
        started = {one: start_time(one) for one in (answer.pid, before.pid if ours else None) if one is not None}

        def gone() -> bool | None:
            if any(mark is not None and start_time(one) == mark for one, mark in started.items()):
                return None
            return True if not ours or not look(self.home).held else None

        if self.patience.until(gone, within_s=self.plan.end_within_s + self.patience.race_s) is None:
            seen = look(self.home)
            raise Refused(
                f"it was told to end and {seen.text} still; `afk-runner kill --force --home {self.home.root}` ends it"
            )
        if before.held and not ours:
            ended = "it ended" if answer.pid is not None else "nothing of it ran"
            return f"{ended}; {before.text} all the same, started by somebody else"
        if not started:
            return "nothing ran"
        return "it ended, and the home's lock is free"

    def _holds(self, seen: Seen, answer: Told) -> bool:
        """Whether the runner that holds the home is the service's; yes where it cannot be told."""
        if seen.pid is None:
            return answer.loaded is None or answer.pid is not None
        if self.platform is Platform.CRON:
            return seen.pid in running("run", "--once", str(self.home.root))
        return seen.pid == answer.pid if answer.loaded is not None else True

    def is_ours(self, seen: Seen, pid: int | None) -> bool:
        """Whether what runs or stands by is what the supervisor started."""
        waits = {row.pid for row in seen.standing_by}
        return pid is not None and (pid in waits or (seen.works and pid == seen.pid))

    def looks_ours(self, pid: int | None) -> bool:
        """Whether a runner looks to be the service's, where the supervisor gives no answer; by the system's tables."""
        if pid is None:
            return False
        if self.platform in (Platform.LAUNCHD, Platform.LAUNCHD_DAEMON):
            return ancestors(pid)[:1] == [1]
        if self.platform is Platform.CRON:
            return pid in running("run", "--once", str(self.home.root))
        return in_unit(self.plan.name, pid)

    def may_live(self, seen: Seen) -> bool:
        """Whether a runner of the service may live, as far as that can be told without its supervisor."""
        pids = {seen.pid, *(row.pid for row in seen.standing_by)}
        return (seen.held and seen.pid is None) or any(self.looks_ours(pid) for pid in pids)

    def _where_it_says_why(self) -> str:
        if self.platform in (Platform.LAUNCHD, Platform.LAUNCHD_DAEMON):
            daemon = self.platform is Platform.LAUNCHD_DAEMON
            return f"see {launchd.log_folder(self.plan, self.machine, daemon=daemon) / 'boot.log'}"
        scope = "--user " if self.platform is Platform.SYSTEMD_USER else ""
        return f"see `journalctl {scope}-u {self.plan.name} -n 30`"
