"""Whatever people, calls and clocks do in whatever order, no cap is passed that stood when a call was let through."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from runner.commands import Door
from runner.errors import RunnerError
from runner.gate.admission import Refusal
from runner.home import Home
from runner.store import charges
from runner.store.db import Database
from runner.units import DAY_MS, HOUR_MS, MINUTE_MS, MicroUsd, day_of
from tests.factories import ManualClock, make_running, make_settings
from tests.runner.gate.books import admit, make_call, make_policy, settle

DAILY, HOURLY, ROLLING, MONTHLY, TASK = 1_000, 1_600, 2_400, 4_000, 1_400
POLICY = make_policy(zone="Europe/Berlin", daily=DAILY, hourly_usd=HOURLY, rolling_24h_usd=ROLLING, monthly_usd=MONTHLY)


class CapsMachine(RuleBasedStateMachine):
    """One home, two tasks, a clock that is set back and forth, and a person who raises and writes off."""

    open = Bundle("open")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        home = Home(Path(self.folder.name) / "home")
        home.create()
        self.clock = ManualClock()
        self.door = Door(home, clock=self.clock, by="ada")
        self.database = Database.open(home.db, create=True)
        self.db = self.database.connection
        self.db.execute("PRAGMA synchronous = OFF")  # durability is not what is looked at
        make_settings(self.db, daily_usd=DAILY, timezone="Europe/Berlin")
        self.calls = [make_call(make_running(self.db, task=task), task_cap=TASK) for task in ("digest", "triage")]
        self.most: dict[str, int] = {}
        """The highest cap that ever stood for a day."""

    def teardown(self) -> None:
        self.door.close()
        self.database.close()
        self.folder.cleanup()

    @rule(target=open, which=st.integers(0, 1), hold=st.sampled_from([1, 300, 600, 900]))
    def ask(self, which: int, hold: int) -> Any:
        call, now = replace(self.calls[which], hold=MicroUsd(hold)), self.clock.now()
        with self.database.write() as db:
            room = all(self.counts(where, call.task) + hold <= limit for where, limit in self.limits())
            answer = admit(db, call, POLICY, now=now)
        assert isinstance(answer, Refusal) != room
        return None if isinstance(answer, Refusal) else (answer, call)

    def limits(self) -> list[tuple[str, int]]:
        """Every cap as it stands now and the rows that count, told without the code that is looked at."""
        now = self.clock.now()
        day = day_of(now, POLICY.zone)
        row = self.db.execute("SELECT cap FROM raises WHERE day = ? ORDER BY id DESC LIMIT 1", (day,)).fetchone()
        standing = max(DAILY, row[0]) if row else DAILY
        self.most[day] = max(self.most.get(day, 0), standing)
        return [
            (f"day >= '{day}'", standing),
            (f"held_at >= {now - HOUR_MS}", HOURLY),
            (f"held_at >= {now - DAY_MS}", ROLLING),
            (f"day >= '{day[:7]}-01'", MONTHLY),
            (f"day >= '{day}' AND task = :task", TASK),
        ]

    def counts(self, where: str, task: str) -> int:
        row = self.db.execute(f"SELECT coalesce(sum(counted), 0) FROM charges WHERE {where}", {"task": task}).fetchone()
        return int(row[0])

    @rule(one=open, part=st.floats(0, 1))
    def learn(self, one: Any, part: float) -> None:
        """The opening of the answer tells what the input was; perhaps twice, perhaps too late."""
        if one is not None:
            with self.database.write() as db:
                charges.refine(db, one[0], hold=MicroUsd(int(one[1].hold * part)))

    @rule(one=consumes(open), part=st.floats(0, 1))
    def answer(self, one: Any, part: float) -> None:
        if one is not None:
            with self.database.write() as db:
                held = db.execute("SELECT hold FROM charges WHERE id = ?", (one[0],)).fetchone()[0]
                settle(db, one[0], one[1], int(held * part), now=self.clock.now())

    @rule(one=open, write_off=st.booleans())
    def lose(self, one: Any, write_off: bool) -> None:
        """Nobody knows what it cost; perhaps a person says that it counts no more."""
        if one is not None:
            with self.database.write() as db:
                charges.let_stand(db, one[0], note="nobody knows", now=self.clock.now())
            if write_off:
                self.person(lambda: self.door.write_off(one[0], reason="never billed"))

    @rule(cap=st.sampled_from([0, DAILY, 1_100, 1_500, 3_000]), may_lower=st.booleans())
    def raise_it(self, cap: int, may_lower: bool) -> None:
        """Perhaps to less than somebody raised it to before."""
        self.person(lambda: self.door.raise_cap(MicroUsd(cap), reason="tonight", may_lower=may_lower))

    def person(self, act: Callable[[], object]) -> None:
        with suppress(RunnerError):  # a refusal is an answer; what it must leave alone, the invariants look at
            act()

    @rule(by=st.sampled_from([MINUTE_MS, HOUR_MS, DAY_MS, -HOUR_MS, -DAY_MS]))
    def set_the_clock(self, by: int) -> None:
        self.clock.advance(by)

    @invariant()
    def no_cap_was_passed(self) -> None:
        for day, cost in self.db.execute("SELECT day, cost FROM spend").fetchall():
            assert cost <= self.most.get(day, DAILY)
        for (cost,) in self.db.execute("SELECT sum(cost) FROM spend GROUP BY substr(day, 1, 7)"):
            assert cost <= MONTHLY
        for (cost,) in self.db.execute("SELECT settled + held FROM spend_totals"):
            assert cost <= TASK
        before_it = "SELECT sum(counted) FROM charges other WHERE other.held_at BETWEEN one.held_at - ? AND one.held_at"
        for span_ms, limit in ((HOUR_MS, HOURLY), (DAY_MS, ROLLING)):
            widest = self.db.execute(f"SELECT max(({before_it})) FROM charges one", (span_ms,)).fetchone()[0]
            assert (widest or 0) <= limit


TestCapsMachine = CapsMachine.TestCase
TestCapsMachine.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
