"""The four lines that are always there: runner, spend, breakers and stop, jobs."""

from __future__ import annotations

from collections.abc import Sequence

from console.format import age, clock, clock_s, count, exact_age, model_name, percent, plural
from console.line import Line, Part, Span, fit, line, pack, spread, width_of
from console.look import Look, Role
from console.seen import Seen
from console.views.stop import stop_parts
from runner.snapshot import Breaker, BreakerState, Counts, Health, RunnerView, RunState, SpendView, Unwritten
from runner.units import MicroUsd, usd


def vitals(
    seen: Seen, width: int, look: Look, *, place: str, readonly: bool = False, sending: bool = False
) -> tuple[Line, ...]:
    """Four lines. `place`: which home this is; `sending`: a stop is on its way to the database."""
    doubt = "?" if seen.stale else ""
    return (
        _runner_line(seen, width, look, place, readonly=readonly),
        _spend_line(seen, width, look, doubt),
        _stop_line(seen, width, look, sending=sending, readonly=readonly),
        _jobs_line(seen, width, look, doubt),
    )


def _label(text: str, role: Role = Role.DIM) -> Span:
    return Span(f" {text:<9}", role)


def _runner_line(seen: Seen, width: int, look: Look, place: str, *, readonly: bool) -> Line:
    ends = (
        Part(spans=line((place, Role.DIM)) if width >= 80 else (), rank=2),
        Part(spans=line(("read-only", Role.WARN)) if readonly else ()),
        Part(spans=line((f"{clock(seen.at)} ", Role.DIM)), rank=1),
    )
    right = pack(ends, width // 3)
    as_of = Part(
        spans=line((f"DATA AS OF {clock_s(seen.as_of)}", Role.WARN)) if seen.stale and seen.as_of else (), rank=1
    )
    if seen.trouble is not None:
        trouble = seen.trouble
        parts = [
            Part(spans=line((f"DATABASE {trouble.word}", Role.BAD))),
            as_of,
            Part(spans=line((f"for {exact_age(seen.at - trouble.since)}", Role.DIM)), rank=3),
        ]
    elif seen.vitals is None:
        parts = [Part(spans=line("not read yet"))]
    else:
        parts = [*_runner_parts(seen.vitals.runner), as_of]
    # A reason that is too long is cut, not left out: a runner that parked itself says why on every view.
    left = fit((_label("RUNNER"), *pack(parts, width - 11 - width_of(right))), width - 2 - width_of(right), look)
    return spread(left, right, width, look)


def _runner_parts(runner: RunnerView) -> list[Part]:
    row = runner.row
    silence = exact_age(runner.heartbeat_age_ms or 0)
    parked = row is not None and row.state is RunState.PARKED
    told = (row.state.value.upper() if parked else row.state.value) if row else ""
    reason = Part(spans=line((row.reason, Role.PLAIN)) if row and row.reason else (), rank=0 if parked else 4)
    pid = Part(spans=line((f"pid {row.pid}", Role.DIM)) if row else (), rank=2)
    match runner.health:
        case Health.LIVE:
            role = Role.GOOD if row and row.state is RunState.RUNNING else Role.WARN
            lives = Part(spans=line(("live", Role.GOOD), ", ", (told, role)))
            return [lives, *(_held_up(runner.unwritten) if runner.unwritten is not None else [reason])]
        case Health.LATE:
            return [Part(spans=line(("LATE", Role.WARN), f" last beat {silence} ago, ", told)), pid]
        case Health.SILENT:
            held = Part(spans=line(("it holds the lock: hung or frozen", Role.PLAIN)), rank=3)
            return [Part(spans=line((f"SILENT {silence}", Role.BAD))), pid, held]
        case Health.DEAD:
            way = Part(spans=line("start it: afk-runner run"), rank=2)
            return [Part(spans=line(("DEAD", Role.BAD), ", not running")), pid, way]
        case Health.STOPPED:
            way = Part(spans=line("start it: afk-runner run"), rank=2)
            return [
                Part(spans=line(("stopped", Role.WARN))),
                Part(spans=line(row.ended or "") if row else (), rank=3),
                way,
            ]
    return [Part(spans=line(("never started", Role.WARN))), Part(spans=line("start it: afk-runner run"), rank=2)]


def _held_up(unwritten: Unwritten) -> list[Part]:
    """What a runner that lives cannot write, in the words of a database that cannot be read."""
    word = Part(spans=line((f"DATABASE {'LOCKED' if unwritten.locked else 'NOT WRITTEN'}", Role.BAD)))
    by = Part(spans=line(f"by {unwritten.by}") if unwritten.by is not None else (), rank=1)
    return [word, by, Part(spans=line((f"for {exact_age(unwritten.for_ms)}", Role.DIM)), rank=2)]


def _spend_line(seen: Seen, width: int, look: Look, doubt: str) -> Line:
    if seen.vitals is None:
        return (_label("SPEND"), Span("unknown", Role.DIM))
    spend = seen.vitals.spend
    committed = MicroUsd(spend.settled + spend.held)
    if spend.cap is None:
        text = f"{usd(committed)}{doubt} today, no cap was told yet: the first run tells it"
        return fit((_label("SPEND"), Span(text)), width, look)
    reached = spend.reached or spend.free == 0
    role = Role.BAD if reached else Role.WARN if committed * 5 >= spend.cap * 4 else Role.STRONG
    cells = 24 if width >= 120 else 16 if width >= 100 else 10
    parts = [
        Part(spans=line((f"{usd(committed)}{doubt}", role), (" of ", Role.DIM), usd(spend.cap))),
        Part(spans=line(("raised until midnight", Role.WARN)) if spend.raised is not None else (), rank=2),
        Part(spans=bar(spend, cells, look), rank=2),
        Part(spans=line((percent(committed, spend.cap), role)), rank=4),
        Part(spans=line(("settled ", Role.DIM), f"{usd(spend.settled)}{doubt}"), rank=6),
        Part(spans=line(("held ", Role.DIM), f"{usd(spend.held)}{doubt}"), rank=3),
        Part(
            spans=line(("free ", Role.DIM), f"{usd(spend.free or 0)}{doubt}"),
            rank=3 if reached and not spend.free else 1,
        ),
        Part(spans=line(f"{usd(spend.last_hour)}{doubt}/h"), rank=5),
        *_end_of_money(spend, reached=reached),
    ]
    return fit((_label("SPEND"), *pack(parts, width - 10)), width, look)


def _end_of_money(spend: SpendView, *, reached: bool) -> tuple[Part, ...]:
    if reached:
        return Part(spans=line(("CAP REACHED", Role.BAD))), Part(spans=line(f"lifts {clock(spend.resets_at)}"), rank=2)
    if spend.reached_at is not None:
        return (Part(spans=line((f"reached at {clock(spend.reached_at)}", Role.WARN))),)
    return (Part(spans=line((f"resets {clock(spend.resets_at)}", Role.DIM)), rank=7),)


def bar(spend: SpendView, cells: int, look: Look) -> Line:
    """The day's cap as a bar."""
    return bar_of(spend.settled, spend.held, spend.cap or 0, cells, look)


def bar_of(settled: int, held: int, cap: int, cells: int, look: Look) -> Line:
    """Settled, held and free as parts of a cap; whatever is not nothing has a cell."""
    solid = _cells(settled, cap, cells)
    shaded = min(_cells(held, cap, cells), cells - solid)
    role = Role.BAD if settled + held >= cap else Role.ACCENT
    rest = look.free * (cells - solid - shaded)
    return line((look.settled * solid, role), (look.held * shaded, role), (rest, Role.DIM))


def _cells(part: int, whole: int, cells: int) -> int:
    if part <= 0:
        return 0
    return max(1, min(cells, part * cells // whole)) if whole else cells


def _stop_line(seen: Seen, width: int, look: Look, *, sending: bool, readonly: bool) -> Line:
    stop = stop_parts(seen, sending=sending, readonly=readonly)
    if stop:
        packed = pack(stop, width - 2)
        text = "".join(span.text for span in fit(packed, width - 2, look))
        return (Span(f" {text}".ljust(width), Role.STOP),)
    doubt = "?" if seen.stale else ""
    right = line((f"STOP not set{doubt} ", Role.DIM)) if seen.vitals is not None else ()
    breakers = _breaker_parts(seen.vitals.breakers if seen.vitals else (), seen, doubt)
    return spread((_label("BREAKER"), *pack(breakers, width - 11 - width_of(right))), right, width, look)


def _breaker_parts(breakers: Sequence[Breaker], seen: Seen, doubt: str) -> list[Part]:
    if seen.vitals is None:
        return [Part(spans=line(("unknown", Role.DIM)))]
    tripped = [breaker for breaker in breakers if breaker.state is not BreakerState.CLOSED]
    if not tripped:
        failing = sum(breaker.failures > 0 for breaker in breakers)
        doubts = Part(spans=line((f"{failing} with failures", Role.WARN)) if failing else (), rank=1)
        return [Part(spans=line((f"all closed{doubt}", Role.GOOD))), doubts, _paused(seen)]
    parts = [Part(spans=_breaker(tripped[0], seen.at, doubt))]
    if len(tripped) > 1:
        parts.append(Part(spans=line((f"+{len(tripped) - 1} more", Role.BAD))))
    if tripped[0].reason:
        parts.append(Part(spans=line((tripped[0].reason, Role.DIM)), rank=2))
    return [*parts, _paused(seen)]


def _paused(seen: Seen) -> Part:
    """Rates that an upstream asked us to pause, and when the first of them goes on."""
    pauses = [pause for pause in (seen.vitals.pauses if seen.vitals else ()) if pause.until > seen.at]
    if not pauses:
        return Part(spans=())
    lifts = clock(min(pause.until for pause in pauses))
    return Part(spans=line((f"{plural(len(pauses), 'rate')} paused", Role.WARN), f" until {lifts}"), rank=1)


def _breaker(breaker: Breaker, now: int, doubt: str) -> Line:
    name = model_name(breaker.name)
    if breaker.state is BreakerState.HALF_OPEN:
        return line(f"{name} ", (f"HALF OPEN{doubt}", Role.WARN), ", one trial is out")
    if breaker.retry_at is None:
        return line(f"{name} ", (f"OPEN{doubt}", Role.BAD), " until a person resets it")
    lifts = f", trial at {clock(breaker.retry_at)}" if breaker.retry_at > now else ", trial is due"
    return line(f"{name} ", (f"OPEN{doubt}", Role.BAD), lifts)


def _jobs_line(seen: Seen, width: int, look: Look, doubt: str) -> Line:
    if seen.vitals is None:
        return (_label("JOBS"), Span("unknown", Role.DIM))
    counts, workers = seen.vitals.counts, seen.vitals.workers
    of = f"/{workers}" if workers is not None else ""
    parts = [
        _count("queued", counts.pending, doubt),
        Part(spans=line(("running ", Role.DIM), f"{counts.running}{of}{doubt}")),
        _count("dead", counts.dead, doubt, role=Role.BAD),
        _count("done", counts.done, doubt, rank=2),
        _count("halted", counts.halted, doubt, rank=4, role=Role.WARN),
        _count("cancelled", counts.cancelled, doubt, rank=5),
        _oldest(counts, doubt),
    ]
    return fit((_label("JOBS"), *pack(parts, width - 10, gap=3)), width, look)


def _count(word: str, number: int, doubt: str, *, rank: int = 0, role: Role = Role.PLAIN) -> Part:
    if rank and not number:
        return Part(spans=())
    spans = line((f"{word} ", Role.DIM), (f"{count(number)}{doubt}", role if number else Role.PLAIN))
    return Part(spans=spans, rank=rank)


def _oldest(counts: Counts, doubt: str) -> Part:
    if counts.oldest_pending_ms is None:
        return Part(spans=())
    return Part(spans=line(("oldest due ", Role.DIM), f"{age(counts.oldest_pending_ms)}{doubt}"), rank=3)
