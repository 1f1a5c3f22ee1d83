"""The verbs about schedules."""

from __future__ import annotations

from typing import Annotated

import typer

from runner.cli.shell import AsJson, HomeDir, example, say, say_json, writing


def register(app: typer.Typer) -> None:
    app.command(epilog=example("afk-runner fire digest"))(fire)


def fire(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A schedule, as `afk-runner schedules` lists it.")],
    home: HomeDir = None,
    as_json: AsJson = False,
) -> None:
    """Run a schedule's task once now, beside its slots. Refused while it is paused or its last job is not over."""
    with writing(home) as door:
        queued = door.fire(name)
    if as_json:
        say_json({"key": queued.key, "created": queued.created, "status": queued.status.value})
    else:
        say(f"queued {queued.key}")
