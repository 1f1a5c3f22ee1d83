"""The verb that proves, on purpose and in a sandbox, that what guards a home works."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from runner.cli.shell import AsJson, HomeDir, example, find_home, flush, reading, remark, say, say_json
from runner.errors import Exit


class Name(StrEnum):
    """What can be drilled."""

    STOP = "stop"
    CAP = "cap"
    BREAKER = "breaker"
    ALERT = "alert"
    RESCUE = "rescue"


def register(app: typer.Typer) -> None:
    app.command(
        epilog=example("afk-runner drill", "afk-runner drill stop rescue", "afk-runner drill alert --for-real")
    )(drill)


def drill(
    names: Annotated[
        list[Name] | None, typer.Argument(metavar="[stop|cap|breaker|alert|rescue]...", help="Absent: all of them.")
    ] = None,
    for_real: Annotated[bool, typer.Option("--for-real", help="Send one alert to your own addresses as well.")] = False,
    home: HomeDir = None,
    as_json: AsJson = False,
) -> None:
    """Prove that stop, cap, breaker, alert and rescue work; say what was seen, and write down the date.

    Real programs in a directory that goes with them: nothing of yours is stopped, called or spent. Exit code 1 when one
    is not proven.
    """
    from runner.drill import drill as all_drills  # noqa: PLC0415 - light verbs start fast

    place = find_home(home)
    with reading(home) as reader:  # a home that cannot be read is told before the minute is spent
        reader.drills()
    results, wanted = [], list(dict.fromkeys(each.value for each in names or Name))
    for done in all_drills(place, wanted, for_real=for_real, say=remark):
        results.append(done)
        if not as_json:
            told = "proven" if done.fault is None else f"failed: {done.fault}"
            say(f"{done.name:<8} {told} ({done.took_s:.1f} s)")
            flush()
    if as_json:
        say_json(
            {
                "ok": all(done.fault is None for done in results),
                "drills": [
                    {
                        "name": done.name,
                        "proven": done.fault is None,
                        "fault": done.fault,
                        "seen": list(done.facts),
                        "seconds": round(done.took_s, 1),
                    }
                    for done in results
                ],
            }
        )
    if any(done.fault is not None for done in results):
        raise typer.Exit(Exit.REFUSED)
