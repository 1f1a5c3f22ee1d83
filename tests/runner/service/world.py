"""The machines and the homes that the tests of service files are about."""

from __future__ import annotations

from pathlib import Path

from runner.config import Config
from runner.home import Home
from runner.service.machine import Machine
from runner.service.plan import File, Platform
from runner.service.render import render
from runner.settings import load

SETTINGS = """\
timezone = "Europe/Berlin"
[budget]
daily_usd = "1.00"
"""

MAC = Machine(
    system="Darwin",
    user="ada",
    uid=501,
    gid=20,
    user_home=Path("/Users/ada"),
    euid=501,
    program=Path("/Users/ada/.local/bin/afk-runner"),
)
SERVER = Machine(
    system="Linux",
    user="ada",
    uid=1000,
    gid=1000,
    user_home=Path("/home/ada"),
    euid=1000,
    program=Path("/home/ada/.local/bin/afk-runner"),
)


def machine_for(platform: Platform) -> Machine:
    return MAC if platform in (Platform.LAUNCHD, Platform.LAUNCHD_DAEMON) else SERVER


def settings(folder: Path, text: str = "", environ: dict[str, str] | None = None) -> Config:
    """What an `afk.toml` says."""
    (folder / "afk.toml").write_text(SETTINGS + text)
    return load(folder, environ=environ or {})


def rendered(
    platform: Platform, config: Config, *, home: Path | None = None, machine: Machine | None = None
) -> tuple[File, ...]:
    """The files of one platform, for ada's usual home."""
    on = machine or machine_for(platform)
    return render(Home(home or on.user_home / ".afk"), config, on, platform)
