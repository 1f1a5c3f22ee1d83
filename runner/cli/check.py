"""`status --check`, for cron, a container and a monitor."""

from __future__ import annotations

from pathlib import Path

import typer

from runner.check import Grade, checkup, up_s
from runner.cli.shell import find_home, say, say_json
from runner.clocks import seconds_asleep
from runner.service.inspect import installed
from runner.units import SystemClock


def answer(option: Path | None, *, quiet: bool, as_json: bool) -> None:
    """Say in one line whether all is well, and end with the code of a monitor."""
    home = find_home(option)
    found = checkup(home, now=SystemClock().now(), installed=installed(home), asleep_s=seconds_asleep(), up_s=up_s())
    if as_json:
        reasons = [{"level": reason.grade.name.lower(), "text": reason.text} for reason in found.reasons]
        say_json({"code": int(found.grade), "status": found.grade.name.lower(), "reasons": reasons})
    elif not quiet or found.grade is not Grade.OK:
        say(found.line())
    raise typer.Exit(int(found.grade))
