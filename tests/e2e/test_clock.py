"""A real runner under a sleep, SIGSTOP and a clock that is set: no slot twice, none lost, no attempt burnt."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path

from runner.units import HOUR_MS, MINUTE_MS, iso
from tests.e2e.clocks import Clocks
from tests.e2e.world import World, eventually

TOML = """
[tasks.tick]
kind = "command"
command = ["true"]
every = "1h"
"""
TASKS = """
import time
from pathlib import Path
from runner import task

@task("long", max_seconds="1d")
def long(ctx, payload):
    while not Path(payload["until"]).exists():
        time.sleep(0.05)
    return "done"
"""


def test_no_clock_makes_a_slot_run_twice_or_lose_it_or_burns_an_attempt(afk: World) -> None:
    """One attempt is at work all the time; its lease ran out again and again by the clock on the wall."""
    afk.init(TOML, tasks=TASKS)
    clocks = Clocks(afk)
    hours = [clocks.hour + number * HOUR_MS for number in range(8)]
    fired, skipped = [], []
    runner = afk.start()
    release = afk.home / "release"
    afk.json("enqueue", "long", json.dumps({"until": str(release)}), "--key", "long")
    eventually(lambda: afk.one("SELECT status FROM jobs WHERE key = 'long'") == "running", what="an attempt in flight")

    clocks.sleep(4 * HOUR_MS)
    fired.append(hours[4])
    skipped += hours[1:4]
    settled(afk, next_at=hours[5], fired=fired, skipped=skipped)
    eventually(lambda: "the machine slept for 4h" in told(afk), what="it has noticed")

    runner.send_signal(signal.SIGSTOP)
    clocks.go_on(65 * MINUTE_MS)
    runner.send_signal(signal.SIGCONT)
    fired.append(hours[5])
    settled(afk, next_at=hours[6], fired=fired, skipped=skipped)

    clocks.set(-2 * HOUR_MS)
    settled(afk, next_at=hours[4], fired=fired, skipped=skipped)
    eventually(lambda: "the clock was set back by 2h" in told(afk), what="it has noticed")
    for passed in (4, 5):
        clocks.go_on(HOUR_MS)
        settled(afk, next_at=hours[passed + 1], fired=fired, skipped=skipped)
    clocks.go_on(HOUR_MS)
    fired.append(hours[6])
    settled(afk, next_at=hours[7], fired=fired, skipped=skipped)

    release.touch()
    eventually(lambda: afk.counts() == {"done": 1 + len(fired)}, what="all done")
    assert afk.sql("SELECT key FROM jobs WHERE attempts <> 1 OR starts <> 1 OR rescues <> 0") == []
    assert runner.poll() is None
    assert len(told(afk)) == 2, "SIGSTOP is no jump"


def settled(afk: World, *, next_at: int, fired: list[int], skipped: list[int]) -> None:
    """Once the runner has dealt with what is due by its clock, these are its slots."""
    eventually(lambda: afk.one("SELECT next_at FROM schedules") == next_at, what="dealt with by the clock of now")
    slots = afk.sql("SELECT due_at, job_key FROM slots ORDER BY due_at")
    assert [due for due, job in slots if job] == fired
    assert [due for due, job in slots if not job] == skipped
    over = "SELECT count(*) FROM jobs WHERE task = 'tick' AND status = 'done'"
    eventually(lambda: afk.one(over) == len(fired), what="the job of the newest slot over, or the next one is skipped")


def told(afk: World) -> list[str]:
    """What it noticed of its clocks."""
    return [text for (text,) in afk.sql("SELECT text FROM events WHERE event = 'clock.jump' ORDER BY id")]


def test_a_machine_that_woke_starts_nothing_before_its_network_is_back(afk: World) -> None:
    """`why` says what a job waits for; slots are dealt with meanwhile."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))  # ours from now on; until it listens nobody is let in
        upstream = f'[upstreams.house]\nurl = "http://127.0.0.1:{server.getsockname()[1]}"\n'
        afk.init(TOML + upstream, tasks=TASKS)
        clocks = Clocks(afk)
        afk.start()

        clocks.sleep(2 * HOUR_MS)
        slot = iso(clocks.hour + 2 * HOUR_MS)
        eventually(lambda: afk.sql("SELECT 1 FROM jobs WHERE key = ?", f"tick@{slot}"), what="the slot is dealt with")
        said = afk.afk("why", f"tick@{slot}")
        assert "the machine slept for 2h, and no job starts before the network is back, 1m at most" in said
        assert afk.counts() == {"pending": 1}

        server.listen()
        eventually(lambda: afk.counts() == {"done": 1}, what="it runs once the network is back")
    eventually(lambda: afk.one("SELECT reason FROM runners") is None, what="and nothing is waited for any more")


def test_once_makes_up_for_all_that_waits(afk: World) -> None:
    """From cron there is nobody who gives the next slot its turn later."""
    afk.init(TOML + 'catch_up = "all"\n')
    clocks = Clocks(afk)

    assert afk.start("--once", wait=False).wait() == 0
    clocks.set(3 * HOUR_MS)
    assert afk.start("--once", wait=False).wait() == 0

    hours = [clocks.hour + number * HOUR_MS for number in (1, 2, 3)]
    assert afk.sql("SELECT due_at FROM slots WHERE job_key IS NOT NULL ORDER BY due_at") == [(hour,) for hour in hours]
    assert afk.counts() == {"done": 3}


def test_an_end_that_takes_long_goes_on_beating(afk: World, tmp_path: Path) -> None:
    """Nobody takes it for one that hangs: leases are renewed and systemd is fed until the last attempt has ended."""
    afk.init('[runner]\nworkers = 1\nstop_grace = "1h"\n', tasks=TASKS)
    clocks = Clocks(afk)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.setblocking(False)
        fed = 0

        def meals() -> int:
            nonlocal fed
            while True:
                try:
                    fed += systemd.recv(4096) == b"WATCHDOG=1"
                except BlockingIOError:
                    return fed

        runner = afk.start(env={"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "60000000"})
        release = afk.home / "release"
        afk.json("enqueue", "long", json.dumps({"until": str(release)}))
        eventually(lambda: afk.counts() == {"running": 1}, what="an attempt in flight")
        runner.send_signal(signal.SIGTERM)
        eventually(lambda: afk.one("SELECT state FROM runners") == "draining")

        lease, beat = afk.sql("SELECT lease_until, heartbeat_at FROM jobs, runners")[0]
        clocks.go_on(10 * MINUTE_MS)
        before = meals()
        eventually(lambda: afk.one("SELECT heartbeat_at FROM runners") >= beat + 10 * MINUTE_MS, what="a heartbeat")
        eventually(lambda: afk.one("SELECT lease_until FROM jobs") >= lease + 10 * MINUTE_MS, what="a renewed lease")
        eventually(lambda: meals() > before + 2, what="systemd is fed")

    release.touch()
    assert runner.wait(timeout=60) == 0
    assert afk.sql("SELECT status, attempts, starts FROM jobs") == [("done", 1, 1)]
