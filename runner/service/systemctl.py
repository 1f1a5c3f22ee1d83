"""systemd through systemctl. Its state is read with `show` alone, whose words are meant for programs."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from runner.errors import Refused
from runner.service import systemd
from runner.service.keeper import Told
from runner.service.machine import Machine
from runner.service.plan import File, Plan
from runner.service.tools import Ran, call, write_file

_SHOWN = ("LoadState", "ActiveState", "SubState", "Result", "NRestarts", "MainPID", "StatusText", "UnitFileState")


@dataclass
class Systemd:
    """A unit."""

    plan: Plan
    machine: Machine
    system: bool
    session: str | None = None
    unit: Path | None = field(init=False)

    def __post_init__(self) -> None:
        self._file = systemd.place(self.plan, self.machine, system=self.system)
        self.unit = self._file
        self._name = self._file.name

    def there(self) -> str | None:
        try:
            return self._file.read_text("utf-8", "surrogateescape")
        except OSError:
            return None

    def ask(self) -> Told:
        ran = self._call("show", f"--property={','.join(_SHOWN)}", self._name)
        told = dict(line.partition("=")[::2] for line in ran.out.splitlines() if "=" in line)
        if ran.code != 0 or "LoadState" not in told:
            return Told(loaded=None, text=f"systemd gave no answer: {self._why(ran)}")
        pid = told.get("MainPID", "0")
        words = [told.get("ActiveState", ""), f"({told.get('SubState', '')})"]
        if told.get("Result", "success") != "success":
            words.append(f"result {told['Result']}")
        if told.get("NRestarts", "0") not in ("0", ""):
            words.append(f"restarted {told['NRestarts']} times")
        if told.get("StatusText"):
            words.append(f'"{told["StatusText"]}"')
        return Told(
            loaded=told["LoadState"] == "loaded",
            text=f"systemd ({self._name}): {' '.join(words)}",
            pid=int(pid) if pid.isdigit() and pid != "0" else None,
            enabled=told.get("UnitFileState") in ("enabled", "enabled-runtime"),
        )

    def put(self, file: File) -> None:
        write_file(self._file, file.text, mode=0o644)

    def begin(self) -> None:
        self._must("daemon-reload")
        self._must("enable", self._name)
        self._call("reset-failed", self._name)  # starts by hand count against the limit of starts
        self._must("start", "--no-block", self._name)

    def nudge(self) -> None:
        """A start that failed is said by `ask`; systemd needs no second one."""

    def end(self, *, persist: bool) -> None:
        verb = ("disable", "--now") if persist else ("stop",)
        self._must(*verb, self._name, works_s=self.plan.end_within_s)  # it answers once the runner has ended

    def again(self, *, changed: bool) -> None:
        if changed:
            self._must("daemon-reload")
        self._must("enable", self._name)  # it may have been stopped for good
        self._call("reset-failed", self._name)
        self._must("restart", "--no-block", self._name)

    def drop(self) -> None:
        with suppress(Refused):
            self._call("disable", self._name)
        with suppress(FileNotFoundError):
            try:
                self._file.unlink()
            except PermissionError as error:
                raise Refused(f"{self._file} cannot be removed: {error.strerror}") from error
        with suppress(Refused):
            self._call("daemon-reload")
            self._call("reset-failed", self._name)

    def _call(self, *words: str, works_s: float = 0) -> Ran:
        if self.system:
            return call(["systemctl", *words], works_s=works_s)
        # Over ssh and sudo the way to one's own manager is often not set.
        runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{self.machine.uid}"
        return call(["systemctl", "--user", *words], extra={"XDG_RUNTIME_DIR": runtime}, works_s=works_s)

    def _must(self, *words: str, works_s: float = 0) -> None:
        ran = self._call(*words, works_s=works_s)
        if ran.code != 0:
            scope = "" if self.system else "--user "
            raise Refused(f"`systemctl {scope}{' '.join(words)}` failed: {self._why(ran)}")

    def _why(self, ran: Ran) -> str:
        if "connect to bus" in ran.err and not self.system:
            return (
                f"{self.machine.user}'s own manager does not run; log in as {self.machine.user} itself (not by sudo), "
                f"or `sudo loginctl enable-linger {self.machine.user}`, or use --platform systemd-system"
            )
        return f"{ran.said} (exit code {ran.code})"
