"""The verb about spending."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from runner.cli.shell import (
    AsJson,
    HomeDir,
    example,
    reading,
    remark,
    row_id,
    say,
    say_bulk,
    say_json,
    say_table,
    stamp,
    words,
    writing,
)
from runner.errors import NotFound, Refused, UsageError
from runner.price_age import list_date
from runner.snapshot import CapView, HeldCall, Raise, SpendView
from runner.spending import IN_FLIGHT
from runner.text import one_line
from runner.units import MicroUsd, SystemClock, duration, exact_usd, iso, local, parse_usd, plural, usd

HELD_SHOWN = 50


def register(app: typer.Typer) -> None:
    app.command(
        epilog=example(
            "afk-runner spend --days 30",
            "afk-runner spend --raise 2.00 --reason 'the release needs it tonight'",
            "afk-runner spend --holds",
            "afk-runner spend --write-off 4121 --reason 'the vendor never billed it'",
        )
    )(spend)


def spend(  # noqa: PLR0917 - typer reads the flags from the signature
    home: HomeDir = None,
    days: Annotated[int, typer.Option("--days", min=1, max=36_600, metavar="N", help="The newest days with any.")] = 7,
    holds: Annotated[bool, typer.Option("--holds", help="List every hold that stands, and nothing else.")] = False,
    raise_to: Annotated[
        str | None,
        typer.Option(
            "--raise", metavar="USD", help="Let today cost up to this, until midnight; less takes a raise back."
        ),
    ] = None,
    write_off: Annotated[
        list[int] | None,
        typer.Option(
            "--write-off",
            metavar="ID",
            parser=row_id,
            help="Free a hold whose cost nobody will ever know; may be repeated.",
        ),
    ] = None,
    write_off_all: Annotated[
        bool, typer.Option("--write-off-all", help="Free every hold that stands, but for calls in flight; needs --yes.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="For --write-off-all, once you have seen what it frees.")] = False,
    reason: Annotated[
        str | None,
        typer.Option("--reason", metavar="TEXT", parser=words, help="Why; --raise and --write-off want one."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what was spent against every cap; raise today's, or write a hold off.

    Held is reserved for calls in flight, or for calls that ended and nobody knows their true cost: it goes on counting.
    """
    if sum((holds, raise_to is not None, bool(write_off), write_off_all)) > 1:
        raise UsageError("spend takes one of --holds, --raise and --write-off at a time")
    if yes and not write_off_all:
        raise UsageError("--yes belongs to --write-off-all")
    if raise_to is not None:
        _raise(home, raise_to, reason=reason or "", as_json=as_json)
    elif write_off and len(write_off) == 1:
        _write_off(home, write_off[0], reason=reason or "", as_json=as_json)
    elif write_off:
        _write_off_many(home, write_off, reason=reason or "", as_json=as_json)
    elif write_off_all:
        _write_off_all(home, reason=reason or "", yes=yes, as_json=as_json)
    elif reason is not None:
        raise UsageError("--reason belongs to --raise or --write-off")
    elif holds:
        _list_holds(home, as_json=as_json)
    else:
        _show(home, days=days, as_json=as_json)


def _show(home: Path | None, *, days: int, as_json: bool) -> None:
    now = SystemClock().now()
    with reading(home) as reader:
        today = reader.vitals(now=now).spend
        caps = reader.caps(now=now)
        rows = reader.spend_days(days=days)
        held = reader.holds(limit=HELD_SHOWN)
    prices = list_date()
    if as_json:
        listed = [
            {"day": day, "cost_microusd": settled + held, "settled_microusd": settled, "held_microusd": held}
            for day, settled, held in rows
        ]
        say_json(
            {
                "today": _today_json(today),
                "caps": [_cap_json(cap) for cap in caps],
                "days": listed,
                "held_calls": [_held_json(call, now=now) for call in held],
                "price_age_days": prices.age_days(now),
            }
        )
        return
    _say_today(today)
    if caps:
        say()
        say_table(("CAP", "LIMIT", "SETTLED", "HELD", "FREE", "LIFTS"), [_cap_cells(cap, today.zone) for cap in caps])
    if rows:
        say()
        cells = [(day, usd(settled + held), usd(settled), usd(held)) for day, settled, held in rows]
        say_table(("DAY", "COST", "SETTLED", "HELD"), cells)
    else:
        remark("nothing was spent yet")
    if held:
        say()
        _say_held(held, now=now)
    remark(f"prices: {prices.sentence(now)}{'; look for a newer one' if prices.old(now) else ''}")


def _say_today(today: SpendView) -> None:
    cap = f" of {usd(today.cap)}" if today.cap is not None else " (the cap is known from the first run on)"
    free = f", {usd(today.free)} free" if today.free is not None else ""
    reached = f", reached at {stamp(today.reached_at)} at this pace" if today.reached_at else ""
    if today.reached:
        reached = f", CAP REACHED, lifts at {stamp(today.resets_at)}"
    spent = usd(today.settled + today.held)
    say(f"{today.day} ({today.zone}): {spent}{cap}, of it {usd(today.held)} held{free}{reached}")
    if today.raised is not None:
        by = f"{today.raised.by} at {stamp(today.raised.at)}: {one_line(today.raised.reason)}"
        say(f"raised until {stamp(today.resets_at)} by {by}")


def _cap_cells(cap: CapView, zone: str) -> tuple[str, ...]:
    name = f"task {cap.task}" if cap.task is not None else "each job" if cap.spent is None else cap.name
    lifts = "-"
    if cap.lifts_at is not None:
        there = f", {local(cap.lifts_at, ZoneInfo(zone)):%H:%M on %Y-%m-%d} in {zone}" if zone != "UTC" else ""
        lifts = f"{stamp(cap.lifts_at)}{there}"
    if cap.spent is None or cap.free is None:
        return name, usd(cap.limit), "-", "-", "-", lifts
    limit = usd(cap.limit) + (" raised" if cap.raised else "")
    return name, limit, usd(cap.spent.settled), usd(cap.spent.held), usd(cap.free), lifts


def _cap_json(cap: CapView) -> dict[str, object]:
    return {
        "name": cap.name,
        "task": cap.task,
        "limit_microusd": cap.limit,
        "settled_microusd": cap.spent.settled if cap.spent else None,
        "held_microusd": cap.spent.held if cap.spent else None,
        "free_microusd": cap.free,
        "lifts_at": iso(cap.lifts_at),
        "raised": _raise_json(cap.raised),
    }


def _raise_json(one: Raise | None) -> dict[str, object] | None:
    if one is None:
        return None
    return {"cap_microusd": one.cap, "by": one.by, "reason": one.reason, "at": iso(one.at)}


def _raise(home: Path | None, amount: str, *, reason: str, as_json: bool) -> None:
    try:
        cap = parse_usd(amount)
    except ValueError as error:
        raise UsageError(f"--raise: {error}") from None
    with writing(home) as door:
        raised = door.raise_cap(cap, reason=reason, may_lower=True)
    if as_json:
        say_json(
            {
                "day": raised.day,
                "timezone": raised.zone,
                "cap_microusd": raised.cap,
                "before_microusd": raised.before,
                "until": iso(raised.until),
                "woken": raised.woken,
                "already": raised.already,
            }
        )
    elif raised.already:
        say(f"the cap of {raised.day} is {exact_usd(raised.cap)} already")
    else:
        until = f"until {stamp(raised.until)}, midnight in {raised.zone}"
        did = "lowered" if raised.lowered else "raised"
        say(f"{did} the cap of {raised.day} from {exact_usd(raised.before)} to {exact_usd(raised.cap)} {until}")
        if raised.lowered:
            remark("calls in flight go on; other caps hold as before")
            return
        woken = plural(raised.woken, "job that waited for it is", "jobs that waited for it are")
        remark(f"{woken} due now; other caps hold as before")


def _write_off(home: Path | None, id: int, *, reason: str, as_json: bool) -> None:
    with writing(home) as door:
        gone = door.write_off(id, reason=reason)
    if as_json:
        say_json({"id": gone.id, "model": gone.model, "job": gone.job, "freed_microusd": gone.hold})
    else:
        say(f"wrote off hold {gone.id}: {exact_usd(gone.hold)} for a call to {gone.model} counts no more")


def _write_off_many(home: Path | None, ids: Sequence[int], *, reason: str, as_json: bool) -> None:
    """Each in its own transaction: one that is refused holds no other up."""
    done: list[str] = []
    freed = 0
    refused: list[tuple[str, str]] = []
    with writing(home) as door:
        for id in dict.fromkeys(ids):
            try:
                freed += door.write_off(id, reason=reason).hold
            except (NotFound, Refused) as refusal:
                refused.append((str(id), str(refusal)))
            else:
                done.append(str(id))
    if done:
        remark(f"{exact_usd(MicroUsd(freed))} of {plural(len(done), 'call')} counts no more")
    say_bulk(done, refused, verb="written off", as_json=as_json)


def _write_off_all(home: Path | None, *, reason: str, yes: bool, as_json: bool) -> None:
    """The set is frozen here; a hold that comes later is not in it."""
    with reading(home) as reader:
        standing = [call for call in reader.holds(limit=-1) if call.why != IN_FLIGHT]
    if not standing:
        raise NotFound("no hold stands, but for calls in flight")
    total = exact_usd(MicroUsd(sum(call.hold for call in standing)))
    if not yes:
        raise Refused(
            f"{plural(len(standing), 'hold')} of {total} in all would count no more, and each may have been billed: "
            "`afk-runner spend --holds` lists them; --yes writes them off"
        )
    _write_off_many(home, [call.id for call in standing], reason=reason, as_json=as_json)


def _list_holds(home: Path | None, *, as_json: bool) -> None:
    now = SystemClock().now()
    with reading(home) as reader:
        held = reader.holds(limit=-1)
    if as_json:
        say_json([_held_json(call, now=now) for call in held])
    elif held:
        _say_held(held, now=now)
        remark("`afk-runner spend --write-off ID --reason ...` frees one that will never be settled")
    else:
        remark("no hold stands: every call is settled or cost nothing")


def _say_held(held: tuple[HeldCall, ...], *, now: int) -> None:
    rows = [
        (
            str(call.id),
            duration(now - call.held_at),
            call.task,
            call.job or "-",
            call.model,
            usd(call.hold),
            call.why,
        )
        for call in held
    ]
    say_table(("ID", "AGE", "TASK", "JOB", "MODEL", "HOLD", "WHY IT STANDS"), rows)
    if len(held) == HELD_SHOWN:
        remark(f"the newest {HELD_SHOWN} held calls; `afk-runner spend --holds` lists all")


def _held_json(call: HeldCall, *, now: int) -> dict[str, object]:
    return {
        "id": call.id,
        "day": call.day,
        "held_at": iso(call.held_at),
        "age_s": (now - call.held_at) / 1000,
        "task": call.task,
        "job": call.job,
        "model": call.model,
        "hold_microusd": call.hold,
        "note": call.note,
        "why": call.why,
    }


def _today_json(today: SpendView) -> dict[str, object]:
    return {
        "day": today.day,
        "timezone": today.zone,
        "cap_microusd": today.cap,
        "settled_microusd": today.settled,
        "held_microusd": today.held,
        "free_microusd": today.free,
        "reached_at": iso(today.reached_at),
        "resets_at": iso(today.resets_at),
        "raised": _raise_json(today.raised),
    }
