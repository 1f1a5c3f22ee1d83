"""launchd through its own verbs, with the races it has: an ended job lingers, and a job that lingers cannot be begun.

Source: launchctl(1), launchd.plist(5). Exit codes were seen in the field: 3 no such job to boot out, 5 and 37 it is
still going, 112 and 125 there is no such session, 113 no such job, 119 it is turned off.
"""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from runner.errors import Refused
from runner.service import launchd
from runner.service.keeper import Told
from runner.service.machine import Machine
from runner.service.plan import File, Plan
from runner.service.tools import Ran, call, write_file
from runner.service.witness import Patience

ABSENT = 113
NO_SESSION = (112, 125)
STILL_GOING = (5, 37)
TURNED_OFF = 119
_LINE = re.compile(r"^\t?(state|pid|runs|last exit code|last terminating signal) = (.+)$", re.MULTILINE)


@dataclass
class Launchd:
    """A job of launchd."""

    plan: Plan
    machine: Machine
    daemon: bool
    patience: Patience
    session: str | None = field(init=False)
    unit: Path | None = field(init=False)

    def __post_init__(self) -> None:
        self._plist = launchd.place(self.plan, self.machine, daemon=self.daemon)
        self.unit = self._plist
        self.session = None if self.daemon else self.plan.session

    @property
    def _domain(self) -> str:
        return "system" if self.daemon else f"{self.plan.session}/{self.machine.uid}"

    @property
    def _target(self) -> str:
        return f"{self._domain}/{self.plan.label}"

    def there(self) -> str | None:
        try:
            return self._plist.read_text("utf-8", "surrogateescape")
        except OSError:
            return None

    def ask(self) -> Told:
        ran = call(["launchctl", "print", self._target])
        enabled = self._enabled()
        if ran.code == ABSENT:
            return Told(loaded=False, text="launchd does not know it", enabled=enabled)
        if ran.code in NO_SESSION:
            return Told(loaded=None, text=f"launchd has no session {self._domain} now", enabled=enabled)
        if ran.code != 0:
            return Told(loaded=None, text=f"launchd gave no answer: {ran.said}", enabled=enabled)
        told = dict(_LINE.findall(ran.out))
        pid = told.get("pid", "")
        parts = [f"{key} {value}" for key, value in told.items()]
        return Told(
            loaded=True,
            text=f"launchd ({self._target}): {', '.join(parts) or 'loaded'}",
            pid=int(pid) if pid.isdigit() else None,
            enabled=enabled,
        )

    def put(self, file: File) -> None:
        launchd.check_places(self.plan)
        logs = launchd.log_folder(self.plan, self.machine, daemon=self.daemon)
        try:
            logs.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.daemon and self.machine.euid == 0:
                shutil.chown(logs, self.machine.uid, self.machine.gid)
        except OSError as error:
            raise Refused(f"{logs} cannot be made, and launchd starts nothing without it: {error.strerror}") from error
        # launchd takes no file that others may write to.
        write_file(self._plist, file.text, mode=0o644 if self.daemon else 0o600)

    def begin(self) -> None:
        self._must(["launchctl", "enable", self._target])
        told = self.ask()
        if told.loaded and told.pid is None:
            self._must(["launchctl", "kickstart", self._target])
        elif not told.loaded:
            self._bootstrap()

    def nudge(self) -> None:
        told = self.ask()
        if told.loaded and told.pid is None:  # bootstrap has been seen to succeed and start nothing
            call(["launchctl", "kickstart", self._target])

    def end(self, *, persist: bool) -> None:
        if persist:
            self._must(["launchctl", "disable", self._target])
        if self.ask().loaded is not False:
            self._bootout()

    def again(self, *, changed: bool) -> None:
        told = self.ask()
        if changed or not told.loaded:  # launchd keeps the definition it was given
            if told.loaded is not False:
                self._bootout()
            self.begin()
            return
        if told.pid is not None:
            # A plain kickstart -k gives no time to drain. An end that was asked for is a success: it stays down.
            call(["launchctl", "kill", "SIGTERM", self._target])
            ended = self.patience.until(
                lambda: True if self.ask().pid != told.pid else None, within_s=self.plan.end_within_s + 5
            )
            if ended is None:
                self._must(["launchctl", "kickstart", "-k", self._target])
                return
        self._must(["launchctl", "kickstart", self._target])

    def drop(self) -> None:
        with suppress(FileNotFoundError):
            try:
                self._plist.unlink()
            except PermissionError as error:
                raise Refused(f"{self._plist} cannot be removed: {error.strerror}") from error
        with suppress(Refused):
            call(["launchctl", "enable", self._target])  # a later job of this name must not find itself turned off
        shutil.rmtree(launchd.log_folder(self.plan, self.machine, daemon=self.daemon), ignore_errors=True)

    def _bootstrap(self) -> None:
        last: list[Ran] = []

        def attempt() -> bool | None:
            ran = call(["launchctl", "bootstrap", self._domain, str(self._plist)])
            last.append(ran)
            if ran.code == 0:
                return True
            if ran.code == TURNED_OFF:
                call(["launchctl", "enable", self._target])
                return None
            if ran.code in STILL_GOING:
                return True if self.ask().loaded and len(last) > 1 else None
            return False

        if not self.patience.until(attempt, within_s=self.patience.race_s):
            raise Refused(f"launchd would not begin {self._plist}: {_why(last[-1])}")

    def _bootout(self) -> None:
        ran = call(["launchctl", "bootout", self._target])
        # It returns before the job is gone; only the job's absence is an end.
        gone = self.patience.until(
            lambda: True if self.ask().loaded is False else None,
            within_s=self.plan.end_within_s + self.patience.race_s,
        )
        if gone is None:
            raise Refused(f"launchd still has {self._target} after {self.plan.end_within_s} s and more: {_why(ran)}")

    def _enabled(self) -> bool | None:
        ran = call(["launchctl", "print-disabled", self._domain])
        if ran.code != 0:
            return None
        found = re.search(rf'"{re.escape(self.plan.label)}" => (\w+)', ran.out)
        return {"disabled": False, "true": False, "enabled": True, "false": True}.get(found[1]) if found else True

    def _must(self, argv: list[str]) -> None:
        ran = call(argv)
        if ran.code != 0:
            raise Refused(f"`{' '.join(argv)}` failed: {_why(ran)}")


def sessions(machine: Machine) -> str | None:
    """The session of this person a job can be put into now: the desktop's, else that of a login over ssh."""
    for name in ("gui", "user"):
        if call(["launchctl", "print", f"{name}/{machine.uid}"]).code == 0:
            return name
    return None


def _why(ran: Ran) -> str:
    known = {
        5: "a job of this name is still going, or it is switched off in System Settings, Login Items",
        37: "a job of this name is still going",
        112: "that session does not exist; log in at the desktop, or use --platform launchd-daemon",
        125: "that session does not exist; log in at the desktop, or use --platform launchd-daemon",
        119: "it is turned off; `launchctl enable` turns it on, or System Settings, Login Items",
    }
    return f"{known.get(ran.code, ran.said)} (exit code {ran.code})"
