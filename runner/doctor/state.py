"""The runner: who holds the home, what it says, and whether somebody stopped it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from runner.check import COMES_AGAIN
from runner.doctor.finding import Finding, Level, fail, ok, warn
from runner.doctor.look import Look
from runner.errors import StoreError
from runner.heartbeat import last_beat
from runner.lock import lock_is_held
from runner.snapshot import Health, Reader, RunnerView, RunState, Unwritten, Vitals
from runner.snapshot.why import lifts, resumable
from runner.store.inplace import LOG_MOVED, MOVED
from runner.units import duration

PARKED = {
    "breaker": "`afk-runner logs` says why it ended so often; mend that, then `afk-runner resume`",
    "refused": "mend what is refused above or below; it goes on by itself",
    "disk": "make room; it goes on by itself",
}
"""What lifts it, by the word a parked runner gives."""


def state(look: Look) -> Iterator[Finding]:
    """What is observed of the runner, and what holds it back."""
    try:
        reader = Reader(look.home)
    except StoreError:  # the database has its own finding
        beat = last_beat(look.home.heartbeat)
        if lock_is_held(look.home.lock) and beat is not None and beat.fault is not None:
            yield warn("runner", f"pid {beat.pid} is parked: {beat.fault}", PARKED["refused"])
        return
    with closing(reader):
        try:
            vitals = reader.vitals(now=look.now)
        except StoreError as error:
            yield fail("runner", f"its state cannot be read: {error}")
            return
    yield health(look, vitals.runner)
    yield from _outdated(look, vitals.runner)
    if vitals.stop.set:
        text = f"stopped ({', '.join(vitals.stop.sources)}): {vitals.stop.reason}"
        yield warn("stop", text, look.command("resume") if resumable(vitals.stop) else lifts(vitals.stop))
    yield from _cap(vitals)


def health(look: Look, view: RunnerView) -> Finding:  # noqa: PLR0911 - one return a state
    """The runner as it is seen, not as it last said."""
    pid = view.row.pid if view.row else "?"
    age = duration(view.heartbeat_age_ms or 0)
    start = look.command("run")
    match view.health:
        case Health.LIVE if view.unwritten is not None:
            return warn("runner", f"pid {pid} lives, and {view.unwritten.text}", _frees(look, view.unwritten))
        case Health.LIVE if view.row is not None and view.row.state is RunState.PARKED and view.row.reason != "stop":
            mend = _lifts(look, view.row.reason or "")
            return warn("runner", f"pid {pid} is parked: {view.row.reason}", mend)
        case Health.LIVE if view.row is not None:
            why = f" ({view.row.reason})" if view.row.reason else ""
            return ok("runner", f"pid {pid} is {view.row.state}{why}")
        case Health.NEVER:
            return warn("runner", "no runner was ever started here", start)
        case Health.STOPPED if view.row is not None and view.row.ended in COMES_AGAIN:
            return ok("runner", f"none runs, as between two runs of `run --once`; the last heartbeat was {age} ago")
        case Health.STOPPED:
            ended = view.row.ended if view.row is not None else None
            how = f"was {ended}" if ended is not None and ended.startswith("forced") else "said goodbye"
            return warn("runner", f"none runs; pid {pid} {how}", start)
        case Health.DEAD:
            text = f"none runs; pid {pid} went without a word {age} ago, its jobs are taken back by the next"
            return warn("runner", text, start)
        case Health.LATE:
            return warn("runner", f"pid {pid} is late: last heartbeat {age} ago")
        case _:
            text = f"pid {pid} holds the lock and says nothing: it hangs or is frozen"
            return fail("runner", text, look.command("kill --force --reason 'it hangs'"))


def _frees(look: Look, unwritten: Unwritten) -> str:
    if unwritten.by is not None:
        return f"wait, or end {unwritten.by}: it goes on by itself then"
    return f"`fuser {look.home.db}` says who has it open; see that its disk answers"


def _lifts(look: Look, reason: str) -> str:
    if MOVED in reason:
        return f"put that file back at {look.home.db}; or end the runner, and start it again on the one that is there"
    if LOG_MOVED in reason:
        return "put that file back; or end the runner, and start it again: what it wrote down since is lost"
    return PARKED.get(reason, look.command("status"))


def _outdated(look: Look, view: RunnerView) -> Iterator[Finding]:
    row = view.row
    if row is not None and view.health in (Health.LIVE, Health.LATE) and look.home.declared_at() > row.started_at:
        text = f"pid {row.pid} was started before afk.toml or tasks/*.py was changed, and knows them as they were"
        yield Finding(level=Level.WARN, name="runner", text=text, mend="restart the runner")


def _cap(vitals: Vitals) -> Iterator[Finding]:
    if vitals.spend.free == 0 and vitals.spend.cap:
        text = f"the cap of {vitals.spend.day} is used up; jobs wait for the next day"
        yield warn("cap", text, "afk-runner spend --raise, or wait")
