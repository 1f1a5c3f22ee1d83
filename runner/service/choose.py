"""Which platform a verb means, who may act on it, and the hand that acts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from runner.errors import Refused
from runner.home import Home
from runner.lock import holder_of
from runner.service import record
from runner.service.crontab import Cron
from runner.service.keeper import Keeper
from runner.service.launchctl import Launchd
from runner.service.machine import PROGRAM, Machine
from runner.service.plan import Plan, Platform
from runner.service.systemctl import Systemd
from runner.service.witness import Patience, in_unit, look
from runner.work.processes import ancestors

BY_ROOT = (Platform.LAUNCHD_DAEMON, Platform.SYSTEMD_SYSTEM)
NOT_OURS = {
    Platform.DOCKER: "`docker compose up -d` starts it and `docker compose stop` ends it",
    Platform.FLY: "`fly deploy` starts it and `fly machine stop` ends it",
}


def platform_for(home: Home, machine: Machine, named: Platform | None) -> Platform:
    """The platform a person named, else the one that is installed, else what this machine has. Raises Refused."""
    if named is not None:
        return named
    if (told := record.read(home)) is not None:
        return told.platform
    if machine.system == "Darwin":
        return Platform.LAUNCHD
    if Path("/run/systemd/system").is_dir():
        return Platform.SYSTEMD_SYSTEM if machine.euid == 0 else Platform.SYSTEMD_USER
    if shutil.which("crontab"):
        return Platform.CRON
    raise Refused(
        "this machine has neither launchd nor systemd nor cron running; name a --platform "
        f"({', '.join(Platform)}), or keep `afk-runner run` in tmux, or a container: "
        "`afk-runner service render --platform docker`"
    )


def keeper_for(platform: Platform, plan: Plan, machine: Machine, patience: Patience) -> Keeper:
    """The hand for a platform. Raises Refused for those that have verbs of their own."""
    match platform:
        case Platform.LAUNCHD | Platform.LAUNCHD_DAEMON:
            return Launchd(plan, machine, platform is Platform.LAUNCHD_DAEMON, patience)
        case Platform.SYSTEMD_USER | Platform.SYSTEMD_SYSTEM:
            return Systemd(plan, machine, platform is Platform.SYSTEMD_SYSTEM)
        case Platform.CRON:
            return Cron(plan)
        case _:
            raise Refused(f"{platform} has verbs of its own: {NOT_OURS[platform]}")


def check_may(home: Home, machine: Machine, platform: Platform, environ: Mapping[str, str], *, name: str) -> None:
    """Refuse who may not act, and who would end themselves half-way. Raises Refused."""
    if platform in BY_ROOT and machine.euid != 0:
        raise Refused(
            f"{platform} belongs to the system: `sudo {machine.program} service … --platform {platform} "
            f"--home {home.root}`"
        )
    if platform not in BY_ROOT and machine.euid != machine.uid:
        raise Refused(f"the home {home.root} belongs to {machine.user}; do it as {machine.user}")
    if _inside(home, environ, name):
        raise Refused("this very process is a part of the service and would be ended half-way; use a shell of your own")


def _inside(home: Home, environ: Mapping[str, str], name: str) -> bool:
    above = {os.getpid(), *ancestors(os.getpid())}
    seen = look(home)
    runners = {holder_of(home.lock), seen.pid, *(row.pid for row in seen.standing_by)} - {None}
    return bool(above & runners) or "AFK_TOKEN" in environ or in_unit(name or PROGRAM)
