"""What is installed to keep a home's runner going, as the files on this machine tell it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from runner.config import Config
from runner.errors import ConfigError, Refused, RunnerError
from runner.home import Home
from runner.service import record
from runner.service.choose import keeper_for
from runner.service.machine import Machine
from runner.service.plan import Platform, make_plan
from runner.service.render import only, read, render
from runner.service.witness import Patience

KEPT = (
    Platform.LAUNCHD,
    Platform.LAUNCHD_DAEMON,
    Platform.SYSTEMD_USER,
    Platform.SYSTEMD_SYSTEM,
    Platform.CRON,
)
"""The platforms that `service install` knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """One service of a home."""

    platform: str
    """`launchd`, `launchd-daemon`, `systemd-user`, `systemd-system`, `cron`."""
    unit: Path | None
    """Its file; None for lines of a crontab."""
    current: bool | None
    """Whether the file is what would be rendered now; None: it cannot be told."""
    loaded: bool | None
    """Whether the supervisor knows it; None: it was not asked, or gave no answer."""
    note: str
    """A sentence for people."""


def installed(home: Home, *, ask: bool = False, machine: Machine | None = None) -> tuple[Installed, ...]:
    """What is installed for this home. Runs no other program unless `ask`. Never raises for a home that is at fault."""
    known = machine or Machine.of(home)
    try:
        config = read(home, {})
    except ConfigError:
        return _from_record(home)
    found = (_look(home, config, known, platform, ask=ask) for platform in KEPT)
    return tuple(one for one in found if one is not None)


def _look(home: Home, config: Config, machine: Machine, platform: Platform, *, ask: bool) -> Installed | None:
    told = record.read(home)
    recorded = told is not None and told.platform is platform
    if platform is Platform.CRON and not (ask and recorded):  # only `crontab` can read a crontab
        unasked = Installed(platform=platform, unit=None, current=None, loaded=None, note="lines of the crontab")
        return unasked if recorded else None
    try:
        session = told.session if told is not None and recorded else None
        plan = make_plan(home, config, machine, session=session)
        if told is not None and recorded:
            plan = replace(plan, name=told.name)
        keeper = keeper_for(platform, plan, machine, Patience())
        text = keeper.there()
    except RunnerError:
        text = None
    if text is None:
        return _gone(told) if recorded and told is not None else None
    found = Installed(platform=platform, unit=keeper.unit, current=None, loaded=None, note="")
    try:
        current = text == only(render(home, config, machine, platform, session=session)).text
    except (ConfigError, Refused) as error:
        return replace(found, note=f"it cannot be rendered any more: {error}")
    note = "as this program renders it" if current else "rendered by other settings or another version; install again"
    if ask:
        answer = keeper.ask()
        return replace(found, current=current, loaded=answer.loaded, note=f"{note}; {answer.text}")
    return replace(found, current=current, note=note)


def _gone(told: record.Record) -> Installed:
    unit = Path(told.unit) if told.unit else None
    note = "it was installed and is gone, or cannot be read; install it again"
    return Installed(platform=told.platform, unit=unit, current=False, loaded=None, note=note)


def _from_record(home: Home) -> tuple[Installed, ...]:
    told = record.read(home)
    if told is None:
        return ()
    unit = Path(told.unit) if told.unit else None
    note = "the settings are refused, so it cannot be told whether it is current"
    return (Installed(platform=told.platform, unit=unit, current=None, loaded=None, note=note),)
