"""The verb that tells what happened."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from runner.cli.shell import AsJson, HomeDir, example, reading, say, say_json
from runner.errors import StoreError, UsageError
from runner.units import SystemClock


def register(app: typer.Typer) -> None:
    app.command(
        epilog=example("afk-runner report", "afk-runner report --days 30 --json", "afk-runner report --out report.md")
    )(report)


def report(
    home: HomeDir = None,
    days: Annotated[int, typer.Option("--days", min=1, max=366, metavar="N", help="Today, and N - 1 days before.")] = 2,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print it as Markdown.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write it there as Markdown.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what ran, what it cost and earned, what was skipped and why, and what waits for you.

    The days are those of the home's time zone. A runner writes the same to reports/YYYY-MM-DD.md each morning.
    """
    from runner.report import document, lines  # noqa: PLC0415 - light verbs start fast
    from runner.report import markdown as paper  # noqa: PLC0415

    if sum((markdown, out is not None, as_json)) > 1:
        raise UsageError("report takes one of --markdown, --out and --json at a time")
    place = Path(os.path.realpath(out)) if out is not None else Path()
    if out is not None:
        from runner.report.file import check_place  # noqa: PLC0415

        check_place(place)
    with reading(home) as reader:
        found = reader.report(days=days, now=SystemClock().now())
    found = replace(found, days=tuple(day for day in found.days if day.day >= found.known_from))
    if as_json:
        say_json(document.document(found))
    elif markdown:
        for line in paper.markdown(found).splitlines():
            say(line)
    elif out is not None:
        from runner.report.file import write  # noqa: PLC0415

        try:
            write(place, paper.markdown(found))
        except OSError as error:
            raise StoreError(f"{place} cannot be written: {error.strerror}") from error
        say(f"wrote {place}")
    else:
        for line in lines.lines(found):
            say(line)
