"""The verbs that hold the runner back and let it go on. Each says what was observed, not only what was sent."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from runner.cli.shell import AsJson, HomeDir, example, remark, say, say_json, words, writing
from runner.commands import Killed, proof
from runner.errors import Exit, StoreBusy, StoreError
from runner.home import Home
from runner.snapshot import Health, Reader, RunState, Vitals
from runner.units import SystemClock

REACTS_WITHIN_S = 2.0
"""A live runner reads the switch a few times a second; after this it is said to have not reacted."""
_LOOK_EVERY_S = 0.02
_ALIVE = (Health.LIVE, Health.LATE, Health.SILENT)

Reason = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", parser=words, help="Why; kept and shown everywhere.")
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A task, or the schedule of that name.")]


def register(app: typer.Typer) -> None:
    app.command(
        epilog=example(
            "afk-runner kill --reason 'bill looks wrong'", "afk-runner kill --now", "afk-runner kill --force"
        )
    )(kill)
    app.command(epilog=example("afk-runner resume"))(resume)
    app.command(epilog=example("afk-runner pause digest --reason 'the feed is down'"))(pause)
    app.command(epilog=example("afk-runner unpause digest"))(unpause)


def kill(
    home: HomeDir = None,
    now: Annotated[bool, typer.Option("--now", help="No grace for calls in flight.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="End the runner's processes as well: TERM, then KILL; says what was left.")
    ] = False,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Stop everything, at once.

    No job starts and no model call leaves until `resume`; the runner stays, parked. Works while the database is locked,
    broken or missing; a restart or a reboot does not lift it.
    """
    if force:
        _force(home, reason, as_json=as_json)
        return
    with writing(home) as door:
        killed = door.kill(now=now, reason=reason)
    seen = _watch(door.home, lambda vitals: _acted_on(vitals, killed))
    acted = seen is not None and _acted_on(seen, killed)
    if as_json:
        say_json(
            {
                "stop": {"set": list(killed.sources), "already": killed.already, "now": now},
                "refused": [{"reason": text} for text in killed.failed],
                "runner": _runner_json(seen, acted),
            }
        )
        return
    word = "was stopped already, and is stopped by" if killed.already else "stopped by"
    say(f"{word} {' and '.join(killed.sources)}")
    for text in killed.failed:
        remark(f"not set as well: {text}")
    say(_reaction(seen, acted))


def _force(home: Path | None, reason: str | None, *, as_json: bool) -> None:
    with writing(home) as door:
        forced = door.force(reason=reason)
    stop = forced.stop
    if as_json:
        say_json(
            {
                "stop": {
                    "set": list(stop.sources) if stop else [],
                    "already": bool(stop and stop.already),
                    "now": True,
                },
                "ended": [
                    {"pid": one.process.pid, "what": one.process.part.value, "by": one.by} for one in forced.ended
                ],
                "refused": [
                    {"reason": text} for text in (*(stop.failed if stop else (forced.fault,)), *forced.refused)
                ],
                "left": {
                    "processes": [{"pid": one.pid, "what": one.part.value} for one in forced.left],
                    "lock_held": forced.lock_held,
                    "leases": [{"key": job.key, "attempt": job.starts} for job in forced.leases],
                    "holds": {"calls": forced.holds, "microusd": forced.held},
                    "unknown": forced.unread or None,
                },
            }
        )
    else:
        if stop is not None:
            say(f"stopped by {' and '.join(stop.sources)}")
        for text in stop.failed if stop else (forced.fault,):
            remark(f"not set as well: {text}" if stop else text)
        for text in proof(forced):
            say(text)
        for text in forced.refused:
            remark(f"not ended: {text}")
    if not forced.whole:
        raise typer.Exit(Exit.REFUSED)


def resume(home: HomeDir = None, as_json: AsJson = False) -> None:
    """Lift a stop. Names what remains; exit code 1 when anything does."""
    try:
        with writing(home) as door:
            resumed = door.resume()
    except StoreError:
        if door.home.stop_set():
            remark(f"nothing was cleared; {door.home.stop} is still there")
        raise
    seen = None if resumed.remaining else _watch(door.home, _works)
    if as_json:
        say_json(
            {
                "cleared": list(resumed.cleared),
                "remaining": list(resumed.remaining),
                "runner": _runner_json(seen, seen is not None and _works(seen)),
            }
        )
    elif resumed.cleared:
        say(f"cleared {' and '.join(resumed.cleared)}")
    else:
        say("nothing was cleared" if resumed.remaining else "no stop of ours was set")
    for text in resumed.remaining:
        remark(f"remains {text}")
    if resumed.remaining:
        raise typer.Exit(Exit.REFUSED)
    if not as_json:
        say(_after_resume(seen))


def pause(name: Name, home: HomeDir = None, reason: Reason = None, as_json: AsJson = False) -> None:
    """Take no new work of a task. Its schedule pauses with it, until `unpause`; restarts change nothing."""
    _check_task(name, home)
    with writing(home) as door:
        changed = door.pause(name, reason=reason)
    _say_paused(name, paused=True, changed=changed, as_json=as_json)


def unpause(name: Name, home: HomeDir = None, as_json: AsJson = False) -> None:
    """Lift a pause; jobs that waited for it are due at once."""
    with writing(home) as door:
        changed = door.unpause(name)
    if not changed:
        _check_task(name, home)
    _say_paused(name, paused=False, changed=changed, as_json=as_json)


def _say_paused(name: str, *, paused: bool, changed: bool, as_json: bool) -> None:
    if as_json:
        say_json({"name": name, "paused": paused, "changed": changed})
    elif changed:
        say(f"{'paused' if paused else 'unpaused'} {name}")
    if not changed:
        remark(f"{name} is {'paused already' if paused else 'not paused'}")
        raise typer.Exit(Exit.REFUSED)


def _watch(home: Home, reached: Callable[[Vitals], bool]) -> Vitals | None:
    """Look until a live runner has reached a state or the time is up; what was seen last, None when nothing can be."""
    seen = None
    until = time.monotonic() + REACTS_WITHIN_S
    try:
        reader = Reader(home)
    except StoreError:
        return None
    try:
        while True:
            try:
                seen = reader.vitals(now=SystemClock().now())
            except StoreBusy:
                pass  # somebody writes; the next look comes soon
            except StoreError:
                return seen
            if seen is not None and (seen.runner.health not in _ALIVE or reached(seen)):
                return seen
            if time.monotonic() > until:
                return seen
            time.sleep(_LOOK_EVERY_S)  # another process acts; there is nothing of ours to wait on
    finally:
        reader.close()


def _acted_on(vitals: Vitals, killed: Killed) -> bool:
    row = vitals.runner.row
    if row is None or vitals.runner.health not in (Health.LIVE, Health.LATE):
        return False
    return row.state is RunState.PARKED if killed.seq is None else row.stop_seq >= killed.seq


def _works(vitals: Vitals) -> bool:
    row = vitals.runner.row
    return row is not None and row.state is RunState.RUNNING and vitals.runner.health in (Health.LIVE, Health.LATE)


def _reaction(seen: Vitals | None, acted: bool) -> str:
    if seen is None:
        return "the runner cannot be observed: the database does not open; the STOP file holds any runner of this home"
    row = seen.runner.row
    if row is None or seen.runner.health not in _ALIVE:
        return "no runner is live; nothing will start until `afk-runner resume`"
    if acted:
        left = f", {seen.counts.running} still in progress" if seen.counts.running else ""
        return f"runner pid {row.pid} has acted on it: {row.state.value}{left}"
    health = seen.runner.health.value
    late = f"has not acted on it in {REACTS_WITHIN_S:.0f} s"
    return f"runner pid {row.pid} ({health}) {late}; `afk-runner kill --force` ends it"


def _after_resume(seen: Vitals | None) -> str:
    row = seen.runner.row if seen else None
    if seen is None or row is None or seen.runner.health not in _ALIVE:
        return "no runner is live; `afk-runner run` starts one"
    if seen.runner.health is Health.SILENT:  # what it wrote down last says nothing of now
        return f"runner pid {row.pid} is silent (hung or frozen); `afk-runner kill --force` ends it"
    why = f" ({row.reason})" if row.reason else ""
    return f"runner pid {row.pid} is {row.state.value}{why}"


def _runner_json(seen: Vitals | None, acted: bool) -> dict[str, Any]:
    row = seen.runner.row if seen else None
    return {
        "health": seen.runner.health.value if seen else "unknown",
        "state": row.state.value if row else None,
        "pid": row.pid if row else None,
        "acted": acted,
    }


def _check_task(name: str, home: Path | None) -> None:
    from runner.cli.tasks import check_task  # noqa: PLC0415 - loads the configuration

    check_task(name, home)
