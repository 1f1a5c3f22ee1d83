"""Install, start, stop, remove: each ends with what was observed of the runner, not with what a supervisor said."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from zoneinfo import ZoneInfo

from runner.config import BudgetConfig, Config, ServiceConfig
from runner.errors import ConfigError, Refused
from runner.home import Home
from runner.service import launchd, record
from runner.service.choose import check_may, keeper_for, platform_for
from runner.service.inspect import KEPT
from runner.service.keeper import Keeper, Told
from runner.service.launchctl import sessions
from runner.service.machine import Machine, as_owner
from runner.service.plan import File, Plan, Platform, make_plan
from runner.service.render import only, read, render
from runner.service.witness import Patience, Seen, look
from runner.settings import SettingsError, load
from runner.starts import Starts
from runner.units import MicroUsd
from runner.work.processes import running, start_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a verb came to."""

    changed: bool
    text: str
    """What was observed, in one sentence."""
    remarks: tuple[str, ...] = ()
    """What a person should know besides."""


@dataclass
class Service:
    """The service of one home on one platform."""

    home: Home
    platform: Platform
    config: Config
    machine: Machine
    environ: Mapping[str, str]
    patience: Patience = field(default_factory=Patience)
    fault: ConfigError | None = None
    """Why the settings are not those of the home."""
    keeper: Keeper = field(init=False)
    plan: Plan = field(init=False)
    wanted: str = field(init=False)
    """The name its settings give it; what is installed may have another."""

    def __post_init__(self) -> None:
        told = record.read(self.home)
        ours = told if told is not None and told.platform is self.platform else None
        self._adopt(ours.session if ours else None)
        self.wanted = self.plan.name
        if ours is not None and ours.name != self.wanted:  # every verb talks to what is there
            self._adopt(ours.session, name=ours.name)

    @classmethod
    def find(
        cls,
        home: Home,
        named: Platform | None,
        environ: Mapping[str, str],
        *,
        machine: Machine | None = None,
        patience: Patience | None = None,
    ) -> Service:
        """The service a person means. Raises Refused."""
        known = machine or Machine.of(home)
        platform = platform_for(home, known, named)
        fault = None
        try:
            config = read(home, environ)
        except ConfigError as error:  # what cannot be read can still be stopped and removed
            config, fault = _bare(home), error
        return cls(home, platform, config, known, environ, patience or Patience(), fault)

    # --- verbs ----------------------------------------------------------------------------------------------------

    def install(self, *, start: bool = True) -> Done:
        """Put the file where it belongs and start it; again: bring it up to date. Raises Refused or ConfigError."""
        self._check()
        told = record.read(self.home)
        if told is not None and told.platform is not self.platform:
            raise Refused(
                f"{told.platform} keeps this home already; `afk-runner service uninstall --platform {told.platform}` "
                "first: two would be in each other's way"
            )
        self._check_settings()
        if self.platform is Platform.LAUNCHD and start and told is None and self.config.service.session is None:
            self._adopt(sessions(self.machine) or "gui")
        file = self._file()
        there = self.keeper.there()
        changed = there != file.text
        if changed:
            self.keeper.put(file)
        record.write(
            self.home,
            self.machine,
            record.Record(
                platform=self.platform,
                name=self.plan.name,
                unit=str(self.keeper.unit) if self.keeper.unit else None,
                session=self.keeper.session,
            ),
        )
        where = self.keeper.unit or "the crontab"
        if not start:
            text = f"wrote {where}" if changed else f"{where} is as it was"
            return Done(changed=changed, text=f"{text}; nothing was started", remarks=self._remarks(started=False))
        before = look(self.home)
        answer = self.keeper.ask()
        if not changed and answer.loaded and (self.platform is Platform.CRON or self._is_ours(before, answer.pid)):
            return Done(changed=False, text=f"{where} is as it was, {before.text}", remarks=self._remarks())
        self._forgive()
        if there is not None and answer.loaded is not False:
            self.keeper.again(changed=True)
        else:
            self.keeper.begin()
        return Done(changed=True, text=f"installed {where}: {self._started(before)}", remarks=self._remarks())

    def start(self) -> Done:
        """Start what is installed. Raises Refused."""
        self._check()
        self._must_be_there()
        before = look(self.home)
        answer = self.keeper.ask()
        cleared = self._forgive()
        if answer.loaded and self._is_ours(before, answer.pid):
            tries = "; what crashed again and again may try again" if cleared else ""
            return Done(changed=cleared, text=f"it runs already: {before.text}{tries}")
        self.keeper.begin()
        return Done(changed=True, text=self._started(before))

    def stop(self, *, persist: bool) -> Done:
        """End it; `persist`: it stays down over the next boot. Raises Refused when it did not end."""
        self._check()
        self._must_be_there()
        before = look(self.home)
        answer = self.keeper.ask()
        self.keeper.end(persist=persist)
        text = self._ended(before, answer)
        if persist:
            return Done(changed=True, text=f"{text}; it stays down until `afk-runner service start`")
        comes = (
            "" if self.platform is Platform.CRON else "; it comes back with the next boot or login, unless --persist"
        )
        return Done(changed=True, text=text + comes)

    def restart(self) -> Done:
        """End it and start it, with the file as it is now rendered. Raises Refused."""
        self._check()
        self._must_be_there()
        self._check_settings()
        file = self._file()
        changed = self.keeper.there() != file.text
        if changed:
            self.keeper.put(file)
        before = look(self.home)
        self._forgive()
        self.keeper.again(changed=changed)
        return Done(changed=True, text=self._started(before))

    def uninstall(self) -> Done:
        """Stop it and leave nothing of it; what the home holds is kept. Raises Refused."""
        self._check()
        if self.keeper.there() is None and self.keeper.ask().loaded is not True:
            with as_owner(self.home):
                record.forget(self.home)
            return Done(changed=False, text=f"nothing of {self.plan.name} is installed on {self.platform}")
        before = look(self.home)
        answer = self.keeper.ask()
        self.keeper.end(persist=False)
        text = self._ended(before, answer)
        self.keeper.drop()
        with as_owner(self.home):
            record.forget(self.home)
        return Done(changed=True, text=f"removed {self.keeper.unit or 'the lines of the crontab'}: {text}")

    def _forgive(self) -> bool:
        """A person starts it: what it crashed of before is taken to be mended. True where that made a difference."""
        try:
            with as_owner(self.home):
                return Starts(self.home.starts).clear()
        except OSError as error:
            raise Refused(f"{self.home.starts} cannot be removed: {error.strerror}") from error

    # --- what was observed ----------------------------------------------------------------------------------------

    def _started(self, before: Seen) -> str:
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

    def _ended(self, before: Seen, answer: Told) -> str:
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

    def _is_ours(self, seen: Seen, pid: int | None) -> bool:
        waits = {row.pid for row in seen.standing_by}
        return pid is not None and (pid in waits or (seen.works and pid == seen.pid))

    def _where_it_says_why(self) -> str:
        if self.platform in (Platform.LAUNCHD, Platform.LAUNCHD_DAEMON):
            daemon = self.platform is Platform.LAUNCHD_DAEMON
            return f"see {launchd.log_folder(self.plan, self.machine, daemon=daemon) / 'boot.log'}"
        scope = "--user " if self.platform is Platform.SYSTEMD_USER else ""
        return f"see `journalctl {scope}-u {self.plan.name} -n 30`"

    # --- what is checked first ------------------------------------------------------------------------------------

    def _adopt(self, session: str | None, *, name: str | None = None) -> None:
        plan = make_plan(self.home, self.config, self.machine, session=session)
        self.plan = plan if name is None else replace(plan, name=name)
        self.keeper = keeper_for(self.platform, self.plan, self.machine, self.patience)

    def _check(self) -> None:
        check_may(self.home, self.machine, self.platform, self.environ, name=self.plan.name)

    def _check_settings(self) -> None:
        """A service has no environment of a person's shell: what is set there alone, it would miss."""
        if self.fault is not None:
            raise self.fault
        if self.plan.name != self.wanted:
            raise Refused(
                f"it is installed as {self.plan.name} and its settings now name it {self.wanted}; "
                "`afk-runner service uninstall` first, then install it again"
            )
        if self.platform not in KEPT:
            return
        try:
            with as_owner(self.home):
                load(self.home.root, environ={})
        except SettingsError as error:
            first = str(error.problems[0])
            raise Refused(
                f"the service would not start: {first}; what is set in a shell is not seen by a service: put it into "
                f"{self.home.env}"
            ) from None

    def _must_be_there(self) -> None:
        if self.keeper.there() is None:
            raise Refused(
                f"nothing is installed for {self.home.root} on {self.platform}; `afk-runner service install` does it"
            )

    def _file(self) -> File:
        return only(render(self.home, self.config, self.machine, self.platform, session=self.plan.session))

    def _remarks(self, *, started: bool = True) -> tuple[str, ...]:
        remarks = []
        if self.platform is Platform.LAUNCHD and not started:
            remarks.append("launchd starts it at the next login all the same; `afk-runner service start` does it now")
        if self.platform is Platform.SYSTEMD_USER:
            linger = self.machine.root / "var/lib/systemd/linger" / self.machine.user
            if not linger.exists():
                remarks.append(
                    f"it ends when {self.machine.user} logs out: `sudo loginctl enable-linger {self.machine.user}`"
                )
        return tuple(remarks)


def _bare(home: Home) -> Config:
    """Enough of a configuration to find what was installed."""
    told = record.read(home)
    named = ServiceConfig(name=told.name, session=told.session) if told is not None else ServiceConfig()
    return Config(zone=ZoneInfo("UTC"), budget=BudgetConfig(daily_usd=MicroUsd(0)), service=named)
