"""The verb about what went wrong, until somebody has written down why."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from runner.cli.shell import (
    AsJson,
    HomeDir,
    Limit,
    example,
    reading,
    remark,
    row_id,
    say,
    say_json,
    say_table,
    say_under,
    stamp,
    words,
    writing,
)
from runner.errors import UsageError
from runner.report.document import incident_document
from runner.snapshot import Incident, Note
from runner.units import iso, plural


class Word(StrEnum):
    """What is to be done with one."""

    SHOW = "show"
    NOTE = "note"
    CLOSE = "close"


def register(app: typer.Typer) -> None:
    app.command(
        epilog=example(
            "afk-runner incidents",
            "afk-runner incidents show 3",
            "afk-runner incidents note 3 'the vendor says it is mended'",
            "afk-runner incidents close 3 --cause 'an expired key' --fix 'a new key, and a reminder'",
        )
    )(incidents)


def incidents(  # noqa: PLR0917 - typer reads the flags from the signature
    word: Annotated[Word | None, typer.Argument(help="Nothing: list them.", show_default=False)] = None,
    id: Annotated[
        int | None, typer.Argument(metavar="ID", parser=row_id, help="As the list shows it.", show_default=False)
    ] = None,
    text: Annotated[
        str | None, typer.Argument(metavar="TEXT", parser=words, help="Of a note.", show_default=False)
    ] = None,
    cause: Annotated[
        str | None, typer.Option("--cause", metavar="TEXT", parser=words, help="Why; close wants it.")
    ] = None,
    fix: Annotated[
        str | None, typer.Option("--fix", metavar="TEXT", parser=words, help="What was done; close wants it.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="List the closed ones as well.")] = False,
    limit: Limit = 50,
    home: HomeDir = None,
    as_json: AsJson = False,
) -> None:
    """List incidents, write into the journal of one, or close it with its cause and its fix.

    An alert that warns opens one; it says when the trouble was over. Only you close it.
    """
    _check(word, id, text, cause, fix)
    if word is None or id is None:
        with reading(home) as reader:
            found = reader.incidents(closed=every, limit=limit)
        _list(found, as_json=as_json)
    elif word is Word.SHOW:
        with reading(home) as reader:
            one, notes = reader.incident(id)
        _show(one, notes, as_json=as_json)
    else:
        with writing(home) as door:
            if word is Word.NOTE:
                door.note(id, text or "")
            else:
                door.close_incident(id, cause=cause or "", fix=fix or "")
        done = "noted" if word is Word.NOTE else "closed"
        if as_json:
            say_json({"incident": id, "did": done})
        else:
            say(f"{done} {id}")


def _check(word: Word | None, id: int | None, text: str | None, cause: str | None, fix: str | None) -> None:
    if word is not None and id is None:
        raise UsageError(f"incidents {word} wants an ID; `afk-runner incidents` lists them")
    if (text is None) == (word is Word.NOTE):
        wants = "incidents note wants a TEXT" if text is None else "only incidents note takes a TEXT; quote it whole"
        raise UsageError(wants)
    if word is Word.CLOSE and not ((cause or "").strip() and (fix or "").strip()):
        raise UsageError("incidents close wants a --cause and a --fix")
    if word is not Word.CLOSE and (cause is not None or fix is not None):
        raise UsageError("--cause and --fix belong to incidents close")


def _list(found: tuple[Incident, ...], *, as_json: bool) -> None:
    if as_json:
        say_json([incident_document(each) for each in found])
        return
    if not found:
        remark("no incidents")
        return
    say_table(
        ("ID", "STATE", "LEVEL", "OPENED", "TIMES", "ABOUT", "WHAT"),
        [
            (
                f"{each.id}",
                _state(each),
                each.level,
                stamp(each.opened_at),
                f"{each.alerts:,}",
                each.subject,
                each.last_text if each.closed_at is None else f"cause: {each.cause}; fix: {each.fix}",
            )
            for each in found
        ],
    )
    if any(each.closed_at is None for each in found):
        remark("write what you find with `afk-runner incidents note ID TEXT`; it is over for you with")
        remark("`afk-runner incidents close ID --cause ... --fix ...`")


def _show(one: Incident, notes: tuple[Note, ...], *, as_json: bool) -> None:
    if as_json:
        journal = [{"at": iso(each.at), "by": each.by, "text": each.text} for each in notes]
        say_json({**incident_document(one), "notes": journal})
        return
    came = f"{plural(one.alerts, 'time')}, the last {stamp(one.last_at)}"
    facts = [
        ("incident", f"{one.id} {_state(one)}, {one.level}, about {one.subject}"),
        ("opened", f"{stamp(one.opened_at)}: {one.text}"),
        ("came", came if one.last_text == one.text else f"{came}: {one.last_text}"),
        ("over", f"since {stamp(one.settled_at)}" if one.settled_at is not None else "no, it still holds"),
    ]
    if one.closed_at is not None:
        facts += [
            ("closed", f"{stamp(one.closed_at)} by {one.closed_by}"),
            ("cause", one.cause or ""),
            ("fix", one.fix or ""),
        ]
    for name, value in facts:
        say(f"{name:<9} {value}")
    for each in notes:
        say(f"note      {stamp(each.at)} by {each.by}")
        say_under(each.text)


def _state(one: Incident) -> str:
    return "closed" if one.closed_at is not None else "open" if one.settled_at is None else "open, over"
