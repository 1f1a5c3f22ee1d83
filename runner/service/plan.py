"""The one plan that every service file is rendered from: what is started, for which home, and how long ending takes."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from runner.config import Config
from runner.errors import ConfigError
from runner.home import Home
from runner.redact import Redactor
from runner.service.machine import PROGRAM, Machine
from runner.settings import load

USUAL_PATH = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin")
# Words that only ever begin a key, each followed by what makes it one.
_KEY = re.compile(
    r"\b(sk-[A-Za-z0-9_-]{16,}|sk_(live|test)_\w{16,}|gh[pousr]_\w{20,}|github_pat_\w{20,}|xox[abpr]-[\w-]{10,}"
    r"|AKIA[0-9A-Z]{16}|AIza[\w-]{30,}|hf_\w{20,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,})"
)


class Platform(StrEnum):
    """What can keep the runner going."""

    LAUNCHD = "launchd"
    LAUNCHD_DAEMON = "launchd-daemon"
    SYSTEMD_USER = "systemd-user"
    SYSTEMD_SYSTEM = "systemd-system"
    CRON = "cron"
    DOCKER = "docker"
    FLY = "fly"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a service file says. Nothing in it comes from the environment of whoever renders it."""

    home: Path
    name: str
    """Of the unit, the job and the app: letters, digits, - and _."""
    program: Path
    user: str
    user_home: Path
    path: str
    """PATH of the runner and of the commands it starts."""
    lang: str
    end_within_s: int
    """From being asked to end until it must have: the one time budget."""
    session: str
    """launchd: `gui` or `user`."""
    strict: bool
    works_in: tuple[Path, ...]
    """Folders outside the home in which tasks work."""

    def argv(self, supervisor: str) -> tuple[str, ...]:
        """What the supervisor starts."""
        return (str(self.program), "run", "--supervisor", supervisor, "--home", str(self.home))

    @property
    def label(self) -> str:
        """The launchd label."""
        return f"local.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A rendered file."""

    name: str
    text: str
    place: Path | None = None
    """Where it is installed; None: where a person puts it."""


def make_plan(home: Home, config: Config, machine: Machine, *, session: str | None = None) -> Plan:
    """The plan of a home. Raises ConfigError for a value that no service file could carry."""
    service = config.service
    darwin = machine.system == "Darwin"
    folders = [*service.path, str(machine.user_home / ".local/bin")]
    folders += ["/opt/homebrew/bin", *USUAL_PATH] if darwin else USUAL_PATH
    plan = Plan(
        home=home.root,
        name=service.name or default_name(home, machine),
        program=service.program or machine.program,
        user=machine.user,
        user_home=machine.user_home,
        path=":".join(folder for folder in dict.fromkeys(folders) if ":" not in folder),
        lang=service.lang or ("en_US.UTF-8" if darwin else "C.UTF-8"),
        end_within_s=config.runner.end_within_s,
        session=session or service.session or "gui",
        strict=service.hardening == "strict",
        works_in=tuple(_works_in(home, config)),
    )
    for what, value in (("home", plan.home), ("program", plan.program), ("PATH", plan.path), *_named(plan.works_in)):
        if why := _unfit(str(value)):
            raise ConfigError(f"the {what} {str(value)!a} holds {why}: no service file can carry it; rename it")
    return plan


def default_name(home: Home, machine: Machine) -> str:
    """`afk-runner`, with the home's name and a mark of its path where it is not the usual one."""
    if home.root == machine.user_home / ".afk":
        return PROGRAM
    word = re.sub(r"[^a-z0-9]+", "-", home.root.name.lower()).strip("-")[:20].strip("-")
    mark = hashlib.sha256(os.fsencode(home.root)).hexdigest()[:6]
    return "-".join(part for part in (PROGRAM, word, mark) if part)


def service_settings(home: Home, environ: Mapping[str, str]) -> Config:
    """The settings of a home; a secret that is not set here is no fault, for the file that is rendered holds none.

    Raises ConfigError.
    """
    return load(home.root, environ=_Anything(environ))


def check_secrets(files: Iterable[File], secrets: Iterable[str]) -> None:
    """Refuse a file that would carry a secret: service files are backed up, printed and readable by others."""
    redact = Redactor(secrets)
    for file in files:
        if redact(file.text) != file.text:
            raise ConfigError(f"{file.name} would hold a secret of this home; take it out of its path and of [service]")
        if found := _KEY.search(file.text):
            begins = found[0][:6]
            raise ConfigError(f'{file.name} would hold what looks like a key ("{begins}…"); take it out of [service]')


def _works_in(home: Home, config: Config) -> Iterator[Path]:
    folders = {task.cwd for task in config.tasks.values() if task.cwd is not None}
    yield from sorted(folder for folder in folders if not folder.is_relative_to(home.root))


def _named(folders: Iterable[Path]) -> Iterator[tuple[str, Path]]:
    yield from (("folder", folder) for folder in folders)


def _unfit(text: str) -> str | None:
    """What no service file can carry: XML has no control characters, and a line is a line."""
    for letter in text:
        if letter in "\n\r\u2028\u2029":
            return "a line break"
        if unicodedata.category(letter) in ("Cc", "Cs") or ord(letter) & 0xFFFE == 0xFFFE:
            return f"the character U+{ord(letter):04X}"
    return None


class _Anything(dict[str, str]):
    """The environment, with a stand-in for whatever is missing: set for the service, it need not be set here."""

    def get(self, name: str, default: object = None) -> str:  # noqa: ARG002 - there is always an answer
        return super().get(name) or "none://not-set-here"
