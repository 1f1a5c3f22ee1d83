"""The service: whether anything starts the runner again, and what its supervisor keeps from it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress

from runner.config import TaskKind
from runner.doctor.container import is_container
from runner.doctor.finding import Finding, fail, ok, warn
from runner.doctor.look import MAC, Look
from runner.doctor.systemd import traps
from runner.errors import ConfigError
from runner.service.inspect import Installed, installed
from runner.service.machine import Machine
from runner.service.plan import make_plan

USER_UNIT = "systemd-user"
CRON = "cron"


def service(look: Look) -> Iterator[Finding]:
    """Every service of this home, as its files and its supervisor tell it."""
    here = installed(look.home, ask=True)
    if not here:
        if not is_container(look.environ):
            text = "no service is installed for this home: after a reboot or a crash nobody starts the runner"
            yield warn("service", text, look.command("service install"))
        return
    for each in here:
        yield _one(look, each)
    kept = [each.platform for each in here if each.platform != CRON]
    if len(kept) > 1:
        text = f"{' and '.join(kept)} both start a runner of this home; one of them only stands by"
        yield warn("service", text, f"{look.command('service uninstall')} --platform {kept[-1]}")
    if look.platform == MAC and len(kept) < len(here):
        text = "cron of a Mac opens no file of yours without Full Disk Access, and skips what is due while it sleeps"
        yield warn(
            "service",
            text,
            f"{look.command('service uninstall')} --platform cron, then {look.command('service install')}",
        )
    if USER_UNIT in kept:
        yield from traps(look)
    yield from _programs(look)


def _one(look: Look, each: Installed) -> Finding:
    what = f"{each.platform}: {each.unit or 'lines of the crontab'}"
    install = f"{look.command('service install')} --platform {each.platform}"
    if each.current is False:
        return warn("service", f"{what} is not what would be written today ({each.note})", install)
    if each.loaded is False:
        text = f"{what} is there, and its supervisor does not know it ({each.note})"
        return fail("service", text, f"{look.command('service start')} --platform {each.platform}")
    return ok("service", f"{what}: {each.note}")


def _programs(look: Look) -> Iterator[Finding]:
    """Commands that a shell finds and the service would not."""
    if look.config is None:
        return
    with suppress(ConfigError):
        path = make_plan(look.home, look.config, Machine.of(look.home)).path
        for task in look.tasks.values():
            name = task.command[0] if task.kind is TaskKind.COMMAND and task.command else "/"
            found = None if "/" in name else shutil.which(name, path=look.environ.get("PATH"))
            if found and shutil.which(name, path=path) is None:
                text = f"task {task.name}: {name} is on your PATH and not on the service's"
                yield warn("service", text, f"write {found} into command, or its folder into path of [service]")
