"""The rendered units under a real systemd. Opt-in: `make test-systemd`, as root, on a Linux with systemd installed."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator

import pytest

from tests.supervisors.inside import PROGRAM, ROOT, SYSTEMD, Inside, eventually, why_not

pytestmark = pytest.mark.skipif("AFK_SYSTEMD" not in os.environ, reason="opt-in: make test-systemd")

HOME = "/home/ada/my agents"
TOML = """
timezone = "UTC"
[budget]
daily_usd = "1.00"
[runner]
stop_grace = "2s"
[tasks.confined]
kind = "command"
command = ["sh", "-c", "! timeout 2 sh -c 'exec 3<>/dev/tcp/1.1.1.1/53' && echo alone"]
confine = "network"
[tasks.trespass]
kind = "command"
command = ["sh", "-c", "touch /home/ada/outside /etc/outside 2>/dev/null && echo written || echo refused"]
[tasks.within]
kind = "command"
command = ["sh", "-c", "touch here && echo written"]
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    if why := why_not("systemctl", "useradd"):
        pytest.skip(why)
    made = Inside(tmp_path_factory.mktemp("systemd"), SYSTEMD, "--unit=basic.target", "--log-target=console")
    try:
        eventually(lambda: made.call("systemctl", "is-active", "basic.target").returncode == 0, what="basic.target")
        made.must("useradd", "--create-home", "ada")
        yield made
    finally:
        made.close()


@pytest.fixture(params=["systemd-system", "systemd-user"])
def service(machine: Inside, request: pytest.FixtureRequest) -> Iterator[Service]:
    made = Service(machine, request.param)
    yield made
    machine.call("rm", "-rf", HOME)


class Service:
    """The verbs of a person on that machine."""

    def __init__(self, machine: Inside, platform: str) -> None:
        self.machine, self.platform = machine, platform
        self.user = "ada" if platform == "systemd-user" else None
        if self.user:
            machine.must("systemctl", "start", "dbus", "systemd-logind")
            machine.must("loginctl", "enable-linger", "ada")
            uid = machine.must("id", "-u", "ada").strip()
            eventually(lambda: machine.call("test", "-S", f"/run/user/{uid}/systemd/private").returncode == 0)
        machine.must(PROGRAM, "init", "--home", HOME, user="ada")
        machine.must("sh", "-c", f"cat > '{HOME}/afk.toml' <<'END'\n{TOML}\nEND", user="ada")

    def afk(self, *argv: str, code: int = 0) -> str:
        """A verb, as the home's owner."""
        done = self.machine.call(PROGRAM, *argv, "--home", HOME, user="ada")
        assert done.returncode == code, (argv, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def verb(self, *argv: str, code: int = 0) -> str:
        """`service …`, as whoever may."""
        where = ["--platform", self.platform, "--home", HOME]
        done = self.machine.call(PROGRAM, "service", *argv, *where, user=self.user)
        assert done.returncode == code, (argv, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def status(self) -> dict[str, object]:
        where = ["--platform", self.platform, "--home", HOME]
        done = self.machine.call(PROGRAM, "service", "status", "--json", *where, user=self.user)
        found: dict[str, object] = json.loads(done.stdout)
        return found

    def runner(self) -> dict[str, object]:
        found = self.status()["runner"]
        assert isinstance(found, dict)
        return found

    def let_hang(self) -> None:
        """Start it anew with a program whose loop can be made to stand still."""
        program = f'"{sys.executable}" "{ROOT}/tests/e2e/hanging.py"'
        edit = (
            'file=$(find /etc/systemd /home/ada/.config -name "*afk-runner*.service" -type f 2>/dev/null || true); '
            'sed -i "s,^ExecStart=\\"[^\\"]*\\",ExecStart=$0," "$file"; grep -c hanging.py "$file"'
        )
        assert self.machine.must("sh", "-euc", edit, program).strip() == "1"
        uid = self.machine.must("id", "-u", "ada").strip()
        manager = ["env", f"XDG_RUNTIME_DIR=/run/user/{uid}", "systemctl", "--user"] if self.user else ["systemctl"]
        before = self.runner()["id"]
        self.machine.must(*manager, "daemon-reload", user=self.user)
        self.machine.must(*manager, "restart", f"{self.status()['name']}.service", user=self.user)
        eventually(lambda: (now := self.runner())["state"] == "running" and now["id"] != before, what="a new start")

    def processes(self) -> set[int]:
        """Every process of the home, by what its command line names."""
        told = self.machine.must("ps", "-eo", "pid=,args=")
        return {int(line.split()[0]) for line in told.splitlines() if f"{HOME}/" in line or f"--home {HOME}" in line}


def test_systemd_keeps_the_runner_and_lets_go_of_it(service: Service) -> None:
    """Started, killed, parked, frozen, stopped, started again and removed."""
    assert "is running" in service.verb("install")
    first = service.runner()
    assert first["state"] == "running"
    assert "is as it was" in service.verb("install")

    # Killed, it comes back, and nothing of the old one is left.
    old = service.processes()
    service.machine.must("kill", "-KILL", str(first["pid"]))
    eventually(lambda: (now := service.runner())["state"] == "running" and now["id"] != first["id"], what="restart")
    assert not old & service.processes()

    # Parked, it stays the same process.
    second = service.runner()
    service.afk("kill")
    eventually(lambda: service.runner()["state"] == "parked", what="parked")
    assert service.runner()["pid"] == second["pid"]
    service.afk("resume")
    eventually(lambda: service.runner()["state"] == "running", what="resumed")

    # What it may and may not do.
    for task in ("confined", "trespass", "within"):
        service.afk("enqueue", task, "--key", task)
    results = {
        task: eventually(lambda task=task: json.loads(service.afk("job", task, "--json"))["result"], what=task)
        for task in ("confined", "trespass", "within")
    }
    assert "alone" in results["confined"]
    assert "refused" in results["trespass"]
    assert "written" in results["within"]

    # Frozen, it is ended by the watchdog and comes back.
    service.machine.must("kill", "-STOP", str(second["pid"]))
    eventually(
        lambda: (now := service.runner())["state"] == "running" and now["pid"] != second["pid"],
        what="the watchdog's restart",
        within_s=240,
    )

    # Stopped, it stays down until it is started.
    assert "it ended, and the home's lock is free" in service.verb("stop")
    assert service.status()["verdict"] == "not running"
    assert service.processes() == set()
    service.verb("start")
    service.verb("restart")
    assert service.runner()["state"] == "running"
    service.verb("status")

    # Removed, it leaves nothing.
    assert "removed" in service.verb("uninstall")
    assert service.processes() == set()
    service.verb("status", code=4)
    left = service.machine.must(
        "sh", "-c", "find /etc/systemd /home/ada/.config -name '*afk-runner*' 2>/dev/null || true"
    )
    assert left == ""


def test_a_runner_whose_loop_stands_still_is_started_again(service: Service) -> None:
    """It ends itself long before systemd's watchdog would, and the next one says where it hung."""
    service.machine.must("sh", "-c", f"printf '[watch]\\nstall = \"5s\"\\n' >> '{HOME}/afk.toml'", user="ada")
    service.verb("install")
    service.let_hang()
    first, old = service.runner(), service.processes()
    service.machine.must("sh", "-c", f"printf greedy_call > '{HOME}/work/hang'", user="ada")

    eventually(lambda: (now := service.runner())["state"] == "running" and now["id"] != first["id"], what="restart")

    assert not old & service.processes()
    told = service.afk("incidents", "--json")
    assert "it hung in greedy_call (" in told
    assert "removed" in service.verb("uninstall")


def test_settings_that_are_refused_end_it_and_are_not_tried_again(service: Service) -> None:
    """78 is final: systemd says failed, and does not start it again."""
    service.verb("install")
    service.machine.must("sh", "-c", f"echo nonsense = >> '{HOME}/afk.toml'", user="ada")
    pid = service.runner()["pid"]
    service.machine.must("kill", "-KILL", str(pid))

    eventually(lambda: "result exit-code" in str(service.status()["supervisor"]), what="failed for good")
    assert service.status()["verdict"] == "not running"
    assert "restarted 1 times" in str(service.status()["supervisor"])
    assert "removed" in service.verb("uninstall")
