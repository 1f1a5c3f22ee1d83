"""The verbs that take care of the data: backup, restore, check, prune."""

from __future__ import annotations

import os
import shlex
import time
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from runner.cli.shell import AsJson, HomeDir, at_home, example, find_home, remark, say, say_json
from runner.commands import who
from runner.errors import ConfigError, Exit, UsageError
from runner.home import Home
from runner.units import MicroUsd, SystemClock, iso, parse_usd, plural, usd

if TYPE_CHECKING:
    from runner.care.copying import Progress
    from runner.care.restore import Restored

QUIET_S = 2.0
"""A copy that is over sooner says nothing of its progress."""
KEYS_SHOWN = 3


def register(app: typer.Typer) -> None:
    app.command(
        epilog=example("afk-runner backup /mnt/usb/", "afk-runner backup ~/backups --keep 14", "afk-runner backup a.db")
    )(backup)
    app.command(
        epilog=example(
            "afk-runner restore ~/backups/agent-20270131T060000Z.db", "afk-runner restore a.db --spent-since 0"
        )
    )(restore)
    app.command(epilog=example("afk-runner check", "afk-runner check --deep --json"))(check)
    app.command(epilog=example("afk-runner prune --dry-run", "afk-runner prune"))(prune)


def backup(
    dest: Annotated[
        str, typer.Argument(metavar="DEST", help="A file such as a.db, or a folder in which it gets a dated name.")
    ],
    home: HomeDir = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    keep: Annotated[
        int | None, typer.Option("--keep", min=1, metavar="N", help="Keep the newest N dated backups of the folder.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Copy the database, also of a live home, and check the copy.

    One file and a page beside it, DEST.json. Settings, .env, tasks, inputs and outputs are not in it: copy these as
    files. A DEST that is not there yet is a folder if it ends in a slash, has no suffix, or --keep stands beside it.
    """
    from runner.care.backup import backup as take  # noqa: PLC0415 - light verbs start fast

    with at_home(home) as place:
        done = take(
            place,
            Path(os.path.abspath(dest)),
            folder=dest.endswith("/"),
            force=force,
            keep=keep,
            now=SystemClock().now(),
            version=metadata.version("afk-console"),
            progress=_progress("copied"),
        )
    if as_json:
        say_json(
            {
                "path": str(done.path),
                "page": str(done.page),
                "bytes": done.bytes,
                "schema": done.schema,
                "jobs": done.jobs,
                "removed": [str(path) for path in done.removed],
                "same_volume": done.same_volume,
            }
        )
    else:
        say(f"backed up to {done.path}: {done.bytes / 1e6:,.1f} MB, {plural(done.jobs, 'job')}, checked whole")
        for path in done.removed:
            say(f"removed {path}")
    if done.same_volume:
        remark("it is on the home's own volume: a broken disk takes both")


def restore(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="A file that `afk-runner backup` made.")],
    home: HomeDir = None,
    spent_since: Annotated[
        str | None,
        typer.Option("--spent-since", metavar="USD", help="What was spent since, where the replaced one cannot tell."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Go back to a backup. The replaced database is kept beside it, and the home is stopped until `resume`.

    Refused while a runner lives. What was spent since the backup goes on counting. Jobs that ended since would be done
    again, but for those of irreversible tasks, so look at them before you resume.
    """
    from runner.care.restore import Terms  # noqa: PLC0415
    from runner.care.restore import restore as go_back  # noqa: PLC0415

    place = find_home(home)
    cap, irreversible = _declared(place)
    done = go_back(
        place,
        Path(os.path.abspath(source)),
        Terms(
            cap=cap,
            spent=_amount(spent_since),
            irreversible=irreversible,
            by=who("cli"),
            now=SystemClock().now(),
        ),
        progress=_progress("copied"),
    )
    if as_json:
        say_json(
            {
                "source": str(done.source),
                "as_of": iso(done.as_of),
                "kept": str(done.kept) if done.kept else None,
                "stopped": True,
                "vouched": done.vouched,
                "carried": {
                    "calls": done.carried.calls,
                    "cost_microusd": done.carried.cost,
                    "breakers": done.carried.breakers,
                    "pauses": done.carried.pauses,
                    "slots": done.carried.slots,
                },
                "held": {"microusd": done.held, "days": done.held_days},
                "irreversible": {
                    "ended": list(done.carried.standing.ended),
                    "unknown": list(done.carried.standing.unknown),
                },
                "again": list(done.carried.again),
                "again_file": str(done.again) if done.again else None,
                "lost": list(done.carried.lost),
                "drafts_again": done.carried.drafts,
            }
        )
        return
    say(f"restored {place.db} as of {(iso(done.as_of) or '-')[:19]}Z")
    if done.kept:
        say(f"the replaced one is kept as {done.kept}")
    _say_money(done)
    _say_work(done)
    remark("the home is stopped; `afk-runner check --deep`, a look at `afk-runner spend`, then `afk-runner resume`")


def _say_money(done: Restored) -> None:
    if done.carried.calls or done.carried.cost:
        say(f"{plural(done.carried.calls, 'call')} since then, {usd(done.carried.cost)}, go on counting")
    if done.held:
        days = plural(done.held_days, "day")
        remark(
            f"WHAT WAS SPENT SINCE IS NOT KNOWN: {usd(done.held)} is held for it, on {days}. Look at your provider's "
            "bill; `afk-runner spend --holds` lists it, and --write-off ID frees it"
        )


def _say_work(done: Restored) -> None:
    standing = done.carried.standing
    if standing.ended:
        remark(f"{_some(standing.ended)} of irreversible tasks ended since, and will not be done again")
    if standing.unknown:
        remark(
            f"{_some(standing.unknown)} of irreversible tasks may have been done since, and went to the dead letters; "
            "`afk-runner dead` lists them"
        )
    if done.carried.again:
        text = f"{_some(done.carried.again)} ended since and would be done again; `afk-runner cancel KEY` prevents it"
        if done.again is not None:
            file, home = (shlex.quote(str(path)) for path in (done.again, done.again.parent))
            text += f", for all of them `xargs -0 afk-runner cancel --home {home} -- < {file}`"
        remark(text)
    if done.carried.lost:
        remark(f"{_some(done.carried.lost)} queued since and not ended: not in the backup, so enqueue it again")
    if done.carried.drafts:
        remark(f"{plural(done.carried.drafts, 'draft')} decided since: approving it again would do it again")
    if not done.vouched:
        remark("which jobs ended since cannot be told from the replaced database; those that wait may have been done")


def _some(keys: tuple[str, ...]) -> str:
    more = f" and {len(keys) - KEYS_SHOWN:,} more (--json has all)" if len(keys) > KEYS_SHOWN else ""
    return f"{plural(len(keys), 'job')} ({', '.join(keys[:KEYS_SHOWN])}{more})"


def check(
    home: HomeDir = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every index, and compute every counter and promise again.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Look whether the database is sound, also of a live home. Changes nothing.

    Exit code 1 when a line says fail.
    """
    from runner.care.check import Verdict  # noqa: PLC0415
    from runner.care.check import check as look  # noqa: PLC0415

    lines = []
    with at_home(home) as place:
        for line in look(place.db, deep=deep, now=SystemClock().now()):
            lines.append(line)
            if not as_json:
                say(f"{line.verdict:<4}  {line.name:<8}  {line.text}")
                if line.mend:
                    say(f"{'':14}  mend: {line.mend}")
    ok = all(line.verdict is not Verdict.FAIL for line in lines)
    if as_json:
        checks = [
            {"name": line.name, "level": line.verdict.value, "text": line.text, "mend": line.mend} for line in lines
        ]
        say_json({"ok": ok, "deep": deep, "checks": checks})
    if not ok:
        raise typer.Exit(Exit.REFUSED)


def prune(
    home: HomeDir = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let go of what is old, by the limits of [runner] in afk.toml. A running runner does it by itself.

    Nothing unfinished, dead, unsettled or undecided goes, and the sums of days stay. The database file keeps its size:
    what becomes free in it is used again.
    """
    from runner.care import prune as pruning  # noqa: PLC0415
    from runner.settings import load  # noqa: PLC0415

    with at_home(home) as place:
        settings = load(place.root, environ=os.environ).runner
    now = SystemClock().now()
    done = (
        pruning.would_prune(place, settings, now=now)
        if dry_run
        else pruning.prune(place, settings, by=who("cli"), now=now)
    )
    if as_json:
        rows = {name.replace(" ", "_").replace(",", ""): number for name, number in done.rows.items()}
        say_json({"dry_run": dry_run, "rows": rows, "files": done.files, "bytes": done.bytes})
        return
    verb = "would go" if dry_run else "gone"
    for name, number in done.rows.items():
        say(f"{verb}: {number:,} {name}")
    say(f"{verb}: {plural(done.files, 'file')} of output, {done.bytes / 1e6:,.1f} MB")


def _declared(home: Home) -> tuple[tuple[MicroUsd, ZoneInfo] | None, set[str] | None]:
    """The day's cap with its zone, and the tasks that do what cannot be undone; None for what cannot be read."""
    from runner.settings import load  # noqa: PLC0415
    from runner.work.declared import discover  # noqa: PLC0415

    try:
        config = load(home.root, environ=os.environ)
    except ConfigError:
        return None, None
    cap = config.budget.daily_usd, config.zone
    try:
        tasks = {**config.tasks, **discover(home.tasks, zone=config.zone)}
    except ConfigError:
        return cap, None
    return cap, {name for name, task in tasks.items() if task.irreversible}


def _amount(text: str | None) -> MicroUsd | None:
    if text is None:
        return None
    try:
        return parse_usd(text)
    except ValueError as error:
        raise UsageError(f"--spent-since {error}") from None


def _progress(verb: str) -> Progress:
    """Says how far it is, but not of what is soon over."""
    began = told = time.monotonic()

    def tell(done: int, whole: int) -> None:
        nonlocal told
        now = time.monotonic()
        if now - began > QUIET_S and now - told > QUIET_S:
            told = now
            remark(f"{verb} {done * 100 // max(whole, 1)} %")

    return tell
