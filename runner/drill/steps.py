"""The drills: what each does on purpose, and what has to be seen then."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from runner.drill.sandbox import COST, FAILURES, HOLD, Sandbox, Settings, alive, must
from runner.snapshot import BreakerState, RunState, Vitals
from runner.store.drills import NAMES
from runner.units import exact_usd, plural

See = Callable[[str], None]

QUIET_S = 1.5
"""How long nothing must happen, to say that nothing happens."""
BREAKER = "drill/drill-model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One drill."""

    does: str
    run: Callable[[Sandbox, See], None]
    """Raises NotProven."""
    settings: Settings = field(default_factory=Settings)


def stop(sandbox: Sandbox, see: See) -> None:
    """A kill in the middle of the work: nothing more leaves, nothing is burnt, and it goes on when told."""
    model = sandbox.model
    (busy,) = sandbox.queue(1, calls=1_000, pause_s=0.02)
    waiting = sandbox.queue(3)
    sandbox.start()
    sandbox.wait(lambda: model.calls >= 3, what="the third call of the job")
    asked = time.monotonic()
    killed = sandbox.door.kill(reason="a drill")
    took_ms = (time.monotonic() - asked) * 1000
    admitted = _admitted(sandbox)  # before the kill; these may still reach the model
    must(killed.seq is not None, "the kill could not be written into the database")

    def parked(seen: Vitals) -> bool:
        row = seen.runner.row
        acted = row is not None and row.stop_seq >= (killed.seq or 0) and row.state is RunState.PARKED
        return acted and not seen.counts.running

    sandbox.vitals(parked, what="a parked runner with nothing in progress")
    see(f"killed in {took_ms:.0f} ms, and parked with nothing in progress")
    _quiet(QUIET_S)
    late = max(_admitted(sandbox), model.calls) - admitted
    must(late <= 0, f"{plural(late, 'call')} left after the kill")
    see(f"no call was let through after it, nor in {QUIET_S} s of rest")
    rows = sandbox.rows("SELECT status, attempts FROM jobs WHERE key IN (?, ?, ?, ?)", busy, *waiting)
    must(all(row == ("pending", 0) for row in rows), f"jobs did not go back unburnt: {sorted(set(rows))}")
    see("its job went back with no attempt counted, and none of those that waited was started")
    resumed = sandbox.door.resume()
    must(not resumed.remaining, f"the resume left {', '.join(resumed.remaining)}")
    before = model.calls
    sandbox.wait(lambda: model.calls > before, what="a call after the resume")
    see("it went on after the resume")


def cap(sandbox: Sandbox, see: See) -> None:
    """More work than the day's cap has money for: the cap holds to the micro-dollar, the rest waits."""
    limit = CAP_CALLS * COST + HOLD
    keys = sandbox.queue(CAP_CALLS + CAP_WAIT)
    sandbox.start()

    def held_back(seen: Vitals) -> bool:
        return not seen.counts.running and any(gate.gate == "cap:day" for gate in seen.waiting)

    seen = sandbox.vitals(held_back, what="a job that waits for the day's cap")
    must(seen.spend.cap == limit, f"the cap in force is {seen.spend.cap}, not {limit}")
    sandbox.vitals(lambda now: held_back(now) and _all_wait(sandbox), what="every other job to wait for the cap")
    calls = sandbox.model.calls
    _quiet(QUIET_S)
    must(sandbox.model.calls == calls, f"{plural(sandbox.model.calls - calls, 'call')} left after the cap was reached")
    ((settled, held),) = sandbox.rows(
        "SELECT coalesce(sum(cost), 0), coalesce(sum(iif(state = 'held', hold, 0)), 0) FROM charges"
    )
    must(settled + held <= limit, f"{exact_usd(settled + held)} is spent or held under a cap of {exact_usd(limit)}")
    must(settled == calls * COST, f"{plural(calls, 'call')} reached the model, and {exact_usd(settled)} is settled")
    must(0 < calls < len(keys), f"{plural(calls, 'call')} of {len(keys)} reached the model")
    see(f"{exact_usd(settled)} spent for {calls} calls under a cap of {exact_usd(limit)}; the next one did not leave")
    ((waits, burnt),) = sandbox.rows("SELECT count(*), coalesce(sum(attempts), 0) FROM jobs WHERE status = 'pending'")
    must(waits == len(keys) - calls and not burnt, f"{waits} jobs wait, {burnt} attempts of theirs were counted")
    see(f"{plural(waits, 'job waits', 'jobs wait')} for the cap with no attempt counted")


CAP_CALLS = 4
CAP_WAIT = 4
"""One of them may still be let through."""


def _all_wait(sandbox: Sandbox) -> bool:
    return not sandbox.rows("SELECT 1 FROM jobs WHERE status = 'pending' AND waiting_gate IS NOT 'cap:day' LIMIT 1")


def breaker(sandbox: Sandbox, see: See) -> None:
    """A model that fails: the breaker opens, holds calls back, and closes by itself once the model works again."""
    model = sandbox.model
    model.broken = True
    keys = sandbox.queue(4)
    sandbox.start()
    opened = sandbox.vitals(lambda seen: _state(seen) is BreakerState.OPEN, what="an open breaker")
    one = next(one for one in opened.breakers if one.name == BREAKER)
    more = model.calls - (FAILURES - 1) - one.opens  # a trial may be under way, or have failed since
    must(more in (0, 1), f"{plural(model.calls, 'call')} reached a model whose breaker has opened {one.opens} times")
    see(f"it opened after {plural(FAILURES, 'failed call')} in a row: {one.reason}")
    model.broken = False
    sandbox.vitals(lambda seen: _state(seen) is BreakerState.CLOSED, what="a closed breaker")
    see("a trial closed it once the model worked again")
    sandbox.vitals(lambda seen: seen.counts.done == len(keys), what=f"the end of all {len(keys)} jobs")
    ((most,),) = sandbox.rows("SELECT max(attempts) FROM jobs")
    must(most <= 4, f"a job took {most} attempts")
    see(f"all {len(keys)} jobs were done then")


def alert(sandbox: Sandbox, see: See) -> None:
    """A breaker opens, and somebody is told, through the worker that tells of everything."""
    sandbox.model.broken = True
    sandbox.queue(3)
    sandbox.start()
    sandbox.vitals(lambda seen: _state(seen) is BreakerState.OPEN, what="an open breaker")
    told = sandbox.receiver.told
    sandbox.wait(lambda: any(BREAKER in text for text in told), what="the alert at its receiver", within_s=40)
    see("the alert of an open breaker reached a receiver on loopback")
    sandbox.vitals(lambda seen: not seen.alerts.undelivered, what="an outbox without undelivered alerts")
    again = sum(BREAKER in text and "drill" in text for text in told)
    must(again == 1, f"it was told {again} times")
    see("it was told once, and is written down as delivered")
    open_ones = sandbox.reader.incidents()
    must(any(one.subject == f"breaker:{BREAKER}" for one in open_ones), "it opened no incident")
    see("it opened an incident")


def rescue(sandbox: Sandbox, see: See) -> None:
    """A runner is killed under its job: no process is left, and the next runner does the job once."""
    mark = sandbox.home.work / "pid"
    (key,) = sandbox.queue(1, calls=1, pid=str(mark))
    first = sandbox.start()
    pid = sandbox.wait(lambda: _written(mark), what="the start of the job")
    sandbox.will_have_to_end(pid)
    sandbox.kill9()
    sandbox.wait(lambda: not alive(pid), what="the end of the job's process")
    see(f"runner {first} was ended by SIGKILL, and the process of its job, {pid}, went with it")
    sandbox.start()
    sandbox.vitals(lambda seen: seen.counts.done == 1, what="the end of the job")
    rows = sandbox.rows("SELECT status, attempts, rescues, starts FROM jobs WHERE key = ?", key)
    must(rows == [("done", 1, 1, 2)], f"the job ended as {rows}: status, attempts, rescues, starts")
    see("the next runner took the job back and did it: two starts, one attempt, done once")


def _state(seen: Vitals) -> BreakerState | None:
    return next((one.state for one in seen.breakers if one.name == BREAKER), None)


def _written(mark: Path) -> int:
    try:
        text = mark.read_text("ascii")
    except OSError:
        return 0
    return int(text) if text.isdigit() else 0


def _admitted(sandbox: Sandbox) -> int:
    """How many calls were ever let through: each is held for before it leaves."""
    return int(sandbox.rows("SELECT count(*) FROM charges")[0][0])


def _quiet(seconds: float) -> None:
    """Let time pass in which nothing may happen; only time can show that."""
    time.sleep(seconds)


def _usd(micro: int) -> str:
    return f"{micro // 1_000_000}.{micro % 1_000_000:06}"


STEPS = {
    "stop": Step(does="kills a runner's work in its middle", run=stop),
    "cap": Step(
        does="asks for more than the day's cap has money for",
        run=cap,
        settings=Settings(daily=_usd(CAP_CALLS * COST + HOLD)),
    ),
    "breaker": Step(does="breaks a model, and mends it", run=breaker, settings=Settings(attempts=20)),
    "alert": Step(does="makes something to be told of", run=alert, settings=Settings(attempts=20, tells=True)),
    "rescue": Step(does="ends a runner under its job", run=rescue),
}
assert tuple(STEPS) == NAMES
