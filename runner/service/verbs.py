"""Install, start, stop, remove: each ends with what was observed of the runner, not with what a supervisor said."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from zoneinfo import ZoneInfo

from runner.config import BudgetConfig, Config, ServiceConfig
from runner.errors import ConfigError, Refused
from runner.home import Home
from runner.service import record
from runner.service.choose import check_may, keeper_for, platform_for
from runner.service.inspect import KEPT
from runner.service.keeper import Keeper, Told
from runner.service.launchctl import sessions
from runner.service.machine import Machine, as_owner
from runner.service.plan import File, Plan, Platform, make_plan
from runner.service.proof import Proof
from runner.service.render import only, read, render
from runner.service.tools import NoSuchTool
from runner.service.witness import Patience, Seen, look
from runner.settings import SettingsError, load
from runner.starts import Starts
from runner.units import MicroUsd


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
    proof: Proof = field(init=False)

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
        """Put the file where it belongs and start it; again: bring it up to date.

        Raises Refused or ConfigError; where the supervisor did not take it, nothing of this try is left.
        """
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
        before = look(self.home)
        try:
            done = self._put_in_place(file, there, before, start=start)
        except Refused as refused:
            if told is not None and there == file.text:
                raise
            self._take_back(file, there, told)
            raise Refused(f"{refused}; what was installed for it was taken back") from refused
        if done is not None:
            return done
        where = self.keeper.unit or "the crontab"
        return Done(changed=True, text=f"installed {where}: {self.proof.started(before)}", remarks=self._remarks())

    def _put_in_place(self, file: File, there: str | None, before: Seen, *, start: bool) -> Done | None:
        """All of an install but the proof; None where a runner must come up now."""
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
        answer = self.keeper.ask()
        if not changed and answer.loaded and (self.platform is Platform.CRON or self.proof.is_ours(before, answer.pid)):
            return Done(changed=False, text=f"{where} is as it was, {before.text}", remarks=self._remarks())
        self._forgive()
        if there is not None and answer.loaded is not False:
            self.keeper.again(changed=True)
        else:
            self.keeper.begin()
        return None

    def _take_back(self, file: File, there: str | None, told: record.Record | None) -> None:
        """As it was before an install, as far as that can be had: what failed once may fail again."""
        with suppress(Refused):
            if there is None:
                self.keeper.drop()
            elif there != file.text:
                self.keeper.put(replace(file, text=there))
        with suppress(Refused):
            if told is not None:
                record.write(self.home, self.machine, told)
                return
        with as_owner(self.home):
            record.forget(self.home)

    def start(self) -> Done:
        """Start what is installed. Raises Refused."""
        self._check()
        self._must_be_there()
        before = look(self.home)
        answer = self.keeper.ask()
        cleared = self._forgive()
        if answer.loaded and self.proof.is_ours(before, answer.pid):
            tries = "; what crashed again and again may try again" if cleared else ""
            return Done(changed=cleared, text=f"it runs already: {before.text}{tries}")
        self.keeper.begin()
        return Done(changed=True, text=self.proof.started(before))

    def stop(self, *, persist: bool) -> Done:
        """End it; `persist`: it stays down over the next boot. Raises Refused when it did not end."""
        self._check()
        self._must_be_there()
        before = look(self.home)
        answer = self.keeper.ask()
        self.keeper.end(persist=persist)
        text = self.proof.ended(before, answer)
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
        return Done(changed=True, text=self.proof.started(before))

    def uninstall(self) -> Done:
        """Stop it and leave nothing of it; what the home holds is kept. Raises Refused.

        A supervisor that gives no answer is not waited for, if no runner of the service lives.
        """
        self._check()
        there, answer = self._known()
        if there is None and answer.loaded is not True:
            with as_owner(self.home):
                record.forget(self.home)
            remarks: tuple[str, ...] = (answer.text,) if answer.loaded is None else ()
            text = f"nothing of {self.plan.name} is installed on {self.platform}"
            return Done(changed=False, text=text, remarks=remarks)
        before = look(self.home)
        if answer.loaded is None and not self.proof.may_live(before):
            text, remarks = before.text, (f"{answer.text}; what it still knows of it goes when it is started anew",)
        else:
            self.keeper.end(persist=False)
            text, remarks = self.proof.ended(before, answer), ()
        self.keeper.drop()
        with as_owner(self.home):
            record.forget(self.home)
        removed = f"removed {self.keeper.unit or 'the lines of the crontab'}: {text}"
        return Done(changed=True, text=removed, remarks=remarks)

    def _known(self) -> tuple[str | None, Told]:
        """What is installed, and what its supervisor says; a home that was moved may have lost even its programs."""
        try:
            return self.keeper.there(), self.keeper.ask()
        except NoSuchTool as error:
            told = record.read(self.home)
            if told is None or told.platform is not self.platform:
                raise
            answer = Told(loaded=None, text=str(error))
        try:
            return self.keeper.there(), answer
        except NoSuchTool:  # a crontab that nobody can read starts nothing
            return None, answer

    def _forgive(self) -> bool:
        """A person starts it: what it crashed of before is taken to be mended. True where that made a difference."""
        try:
            with as_owner(self.home):
                return Starts(self.home.starts).clear()
        except OSError as error:
            raise Refused(f"{self.home.starts} cannot be removed: {error.strerror}") from error

    # --- what is checked first ------------------------------------------------------------------------------------

    def _adopt(self, session: str | None, *, name: str | None = None) -> None:
        plan = make_plan(self.home, self.config, self.machine, session=session)
        self.plan = plan if name is None else replace(plan, name=name)
        self.keeper = keeper_for(self.platform, self.plan, self.machine, self.patience)
        self.proof = Proof(
            home=self.home,
            platform=self.platform,
            plan=self.plan,
            machine=self.machine,
            keeper=self.keeper,
            patience=self.patience,
        )

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
