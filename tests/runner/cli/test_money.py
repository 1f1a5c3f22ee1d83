"""`afk-runner spend`: every cap and what stands against it, raising today's, and the holds that stand."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from zoneinfo import ZoneInfo

from runner.home import Home
from runner.lock import HomeLock
from runner.store import alerts, charges, controls, jobs
from runner.store.charges import NewCharge
from runner.units import MINUTE_MS, MicroUsd, SystemClock, UnixMs, day_of
from tests.runner.cli.world import Afk, queue

ZONE = ZoneInfo("UTC")
TOLD = {
    "timezone": "UTC",
    "daily_usd": "1000000",
    "hourly_usd": "500000",
    "rolling_24h_usd": "1500000",
    "monthly_usd": "20000000",
    "per_job_usd": "250000",
    "task_caps": json.dumps({"digest": 400_000}),
    "workers": "2",
}


def configure(db: sqlite3.Connection, **other: str) -> None:
    """A runner was started once, with caps of every kind."""
    controls.put_settings(db, TOLD | other, now=SystemClock().now())


def call(db: sqlite3.Connection, *, hold: int, cost: int | None = None, job_id: int = 1, ago_ms: int = 0) -> int:
    now = UnixMs(SystemClock().now() - ago_ms)
    charge = charges.hold(
        db,
        NewCharge(
            day=day_of(now, ZONE),
            zone="UTC",
            job_id=job_id,
            n=1,
            task="digest",
            upstream="house",
            model="house-model",
            runner="r1",
            hold=MicroUsd(hold),
        ),
        now=now,
    )
    if cost is not None:
        charges.settle(db, charge, cost=MicroUsd(cost), usage="{}", now=now)
    return charge


def test_every_cap_is_listed_with_what_counts_and_when_it_lifts(afk: Afk, db: sqlite3.Connection) -> None:
    configure(db)
    call(db, hold=300_000, cost=120_000)
    call(db, hold=50_000)

    listed = {cap["name"]: cap for cap in afk("spend", "--json").json["caps"]}

    assert list(listed) == ["day", "hour", "rolling", "month", "task", "job"]
    for name, limit in (("day", 1_000_000), ("hour", 500_000), ("rolling", 1_500_000), ("month", 20_000_000)):
        cap = listed[name]
        numbers = (cap["limit_microusd"], cap["settled_microusd"], cap["held_microusd"], cap["free_microusd"])
        assert numbers == (limit, 120_000, 50_000, limit - 170_000)
        assert cap["lifts_at"].endswith("Z")
    assert (listed["task"]["task"], listed["task"]["free_microusd"]) == ("digest", 230_000)
    assert (listed["job"]["limit_microusd"], listed["job"]["settled_microusd"]) == (250_000, None)
    out = afk("spend").out
    assert re.search(r"^hour +\$0\.50 +\$0\.12 +\$0\.05 +\$0\.33 +20", out, re.MULTILINE)
    assert re.search(r"^task digest +\$0\.40 +\$0\.12 +\$0\.05 +\$0\.23 +20", out, re.MULTILINE)
    assert re.search(r"^each job +\$0\.25 +- +- +- +-", out, re.MULTILINE)


def test_a_raise_is_shown_with_who_and_why(afk: Afk, db: sqlite3.Connection) -> None:
    configure(db)

    raised = afk("spend", "--raise", "2.00", "--reason", "the release", "--json")

    assert raised.code == 0
    assert (raised.json["before_microusd"], raised.json["cap_microusd"], raised.json["already"]) == (
        1_000_000,
        2_000_000,
        False,
    )
    assert raised.json["until"].endswith("T00:00:00.000Z")
    day = afk("spend", "--json").json["caps"][0]
    assert (day["limit_microusd"], day["raised"]["reason"]) == (2_000_000, "the release")
    assert day["raised"]["by"].endswith("cli")
    assert afk("status", "--json").json["spend"]["cap_microusd"] == 2_000_000
    out = afk("spend").out
    assert re.search(r"raised until \d{4}-\d\d-\d\dT00:00:00Z by .*cli at .*: the release", out)
    assert re.search(r"^day +\$2\.00 raised ", out, re.MULTILINE)
    assert "is $2.00 already" in afk("spend", "--raise", "2.00", "--reason", "the release").out


def test_a_raise_says_what_it_did_and_until_when(afk: Afk, db: sqlite3.Connection) -> None:
    configure(db, timezone="Asia/Kolkata")

    answer = afk("spend", "--raise", "1.5", "--reason", "the release")

    assert re.search(
        r"raised the cap of \S+ from \$1\.00 to \$1\.50 until \S+T18:30:00Z, midnight in Asia/", answer.out
    )
    assert "0 jobs that waited for it are due now" in answer.err
    assert re.search(r"^day .*T18:30:00Z, 00:00 on \S+ in Asia/Kolkata$", afk("spend").out, re.MULTILINE)


def test_a_raise_is_taken_back_by_a_lower_one(afk: Afk, db: sqlite3.Connection) -> None:
    configure(db)
    afk("spend", "--raise", "2.00", "--reason", "the release")

    answer = afk("spend", "--raise", "1.00", "--reason", "it is out")

    assert re.search(r"^lowered the cap of \S+ from \$2\.00 to \$1\.00 until ", answer.out)
    assert answer.err == "calls in flight go on; other caps hold as before\n"
    assert afk("status", "--json").json["spend"]["cap_microusd"] == 1_000_000
    assert "raised" not in afk("spend").out


def test_what_is_asked_for_badly_is_refused_and_changes_nothing(afk: Afk, db: sqlite3.Connection) -> None:
    """Words that are off are usage; a raise that would lower the cap is a refusal."""
    configure(db)

    for argv, code, said in (
        (("--raise", "2.00"), 64, "wants a reason"),
        (("--raise", "2.00", "--reason", " "), 64, "wants a reason"),
        (("--raise", "two", "--reason", "why"), 64, "--raise: 'two' is not an amount"),
        (("--raise", "-2", "--reason", "why"), 64, ""),
        (("--raise", "0.50", "--reason", "why"), 1, "would lower it"),
        (("--raise", "200", "--reason", "why"), 1, "the most that the configured cap of $1.00 may be raised to"),
        (("--write-off", "7", "--reason", "why"), 1, "there is no call 7"),
        (("--write-off", "7"), 64, "wants a reason"),
        (("--raise", "2.00", "--write-off", "7", "--reason", "why"), 64, "one of --holds, --raise and --write-off"),
        (("--reason", "why"), 64, "--reason belongs to"),
        (("--write-off", "7", "--write-off", "8", "--reason", "why"), 1, "not written off 8: there is no call 8"),
        (("--write-off", "7", "--write-off", "8"), 64, "wants a reason"),
        (("--write-off-all", "--reason", "why", "--yes"), 1, "no hold stands"),
        (("--yes",), 64, "--yes belongs to --write-off-all"),
    ):
        answer = afk("spend", *argv)
        assert (answer.code, answer.out) == (code, ""), argv
        assert said in answer.err, argv

    assert db.execute("SELECT count(*) FROM raises").fetchone() == (0,)


def test_every_standing_hold_is_listed_and_one_is_written_off(afk: Afk, home: Home, db: sqlite3.Connection) -> None:
    configure(db)
    key = queue(home, db, key="k")
    found = jobs.by_key(db, key)
    assert found is not None
    orphaned = call(db, hold=50_000, job_id=found.id, ago_ms=5 * MINUTE_MS)
    standing = call(db, hold=20_000, job_id=999)
    charges.let_stand(db, standing, note="the answer told no usage", now=SystemClock().now())

    newest, oldest = afk("spend", "--holds", "--json").json

    assert (newest["id"], newest["why"], newest["job"]) == (standing, "the answer told no usage", None)
    assert (oldest["id"], oldest["why"], oldest["job"]) == (orphaned, charges.ORPHANED, "k")
    assert 300 <= oldest["age_s"] < 600
    out = afk("spend", "--holds").out
    assert re.search(rf"^{orphaned} +5m( \d+s)? +digest +k +house-model +\$0\.05 +its runner ended", out, re.MULTILINE)

    gone = afk("spend", "--write-off", str(orphaned), "--reason", "never billed", "--json")
    assert gone.json == {"id": orphaned, "model": "house-model", "job": "k", "freed_microusd": 50_000}
    assert [one["id"] for one in afk("spend", "--holds", "--json").json] == [standing]
    assert "wrote off hold" in afk("spend", "--write-off", str(standing), "--reason", "never billed").out
    empty = afk("spend", "--holds")
    assert (empty.code, empty.out, empty.err) == (0, "", "no hold stands: every call is settled or cost nothing\n")


def test_all_holds_are_written_off_at_once_but_for_calls_in_flight(
    afk: Afk, home: Home, db: sqlite3.Connection
) -> None:
    configure(db)
    standing = [call(db, hold=20_000) for _ in range(3)]
    for charge in standing:
        charges.let_stand(db, charge, note="the answer told no usage", now=SystemClock().now())
    argv = ("spend", "--write-off-all", "--reason", "never billed")
    with closing(HomeLock(home.lock)) as lock:
        assert lock.take()
        flying = call(db, hold=50_000)

        asked = afk(*argv)
        assert (asked.code, asked.out) == (1, "")
        assert "3 holds of $0.06 in all would count no more" in asked.err
        assert len(afk("spend", "--holds", "--json").json) == 4

        done = afk(*argv, "--yes", "--json")

        assert sorted(done.json["written_off"]) == sorted(str(charge) for charge in standing)
        assert done.json["refused"] == []
        assert [one["id"] for one in afk("spend", "--holds", "--json").json] == [flying]


def test_of_several_holds_each_is_written_off_by_itself(afk: Afk, db: sqlite3.Connection) -> None:
    configure(db)
    one, other = call(db, hold=20_000), call(db, hold=30_000)

    answer = afk("spend", "--write-off", str(one), "--write-off", "999", "--write-off", str(other), "--reason", "why")

    assert answer.code == 1
    assert answer.out == f"written off {one}\nwritten off {other}\n"
    assert "$0.05 of 2 calls counts no more" in answer.err
    assert "not written off 999: there is no call 999" in answer.err


def test_the_age_of_the_prices_is_told(afk: Afk) -> None:
    """Or that nobody knows it."""
    assert afk("spend", "--json").json["price_age_days"] >= 0
    assert "prices: genai-prices" in afk("spend").err


def test_open_alerts_are_counted_in_the_status(afk: Afk, db: sqlite3.Connection) -> None:
    for key in ("a", "b"):
        alerts.raise_alert(db, key=key, level="warn", text="told", now=UnixMs(0))
    alerts.close(db, key="b", now=UnixMs(0))

    assert afk("status", "--json").json["alerts"] == {"undelivered": 2, "open": 1}


def test_a_cap_that_is_full_of_calls_in_flight_alone_is_not_called_reached(afk: Afk, db: sqlite3.Connection) -> None:
    """Its jobs look again in a minute; those of a cap that is reached wait for midnight."""
    configure(db)
    call(db, hold=900_000)
    db.execute(
        "INSERT INTO jobs (key, task, payload, not_before, max_attempts, waiting_gate, created_at) "
        "VALUES ('j', 'digest', '{}', ?, 4, 'cap:day', 0)",
        (SystemClock().now() + 100,),
    )

    assert "CAP REACHED" not in afk("spend").out
    db.execute("UPDATE jobs SET not_before = ?", (SystemClock().now() + 48 * 60 * MINUTE_MS,))
    assert "CAP REACHED" in afk("spend").out
