"""The verbs about what keeps the runner going: launchd, systemd, cron, a container."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runner.cli.shell import AsJson, HomeDir, example, find_home, remark, say, say_file, say_json
from runner.errors import Refused, RunnerError
from runner.service.plan import Platform

if TYPE_CHECKING:
    from runner.service.verbs import Done, Service

On = Annotated[
    Platform | None,
    typer.Option("--platform", help="What keeps it going; else what is installed, or what this machine has."),
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Keep the runner going: over crashes, logouts and reboots.", no_args_is_help=True)
    group.command(
        epilog=example(
            "afk-runner service render --platform systemd-system",
            "afk-runner service render --platform docker --to .",
        )
    )(render)
    group.command(epilog=example("afk-runner service install", "afk-runner service install --no-start"))(install)
    group.command(epilog=example("afk-runner service uninstall"))(uninstall)
    group.command(epilog=example("afk-runner service start"))(start)
    group.command(epilog=example("afk-runner service stop", "afk-runner service stop --persist"))(stop)
    group.command(epilog=example("afk-runner service restart"))(restart)
    group.command(epilog=example("afk-runner service status --json"))(status)
    app.add_typer(group, name="service")


def render(
    platform: On = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Write the files there; what differs is not overwritten.")
    ] = None,
    home: HomeDir = None,
    as_json: AsJson = False,
) -> None:
    """Print the service files of this home, as install would write them.

    They say nothing of the shell they are rendered in, and hold no secret.
    """
    from runner.service.choose import platform_for  # noqa: PLC0415
    from runner.service.machine import Machine  # noqa: PLC0415
    from runner.service.render import read  # noqa: PLC0415
    from runner.service.render import render as render_files  # noqa: PLC0415

    place = find_home(home)
    config, machine = read(place, os.environ), Machine.of(place)
    chosen = platform_for(place, machine, platform)
    files = render_files(place, config, machine, chosen)
    if to is not None:
        if not to.absolute().parent.is_dir():
            raise Refused(f"there is no folder {to.parent}; make it first, or check --to for a slip")
        for file in files:
            _write(to / file.name, file.text)
    if as_json:
        named = [
            {"name": file.name, "place": str(file.place) if file.place else None, "text": file.text} for file in files
        ]
        say_json({"platform": chosen.value, "files": named})
        return
    if to is not None:
        return
    for file in files:
        if len(files) > 1:
            say(f"# ---- {file.name} ----")
        say_file(file.text)


def install(
    platform: On = None,
    no_start: Annotated[bool, typer.Option("--no-start", help="Write the file and start nothing.")] = False,
    home: HomeDir = None,
    as_json: AsJson = False,
) -> None:
    """Install the service and wait until its runner is seen alive; again: bring it up to date."""
    _tell(_service(home, platform).install(start=not no_start), as_json=as_json)


def uninstall(platform: On = None, home: HomeDir = None, as_json: AsJson = False) -> None:
    """Stop the service and leave nothing of it. The home stays as it is."""
    _tell(_service(home, platform).uninstall(), as_json=as_json)


def start(platform: On = None, home: HomeDir = None, as_json: AsJson = False) -> None:
    """Start what is installed, and wait until its runner is seen alive."""
    _tell(_service(home, platform).start(), as_json=as_json)


def stop(
    platform: On = None,
    persist: Annotated[bool, typer.Option("--persist", help="It stays down over the next boot and login too.")] = False,
    home: HomeDir = None,
    as_json: AsJson = False,
) -> None:
    """End the runner by its supervisor, and see that it ended.

    `afk-runner kill` parks it instead: alive, visible, spending nothing.
    """
    _tell(_service(home, platform).stop(persist=persist), as_json=as_json)


def restart(platform: On = None, home: HomeDir = None, as_json: AsJson = False) -> None:
    """End the runner and start it, with its file brought up to date."""
    _tell(_service(home, platform).restart(), as_json=as_json)


def status(platform: On = None, home: HomeDir = None, as_json: AsJson = False) -> None:
    """Say whether the service runs, by what is seen of it.

    Exit codes: 0 running, 3 not running, 4 not installed or cannot be told.
    """
    from runner.service.state import state_of, untold  # noqa: PLC0415
    from runner.units import SystemClock  # noqa: PLC0415

    place = find_home(home)
    try:
        state = state_of(place, platform, os.environ, clock=SystemClock())
    except RunnerError as error:
        state = untold(place, platform, error)
    if as_json:
        say_json(state.document())
    else:
        say(f"{state.document()['verdict']}: {state.text}")
        if state.current is False:
            remark(
                "its file differs from what would be rendered now; `afk-runner service install` brings it up to date"
            )
    if state.verdict:
        raise typer.Exit(state.verdict)


def _service(home: Path | None, platform: Platform | None) -> Service:
    from runner.service.verbs import Service  # noqa: PLC0415 - light verbs start fast

    return Service.find(find_home(home), platform, os.environ)


def _tell(done: Done, *, as_json: bool) -> None:
    if as_json:
        say_json({"changed": done.changed, "text": done.text, "remarks": list(done.remarks)})
        return
    say(done.text)
    for line in done.remarks:
        remark(line)


def _write(path: Path, text: str) -> None:
    try:
        there = path.read_text("utf-8")
    except FileNotFoundError:
        there = None
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{path} is there and cannot be read: {error}; move it away") from error
    if there == text:
        say(f"{path} is as it was")
        return
    if there is not None:
        raise Refused(f"{path} is there and differs; move it away first")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    say(f"wrote {path}")
