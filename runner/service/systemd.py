"""systemd's unit, for a person's own manager or for the system's."""

from __future__ import annotations

import re
from pathlib import Path

from runner.errors import Refused
from runner.service.machine import Machine
from runner.service.plan import File, Plan

_USER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\$?|[0-9]+")

_LIMITS = """\
UMask=0077
NoNewPrivileges=yes
RestrictSUIDSGID=yes
RestrictRealtime=yes
LockPersonality=yes
SystemCallArchitectures=native
TasksMax=2048
MemoryMax=75%
"""

# No RestrictNamespaces: a task with `confine` gets a network of its own by making one. No MemoryDenyWriteExecute: it
# ends Node.js, and with it the agents that are written in it.
_SYSTEM_LIMITS = """\
CapabilityBoundingSet=
ProtectSystem=strict
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RemoveIPC=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
"""

_STRICT = """\
PrivateUsers=yes
ProtectSystem=strict
PrivateTmp=yes
"""


def render(plan: Plan, machine: Machine, *, system: bool) -> File:
    """The unit. Raises Refused for a program or user that systemd takes from nobody."""
    if any(letter in "\"'\\" for letter in str(plan.program)):
        raise Refused(
            f"systemd starts no program with a quote or a backslash in its path: {plan.program}; "
            'name another one as "program" in [service]'
        )
    unit = [
        "[Unit]",
        f"Description=Runner of unattended agents ({plan.name})",
        "StartLimitIntervalSec=600",
        "StartLimitBurst=5",
        *(["After=network.target"] if system else []),
        "",
        "[Service]",
        "Type=notify",
        "NotifyAccess=main",
        f"ExecStart={_command(plan.argv('systemd'))}",
        f"Environment={_quoted(f'PATH={plan.path}')} {_quoted(f'LANG={plan.lang}')}",
        *([f"User={_user(plan)}"] if system else []),
        "Restart=on-failure",
        "RestartSec=10",
        "# 64: called wrongly, 78: its settings are refused; starting it again mends neither.",
        "RestartPreventExitStatus=64 78",
        "TimeoutStartSec=300",
        "WatchdogSec=60",
        "# The runner is asked to end and drains; what is left of its processes is ended after that.",
        "KillMode=mixed",
        f"TimeoutStopSec={plan.end_within_s}",
        "# A job that eats the memory costs an attempt, not the runner.",
        "OOMPolicy=continue",
        _LIMITS.rstrip(),
        *(_sandbox(plan, system=system)),
        "",
        "[Install]",
        f"WantedBy={'multi-user.target' if system else 'default.target'}",
        "",
    ]
    return File(name=f"{plan.name}.service", text="\n".join(unit), place=place(plan, machine, system=system))


def place(plan: Plan, machine: Machine, *, system: bool) -> Path:
    """Where a manager looks for it."""
    folder = machine.root / "etc/systemd/system" if system else plan.user_home / ".config/systemd/user"
    return folder / f"{plan.name}.service"


def _sandbox(plan: Plan, *, system: bool) -> list[str]:
    if not system and not plan.strict:  # without PrivateUsers a user's manager ignores the rest without a word
        return []
    # A folder that is missing would keep the unit from starting; a task that works in it says so better.
    writable = " ".join([_quoted(str(plan.home)), *(_quoted(f"-{folder}") for folder in plan.works_in)])
    lines = [(_SYSTEM_LIMITS if system else _STRICT).rstrip(), f"ReadWritePaths={writable}"]
    if system:
        inside = any(
            folder.is_relative_to(above)
            for folder in (plan.home, plan.program, *plan.works_in)
            for above in ("/home", "/root", "/run/user")
        )
        lines.append(f"ProtectHome={'read-only' if inside else 'yes'}")
    return lines


def _user(plan: Plan) -> str:
    if not _USER_NAME.fullmatch(plan.user):
        raise Refused(f"the home belongs to {plan.user!r}, which a unit cannot name; give it to another account")
    return plan.user


def _command(argv: tuple[str, ...]) -> str:
    # $ is a variable in every word but the first.
    return " ".join([_quoted(argv[0]), *(_quoted(word).replace("$", "$$") for word in argv[1:])])


def _quoted(word: str) -> str:
    """A word as systemd reads it back: quotes, backslashes and % have meanings there."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'
