"""Who may act, on what, and what is said where nothing can be done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runner.errors import ConfigError, Refused
from runner.home import Home
from runner.lock import HomeLock
from runner.service import choose, record
from runner.service.inspect import installed
from runner.service.machine import Machine
from runner.service.plan import Platform
from runner.service.tools import call
from runner.service.verbs import Service
from tests.runner.service.conftest import Make
from tests.runner.service.fakes import Crontab, Tool
from tests.runner.service.world import SETTINGS


def find(home: Home, platform: Platform, machine: Machine, **environ: str) -> Service:
    return Service.find(home, platform, environ, machine=machine)


@pytest.mark.parametrize("verb", ["install", "uninstall", "start", "restart"])
def test_a_part_of_the_service_cannot_act_on_it(verb: str, make: Make, home: Home, crontab: Crontab) -> None:
    """It would end itself half-way and leave nothing that runs. Here the test itself holds the home."""
    lock = HomeLock(home.lock)
    assert lock.take()
    try:
        with pytest.raises(Refused, match="this very process is a part of the service"):
            getattr(make(Platform.CRON), verb)()
    finally:
        lock.close()
    assert crontab.text is None


def test_a_job_cannot_act_on_its_service(home: Home, machine: Machine, crontab: Crontab) -> None:
    with pytest.raises(Refused, match="a part of the service"):
        find(home, Platform.CRON, machine, AFK_TOKEN="t").stop(persist=True)


def test_what_the_kernel_counts_to_the_unit_cannot_either(
    make: Make, monkeypatch: pytest.MonkeyPatch, crontab: Crontab
) -> None:
    """A job that left the runner's tree is in its cgroup still."""
    name = make(Platform.CRON).plan.name
    read = Path.read_text

    def told(path: Path, *args: str, **kwargs: str) -> str:
        if str(path) == "/proc/self/cgroup":
            return f"0::/system.slice/{name}.service\n"
        return read(path, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", told)

    with pytest.raises(Refused, match="a part of the service"):
        make(Platform.CRON).install()


def test_what_belongs_to_the_system_wants_root(home: Home, machine: Machine) -> None:
    person = replace(machine, uid=1000, euid=1000)

    with pytest.raises(Refused, match=r"`sudo .*afk-runner service … --platform systemd-system --home "):
        find(home, Platform.SYSTEMD_SYSTEM, person).install()


def test_root_does_not_act_as_somebody_else(home: Home, machine: Machine) -> None:
    with pytest.raises(Refused, match="belongs to ada; do it as ada"):
        find(home, Platform.SYSTEMD_USER, replace(machine, uid=1000, euid=0)).install()


@pytest.mark.parametrize(("platform", "way"), [(Platform.DOCKER, "docker compose"), (Platform.FLY, "fly deploy")])
def test_containers_have_verbs_of_their_own(platform: Platform, way: str, home: Home, machine: Machine) -> None:
    with pytest.raises(Refused, match=f"verbs of its own: `{way}"):
        find(home, platform, machine)


def test_two_supervisors_are_one_too_many(make: Make, launchctl: Tool, crontab: Crontab) -> None:
    make(Platform.CRON).install()

    with pytest.raises(Refused, match=r"cron keeps this home already; .*uninstall --platform cron` first"):
        make(Platform.LAUNCHD).install()


def test_a_key_of_the_shell_alone_is_missing_in_the_service(home: Home, machine: Machine, crontab: Crontab) -> None:
    """Rendering needs no key, running does: better said now than by a runner that parks."""
    home.config.write_text(SETTINGS + '[upstreams.a]\nurl = "https://a.example"\nkey = "env:A_KEY"\n')

    with pytest.raises(Refused, match=r"would not start: .*A_KEY is set neither .*put it into .*\.env"):
        find(home, Platform.CRON, machine, A_KEY="abcdefgh").install()
    assert crontab.text is None
    home.env.touch(mode=0o600)
    home.env.write_text("A_KEY=abcdefgh\n")
    assert find(home, Platform.CRON, machine).install().changed


def test_what_cannot_be_read_can_still_be_stopped_and_removed(make: Make, home: Home, crontab: Crontab) -> None:
    make(Platform.CRON).install()
    home.config.write_text("nonsense =")

    with pytest.raises(ConfigError):
        make(Platform.CRON).install()
    make(Platform.CRON).stop(persist=False)
    assert make(Platform.CRON).uninstall().changed
    assert crontab.text is None


def test_the_platform_is_the_one_that_is_installed(home: Home, machine: Machine) -> None:
    """Verbs without --platform talk to the same one for ever."""
    assert choose.platform_for(home, machine, None) is Platform.LAUNCHD

    record.write(home, machine, record.Record(platform=Platform.CRON, name="x"))

    assert choose.platform_for(home, machine, None) is Platform.CRON
    assert choose.platform_for(home, machine, Platform.FLY) is Platform.FLY
    assert record.place(home).stat().st_mode & 0o777 == 0o600


def test_verbs_without_an_installation_say_so(make: Make, crontab: Crontab) -> None:
    for act in (
        make(Platform.CRON).start,
        make(Platform.CRON).restart,
        lambda: make(Platform.CRON).stop(persist=False),
    ):
        with pytest.raises(Refused, match=r"nothing is installed for .* on cron"):
            act()


def test_no_test_gets_through_to_the_real_supervisor(reached: Path) -> None:
    """What stands in its place notes the call; a test that made it and did not expect it fails."""
    ran = call(["systemctl", "stop", "somebody's service"])

    assert ran.code == 99
    assert reached.read_text() == "systemctl stop somebody's service\n"
    reached.unlink()


def test_a_service_that_was_renamed_is_still_the_one_that_is_there(make: Make, home: Home, crontab: Crontab) -> None:
    """Nothing of the old name is left behind, and no second one is put beside it."""
    make(Platform.CRON).install()
    old = make(Platform.CRON).plan.name
    home.config.write_text(SETTINGS + '[service]\nname = "other"\n')

    with pytest.raises(Refused, match=f"it is installed as {old} and its settings now name it other"):
        make(Platform.CRON).install()
    (found,) = installed(home)
    assert found.platform == "cron"
    assert make(Platform.CRON).uninstall().changed
    assert crontab.text is None
    assert make(Platform.CRON).install().changed
    assert "# BEGIN other" in str(crontab.text)


def test_a_record_cannot_lead_anybody_astray(make: Make, home: Home, machine: Machine, crontab: Crontab) -> None:
    """Its owner may write what they like into it, and root acts on it."""
    record.write(home, machine, record.Record(platform=Platform.SYSTEMD_SYSTEM, name="../../etc/cron.d/x"))

    assert record.read(home) is None
