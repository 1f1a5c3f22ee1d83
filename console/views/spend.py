"""Money: every cap and what counts against it, the pace, the last day as a picture, and for whom it was spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from console.clean import one_line
from console.format import age, clock, clock_s, count, money, percent, plural, when
from console.line import EMPTY, Line, Span, cell, fit, line, width_of
from console.look import Look, Role
from console.seen import Seen
from console.views.chart import THOUSAND, chart, peak_words, short
from console.views.table import GAP, Column, Listing, Placed, Row, place
from console.views.vitals import bar_of
from runner.snapshot import CapView, HeldCall, Holds, HourSpend, ListDate, PartSpend
from runner.units import UnixMs, exact_usd, usd


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendPage:
    """What the overlay shows beside the vitals."""

    at: UnixMs
    """When it was read: windows of time move on although nothing is written."""
    caps: tuple[CapView, ...] = ()
    caps_at: UnixMs
    """When they were read: with very many calls a day not at every look."""
    tasks: tuple[PartSpend, ...] = ()
    models: tuple[PartSpend, ...] = ()
    hours: tuple[HourSpend, ...] = ()
    missing: int = 0
    """Parts of the last day that were not read yet."""
    held: Holds = field(default_factory=Holds)
    holds: tuple[HeldCall, ...] = ()
    prices: ListDate


LATE_MS = 5_000
"""Caps read longer ago than this say when."""
_SHOWN = 12
"""Tasks and models named; the rest is one line."""
_CAPS = (
    Column(title="CAP", width=11, grow=2, most=24),
    Column(title="spent", width=8, right=True),
    Column(title="of", width=8, right=True),
    Column(title="", width=4, right=True),
    Column(title="settled", width=8, right=True, rank=4),
    Column(title="held", width=8, right=True, rank=2),
    Column(title="free", width=8, right=True, rank=1),
    Column(title="lifts", width=6, right=True, rank=3),
    Column(title="", width=8, grow=3, most=32, rank=1),
)
_BAR = len(_CAPS) - 1
_PARTS = (
    Column(title="", width=14, grow=1, most=40),
    Column(title="settled", width=9, right=True),
    Column(title="held", width=9, right=True),
)
_HOLDS = (
    Column(title="HOLD", width=6, right=True),
    Column(title="amount", width=8, right=True),
    Column(title="age", width=5, right=True),
    Column(title="task", width=10, grow=1, most=20, rank=4),
    Column(title="model", width=22, grow=2, most=32, rank=2),
    Column(title="why it stands", width=14, grow=4),
)


def overview(seen: Seen, page: SpendPage, width: int, height: int, look: Look) -> tuple[Line, ...]:
    """All of it, from what is looked for first; `height`: of the screen's box, for the picture."""
    whole = [cap for cap in page.caps if cap.task is None and cap.spent is not None]
    tasks = [cap for cap in page.caps if cap.task is not None]
    return (
        *_caps(whole, seen, width, look),
        *_pace(seen, page, width, look),
        *_day(seen, page, width, height, look),
        EMPTY,
        *_parts(page, width, look),
        EMPTY,
        *(_caps(tasks, seen, width, look) if tasks else ()),
        *_rest(seen, page, width, look),
    )


def holds(page: SpendPage, now: int) -> Listing:
    """Calls that are not settled: those that only a person can free first, the newest of them on top."""
    ordered = sorted(page.holds, key=lambda one: one.in_flight)
    return Listing(
        columns=_HOLDS,
        rows=tuple(_hold(one, now) for one in ordered),
        empty="no hold is open: every call is settled or cost nothing",
        more_below=page.held.calls > len(page.holds),
    )


def cap_words(cap: CapView) -> str:
    """What a cap is called."""
    return cap.task if cap.task is not None else "24 hours" if cap.name == "rolling" else cap.name


def _caps(caps: Sequence[CapView], seen: Seen, width: int, look: Look) -> list[Line]:
    doubt = "?" if seen.stale else ""
    if not caps:
        return [line(("   no cap was told yet: the first run tells it", Role.DIM))]
    placed = place(_CAPS, width + 1)  # `place` keeps a margin for a cursor; here a blank does
    heads = ["CAP OF TASK" if caps[0].task is not None else "CAP", *(column.title for column in _CAPS[1:])]
    titles = (" " * GAP).join(cell(heads[one.index], one.width, look, right=one.column.right) for one in placed)
    lines: list[Line] = [line((f" {titles.rstrip()}", Role.DIM))]
    for cap in caps:
        texts = _cap(cap, doubt, seen.at)
        full = cap.free == 0
        spans: list[Span] = [Span(" ")]
        for number, one in enumerate(placed):
            if number:
                spans.append(Span(" " * GAP))
            if one.index == _BAR:
                spent = cap.spent
                if spent is not None:
                    spans += bar_of(spent.settled, spent.held, cap.limit, one.width, look)
                continue
            role = Role.BAD if full and one.index in (1, 3, 6) else Role.DIM if one.index in (4, 7) else Role.PLAIN
            spans += line((cell(one_line(texts[one.index]), one.width, look, right=one.column.right), role))
        lines.append(fit(tuple(spans), width, look))
    return lines


def _cap(cap: CapView, doubt: str, now: int) -> tuple[str, ...]:
    name = f"{cap_words(cap)}{' raised' if cap.raised else ''}"
    assert cap.spent is not None
    committed = cap.spent.committed
    lifts = when(cap.lifts_at, now) if cap.lifts_at is not None else "-"
    return (
        name,
        f"{_dollars(committed)}{doubt}",
        _dollars(cap.limit),
        percent(committed, cap.limit),
        _dollars(cap.spent.settled),
        _dollars(cap.spent.held),
        f"{_dollars(cap.free or 0)}{doubt}",
        lifts if len(lifts) <= 6 else lifts[:5],  # beyond a day its date says more than its hour
    )


def _dollars(amount: int) -> str:
    """For a column, where a cut amount would be another one: of thousands without cents."""
    return usd(amount) if amount < THOUSAND else short(amount)


def _pace(seen: Seen, page: SpendPage, width: int, look: Look) -> list[Line]:
    if seen.vitals is None:
        return []
    spend = seen.vitals.spend
    end = ("no cap is told", Role.DIM)
    if spend.reached or spend.free == 0:
        end = (f"the day's cap is REACHED, it lifts {clock(spend.resets_at)}", Role.BAD)
    elif spend.reached_at is not None:
        end = (f"so the day's cap is reached at {clock(spend.reached_at)}", Role.WARN)
    elif spend.cap is not None:
        end = (f"so the day's cap lasts until {clock(spend.resets_at)}", Role.DIM)
    lines = [_fact("pace", width, look, f"{usd(spend.last_hour)} in the last hour, ", end)]
    if seen.at - page.caps_at > LATE_MS:
        lines.append(_fact("caps", width, look, (f"as of {clock_s(page.caps_at)}", Role.WARN)))
    return lines


def _day(seen: Seen, page: SpendPage, width: int, height: int, look: Look) -> list[Line]:
    total = sum(one.settled + one.held for one in page.hours)
    doubt = "?" if seen.stale else ""
    head = line(
        (" LAST 24 H  ", Role.DIM), (f"{money(total)}{doubt}  ", Role.STRONG), (peak_words(page.hours), Role.DIM)
    )
    reading = f"   reading, {plural(page.missing, 'part')} to come" if page.missing else ""
    tall = 3 if height < 16 else 6
    return [fit((*head, *line((reading, Role.WARN))), width, look), *chart(page.hours, width, tall, look)]


def _parts(page: SpendPage, width: int, look: Look) -> list[Line]:
    tasks, models = ("BY TASK TODAY", page.tasks), ("BY MODEL TODAY", page.models)
    if width < 100:
        return [*_table(*tasks, width, look), EMPTY, *_table(*models, width, look)]
    half = width // 2
    left, right = _table(*tasks, half - 2, look), _table(*models, half, look)
    lines: list[Line] = []
    for number in range(max(len(left), len(right))):
        first = left[number] if number < len(left) else EMPTY
        second = right[number] if number < len(right) else EMPTY
        lines.append((*first, Span(" " * (half - width_of(first))), *second))
    return lines


def _table(title: str, parts: Sequence[PartSpend], width: int, look: Look) -> list[Line]:
    placed = place(_PARTS, width + 1)
    heads = [title, *(column.title for column in _PARTS[1:])]
    lines: list[Line] = [_part(placed, heads, look, Role.DIM)]
    lines += [_part(placed, [one.name, money(one.settled), money(one.held)], look) for one in parts[:_SHOWN]]
    rest = parts[_SHOWN:]
    if rest:
        sums = [money(sum(one.settled for one in rest)), money(sum(one.held for one in rest))]
        lines.append(_part(placed, [f"{count(len(rest))} more", *sums], look, Role.DIM))
    if not parts:
        lines.append(line(("   nothing was spent today", Role.DIM)))
    return lines


def _part(placed: Sequence[Placed], texts: Sequence[str], look: Look, role: Role = Role.PLAIN) -> Line:
    cells = [cell(one_line(texts[one.index]), one.width, look, right=one.column.right) for one in placed]
    return line((f" {(' ' * GAP).join(cells)}", role))


def _rest(seen: Seen, page: SpendPage, width: int, look: Look) -> list[Line]:
    held = page.held
    if not held.calls:
        said = line("none is open")
    else:
        stands = plural(held.standing, "stands", "stand")
        old = age(seen.at - held.oldest) if held.oldest is not None else ""
        said = line(f"{plural(held.calls, 'call')}, {money(held.total)}")
        if held.standing:
            said = (*said, *line((f"; {stands} for up to {old}, {money(held.standing_total)}", Role.WARN)))
    each = next((cap.limit for cap in page.caps if cap.name == "job"), None)
    outdated = page.prices.old(UnixMs(seen.at))
    age_of_list = page.prices.sentence(UnixMs(seen.at))
    prices = line(("OLD, look for a newer one: ", Role.WARN), age_of_list) if outdated else line(age_of_list)
    raised = seen.vitals.spend.raised if seen.vitals is not None else None
    by = f"to {exact_usd(raised.cap)} at {clock_s(raised.at)} by {raised.by}: {raised.reason}" if raised else ""
    return [
        *([_fact("raised", width, look, by)] if by else []),
        fit((*_word("holds"), *said), width, look),
        *([_fact("each job", width, look, f"may cost {usd(each)}")] if each is not None else []),
        fit((*_word("prices"), *prices), width, look),
    ]


def _fact(word: str, width: int, look: Look, *pieces: str | tuple[str, Role]) -> Line:
    return fit((*_word(word), *line(*pieces)), width, look)


def _word(word: str) -> Line:
    return (Span(f" {word:<9}", Role.DIM),)


def _hold(one: HeldCall, now: int) -> Row:
    return Row(
        one.id,
        (
            (str(one.id), Role.PLAIN),
            (money(one.hold), Role.PLAIN),
            (age(now - one.held_at), Role.PLAIN),
            (one.task, Role.DIM),
            (one.model, Role.DIM),
            (one.why, Role.DIM if one.in_flight else Role.WARN),
        ),
    )
