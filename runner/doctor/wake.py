"""Sleep: a machine that sleeps runs nothing, and starts its schedules late."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from runner.doctor.ask import ask
from runner.doctor.finding import Finding, ok, warn
from runner.doctor.look import MAC, Look

SYSTEMD = Path("/run/systemd/system")
"""There where systemd is at work."""
_LATER = "what comes due meanwhile is caught up when it wakes"


def wake(look: Look) -> Iterator[Finding]:
    """What `pmset` says; of Linux only that a desktop suspends an idle machine unless it is told not to."""
    if look.platform != MAC:
        yield from _desktop()
        return
    said = ask("pmset", "-g", "custom")
    settings = _plugged_in(said.out) if said and said.code == 0 else {}
    if not settings:
        yield warn("wake", "pmset did not say when this Mac sleeps", "look in System Settings, Energy")
    else:
        minutes = settings.get("sleep", "0")
        if minutes == "0":
            yield ok("wake", "on its charger this Mac does not sleep by itself; a closed lid still puts it to sleep")
        else:
            text = f"on its charger this Mac sleeps after {minutes} idle minutes{_awake(look)}; {_LATER}"
            yield warn("wake", text, "sudo pmset -c sleep 0")
        if settings.get("autorestart") == "0":
            yield warn("wake", "after a power cut this Mac stays off", "sudo pmset -c autorestart 1")
    power = ask("pmset", "-g", "batt")
    if power and "'Battery Power'" in power.out:
        yield warn("wake", f"it runs on its battery and sleeps when it likes; {_LATER}", "plug it in")
    vault = ask("fdesetup", "status")
    if vault and "FileVault is On" in vault.out:
        yield ok("wake", "FileVault is on: after a reboot nothing starts until somebody has logged in")


def _desktop() -> Iterator[Finding]:
    if not SYSTEMD.is_dir():
        return  # its tools may lie in a container all the same, and tell of no machine
    default, sleep = ask("systemctl", "get-default"), ask("systemctl", "is-enabled", "sleep.target")
    if default is None or sleep is None or default.out.strip() != "graphical.target":
        return  # a server, or no systemd
    if sleep.out.strip() != "masked":
        text = f"this machine has a desktop, which may suspend it when nobody is there; {_LATER}"
        yield warn("wake", text, "sudo systemctl mask sleep.target suspend.target hibernate.target")


def _awake(look: Look) -> str:
    if look.config is None or look.config.watch.stay_awake == "never":
        return ""
    return ", though not while a job runs"


def _plugged_in(text: str) -> dict[str, str]:
    """The settings under `AC Power:`. Source: pmset(1), -g custom."""
    _, _, section = text.partition("AC Power:")
    section = re.split(r"^\S", section, maxsplit=1, flags=re.MULTILINE)[0]
    return dict(re.findall(r"^\s+(\w+)\s+(\d+)", section, re.MULTILINE))
