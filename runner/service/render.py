"""The service files of a home, one way for every platform. Rendering reads settings and writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from runner.config import Config
from runner.errors import Refused
from runner.home import Home
from runner.service import container, cron, launchd, systemd
from runner.service.machine import Machine, as_owner
from runner.service.plan import File, Plan, Platform, check_secrets, make_plan, service_settings


def read(home: Home, environ: Mapping[str, str]) -> Config:
    """The settings the files are made from. Raises ConfigError."""
    with as_owner(home):
        home.check()
        return service_settings(home, environ)


def render(
    home: Home, config: Config, machine: Machine, platform: Platform, *, session: str | None = None
) -> tuple[File, ...]:
    """The files of one platform. Raises ConfigError or Refused, in one sentence, for what it cannot carry.

    `session`: the launchd session it was installed for; None: what the settings say.
    """
    plan = make_plan(home, config, machine, session=session)
    files = _render(plan, machine, platform)
    check_secrets(files, config.secrets)
    return files


def only(files: tuple[File, ...]) -> File:
    """The one file of a platform that is installed by us."""
    if len(files) != 1:
        raise Refused("this platform has more than one file")
    return files[0]


def _render(plan: Plan, machine: Machine, platform: Platform) -> tuple[File, ...]:
    ways: Mapping[Platform, Callable[[], tuple[File, ...]]] = {
        Platform.LAUNCHD: lambda: (launchd.render(plan, machine, daemon=False),),
        Platform.LAUNCHD_DAEMON: lambda: (launchd.render(plan, machine, daemon=True),),
        Platform.SYSTEMD_USER: lambda: (systemd.render(plan, machine, system=False),),
        Platform.SYSTEMD_SYSTEM: lambda: (systemd.render(plan, machine, system=True),),
        Platform.CRON: lambda: (cron.render(plan),),
        Platform.DOCKER: lambda: container.render_docker(plan),
        Platform.FLY: lambda: container.render_fly(plan),
    }
    return ways[platform]()
