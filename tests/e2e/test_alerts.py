"""Alerts of a real runner: a server that is down or slow holds up nothing, and all of it arrives after, once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e import patient
from tests.e2e.world import World, alive, eventually
from tests.mailbox import SECRET, Mailbox

TOML = """
[runner]
stop_grace = "300ms"
[retry]
max_attempts = 1
[alerts]
urls = ["env:HOOK"]
[tasks.good]
kind = "command"
command = ["true"]
[tasks.bad]
kind = "command"
command = ["sh", "-c", "exit 65"]
[tasks.worse]
kind = "command"
command = ["sh", "-c", "exit 65"]
"""


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    made = Mailbox()
    yield made
    made.close()


@pytest.fixture
def home(afk: World, mailbox: Mailbox) -> World:
    afk.init(TOML)
    afk.env["HOOK"] = mailbox.url
    return afk


def couriers(runner_pid: int) -> list[int]:
    """Pids of the children that talk to addresses."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes()
            parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            if b"runner.notify.send" in words and parent == str(runner_pid):
                found.append(int(entry.name))
    return found


def test_nothing_waits_for_a_server_that_does_not_answer(home: World, mailbox: Mailbox) -> None:
    """While it holds the line jobs run, a kill parks the runner and a resume lets it go on; then each is told once."""
    mailbox.status = 500  # whoever waits is refused in the end
    mailbox.open.clear()
    runner = home.start()
    home.afk("enqueue", "bad")
    eventually(lambda: mailbox.asked, what="the alert is on its way")
    (courier,) = couriers(runner.pid)
    assert SECRET.encode() not in Path(f"/proc/{courier}/cmdline").read_bytes()
    assert SECRET.encode() not in Path(f"/proc/{courier}/environ").read_bytes()

    home.afk("enqueue", "good")
    eventually(lambda: home.counts().get("done") == 1, what="jobs run")
    home.afk("kill")
    eventually(lambda: home.status()["runner"]["state"] == "parked", what="it parks")
    home.afk("enqueue", "worse")
    home.afk("resume")
    eventually(lambda: home.counts().get("dead") == 2, what="it goes on")
    assert mailbox.taken == []

    mailbox.open.set()
    eventually(lambda: home.sql("SELECT 1 FROM addresses WHERE failures > 0"), what="the failure is known")
    mailbox.status = 200
    eventually(lambda: not home.sql("SELECT 1 FROM alerts WHERE owed = 1"), what="all are told")

    assert sorted(mailbox.titles) == ["dead:bad", "dead:worse", "stop is over"]
    assert home.status()["alerts"] == {"undelivered": 0, "open": 2}
    eventually(lambda: not couriers(runner.pid), what="the child has ended")
    runner.send_signal(signal.SIGTERM)
    assert runner.wait(60) == 0
    assert [path for path in home.home.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()] == []


def test_a_parked_runner_tells_and_its_death_takes_the_child_along(home: World, mailbox: Mailbox) -> None:
    runner = home.start()
    home.afk("kill", "--reason", "enough")
    eventually(lambda: mailbox.titles == ["stop"], what="told while parked")
    assert "enough" in mailbox.texts[0]

    mailbox.open.clear()
    home.afk("resume")
    eventually(lambda: mailbox.asked >= 2, what="on its way")
    (courier,) = couriers(runner.pid)
    home.kill9(runner)
    eventually(lambda: not alive(courier), what="the child is gone")
    mailbox.open.set()
    eventually(lambda: mailbox.answered == mailbox.asked, what="what the dead one told is behind us")

    mailbox.taken.clear()
    home.start()
    eventually(lambda: mailbox.titles == ["stop is over"], what="the next one tells")


def test_a_run_that_ends_by_itself_tells_first(home: World, mailbox: Mailbox) -> None:
    home.runs = patient.RUNS
    home.afk("enqueue", "bad")
    assert home.start("--once", wait=False).wait() == 0

    assert mailbox.titles == ["dead:bad"]
    assert home.one("SELECT took_at IS NOT NULL FROM addresses")
