"""The verb about actions that wait for a person."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from runner.cli.rows import parsed
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
    stamp,
    words,
    writing,
)
from runner.errors import UsageError
from runner.snapshot import Draft, DraftState
from runner.units import iso

PAYLOAD_SHOWN = 200


class Word(StrEnum):
    """What a person does with one."""

    SHOW = "show"
    APPROVE = "approve"
    REJECT = "reject"


def register(app: typer.Typer) -> None:
    app.command(
        epilog=example(
            "afk-runner drafts", "afk-runner drafts approve 3", "afk-runner drafts reject 4 --reason 'wrong address'"
        )
    )(drafts)


def drafts(  # noqa: PLR0917 - typer reads the flags from the signature
    word: Annotated[
        Word | None, typer.Argument(metavar="[show|approve|reject]", help="Absent: list those waiting.")
    ] = None,
    id: Annotated[int | None, typer.Argument(metavar="[ID]", parser=row_id, help="As the list has it.")] = None,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="TEXT", parser=words, help="Why; reject wants one.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="List those decided as well.")] = False,
    limit: Limit = 50,
    home: HomeDir = None,
    as_json: AsJson = False,
) -> None:
    """List actions that wait for a person, or decide on one. Approving queues the task that performs it, once."""
    if word is None:
        with reading(home) as reader:
            found = reader.drafts(state=None if every else DraftState.WAITING, limit=limit)
        _list(found, as_json=as_json)
        return
    if id is None:
        raise UsageError(f"drafts {word} wants an ID; `afk-runner drafts` lists them")
    if word is Word.SHOW:
        with reading(home) as reader:
            _show(reader.draft(id), as_json=as_json)
        return
    if word is Word.REJECT and not (reason or "").strip():
        raise UsageError("drafts reject wants a --reason")
    with writing(home) as door:
        if word is Word.APPROVE:
            queued = door.approve(id)
            if as_json:
                say_json({"draft": id, "state": "approved", "job": queued.key})
            else:
                say(f"approved {id}, queued {queued.key}")
            return
        door.reject(id, reason=reason or "")
    if as_json:
        say_json({"draft": id, "state": "rejected", "reason": reason})
    else:
        say(f"rejected {id}")


def _list(found: tuple[Draft, ...], *, as_json: bool) -> None:
    if as_json:
        say_json([draft_json(draft) for draft in found])
        return
    if not found:
        remark("no drafts")
        return
    say_table(
        ("ID", "STATE", "PERFORMS", "SINCE", "DRAFTED BY", "SUMMARY"),
        [
            (f"{each.id}", each.state.value, each.performs, stamp(each.at), each.job, f"{each.summary} {_rest(each)}")
            for each in found
        ],
    )
    if any(each.state is DraftState.WAITING for each in found):
        remark("read one whole with `afk-runner drafts show ID`; decide with `afk-runner drafts approve ID` or")
        remark("`afk-runner drafts reject ID --reason ...`")


def _show(draft: Draft, *, as_json: bool) -> None:
    if as_json:
        say_json(draft_json(draft))
        return
    for name, value in (
        ("draft", f"{draft.id} {draft.state.value} {_decided(draft)}".rstrip()),
        ("performs", draft.performs),
        ("drafted", f"{stamp(draft.at)} by job {draft.job} of task {draft.task}"),
        ("summary", draft.summary),
        ("payload", draft.payload),
    ):
        say(f"{name:<9} {value}")


def _decided(draft: Draft) -> str:
    if draft.state is DraftState.APPROVED:
        return f"(by {draft.by}, became {draft.became})"
    return f"(by {draft.by}: {draft.reason})" if draft.state is DraftState.REJECTED else ""


def _rest(draft: Draft) -> str:
    if draft.state is not DraftState.WAITING:
        return _decided(draft)
    payload = draft.payload
    return payload if len(payload) <= PAYLOAD_SHOWN else f"{payload[:PAYLOAD_SHOWN]}…"


def draft_json(draft: Draft) -> dict[str, object]:
    return {
        "id": draft.id,
        "state": draft.state.value,
        "performs": draft.performs,
        "payload": parsed(draft.payload),
        "summary": draft.summary,
        "job": draft.job,
        "task": draft.task,
        "attempt": draft.n,
        "at": iso(draft.at),
        "decided_at": iso(draft.decided_at),
        "by": draft.by,
        "reason": draft.reason,
        "became": draft.became,
    }
