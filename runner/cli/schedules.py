"""The verbs about schedules."""

from __future__ import annotations

from typing import Annotated

import typer

from runner.cli.shell import AsJson, HomeDir, example, say, say_json, writing
from runner.errors import NotFound


def register(app: typer.Typer) -> None:
    app.command(epilog=example("afk-runner fire digest"))(fire)


def fire(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A schedule, as `afk-runner schedules` lists it.")],
    home: HomeDir = None,
    as_json: AsJson = False,
) -> None:
    """Run a schedule's task once now, beside its slots. Refused while it is paused or its last job is not over."""
    try:
        with writing(home) as door:
            queued = door.fire(name)
    except NotFound as error:
        from runner.cli.tasks import check_task  # noqa: PLC0415 - loads the configuration

        check_task(name, home)
        raise NotFound(f"{error}; `afk-runner enqueue` runs a task without one") from None
    if as_json:
        say_json({"key": queued.key, "created": queued.created, "status": queued.status.value})
    else:
        say(f"queued {queued.key}")
