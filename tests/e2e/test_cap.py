"""The day's cap in the real programs: who is let through, what is held, and what the refused are told."""

from __future__ import annotations

import signal
import threading
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from runner.units import MINUTE_MS, iso
from tests.e2e.clocks import Clocks
from tests.e2e.vendor import COST, HOLD, KEY, ask, burnt, house, spent, sums
from tests.e2e.world import World, eventually, noon
from tests.upstream import FakeAnthropic, Reply


def test_of_forty_calls_at_once_the_cap_lets_three_through(afk: World, vendor: FakeAnthropic) -> None:
    """The others are refused before a byte leaves, wait unburnt, and look again when the three may have ended."""
    release = threading.Event()
    vendor.default = Reply.hang(release)
    house(afk, vendor, workers=8, daily="0.35")
    clocks = Clocks(afk)
    keys = ask(afk, 40)
    afk.start()

    eventually(lambda: afk.counts() == {"running": 3, "pending": 37} and waiting(afk, "cap:day") == 37)
    assert vendor.caught_up() == 3
    assert spent(afk) == (0, 3 * HOLD)
    let_through = [row[0] for row in afk.sql("SELECT key FROM jobs JOIN charges ON job_id = jobs.id")]
    refused = sorted({*keys} - {*let_through})
    assert len(refused) == 37
    assert burnt(afk, keys) == {}
    last = refused[-1]
    said = eventually(lambda: (told := afk.afk("why", last)) and "today's cap" in told and told, what="it waits")
    assert "today's cap of $0.35" in said
    assert "is held for calls in flight" in said
    assert vendor.caught_up() == 3

    release.set()
    eventually(lambda: all(afk.json("job", key)["status"] == "done" for key in let_through))
    clocks.set(2 * MINUTE_MS)
    eventually(lambda: afk.counts()["done"] > 3, what="those that wait have looked again")
    assert afk.sql("SELECT key FROM jobs WHERE attempts <> (status = 'done')") == [], "no refusal counted"


def test_a_cap_that_is_used_up_parks_until_midnight_unless_a_person_raises_it(
    afk: World, vendor: FakeAnthropic
) -> None:
    """The raise wakes what waited and holds from the very next call, without a restart; each is told once."""
    vendor.script(Reply.error(500, "api_error", "boom"))  # nobody knows what it cost: its hold stands
    house(afk, vendor, workers=1, daily="0.15")
    ask(afk, 1)
    afk.start()
    eventually(lambda: waiting(afk, "cap:day") == 1)
    said = afk.afk("why", "ask-000")
    assert "today's cap of $0.15" in said
    today = datetime.now(ZoneInfo(noon())).replace(hour=0, minute=0, second=0, microsecond=0)
    assert iso(int((today + timedelta(days=1)).timestamp() * 1000)) in said
    assert "CAP REACHED" in afk.afk("spend")
    told = [
        row[0].rsplit(":", 1)[1] for row in afk.sql("SELECT key FROM alerts WHERE key LIKE 'cap:day:%' ORDER BY id")
    ]
    assert told == ["50", "100"]
    assert afk.status()["alerts"] == {"undelivered": 2, "open": 2}

    raised = afk.json("spend", "--raise", "1.00", "--reason", "it must be done tonight")

    assert raised["woken"] == 1
    eventually(lambda: afk.counts() == {"done": 1})
    assert spent(afk) == (COST, HOLD)
    assert afk.status()["spend"]["cap_microusd"] == 1_000_000
    assert afk.status()["alerts"]["open"] == 0
    assert "it must be done tonight" in afk.one("SELECT text FROM events WHERE event = 'cap.raised'")


def test_a_hold_that_nobody_will_settle_is_written_off_by_a_person_alone(afk: World, vendor: FakeAnthropic) -> None:
    """Not while its call is in flight. Its runner's end is an alert, and the next start keeps the hold."""
    release = threading.Event()
    vendor.script(Reply.hang(release))
    house(afk, vendor, workers=1)
    ask(afk, 1)
    runner = afk.start()
    vendor.wait_for(1)
    (flying,) = afk.json("spend", "--holds")
    assert (flying["why"], flying["hold_microusd"]) == ("in flight", HOLD)
    refused = afk.call("spend", "--write-off", str(flying["id"]), "--reason", "impatient")
    assert (refused.returncode, "in flight" in refused.stderr) == (1, True)

    afk.kill9(runner)
    afk.home.joinpath("STOP").touch()
    afk.start()
    (orphan,) = afk.json("spend", "--holds")
    assert (orphan["id"], orphan["why"]) == (flying["id"], "its runner ended between hold and settle")
    assert "a call was in flight" in afk.one("SELECT text FROM alerts WHERE key LIKE 'orphans:%'")
    assert spent(afk) == (0, HOLD)

    afk.afk("spend", "--write-off", str(orphan["id"]), "--reason", "the vendor never billed it")
    release.set()
    assert spent(afk) == (0, 0)
    assert afk.json("spend", "--holds") == []
    eventually(lambda: afk.sql("SELECT key FROM alerts WHERE closed_at IS NULL") == [("stop",)])


def waiting(afk: World, gate: str) -> int:
    """Jobs put back for a gate."""
    return int(afk.one("SELECT count(*) FROM jobs WHERE status = 'pending' AND waiting_gate = ?", gate))


def test_a_kill_between_hold_and_settle_leaves_the_hold_counted(afk: World, vendor: FakeAnthropic) -> None:
    """The call of a runner that was killed is never settled, not even when its answer comes; its job is done again."""
    release = threading.Event()
    vendor.script(Reply.hang(release))
    house(afk, vendor, workers=1)
    (key,) = ask(afk, 1)
    runner = afk.start()
    vendor.wait_for(1)

    afk.kill9(runner)
    afk.home.joinpath("STOP").touch()
    afk.start()
    assert spent(afk) == (0, HOLD)
    assert afk.one("SELECT count(*) FROM events WHERE event = 'hold.orphan'") == 1

    release.set()
    afk.afk("resume")
    eventually(lambda: afk.json("job", key)["status"] == "done")
    assert spent(afk) == (COST, HOLD)
    assert [row[0] for row in afk.sql("SELECT state FROM charges ORDER BY id")] == ["held", "settled"]
    assert afk.json("job", key)["attempts"] == 1


def test_a_cap_of_zero_refuses_every_call_that_has_a_price(afk: World, vendor: FakeAnthropic) -> None:
    """A local model costs nothing and is let through."""
    house(afk, vendor, workers=1, daily="0")
    afk.json("enqueue", "ask", '{"body": {"model": "cellar-model"}}', "--key", "free")
    afk.json("enqueue", "ask", "--key", "priced")
    afk.start()

    eventually(lambda: afk.json("job", "free")["status"] == "done" and waiting(afk, "cap:day") == 1)

    assert [call.body["model"] for call in vendor.requests] == ["cellar-model"]
    assert burnt(afk, ["priced"]) == {}
    assert sums(afk) == (0, 0)


def test_a_raised_cap_lets_the_parked_jobs_run(afk: World, vendor: FakeAnthropic) -> None:
    """From the next start on; one with the old cap wakes nobody."""
    house(afk, vendor, workers=1, daily="0.05")
    ask(afk, 2)
    runner = afk.start()
    eventually(lambda: waiting(afk, "cap:day") == 2)
    starts = afk.one("SELECT sum(starts) FROM jobs")

    for _ in range(2):
        runner.send_signal(signal.SIGTERM)
        assert runner.wait(60) == 0
        runner = afk.start()
    assert afk.one("SELECT sum(starts) FROM jobs") == starts

    runner.send_signal(signal.SIGTERM)
    runner.wait(60)
    settings = afk.home / "afk.toml"
    settings.write_text(settings.read_text().replace('"0.05"', '"10.00"'))
    afk.start()
    eventually(lambda: afk.counts() == {"done": 2})


def test_a_job_that_reaches_its_own_cap_is_halted(afk: World, vendor: FakeAnthropic) -> None:
    house(afk, vendor, workers=1)
    ask(afk, 1, "--max-usd", "0.10")
    afk.start()

    job = eventually(lambda: (found := afk.json("job", "ask-000"))["status"] == "halted" and found)

    assert "the job's own cap of $0.10" in job["error"]
    assert vendor.requests == []


def test_a_job_that_asks_for_an_unknown_model_is_dead_at_once(afk: World, vendor: FakeAnthropic) -> None:
    """Unknown is never free, and the sentence says what to add."""
    house(afk, vendor, workers=1)
    afk.json("enqueue", "ask", '{"body": {"model": "house-unheard-of"}}', "--key", "unpriced")
    afk.json("enqueue", "ask", '{"body": {"model": "elsewhere"}}', "--key", "unrouted")
    afk.start()

    eventually(lambda: afk.counts() == {"dead": 2})

    assert '[prices."house-unheard-of"]' in afk.json("job", "unpriced")["error"]
    assert "no line of [models]" in afk.json("job", "unrouted")["error"]
    assert vendor.requests == []


def test_a_stream_that_breaks_off_keeps_its_hold(afk: World, vendor: FakeAnthropic) -> None:
    """Nobody knows what it cost; the attempt failed like any other."""
    vendor.script(Reply.cut(4))
    house(afk, vendor, workers=1)
    afk.json("enqueue", "sdk", '{"stream": true}', "--key", "cut")
    afk.start()

    eventually(lambda: afk.json("job", "cut")["status"] == "done")

    assert spent(afk) == (COST, HOLD)
    assert afk.json("job", "cut")["attempts"] == 2


@pytest.mark.parametrize("retries", [0, 2])
def test_the_sdk_meets_a_refusal_as_402_and_stops(afk: World, vendor: FakeAnthropic, retries: int) -> None:
    """Also where it would have tried again by itself. A job that is done all the same says that no model answered."""
    house(afk, vendor, workers=1, daily="0.05")
    afk.json("enqueue", "sdk", f'{{"max_retries": {retries}}}', "--key", "sdk")
    afk.start()

    job = eventually(lambda: (found := afk.json("job", "sdk"))["status"] == "done" and found)

    assert job["result"] == {"status": 402, "type": "billing_error", "code": "afk_daily_cap"}
    assert afk.one("SELECT count(*) FROM events WHERE event = 'call.refused'") == 1
    assert vendor.requests == []
    said = "its one model call got no answer: today's cap of $0.05 holds"
    assert job["error"].startswith(said)
    assert job["attempts_log"][0]["error"] == job["error"]
    assert f"is done since {job['finished_at']}, but {said}" in job["why"]
    assert "--again` queues it anew" in job["why"]
    assert afk.one("SELECT text FROM events WHERE event = 'job.unanswered'").startswith(f"it is done, but {said}")


def test_the_vendors_key_is_seen_by_the_vendor_alone(afk: World, vendor: FakeAnthropic) -> None:
    """Not by a worker's environment, a row, a log or an error, even when the vendor quotes it."""
    vendor.script(Reply.error(400, "invalid_request_error", f"what is {KEY}?"))
    house(afk, vendor, workers=1)
    ask(afk, 1)
    runner = afk.start()
    eventually(lambda: afk.counts() == {"done": 1})

    assert {call.headers["x-api-key"] for call in vendor.requests} == {KEY}
    key = KEY.encode()
    for worker in afk.workers(runner):
        with open(f"/proc/{worker}/environ", "rb") as environment:
            assert key not in environment.read()
    afk.kill9(runner)  # its log stays as it is, and no file comes or goes any more
    eventually(lambda: not afk.processes(), what="nothing left that writes")
    holders = [path for path in afk.home.rglob("*") if path.is_file() and key in path.read_bytes()]
    assert holders == []
