"""launchd's property list: every key known and of its type, none twice, nothing relative."""

from __future__ import annotations

import plistlib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from runner.errors import Refused
from runner.home import Home
from runner.service import launchd
from runner.service.plan import Platform, make_plan
from tests.runner.service.world import MAC, rendered, settings

# Source: launchd.plist(5). A type in a tuple is that of every item, in a mapping that of every value.
KEYS: dict[str, Any] = {
    "Label": str,
    "ProgramArguments": [str],
    "WorkingDirectory": str,
    "EnvironmentVariables": {str: str},
    "RunAtLoad": bool,
    "KeepAlive": {"SuccessfulExit": bool},
    "ThrottleInterval": int,
    "ExitTimeOut": int,
    "ProcessType": str,
    "Umask": int,
    "StandardOutPath": str,
    "StandardErrorPath": str,
    "UserName": str,
    "LimitLoadToSessionType": [str],
}


def faults(text: str) -> list[str]:
    """What is wrong with a property list; plistlib alone accepts keys that are given twice and takes the last."""
    found = []
    for table in ElementTree.fromstring(text).iter("dict"):
        names = [child.text for child in table if child.tag == "key"]
        found += [f"{name} is given twice" for name in sorted({*names}) if names.count(name) > 1]
    return found + _wrong(plistlib.loads(text.encode()), KEYS, "")


def _wrong(value: Any, known: Any, where: str) -> list[str]:
    if isinstance(known, list):
        items = value if isinstance(value, list) else [None]
        return [said for item in items for said in _wrong(item, known[0], f"{where}[]")]
    if isinstance(known, dict):
        if not isinstance(value, dict):
            return [f"{where} is no dictionary"]
        if str in known:
            return [said for key, item in value.items() for said in _wrong(item, known[str], f"{where}.{key}")]
        strange = [f"{where}.{key} is unknown" for key in value.keys() - known.keys()]
        return strange + [
            said for key in value.keys() & known.keys() for said in _wrong(value[key], known[key], f"{where}.{key}")
        ]
    return [] if type(value) is known else [f"{where} is {type(value).__name__}, not {known.__name__}"]


@pytest.mark.parametrize("platform", [Platform.LAUNCHD, Platform.LAUNCHD_DAEMON])
@pytest.mark.parametrize("session", ["gui", "user"])
def test_every_key_is_known_of_its_type_and_there_once(platform: Platform, session: str, tmp_path: Path) -> None:
    (file,) = rendered(platform, settings(tmp_path, f'[service]\nsession = "{session}"\n'))

    assert faults(file.text) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<true/>", "<string>true</string>"),
        ("<integer>63</integer>", "<string>077</string>"),
        ("<key>ThrottleInterval</key>", "<key>ThrottleIntervall</key>"),
        ("<key>RunAtLoad</key>", "<key>Label</key>\n\t<string>x</string>\n\t<key>RunAtLoad</key>"),
        ("<string>launchd</string>", "<integer>1</integer>"),
        (
            "<key>SuccessfulExit</key>\n\t\t<false/>",
            "<key>SuccessfulExit</key>\n\t\t<false/>\n\t\t<key>SuccessfulExit</key>\n\t\t<true/>",
        ),
    ],
)
def test_the_table_sees_what_plistlib_lets_pass(old: str, new: str, tmp_path: Path) -> None:
    (file,) = rendered(Platform.LAUNCHD, settings(tmp_path))
    assert file.text.count(old) >= 1
    broken = file.text.replace(old, new, 1)

    plistlib.loads(broken.encode())
    assert faults(broken)


@pytest.mark.parametrize("platform", [Platform.LAUNCHD, Platform.LAUNCHD_DAEMON])
def test_paths_are_whole_and_the_file_is_named_by_its_label(platform: Platform, tmp_path: Path) -> None:
    (file,) = rendered(platform, settings(tmp_path))
    job = plistlib.loads(file.text.encode())

    assert file.place is not None
    assert file.place.stem == job["Label"] == "local.afk-runner"
    paths = [job["ProgramArguments"][0], job["ProgramArguments"][-1], job["WorkingDirectory"], job["StandardErrorPath"]]
    assert all(path.startswith("/") for path in [*paths, *job["EnvironmentVariables"]["PATH"].split(":")])
    assert job["Umask"] == 0o077


def test_it_reads_back_the_same_in_both_forms(tmp_path: Path) -> None:
    (file,) = rendered(Platform.LAUNCHD, settings(tmp_path))
    job = plistlib.loads(file.text.encode())

    binary = plistlib.dumps(job, fmt=plistlib.FMT_BINARY, sort_keys=False)

    assert plistlib.loads(binary) == job
    assert plistlib.dumps(plistlib.loads(binary), sort_keys=False) == file.text.encode()


@pytest.mark.parametrize(
    ("where", "refusal"),
    [
        ("/Users/ada/Documents/afk", "macOS keeps background jobs out of /Users/ada/Documents"),
        ("/Users/ada/Library/Mobile Documents/afk", "macOS keeps background jobs out of"),
        ("/Volumes/Stick/afk", "on a volume that may be missing at start"),
    ],
)
def test_a_home_where_macos_asks_first_is_refused(where: str, refusal: str, tmp_path: Path) -> None:
    plan = make_plan(Home(Path(where)), settings(tmp_path), MAC)

    with pytest.raises(Refused, match=refusal):
        launchd.check_places(plan)
    launchd.check_places(make_plan(Home(Path("/Users/ada/.afk")), settings(tmp_path), MAC))
