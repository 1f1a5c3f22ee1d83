"""launchd's job file: a property list of what to start, when to start it again, and how long it may take to end."""

from __future__ import annotations

import plistlib
from pathlib import Path
from typing import Any

from runner.errors import Refused
from runner.service.machine import Machine
from runner.service.plan import File, Plan

THROTTLE_S = 30
"""launchd starts a job that ends sooner no earlier than this after its last start."""
PROTECTED = ("Desktop", "Documents", "Downloads", "Library/Mobile Documents", "Library/CloudStorage")
"""Folders of a person that macOS opens to a background job only after a question nobody sees."""


def render(plan: Plan, machine: Machine, *, daemon: bool) -> File:
    """The property list of the agent, or of the daemon that needs no login."""
    log = str(log_folder(plan, machine, daemon=daemon) / "boot.log")
    job: dict[str, Any] = {
        "Label": plan.label,
        "ProgramArguments": list(plan.argv("launchd")),
        "WorkingDirectory": str(plan.home),
        "EnvironmentVariables": {"HOME": str(plan.user_home), "LANG": plan.lang, "PATH": plan.path},
        "RunAtLoad": True,
        # A stop parks and stays alive, an asked-for end is a success: all else comes back.
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": THROTTLE_S,
        "ExitTimeOut": plan.end_within_s,
        "ProcessType": "Standard",
        "Umask": 0o077,
        "StandardOutPath": log,
        "StandardErrorPath": log,
    }
    if daemon:
        job["UserName"] = plan.user
    elif plan.session == "user":
        job["LimitLoadToSessionType"] = ["Background"]
    text = plistlib.dumps(job, sort_keys=False).decode()
    return File(name=f"{plan.label}.plist", text=text, place=place(plan, machine, daemon=daemon))


def place(plan: Plan, machine: Machine, *, daemon: bool) -> Path:
    """Where launchd looks for it; the file's name is the label."""
    folder = machine.root / "Library/LaunchDaemons" if daemon else plan.user_home / "Library/LaunchAgents"
    return folder / f"{plan.label}.plist"


def log_folder(plan: Plan, machine: Machine, *, daemon: bool) -> Path:
    """Of the small log of what is said before our own log is open. On the boot volume, or launchd starts nothing."""
    return (machine.root if daemon else plan.user_home) / "Library/Logs" / plan.label


def check_places(plan: Plan) -> None:
    """Refuse places that a background job may not open. Raises Refused."""
    for what, path in (("home", plan.home), ("program", plan.program)):
        for name in PROTECTED:
            if path.is_relative_to(plan.user_home / name):
                raise Refused(
                    f"macOS keeps background jobs out of {plan.user_home / name}, and the {what} {path} is in it; "
                    f"move it, for example to {plan.user_home / '.afk'}"
                )
        if path.is_relative_to("/Volumes"):
            raise Refused(f"the {what} {path} is on a volume that may be missing at start; move it to the boot volume")
