"""The verb about what somebody has to be told."""

from __future__ import annotations

import os
import socket
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from runner.cli.shell import (
    AsJson,
    HomeDir,
    Limit,
    at_home,
    example,
    reading,
    remark,
    say,
    say_json,
    say_table,
    stamp,
    words,
    writing,
)
from runner.errors import Exit, UsageError
from runner.snapshot import Address, Alert
from runner.text import one_line
from runner.units import iso


class Act(StrEnum):
    """What is to be done."""

    TEST = "test"
    CLOSE = "close"


def register(app: typer.Typer) -> None:
    app.command(
        epilog=example(
            "afk-runner alerts",
            "afk-runner alerts test",
            "afk-runner alerts close orphans:runner-7 --reason 'the bill was checked'",
        )
    )(alerts)


def alerts(  # noqa: PLR0917 - typer reads the flags from the signature
    act: Annotated[Act | None, typer.Argument(metavar="[test|close]", help="Absent: list them.")] = None,
    key: Annotated[str | None, typer.Argument(metavar="[KEY]", help="Of the alert to close.")] = None,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="TEXT", parser=words, help="Why; close wants one.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="List those that are over and delivered as well.")] = False,
    limit: Limit = 200,
    home: HomeDir = None,
    as_json: AsJson = False,
) -> None:
    """List what holds and what not everybody was told of; send a test; or close one by hand.

    `test` sends a message to every address of [alerts] and says of each whether it was taken; exit code 1 when one was
    not. An alert closes by itself when what it tells of is over; `close` is for what only a person can know.
    """
    if act is Act.TEST:
        _test(home, as_json=as_json)
    elif act is Act.CLOSE:
        if key is None or not (reason or "").strip():
            raise UsageError("alerts close wants a KEY and a --reason")
        with writing(home) as door:
            door.close_alert(key, reason=reason or "")
        if as_json:
            say_json({"key": key, "closed": True})
        else:
            say(f"closed {key}")
    else:
        with reading(home) as reader:
            found, addresses = reader.alerts(everything=every, limit=limit), reader.addresses()
        _list(found, addresses, as_json=as_json)


def _list(found: tuple[Alert, ...], addresses: tuple[Address, ...], *, as_json: bool) -> None:
    if as_json:
        say_json({"alerts": [_json(one) for one in found], "addresses": [_address_json(one) for one in addresses]})
        return
    if found:
        say_table(("KEY", "LEVEL", "STATE", "TOLD", "TIMES", "SINCE", "TEXT"), [_cells(one) for one in found])
    else:
        remark("no alert holds, and nobody is still to be told of one")
    for one in addresses:
        if one.failing_since is not None:
            tried = f"tried {one.failures} times, again at {stamp(one.next_at)}"
            remark(f"{one.name} takes none since {stamp(one.failing_since)}, {tried}: {one.last_error}")


def _cells(one: Alert) -> tuple[str, ...]:
    state = "holds" if one.closed_at is None else one.ending or "over"
    told = stamp(one.delivered_at) if one.delivered_at is not None else "not yet" if one.owed else "nobody"
    return (one.key, one.level, state, told, f"{one.times}", stamp(one.at), one_line(one.text, 300))


def _json(one: Alert) -> dict[str, object]:
    return {
        "key": one.key,
        "level": one.level,
        "text": one.text,
        "at": iso(one.at),
        "last_at": iso(one.last_at),
        "times": one.times,
        "open": one.closed_at is None,
        "closed_at": iso(one.closed_at),
        "ending": one.ending,
        "end_text": one.end_text,
        "delivered_at": iso(one.delivered_at),
        "undelivered": one.owed and one.delivered_at is None,
    }


def _address_json(one: Address) -> dict[str, object]:
    return {
        "name": one.name,
        "took_at": iso(one.took_at),
        "failures": one.failures,
        "failing_since": iso(one.failing_since),
        "next_at": iso(one.next_at),
        "last_error": one.last_error,
    }


def _test(option: Path | None, *, as_json: bool) -> None:
    from runner.notify.trial import send_test  # noqa: PLC0415 - the one act here that needs the configuration
    from runner.settings import load  # noqa: PLC0415

    with at_home(option) as home:
        answers = send_test(load(home.root, environ=os.environ), home=home.root, host=socket.gethostname())
    if as_json:
        say_json({"addresses": [{"name": one.name, "taken": one.taken, "error": one.fault} for one in answers]})
    else:
        for one in answers:
            if one.taken:
                say(f"{one.name} took it")
            else:
                remark(f"{one.name} did not take it: {one.fault}")
    if not answers:
        remark('[alerts] names no address; write urls = ["env:ALERT_WEBHOOK"] there, an apprise URL in that variable')
    if not answers or not all(one.taken for one in answers):
        raise typer.Exit(Exit.REFUSED)
