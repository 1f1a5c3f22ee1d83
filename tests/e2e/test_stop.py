"""Every way to stop, alone and in the real programs: no job starts, no call leaves, the runner stays and says so."""

from __future__ import annotations

import re
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing

import pytest

from runner.units import MINUTE_MS, SECOND_MS
from tests.e2e.clocks import Clocks
from tests.e2e.vendor import COST, HOLD, ask, burnt, house, spent
from tests.e2e.world import DEADLINE_S, World, eventually
from tests.upstream import FakeAnthropic, Reply


def touch(afk: World) -> None:
    """As a person does who has no program of ours at hand."""
    afk.home.joinpath("STOP").touch()


def kill(afk: World) -> None:
    afk.afk("kill")


def set_row(afk: World) -> None:
    """As a person does with sqlite3."""
    with closing(sqlite3.connect(afk.home / "agent.db", timeout=DEADLINE_S)) as db, db:
        db.execute("UPDATE control SET value = '1' WHERE key = 'stop'")


WAYS = pytest.mark.parametrize("stop", [touch, kill, set_row])
LOOP = r'''
import os, time

@task("endless")
def endless(ctx, payload):
    """One call after the other; each answer is noted."""
    while True:
        status, body = post(ctx)
        with open(os.path.join(os.path.dirname(__file__), "..", "answers"), "a") as notes:
            notes.write(f"{status}\n")
'''


def state(afk: World) -> tuple[str, str | None]:
    told = afk.status()["runner"]
    return told["state"], told["reason"]


def parked(afk: World) -> bool:
    return bool(state(afk)[0] == "parked")


@WAYS
def test_each_way_alone_stops_new_jobs_and_resume_brings_them_back(
    afk: World, vendor: FakeAnthropic, stop: Callable[[World], None]
) -> None:
    house(afk, vendor)
    runner = afk.start()
    stop(afk)
    eventually(lambda: parked(afk))

    keys = [*ask(afk, 3), *ask(afk, 2, task="nothing")]
    beat = afk.one("SELECT heartbeat_at FROM runners WHERE ended IS NULL")
    eventually(lambda: afk.one("SELECT heartbeat_at FROM runners WHERE ended IS NULL") > beat, what="another heartbeat")

    assert afk.counts() == {"pending": 5}
    assert parked(afk)
    assert vendor.requests == []
    assert "everything is stopped" in afk.afk("why", keys[0])

    afk.afk("resume")
    eventually(lambda: afk.counts() == {"done": 5})
    eventually(lambda: state(afk) == ("running", None), what="it says so as well")
    assert runner.poll() is None


@WAYS
def test_each_way_alone_refuses_every_call_after_it(
    afk: World, vendor: FakeAnthropic, stop: Callable[[World], None]
) -> None:
    """Of an attempt that goes on through the grace, too."""
    house(afk, vendor, workers=2, grace="2m", breaker="same_request = 0")
    (afk.home / "tasks" / "work.py").open("a").write(LOOP)
    clocks = Clocks(afk)
    ask(afk, 1, task="endless")
    afk.start()
    vendor.wait_for(3)

    stop(afk)
    left = eventually(lambda: refused(afk) and vendor.caught_up())
    eventually(lambda: state(afk)[0] == "draining")
    clocks.go_on(2 * MINUTE_MS)
    eventually(lambda: parked(afk))

    assert vendor.caught_up() == left
    assert afk.counts() == {"pending": 1}
    assert burnt(afk, ["endless-000"]) == {}


def refused(afk: World) -> int:
    """Calls the gate refused for the stop, as the payload met them."""
    try:
        return (afk.home / "answers").read_text().split().count("503")
    except OSError:
        return 0


@pytest.mark.parametrize("now", [(), ("--now",)])
def test_nothing_is_sent_once_kill_has_returned(afk: World, vendor: FakeAnthropic, now: tuple[str, ...]) -> None:
    """Calls follow each other as fast as they can, from several workers; what is sent before may still be answered."""
    house(afk, vendor, workers=3, daily="1000.00", breaker="same_request = 0")
    (afk.home / "tasks" / "work.py").open("a").write(LOOP)
    ask(afk, 3, task="endless")
    afk.start()
    vendor.wait_for(20)

    afk.afk("kill", *now)
    sent = vendor.caught_up()
    eventually(lambda: parked(afk))

    assert vendor.caught_up() == sent
    assert afk.counts() == {"pending": 3}
    assert burnt(afk, [f"endless-{n:03}" for n in range(3)]) == {}
    spent(afk)


def test_a_stopped_home_is_not_worked_off_in_silence(afk: World, vendor: FakeAnthropic) -> None:
    house(afk, vendor)
    ask(afk, 1)

    said = afk.call("run", "--once", env={"AFK_STOP": "1"})

    assert "nothing more is started: this home is stopped by AFK_STOP in the environment" in said.stderr
    assert afk.counts() == {"pending": 1}


def test_a_run_that_a_stop_held_back_says_so(afk: World, vendor: FakeAnthropic) -> None:
    """It is no other end for whoever watches: between two of them, as under cron, none is missed."""
    house(afk, vendor)
    ask(afk, 1)
    afk.afk("kill", "--reason", "lunch")

    said = afk.call("run", "--once")

    assert "nothing more is started: this home is stopped by " in said.stderr
    assert "@cli (lunch)" in said.stderr
    assert "stopped (held back by a stop)" in afk.afk("status")
    assert "runner ended: held back by a stop" in afk.afk("logs")
    afk.call("resume")
    assert "no runner works" not in afk.call("status", "--check").stdout


def test_the_environment_alone_stops_and_resume_names_it(afk: World, vendor: FakeAnthropic) -> None:
    """It cannot be cleared from outside; without it the next runner works."""
    house(afk, vendor)
    ask(afk, 1)
    runner = afk.start(env={"AFK_STOP": "1"})
    eventually(lambda: parked(afk))

    answer = afk.call("resume")
    assert answer.returncode == 1
    assert "AFK_STOP" in answer.stderr
    assert afk.status()["stop"]["sources"] == ["env"]
    assert "until AFK_STOP is unset in the runner's environment and the runner restarted" in afk.afk("status")
    assert afk.counts() == {"pending": 1}
    assert vendor.requests == []

    runner.send_signal(signal.SIGTERM)
    assert runner.wait(60) == 0
    afk.start()
    eventually(lambda: afk.counts() == {"done": 1})


def test_a_stop_survives_a_restart(afk: World, vendor: FakeAnthropic) -> None:
    """Also one by SIGKILL. Taking the file away is not enough: the row stands."""
    house(afk, vendor)
    runner = afk.start()
    afk.afk("kill", "--reason", "the bill looks wrong")
    afk.kill9(runner)
    afk.home.joinpath("STOP").unlink()
    ask(afk, 1)

    afk.start()

    eventually(lambda: parked(afk))
    assert afk.status()["stop"]["reason"] == "the bill looks wrong"
    assert afk.counts() == {"pending": 1}


@pytest.mark.parametrize("stop", [touch, set_row])
def test_once_under_a_stop_ends_well_having_done_nothing(
    afk: World, vendor: FakeAnthropic, stop: Callable[[World], None]
) -> None:
    house(afk, vendor)
    ask(afk, 2)
    stop(afk)

    runner = afk.start("--once", wait=False)

    assert runner.wait(60) == 0
    assert afk.counts() == {"pending": 2}
    assert vendor.requests == []
    assert afk.one("SELECT count(*) FROM attempts") == 0


def test_once_without_a_stop_does_what_is_due(afk: World, vendor: FakeAnthropic) -> None:
    house(afk, vendor)
    ask(afk, 3)

    assert afk.start("--once", wait=False).wait(60) == 0
    assert afk.counts() == {"done": 3}


def test_a_call_in_flight_gets_the_grace_and_then_is_cut(afk: World, vendor: FakeAnthropic) -> None:
    """Its hold is kept, for nobody knows what it cost; its job goes back unburnt."""
    vendor.script(Reply.hang(threading.Event()))
    house(afk, vendor, workers=1, grace="2m")
    clocks = Clocks(afk)
    ask(afk, 1)
    afk.start()
    (call,) = vendor.wait_for(1)

    afk.afk("kill")
    eventually(lambda: state(afk)[0] == "draining")
    assert not call.gone.is_set()

    clocks.go_on(2 * MINUTE_MS)
    eventually(lambda: parked(afk))
    assert call.gone.wait(DEADLINE_S)
    assert spent(afk) == (0, HOLD)
    assert afk.counts() == {"pending": 1}
    assert burnt(afk, ["ask-000"]) == {}

    afk.afk("resume")
    eventually(lambda: afk.counts() == {"done": 1})
    assert spent(afk) == (COST, HOLD)


def test_a_call_that_ends_within_the_grace_is_settled_and_its_job_is_done(afk: World, vendor: FakeAnthropic) -> None:
    release = threading.Event()
    vendor.script(Reply.hang(release))
    house(afk, vendor, workers=1, grace="10m")
    ask(afk, 1)
    afk.start()
    vendor.wait_for(1)

    afk.afk("kill")
    release.set()
    eventually(lambda: parked(afk))

    assert afk.counts() == {"done": 1}
    assert spent(afk) == (COST, 0)


def test_kill_now_cuts_at_once(afk: World, vendor: FakeAnthropic) -> None:
    """A second kill takes away the grace the first one gave."""
    vendor.script(Reply.hang(threading.Event()))
    house(afk, vendor, workers=1, grace="10m")
    ask(afk, 1)
    afk.start()
    (call,) = vendor.wait_for(1)
    afk.afk("kill")
    eventually(lambda: state(afk)[0] == "draining")

    afk.afk("kill", "--now")

    assert call.gone.wait(DEADLINE_S)
    eventually(lambda: parked(afk))
    assert spent(afk) == (0, HOLD)
    assert afk.counts() == {"pending": 1}
    assert burnt(afk, ["ask-000"]) == {}


def test_a_term_lets_what_runs_end_and_takes_nothing_new(afk: World, vendor: FakeAnthropic) -> None:
    release = threading.Event()
    vendor.script(Reply.hang(release))
    house(afk, vendor, workers=1, grace="10m")
    ask(afk, 2)
    runner = afk.start()
    vendor.wait_for(1)

    runner.send_signal(signal.SIGTERM)
    eventually(lambda: state(afk)[0] == "draining")
    release.set()

    assert runner.wait(60) == 0
    assert afk.counts() == {"done": 1, "pending": 1}
    assert spent(afk) == (COST, 0)
    eventually(lambda: not afk.processes(), what="its guard has followed it")


def test_a_term_cuts_what_outlasts_the_grace(afk: World, vendor: FakeAnthropic) -> None:
    """The job goes back unburnt and the hold is kept; the end is still a good one."""
    vendor.script(Reply.hang(threading.Event()))
    house(afk, vendor, workers=1, grace="500ms")
    ask(afk, 1)
    runner = afk.start()
    vendor.wait_for(1)

    runner.send_signal(signal.SIGTERM)

    assert runner.wait(60) == 0
    assert afk.counts() == {"pending": 1}
    assert burnt(afk, ["ask-000"]) == {}
    assert spent(afk) == (0, HOLD)


def test_kill_now_is_obeyed_by_a_runner_that_is_ending(afk: World, vendor: FakeAnthropic) -> None:
    """Who asked it to end well may still want the call cut; the stop stays set."""
    vendor.script(Reply.hang(threading.Event()))
    house(afk, vendor, workers=1, grace="10m")
    ask(afk, 1)
    runner = afk.start()
    (call,) = vendor.wait_for(1)
    runner.send_signal(signal.SIGTERM)
    eventually(lambda: state(afk)[0] == "draining")

    afk.afk("kill", "--now")

    assert call.gone.wait(DEADLINE_S)
    assert runner.wait(DEADLINE_S) == 0
    assert afk.counts() == {"pending": 1}
    assert burnt(afk, ["ask-000"]) == {}
    assert spent(afk) == (0, HOLD)
    assert afk.status()["stop"]["set"]


def test_a_second_signal_ends_at_once(afk: World, vendor: FakeAnthropic) -> None:
    vendor.script(Reply.hang(threading.Event()))
    house(afk, vendor, workers=1, grace="10m")
    ask(afk, 1)
    runner = afk.start()
    vendor.wait_for(1)

    runner.send_signal(signal.SIGTERM)
    eventually(lambda: state(afk)[0] == "draining")
    runner.send_signal(signal.SIGTERM)

    runner.wait(DEADLINE_S)
    assert afk.counts() == {"pending": 1}
    assert burnt(afk, ["ask-000"]) == {}
    assert spent(afk) == (0, HOLD)
    eventually(lambda: not afk.processes(), what="its guard has followed it")


def test_a_stop_that_outlasts_an_outage_of_the_database_is_not_told_of_as_one(
    afk: World, vendor: FakeAnthropic
) -> None:
    """What is told is how long it was parked for want of the database, and not until somebody resumed."""
    house(afk, vendor, workers=1)
    afk.start()
    database, aside = afk.home / "agent.db", afk.home / "aside.db"

    def beat() -> int:
        return int(afk.one("SELECT heartbeat_at FROM runners"))

    away_at = beat()
    database.rename(aside)
    eventually(lambda: b"parked" in (afk.home / "stderr").read_bytes(), what="it says that it is parked")
    touch(afk)
    aside.rename(database)
    eventually(lambda: beat() > away_at + 5 * SECOND_MS, what="a heartbeat in it again")
    eventually(lambda: state(afk) == ("parked", "stop"), what="the stop alone holds it")
    back_at = time.time_ns() // 1_000_000
    eventually(lambda: beat() > back_at + 10 * SECOND_MS, what="it stays stopped")
    afk.afk("resume")

    (text,) = eventually(lambda: afk.sql("SELECT text FROM alerts WHERE key = 'database'"), what="it is told")[0]
    found = re.match(r"parked for (?:(\d+)s|\d+ms): the database cannot be", text)
    assert found is not None, text
    assert int(found[1] or 0) * SECOND_MS <= back_at - away_at, text
