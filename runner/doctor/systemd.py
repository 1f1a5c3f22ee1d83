"""The traps of a systemd that keeps the units of a user."""

from __future__ import annotations

import re
from collections.abc import Iterator

from runner.doctor.ask import ask
from runner.doctor.finding import Finding, fail, ok, warn
from runner.doctor.look import Look
from runner.service.machine import Machine

# It writes where the unit must not, in a transient unit of its own, and leaves nothing.
_PROBE = 'probe=$(mktemp "$HOME/.afk-probe.XXXXXX") && rm -f "$probe"'
_NO_USER_NAMESPACE = 217
"""Source: systemd.exec(5), EXIT_USER: what a unit with PrivateUsers ends with where namespaces are off."""


def traps(look: Look) -> Iterator[Finding]:
    """Of the manager of whoever owns the home."""
    yield from _lingers(Machine.of(look.home).user)
    yield from _version()
    if look.config is not None and look.config.service.hardening == "strict":
        yield from _strict()


def _lingers(name: str) -> Iterator[Finding]:
    """A manager of a user ends with the last login, unless it lingers."""
    said = ask("loginctl", "show-user", name, "-p", "Linger", "--value")
    if said is not None and said.code == 0 and said.out.strip() == "yes":
        yield ok("service", f"{name} lingers: the unit runs without a login")
    else:
        text = f"{name} does not linger: the unit ends with the last login, and does not start at boot"
        yield warn("service", text, f"sudo loginctl enable-linger {name}")


def _version() -> Iterator[Finding]:
    """Source: systemd/systemd#43361: from 255 on until 256.3 the last logout may end a manager that lingers."""
    said = ask("systemctl", "--version")
    version = re.search(r"systemd (\d+)(?: \((\d+)\.(\d+))?", said.out) if said else None
    if version is None:
        return
    number = (int(version[1]), int(version[3] or 0) if version[2] == version[1] else 0)
    if (255, 0) <= number < (256, 3):
        text = f"systemd {version[1]} may end the units of a user at the last logout, although it lingers"
        yield warn("service", text, "on a server use `service install --platform systemd-system`")


def _strict() -> Iterator[Finding]:
    """Whether `hardening = "strict"` holds here: some managers of users ignore it without a word."""
    limits = ("-p", "PrivateUsers=yes", "-p", "ProtectSystem=strict")
    said = ask("systemd-run", "--user", "--quiet", "--wait", "--collect", *limits, "/bin/sh", "-c", _PROBE)
    if said is None:
        return  # the manager was not reached, of which the unit has a finding
    if said.code == 0:
        text = 'hardening = "strict" does not hold: a unit with it could write to your home directory, tried just now'
        yield warn("service", text, "use `service install --platform systemd-system`")
    elif said.code == _NO_USER_NAMESPACE:
        text = 'hardening = "strict" keeps the unit from starting: this machine makes no user namespaces'
        yield fail("service", text, 'write hardening = "standard" into [service], or use --platform systemd-system')
    elif said.code == 1:
        yield ok("service", 'hardening = "strict" holds: a write to your home directory was refused, tried just now')
