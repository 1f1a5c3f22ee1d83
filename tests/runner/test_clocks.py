"""A sleep is told from a clock that was set, and after a sleep no job starts before the network is back."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.clocks import JUMP_MS, ClockWatch, seconds_asleep
from runner.config import UpstreamConfig
from runner.daemon import records
from runner.daemon.waking import Address, Waking, addresses, answers
from runner.snapshot.why import why
from runner.store import alerts, runners
from runner.store.db import Database
from runner.units import HOUR_MS, MINUTE_MS, SECOND_MS
from runner.views import Health, RunnerView, StopView
from tests.factories import NOW, ManualClock, make_job, make_runner


class Machine:
    """A wall clock, one that stands still in sleep, and how long it slept."""

    def __init__(self, *, tells: bool = True) -> None:
        self.clock = ManualClock()
        self.monotonic_ms = 7_000
        self.slept_ms: int | None = 0 if tells else None
        self.watch = ClockWatch(
            self.clock,
            monotonic=lambda: self.monotonic_ms / 1000,
            asleep=lambda: None if self.slept_ms is None else self.slept_ms / 1000,
        )

    def go_on(self, ms: int) -> None:
        self.clock.advance(ms)
        self.monotonic_ms += ms

    def sleep(self, ms: int) -> None:
        self.clock.advance(ms)
        if self.slept_ms is not None:
            self.slept_ms += ms


def test_a_machine_that_goes_on_is_no_news() -> None:
    """However long nobody looked, as under SIGSTOP, and with a clock that is kept right in small steps."""
    machine = Machine()
    machine.go_on(9 * HOUR_MS)
    assert machine.watch.look() is None
    machine.clock.advance(-JUMP_MS)
    assert machine.watch.look() is None


def test_clocks_that_drift_apart_slowly_are_no_news() -> None:
    """By 30 ppm for a month, all in all by more than a minute; what happens meanwhile is told without the drift."""
    machine = Machine()
    for _ in range(30 * 24):
        machine.go_on(HOUR_MS)
        machine.clock.advance(108)
        assert machine.watch.look() is None
    machine.clock.advance(3 * MINUTE_MS)
    jump = machine.watch.look()
    assert jump is not None
    assert jump.by_ms == 3 * MINUTE_MS


def test_naps_too_short_for_a_word_are_no_part_of_a_later_jump() -> None:
    machine = Machine()
    for _ in range(10):
        machine.sleep(10 * SECOND_MS)
        assert machine.watch.look() is None
    machine.clock.advance(20 * SECOND_MS)
    jump = machine.watch.look()
    assert jump is not None
    assert (str(jump), jump.slept_ms) == ("the clock was set forward by 20s", 0)


def test_a_sleep_is_told_once() -> None:
    machine = Machine()
    machine.go_on(HOUR_MS)
    machine.sleep(4 * HOUR_MS)
    jump = machine.watch.look()
    assert jump is not None
    assert (str(jump), jump.slept, jump.set_by_ms) == ("the machine slept for 4h", True, 0)
    assert machine.watch.look() is None


@pytest.mark.parametrize(("by_ms", "words"), [(-2 * HOUR_MS, "back by 2h"), (3 * MINUTE_MS, "forward by 3m")])
def test_a_clock_that_is_set_is_no_sleep(by_ms: int, words: str) -> None:
    machine = Machine()
    machine.clock.advance(by_ms)
    jump = machine.watch.look()
    assert jump is not None
    assert (str(jump), jump.slept, jump.set_by_ms) == (f"the clock was set {words}", False, by_ms)


def test_a_sleep_after_which_the_clock_is_set_is_both() -> None:
    machine = Machine()
    machine.sleep(HOUR_MS)
    machine.clock.advance(-40 * MINUTE_MS)
    jump = machine.watch.look()
    assert jump is not None
    assert str(jump) == "the machine slept for 1h and the clock was set back by 40m"


def test_where_nobody_can_tell_a_jump_ahead_counts_as_a_sleep() -> None:
    machine = Machine(tells=False)
    machine.sleep(HOUR_MS)
    jump = machine.watch.look()
    assert jump is not None
    assert jump.slept
    assert str(jump) == "the machine slept, or its clock was set forward, by 1h"
    machine.clock.advance(-HOUR_MS)
    jump = machine.watch.look()
    assert jump is not None
    assert (str(jump), jump.slept) == ("the clock was set back by 1h", False)


def test_this_machine_tells_how_long_it_slept() -> None:
    slept = seconds_asleep()
    assert slept is None or slept > -0.001


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    made = Database.open(tmp_path / "agent.db", create=True)
    yield made.connection
    made.close()


def test_only_a_clock_that_was_set_is_worth_an_alert(db: sqlite3.Connection) -> None:
    """For an hour: nobody can take it back. Each is an event."""
    machine = Machine()
    machine.sleep(8 * HOUR_MS)
    slept = machine.watch.look()
    machine.clock.advance(-2 * HOUR_MS)
    set_back = machine.watch.look()
    assert slept is not None
    assert set_back is not None

    records.jumped(db, slept, now=NOW)
    assert alerts.counts(db)[1] == 0
    records.jumped(db, set_back, now=NOW)
    assert db.execute("SELECT key, text, lapses_at FROM alerts").fetchall() == [
        ("clock", "the clock was set back by 2h", NOW + HOUR_MS)
    ]
    assert db.execute("SELECT text FROM events WHERE event = 'clock.jump' ORDER BY id").fetchall() == [
        ("the machine slept for 8h",),
        ("the clock was set back by 2h",),
    ]


# --- the network ------------------------------------------------------------------------------------------------------

CLOUD = UpstreamConfig(name="cloud", url="https://api.example.org/v1")
NEAR = UpstreamConfig(name="near", url="http://127.0.0.1:11434", local=True)


def test_what_is_beyond_this_machine_is_what_is_waited_for() -> None:
    plain = UpstreamConfig(name="plain", url="http://box.example.net:8080")
    assert addresses([CLOUD, NEAR, plain]) == {("api.example.org", 443), ("box.example.net", 8080)}


async def test_nothing_starts_until_some_upstream_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.daemon.waking.LOOK_S", 0.0)
    told: list[str | None] = []
    tries = iter([False, False, True])

    async def reaches(_: Address) -> bool:
        return next(tries)

    waking = Waking({"cloud": CLOUD}, told=told.append, reaches=reaches)
    await waking.network()  # nobody slept
    waking.begin(3 * HOUR_MS)
    assert waking.holds
    await asyncio.gather(waking.network(), asyncio.sleep(0))
    assert not waking.holds
    assert list(tries) == []
    assert told == [
        "the machine slept for 3h, and no job starts before the network is back, 1m at most",
        None,
    ]


async def test_a_network_that_stays_away_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.daemon.waking.NETWORK_S", 0.05)
    monkeypatch.setattr("runner.daemon.waking.LOOK_S", 0.0)

    async def reaches(_: Address) -> bool:
        return False

    waking = Waking({"cloud": CLOUD}, told=lambda _: None, reaches=reaches)
    waking.begin(SECOND_MS)
    await waking.network()
    assert not waking.holds


def test_what_nobody_waits_for_holds_nothing_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.daemon.waking.NETWORK_S", 0.0)
    waking = Waking({"cloud": CLOUD}, told=lambda _: None)
    waking.begin(HOUR_MS)
    assert not waking.holds


async def test_a_wait_that_fails_is_over() -> None:
    told: list[str | None] = []

    async def reaches(_: Address) -> bool:
        raise RuntimeError("a fault of ours")

    waking = Waking({"cloud": CLOUD}, told=told.append, reaches=reaches)
    waking.begin(HOUR_MS)
    with pytest.raises(RuntimeError):
        await waking.network()
    assert not waking.holds
    assert told[1:] == [None]


def test_where_no_call_leaves_the_machine_nothing_is_waited_for() -> None:
    waking = Waking({"near": NEAR}, told=lambda _: None)
    waking.begin(HOUR_MS)
    assert not waking.holds


def test_why_names_the_wait_for_the_network(db: sqlite3.Connection) -> None:
    job = make_job(db, key="digest-1")
    make_runner(db, reason="the machine slept for 4h, and no job starts before the network is back, 1m at most")
    runner = RunnerView(health=Health.LIVE, row=runners.latest(db))
    assert "no job starts before the network is back, 1m at most" in why(db, job, runner, StopView(), now=NOW)


async def test_an_address_answers_where_somebody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as here:
        here.bind(("127.0.0.1", 0))
        assert not await answers(here.getsockname())  # nobody listens yet, and nobody else can have the port
        assert not await answers(("no-such-host.invalid", 443))

        here.listen()
        monkeypatch.setattr("runner.daemon.waking.CONNECT_S", 60.0)
        assert await answers(here.getsockname())
