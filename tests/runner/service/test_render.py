"""One source and one time budget: the same file whoever renders it, and never a secret in it."""

from __future__ import annotations

import plistlib
import re
import tomllib
from pathlib import Path

import pytest

from runner.errors import ConfigError, Refused
from runner.service.plan import Platform
from tests.runner.service import golden
from tests.runner.service.world import MAC, SERVER, machine_for, rendered, settings

UNITS = (Platform.SYSTEMD_USER, Platform.SYSTEMD_SYSTEM)
JOBS = (Platform.LAUNCHD, Platform.LAUNCHD_DAEMON)


def test_every_file_is_the_one_that_was_read_by_a_person() -> None:
    """`python -m tests.runner.service.golden` writes them anew after a change that is meant."""
    kept = {
        str(path.relative_to(golden.FOLDER)): path.read_text() for path in golden.FOLDER.rglob("*") if path.is_file()
    }

    assert golden.files() == kept


@pytest.mark.parametrize("platform", list(Platform))
def test_two_renders_are_the_same_whatever_the_shell_holds(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(tmp_path)
    first = rendered(platform, config)
    for name in ("PATH", "HOME", "LANG", "LC_ALL", "USER", "SHELL", "XDG_CONFIG_HOME", "AFK_HOME", "PYTHONPATH", "TZ"):
        monkeypatch.setenv(name, "/elsewhere")
    monkeypatch.chdir(tmp_path)

    assert rendered(platform, settings(tmp_path)) == first


@pytest.mark.parametrize("platform", list(Platform))
def test_the_time_to_end_is_the_same_for_everybody(platform: Platform, tmp_path: Path) -> None:
    """A grace of 33.5 s: 34, 5 for the ledger, 5 for children, 15 for a busy machine."""
    config = settings(tmp_path, '[runner]\nstop_grace = "33500ms"\n')
    assert config.runner.end_within_s == 59
    text = "".join(file.text for file in rendered(platform, config))

    told = re.findall(
        r"(?:TimeoutStopSec=|kill_timeout = \"|stop_grace_period: |ExitTimeOut</key>\s*<integer>)(\d+)", text
    )

    assert told == ([] if platform is Platform.CRON else ["59"])


def test_fly_is_refused_a_grace_it_would_cut_short(tmp_path: Path) -> None:
    config = settings(tmp_path, '[runner]\nstop_grace = "5m"\n')

    with pytest.raises(Refused, match=r"Fly waits 300 s at most .* may take 325 s .*stop_grace"):
        rendered(Platform.FLY, config)


@pytest.mark.parametrize("platform", [*JOBS, *UNITS, Platform.CRON])
def test_a_file_that_would_hold_a_secret_is_refused(platform: Platform, tmp_path: Path) -> None:
    """By its value, whatever it looks like."""
    text = '[upstreams.house]\nurl = "https://house.example"\nkey = "env:HOUSE"\n[service]\npath = ["/opt/tr0ub4dor"]\n'
    config = settings(tmp_path, text, {"HOUSE": "tr0ub4dor"})

    with pytest.raises(ConfigError, match="would hold a secret of this home") as refused:
        rendered(platform, config)
    assert "tr0ub4dor" not in str(refused.value)


@pytest.mark.parametrize("platform", [*JOBS, *UNITS, Platform.CRON])
@pytest.mark.parametrize("key", ["sk-ant-api03-" + "x" * 24, "ghp_" + "x" * 36, "AKIA" + "ABCDEFGH23456789"])
def test_what_looks_like_a_key_is_refused(platform: Platform, key: str, tmp_path: Path) -> None:
    """Also one that no setting names."""
    config = settings(tmp_path, f'[service]\npath = ["/opt/{key}/bin"]\n')

    with pytest.raises(ConfigError, match="looks like a key") as refused:
        rendered(platform, config)
    assert key not in str(refused.value)


@pytest.mark.parametrize("platform", [*JOBS, *UNITS, Platform.CRON])
@pytest.mark.parametrize("name", ["two\nlines", "carriage\rreturn", "bell\x07", "line\u2028separator", "odd\ufffe"])
def test_a_home_no_file_can_carry_is_refused_in_one_sentence(platform: Platform, name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no service file can carry it") as refused:
        rendered(platform, settings(tmp_path), home=Path("/srv") / name)
    assert "\n" not in str(refused.value)
    assert str(refused.value).isprintable()


def test_the_usual_home_has_the_plain_name_and_others_tell_themselves_apart(tmp_path: Path) -> None:
    """Two homes of one name in two places are two services."""
    config = settings(tmp_path)
    names = [
        rendered(Platform.SYSTEMD_USER, config, home=Path(home))[0].name
        for home in ("/home/ada/.afk", "/srv/Mail Bot", "/opt/Mail Bot", "/srv/日本")
    ]

    assert names[0] == "afk-runner.service"
    assert re.fullmatch(r"afk-runner-mail-bot-[0-9a-f]{6}\.service", names[1])
    assert re.fullmatch(r"afk-runner-[0-9a-f]{6}\.service", names[3])
    assert len(set(names)) == 4


def test_service_settings_reach_every_file(tmp_path: Path) -> None:
    text = """
[service]
name = "night_shift"
program = "/opt/afk/bin/afk-runner"
path = ["/opt/tools", "/opt/more tools"]
lang = "de_DE.UTF-8"
"""
    config = settings(tmp_path, text)

    for platform in (*JOBS, *UNITS, Platform.CRON):
        (file,) = rendered(platform, config)
        assert "night_shift" in file.name
        for said in ("/opt/afk/bin/afk-runner", "/opt/tools:/opt/more tools:", "de_DE.UTF-8"):
            assert said in file.text


def test_a_container_knows_nothing_of_this_machine(tmp_path: Path) -> None:
    """Its home, PATH and user are its own: what hostile paths could do there is nothing."""
    config = settings(tmp_path, '[service]\nname = "Night_Shift"\npath = ["/opt/toolbox"]\n')

    for platform in (Platform.DOCKER, Platform.FLY):
        text = "".join(file.text for file in rendered(platform, config, home=Path('/srv/we"ird $home'), machine=SERVER))
        assert not re.search(r"/srv|\bada\b|toolbox|ird", text)


def test_fly_has_one_machine_one_volume_and_no_proxy(tmp_path: Path) -> None:
    (file,) = rendered(Platform.FLY, settings(tmp_path, '[service]\nname = "Night_Shift"\n'))
    told = tomllib.loads(file.text)

    assert told["app"] == "night-shift"
    assert (told["kill_signal"], told["kill_timeout"]) == ("SIGTERM", "45s")
    assert told["restart"] == [{"policy": "always"}]
    assert [mount["destination"] for mount in told["mounts"]] == ["/var/lib/afk"]
    assert not {"http_service", "services", "processes", "env"} & told.keys()


@pytest.mark.parametrize("platform", JOBS)
def test_macos_keeps_a_language_it_has(platform: Platform, tmp_path: Path) -> None:
    """macOS has no C.UTF-8 everywhere, Linux has no en_US.UTF-8 everywhere."""
    (file,) = rendered(platform, settings(tmp_path))

    assert plistlib.loads(file.text.encode())["EnvironmentVariables"]["LANG"] == "en_US.UTF-8"
    assert machine_for(platform) is MAC
