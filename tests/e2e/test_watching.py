"""Who watches the watchman: crash loops, refusals, a second runner, systemd's socket, pings; all for real."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.world import World, eventually
from tests.mailbox import Mailbox
from tests.runner.test_ping import Listener

TASKS = """
import time
from runner import task

@task("sit", max_seconds="1h")
def sit(ctx, payload):
    time.sleep(3600)
"""


def row(afk: World) -> tuple[str, str | None, int]:
    """State, reason and pid of the runner that has the home, as the database tells them."""
    rows = afk.sql("SELECT state, reason, pid FROM runners WHERE ended IS NULL ORDER BY started_at DESC LIMIT 1")
    return rows[0] if rows else ("none", None, 0)


def check(afk: World) -> tuple[int, str]:
    """Code and line of `status --check`."""
    done = afk.call("status", "--check")
    assert len(done.stdout.splitlines()) == 1
    return done.returncode, done.stdout


def test_the_sixth_of_a_crash_loop_parks_and_goes_on_when_a_person_says_so(afk: World) -> None:
    """It loads no task before that, is seen by every program, and tells somebody."""
    afk.init("", tasks="import pathlib\npathlib.Path(__file__).with_name('loaded').touch()\n" + TASKS)
    starts = afk.home / "starts.json"
    loaded = afk.home / "tasks" / "loaded"
    crashed = afk.start("--supervisor", "docker")
    afk.kill9(crashed)
    eventually(lambda: not afk.processes())
    loaded.unlink()
    told = json.loads(starts.read_text())
    assert [(start["pid"], start["clean"]) for start in told["starts"]] == [(crashed.pid, False)]
    starts.write_text(json.dumps({**told, "starts": told["starts"] * 5}))

    runner = afk.start("--supervisor", "docker")

    assert row(afk) == ("parked", "breaker", runner.pid)
    assert not loaded.exists()
    told = afk.status()
    assert (told["runner"]["state"], told["runner"]["reason"]) == ("parked", "breaker")
    assert "`afk-runner resume`" in told["runner"]["note"]
    assert afk.sql("SELECT count(*) FROM alerts WHERE key = 'crashloop' AND closed_at IS NULL") == [(1,)]
    code, line = check(afk)
    assert code == 2
    assert "too many crashes" in line

    assert afk.json("resume")["cleared"] == ["crashes"]

    eventually(lambda: row(afk) == ("running", None, runner.pid))
    assert loaded.exists()
    assert afk.sql("SELECT count(*) FROM alerts WHERE key = 'crashloop' AND closed_at IS NULL") == [(0,)]
    assert check(afk)[0] == 0
    runner.send_signal(signal.SIGTERM)
    assert runner.wait(timeout=60) == 0
    assert json.loads(starts.read_text())["starts"][-1]["clean"] is True


def test_settings_that_are_refused_park_where_an_exit_would_be_a_restart_for_ever(afk: World) -> None:
    """Elsewhere they end with 78. The parked runner goes on by itself when the file is mended."""
    afk.init("nonsense = 1\n")
    assert afk.call("run", "--supervisor", "systemd").returncode == 78
    good = (afk.home / "afk.toml").read_text().replace("nonsense = 1\n", "")

    runner = afk.start("--supervisor", "launchd")

    assert row(afk) == ("parked", "refused", runner.pid)
    assert "nonsense is not a known key" in afk.status()["runner"]["note"]
    assert check(afk)[0] == 1
    (afk.home / "afk.toml").write_text(good)
    eventually(lambda: row(afk) == ("running", None, runner.pid))
    assert check(afk)[0] == 0


def test_a_refusal_is_told_as_long_as_the_addresses_can_be_read(afk: World) -> None:
    """A task file does not load: the settings are in order, so an alert is delivered and the ping fails."""
    listener, mailbox = Listener(200), Mailbox()
    try:
        afk.init('[watch]\nping_url = "env:PING"\nping_every = "5s"\n[alerts]\nurls = ["env:HOOK"]\n', tasks="typo(\n")

        runner = afk.start("--supervisor", "launchd", env={"PING": listener.url, "HOOK": mailbox.url})

        assert row(afk) == ("parked", "refused", runner.pid)
        eventually(lambda: ("/s3cret-uuid/fail", "parked (refused)") in listener.heard)
        eventually(lambda: any("work.py" in text for text in mailbox.texts), what="the alert is delivered")

        runner.send_signal(signal.SIGTERM)
        assert runner.wait(timeout=60) == 0
        heard = len(listener.heard)
        (afk.home / "agent.db").unlink()
        runner = afk.start("--supervisor", "fly", env={"PING": listener.url, "HOOK": mailbox.url}, wait=False)
        eventually(
            lambda: ("/s3cret-uuid/fail", "parked (refused)") in listener.heard[heard:], what="without a database"
        )
    finally:
        listener.close()
        mailbox.close()


def test_a_database_of_a_newer_program_parks_there_as_well(afk: World) -> None:
    """It is not touched; that it is parked is told outside of it."""
    afk.init("")
    version = afk.one("PRAGMA user_version")
    bump(afk, 9_999)

    runner = afk.start("--supervisor", "fly", wait=False)
    eventually(lambda: "newer" in (afk.home / "heartbeat").read_text() if (afk.home / "heartbeat").exists() else False)
    assert afk.call("run", "--supervisor", "none").returncode == 74

    bump(afk, version)
    eventually(lambda: row(afk) == ("running", None, runner.pid))


def bump(afk: World, version: int) -> None:
    code = f"import sqlite3; sqlite3.connect({str(afk.home / 'agent.db')!r}).execute('PRAGMA user_version = {version}')"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Callable[[], list[str]]]:
    """What systemd has heard so far. It listens all the time: what nobody reads, the kernel keeps little of."""
    heard: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))

        def listen() -> None:
            while word := listener.recv(4096).decode():
                heard.append(word)

        listening = threading.Thread(target=listen, daemon=True)
        listening.start()
        yield lambda: list(heard)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.connect(str(tmp_path / "notify"))
            last.send(b"")
        listening.join()


def test_systemd_hears_of_the_whole_life_of_a_runner_and_of_its_second(
    afk: World, tmp_path: Path, systemd: Callable[[], list[str]]
) -> None:
    afk.init("")
    watched = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "60000000"}
    runner = afk.start("--supervisor", "systemd", env=watched)
    eventually(lambda: {"READY=1", "STATUS=running", "WATCHDOG=1"} <= set(systemd()))
    (looked,) = eventually(
        lambda: afk.sql("SELECT value FROM control WHERE key = 'reach'"), what="it looked for itself"
    )
    assert json.loads(looked[0])[str(afk.home)] is None, "the home can be opened"
    afk.afk("kill")
    eventually(lambda: "STATUS=parked (stop)" in systemd())
    fed = systemd().count("WATCHDOG=1")
    eventually(lambda: systemd().count("WATCHDOG=1") > fed, what="parked, it is fed")
    assert "STOPPING=1" not in systemd()

    ready = systemd().count("READY=1")
    second = afk.start("--supervisor", "systemd", env=watched, wait=False)
    eventually(lambda: systemd().count("READY=1") == ready + 1, what="who stands by is where it should be")
    eventually(lambda: any("standing by" in line for line in systemd()))
    assert second.poll() is None
    second.send_signal(signal.SIGTERM)
    assert second.wait(timeout=60) == 0

    runner.send_signal(signal.SIGTERM)
    assert runner.wait(timeout=60) == 0
    eventually(lambda: "STOPPING=1" in systemd())


def test_two_signals_end_a_supervised_runner_with_a_success(afk: World) -> None:
    """An impatient second one must not make a supervisor bring it back; a person's own runner says 130."""
    afk.init('[runner]\nworkers = 1\nstop_grace = "1h"\n', tasks=TASKS)
    for supervisor, code in (("systemd", 0), ("none", 130)):
        afk.afk("enqueue", "sit", "--again")
        runner = afk.start("--supervisor", supervisor)
        eventually(lambda: afk.counts().get("running") == 1)
        runner.send_signal(signal.SIGTERM)
        eventually(lambda: row(afk)[0] == "draining")
        runner.send_signal(signal.SIGINT)

        assert runner.wait(timeout=60) == code


def test_pings_go_out_while_it_works_and_while_it_is_parked(afk: World) -> None:
    """And when nobody answers, a status says so and nothing else changes. The URL is nowhere to be read."""
    listener = Listener(200)
    try:
        afk.init('[watch]\nping_url = "env:PING"\nping_every = "5s"\n')
        runner = afk.start(env={"PING": listener.url})
        eventually(lambda: ("/s3cret-uuid", "running") in listener.heard)
        assert listener.heard[0][0] == "/s3cret-uuid/start"
        eventually(lambda: afk.status()["lately"]["ping_answered_at"])

        afk.afk("kill")
        eventually(lambda: ("/s3cret-uuid", "parked (stop)") in listener.heard)
    finally:
        listener.close()
    eventually(lambda: afk.status()["lately"]["ping_fault"])
    eventually(lambda: "the last one was not: Connect" in afk.afk("status"))
    assert not any(path.endswith("/fail") for path, _ in listener.heard)
    afk.kill9(runner)  # no file comes or goes any more
    eventually(lambda: not afk.processes(), what="nothing left that writes")
    kept = b"".join(path.read_bytes() for path in afk.home.rglob("*") if path.is_file())
    assert b"s3cret" not in kept


def test_a_runner_that_is_asked_to_end_in_its_first_moment_has_not_crashed(afk: World) -> None:
    """Before there is a loop to hear it, a supervisor's signal is heard all the same."""
    afk.init("", tasks=TASKS)
    starts = afk.home / "starts.json"
    runner = afk.start("--supervisor", "systemd", wait=False)
    eventually(starts.exists)

    runner.send_signal(signal.SIGTERM)

    assert runner.wait(timeout=60) == 0
    assert [start["clean"] for start in json.loads(starts.read_text())["starts"]] == [True]
