"""The verbs around a home: make it, check it, run it."""

from __future__ import annotations

import os
import platform
import sqlite3
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from runner.cli.shell import AsJson, HomeDir, example, find_home, remark, say, say_json
from runner.errors import Exit

FIRST_PAGE = """\
# Welcome

This page is the first input of this home. The task `sample` reads every page in `inputs/` and picks out the lines
that matter, with a model that is built in: no network, no key, no cost. Put notes of your own beside it, or in its
place.

The runner takes jobs from the queue and starts each in a worker process of its own. A job that fails is tried again
with growing gaps; after four attempts it is a dead letter and waits for you, with its error and its history. Each
model call passes the gate, which holds the most it may cost against the cap of the day before a byte is sent. What is
refused waits unburnt. Press k in the console and everything stops at once: no job starts, no call leaves, and nothing
is lost.
"""
"""What a new home has to work on, so that its first job does something."""


class Supervisor(StrEnum):
    """Who starts the runner again when it ends."""

    LAUNCHD = "launchd"
    SYSTEMD = "systemd"
    DOCKER = "docker"
    FLY = "fly"
    NONE = "none"


def register(app: typer.Typer) -> None:
    app.command(epilog=example("afk-runner init --home ~/.afk"))(init)
    app.command(epilog=example("afk-runner demo", "afk-runner demo --headless"))(demo)
    app.command(epilog=example("afk-runner doctor", "afk-runner doctor --offline --json"))(doctor)
    app.command(epilog=example("afk-runner run", "afk-runner run --once"))(run)
    app.command(epilog=example("afk-runner version"))(version)


def init(home: HomeDir = None) -> None:
    """Make a home. What stands already is kept.

    Where a home was used and its database is gone, the new one begins stopped, for it knows nothing of what was spent.
    """
    from runner.care.make import make  # noqa: PLC0415 - light verbs start fast
    from runner.commands import who  # noqa: PLC0415
    from runner.home import init_text  # noqa: PLC0415
    from runner.units import SystemClock  # noqa: PLC0415

    place = find_home(home)
    place.create()
    zone = local_zone()
    first = _written(place.config, init_text(zone))
    if first:
        say(f"wrote {place.config}: timezone {zone}, at most $1.00 a day; read it before you go on")
        page = place.inputs / "welcome.md"
        if not any(place.inputs.iterdir()) and _written(page, FIRST_PAGE):
            say(f"wrote {page}, which the task sample reads")
    else:
        say(f"kept {place.config}")
    made = make(place, by=who("cli"), now=SystemClock().now(), first=first)
    say(f"made {place.db}" if made.new else f"kept {place.db}")
    where = f" --home {home}" if home is not None else ""
    if made.stopped:
        remark(
            "STOPPED: this home was used and its database is gone, so what was spent before is not known. "
            f"Put the old one in its place, or `afk-runner restore BACKUP{where}`; "
            f"`afk-runner resume{where}` goes on without what it knew, with a fresh cap"
        )
        return
    remark(f"next: `afk-runner doctor{where}`, `afk-runner enqueue sample{where}`, `afk-runner run{where}`")


def demo(
    home: HomeDir = None,
    headless: Annotated[bool, typer.Option("--headless", help="No console; print what happened.")] = False,
) -> None:
    """See it at work on this project's own documents.

    With the built-in offline model, under a small cap, at pretend prices.

    Needs no network and no key. Without --home it uses a directory of its own that it may empty.
    """
    from runner.demo import run_demo  # noqa: PLC0415

    raise typer.Exit(run_demo(home, headless=headless, say=say))


def doctor(
    home: HomeDir = None,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no upstream.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check whether all is well set up.

    Looks at home, program, configuration, secrets, database, tasks, agents, prices, clock, disk, service, alerts and
    runner, and asks each upstream for its list of models, which costs nothing. Each line says how to mend it.

    Exit code 1 when a line says fail, 78 when the configuration is refused.
    """
    from runner.doctor import Level, examine  # noqa: PLC0415

    findings = examine(find_home(home), environ=os.environ, offline=offline)
    if as_json:
        ok = all(finding.level is not Level.FAIL for finding in findings)
        say_json({"ok": ok, "checks": [finding.document() for finding in findings]})
    else:
        for finding in findings:
            say(f"{finding.level:<4}  {finding.name:<9}  {finding.text}")
            if finding.mend:
                say(f"{'':15}  mend: {finding.mend}")
    failed = {finding.name for finding in findings if finding.level is Level.FAIL}
    if failed:
        raise typer.Exit(Exit.CONFIG if failed & {"home", "config"} else Exit.REFUSED)


def run(
    home: HomeDir = None,
    once: Annotated[bool, typer.Option("--once", help="Work off what is due, then end.")] = False,
    supervisor: Annotated[
        Supervisor, typer.Option("--supervisor", help="Who starts it again when it ends.")
    ] = Supervisor.NONE,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Say only what is wrong; 75 without a word when another runner holds it.")
    ] = False,
) -> None:
    """Run the jobs of a home until told to stop.

    Exit codes: 0 asked-for stop, 1 crash or watchdog, 64 usage, 75 another runner holds the home (with --once),
    78 configuration refused.
    """
    from runner import launch  # noqa: PLC0415 - brings the gate, the scheduler and httpx along

    raise typer.Exit(launch.run(find_home(home), once=once, supervisor=supervisor.value, quiet=quiet))


def version(home: HomeDir = None, as_json: AsJson = False) -> None:  # noqa: ARG001 - every verb takes --home
    """Print the versions of this, Python and SQLite."""
    if as_json:
        say_json(
            {
                "version": metadata.version("afk-console"),
                "python": platform.python_version(),
                "sqlite": sqlite3.sqlite_version,
                "system": platform.system(),
            }
        )
        return
    say(f"afk-runner {metadata.version('afk-console')}")
    say(f"python {platform.python_version()}, sqlite {sqlite3.sqlite_version}, {platform.system()}")


def local_zone() -> str:
    """The machine's time zone as an IANA name; UTC when it cannot be told."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # noqa: PLC0415

    link = os.path.realpath("/etc/localtime").partition("zoneinfo/")[2]
    for name in (os.environ.get("TZ", "").removeprefix(":"), link):
        try:
            if name:
                return ZoneInfo(name).key
        except (ZoneInfoNotFoundError, ValueError, OSError):
            continue
    return "UTC"


def _written(path: Path, text: str) -> bool:
    """Write a file that is not there yet; False: it is."""
    try:
        with open(path, "x", encoding="utf-8", opener=_private) as file:
            file.write(text)
    except FileExistsError:
        return False
    return True


def _private(path: str | Path, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
