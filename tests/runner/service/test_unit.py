"""systemd's unit: each key in the section that knows it, nothing systemd would ignore, words that arrive whole."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from runner.errors import Refused
from runner.home import Home
from runner.service import systemd
from runner.service.machine import Machine
from runner.service.plan import Platform, make_plan
from tests.runner.service.world import SERVER, rendered, settings

SCOPES = [Platform.SYSTEMD_USER, Platform.SYSTEMD_SYSTEM]

# Source: systemd.unit(5), systemd.service(5), systemd.exec(5), systemd.kill(5), systemd.resource-control(5).
SECTIONS = {
    "Unit": {"Description", "After", "StartLimitIntervalSec", "StartLimitBurst"},
    "Service": {
        *("Type", "NotifyAccess", "ExecStart", "Environment", "User", "Restart", "RestartSec", "OOMPolicy"),
        *("RestartPreventExitStatus", "TimeoutStartSec", "TimeoutStopSec", "WatchdogSec", "KillMode", "UMask"),
        *("NoNewPrivileges", "RestrictSUIDSGID", "RestrictRealtime", "LockPersonality", "SystemCallArchitectures"),
        *("TasksMax", "MemoryMax", "CapabilityBoundingSet", "ProtectSystem", "PrivateTmp", "PrivateDevices"),
        *("ProtectClock", "ProtectControlGroups", "ProtectHostname", "ProtectKernelLogs", "ProtectKernelModules"),
        *("ProtectKernelTunables", "ProtectProc", "RemoveIPC", "RestrictAddressFamilies", "SystemCallFilter"),
        *("SystemCallErrorNumber", "ReadWritePaths", "ProtectHome", "PrivateUsers"),
    },
    "Install": {"WantedBy"},
}


def parts(text: str) -> dict[str, dict[str, str]]:
    """The sections of a unit; a key that is given twice is a fault of its own."""
    found: dict[str, dict[str, str]] = {}
    section = ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
            found[section] = {}
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            assert key not in found[section], f"{key} twice"
            found[section][key] = value
    return found


@pytest.mark.parametrize("platform", SCOPES)
@pytest.mark.parametrize("hardening", ["standard", "strict"])
def test_each_key_stands_in_the_section_that_knows_it(platform: Platform, hardening: str, tmp_path: Path) -> None:
    """systemd only warns of a key in the wrong place, and goes on without it."""
    (file,) = rendered(platform, settings(tmp_path, f'[service]\nhardening = "{hardening}"\n'))

    for section, keys in parts(file.text).items():
        assert keys.keys() <= SECTIONS[section]


def test_what_keeps_a_runner_going_is_written_down(tmp_path: Path) -> None:
    unit = parts(rendered(Platform.SYSTEMD_SYSTEM, settings(tmp_path))[0].text)

    service = unit["Service"]
    assert (service["Type"], service["WatchdogSec"], service["KillMode"]) == ("notify", "60", "mixed")
    assert (service["Restart"], service["RestartPreventExitStatus"]) == ("on-failure", "64 78")
    assert (unit["Unit"]["StartLimitIntervalSec"], unit["Unit"]["StartLimitBurst"]) == ("600", "5")
    assert unit["Install"]["WantedBy"] == "multi-user.target"


def test_a_user_unit_promises_no_sandbox_a_user_manager_would_ignore(tmp_path: Path) -> None:
    """ProtectSystem, ProtectHome and PrivateTmp hold there only together with PrivateUsers."""
    plain = parts(rendered(Platform.SYSTEMD_USER, settings(tmp_path))[0].text)["Service"]
    strict = settings(tmp_path, '[service]\nhardening = "strict"\n')
    strictly = parts(rendered(Platform.SYSTEMD_USER, strict)[0].text)["Service"]

    assert not {"ProtectSystem", "ProtectHome", "PrivateTmp", "ReadWritePaths", "User"} & plain.keys()
    assert {"PrivateUsers", "ProtectSystem", "ReadWritePaths"} <= strictly.keys()


def test_a_task_may_write_where_it_works(tmp_path: Path) -> None:
    """And a folder that is missing keeps nothing from starting."""
    text = '[tasks.sweep]\nkind = "command"\ncommand = ["true"]\ncwd = "/srv/the repo"\n'
    service = parts(rendered(Platform.SYSTEMD_SYSTEM, settings(tmp_path, text))[0].text)["Service"]

    assert service["ReadWritePaths"] == '"/home/ada/.afk" "-/srv/the repo"'


def test_homes_of_people_are_out_of_sight_where_none_is_needed(tmp_path: Path) -> None:
    config = settings(tmp_path, '[service]\nprogram = "/opt/afk/bin/afk-runner"\n')
    away = parts(rendered(Platform.SYSTEMD_SYSTEM, config, home=Path("/srv/afk"))[0].text)["Service"]
    within = parts(rendered(Platform.SYSTEMD_SYSTEM, config)[0].text)["Service"]

    assert (away["ProtectHome"], within["ProtectHome"]) == ("yes", "read-only")


@pytest.mark.parametrize("sign", ["'", '"', "\\"])
def test_a_program_systemd_would_not_start_is_refused(sign: str, tmp_path: Path) -> None:
    machine = SERVER
    plan = make_plan(
        Home(Path("/srv/afk")), settings(tmp_path, f"[service]\nprogram = '''/opt/a{sign}b/afk-runner'''\n"), machine
    )

    with pytest.raises(Refused, match="starts no program with a quote or a backslash"):
        systemd.render(plan, machine, system=False)


def test_a_user_no_unit_can_name_is_refused(tmp_path: Path) -> None:
    machine = Machine(
        system="Linux", user="a da", uid=7, gid=7, user_home=Path("/h"), euid=7, program=Path("/bin/afk-runner")
    )

    with pytest.raises(Refused, match="which a unit cannot name"):
        rendered(Platform.SYSTEMD_SYSTEM, settings(tmp_path), machine=machine)


# --- what systemd itself says of it -----------------------------------------------------------------------------------

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze on this machine to ask"
)
HOSTILE = "/srv/a b$X ${HOME} %h %% 'q' \"w\" \\z é — ;#& \\"


PROGRAM = "/opt/a b$X %h é/afk-runner"


def program_in(folder: Path) -> Path:
    """A program under a name that has to be quoted."""
    program = folder / "a b$X %h é" / "afk-runner"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program


def analyze(*words: str, runtime: Path) -> subprocess.CompletedProcess[str]:
    """`systemd-analyze`; even with --user it wants a runtime folder."""
    env = {**os.environ, "XDG_RUNTIME_DIR": str(runtime), "LC_ALL": "C"}
    return subprocess.run(["systemd-analyze", *words], env=env, capture_output=True, text=True, check=False)


@needs_systemd
@pytest.mark.parametrize("platform", SCOPES)
@pytest.mark.parametrize("hardening", ["standard", "strict"])
def test_systemd_has_nothing_to_remark(platform: Platform, hardening: str, tmp_path: Path) -> None:
    """It exits 0 for misspelt keys and bad values: only an empty stderr is a yes."""
    text = f'[service]\nhardening = "{hardening}"\nprogram = """{program_in(tmp_path)}"""\n'
    (file,) = rendered(platform, settings(tmp_path, text), home=Path(HOSTILE))
    unit = tmp_path / file.name
    unit.write_text(file.text)
    scope = ["--user"] if platform is Platform.SYSTEMD_USER else ["--system"]

    said = analyze("verify", *scope, "--man=no", str(unit), runtime=tmp_path)

    assert (said.returncode, said.stderr) == (0, "")


@needs_systemd
def test_the_check_sees_what_systemd_only_warns_of(tmp_path: Path) -> None:
    (file,) = rendered(
        Platform.SYSTEMD_USER, settings(tmp_path, f'[service]\nprogram = """{program_in(tmp_path)}"""\n')
    )
    unit = tmp_path / file.name
    unit.write_text(file.text.replace("[Service]\n", "[Service]\nStartLimitIntervalSec=600\nWatchdog=60\n"))

    said = analyze("verify", "--user", "--man=no", str(unit), runtime=tmp_path)

    assert said.returncode == 0
    assert "StartLimitIntervalSec" in said.stderr
    assert "Watchdog" in said.stderr


@needs_systemd
def test_the_system_unit_is_well_hardened(tmp_path: Path) -> None:
    (file,) = rendered(Platform.SYSTEMD_SYSTEM, settings(tmp_path))
    unit = tmp_path / file.name
    unit.write_text(file.text)

    said = analyze("security", "--offline=yes", "--threshold=30", "--no-pager", str(unit), runtime=tmp_path)

    assert said.returncode == 0, said.stdout.splitlines()[-1]


@pytest.mark.skipif(not Path("/lib/systemd/systemd").exists(), reason="there is no systemd on this machine to ask")
def test_systemd_reads_back_every_word_as_it_is(tmp_path: Path) -> None:
    """A manager that only tests loads the unit and shows what it understood. It does that for nobody who is root."""
    text = f'[service]\nhardening = "strict"\npath = [\'\'\'{HOSTILE}\'\'\']\nprogram = """{PROGRAM}"""\n'
    (file,) = rendered(Platform.SYSTEMD_USER, settings(tmp_path, text), home=Path(HOSTILE))
    nobody = 65534 if os.geteuid() == 0 else None

    with tempfile.TemporaryDirectory(prefix="afk-") as open_folder:
        folder = Path(open_folder)
        folder.chmod(0o777)  # nobody has to get in, and pytest's folders are closed
        (folder / file.name).write_text(file.text)
        env = {"PATH": "/usr/bin:/bin", "HOME": open_folder, "XDG_RUNTIME_DIR": open_folder}
        said = subprocess.run(
            ["/lib/systemd/systemd", "--test", "--user", f"--unit={file.name}", "--no-pager"],
            env={**env, "SYSTEMD_UNIT_PATH": f"{folder}:"},
            user=nobody,
            group=nobody,
            extra_groups=[] if nobody else None,
            capture_output=True,
            text=True,
            check=False,
        )
    _, _, ours = said.stdout.partition(f"-> Unit {file.name}:")
    ours, _, _ = ours.partition("-> Unit ")
    if not ours:
        pytest.skip(f"systemd does not test here: {said.stderr.strip()[-200:]}")

    home = _shown(HOSTILE.replace("$", "$$"))  # a variable is looked for when the program is started
    assert f"Command Line: {_shown(PROGRAM)} run --supervisor systemd --home {home}\n" in ours
    assert f"ReadWritePaths: {HOSTILE}\n" in ours
    assert f"PATH={HOSTILE}:/home/ada/.local/bin:" in ours


def _shown(word: str) -> str:
    """As systemd quotes a word for people. Source: shell_escape in systemd's src/basic/escape.c."""
    return '"' + re.sub(r'(["\\$`])', r"\\\1", word) + '"'
