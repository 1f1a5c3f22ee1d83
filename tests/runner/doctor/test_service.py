"""What keeps the runner going, as doctor tells it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from runner.config import ServiceConfig, TaskConfig, TaskKind
from runner.doctor import container, service
from runner.doctor.finding import Finding, Level
from runner.doctor.look import Look
from runner.service.inspect import Installed
from tests.runner.doctor.conftest import Tool, levels

Say = Callable[..., list[Finding]]


def unit(
    platform: str = "systemd-system",
    *,
    path: Path | None = Path("/etc/a.service"),
    current: bool | None = True,
    loaded: bool | None = True,
) -> Installed:
    return Installed(platform=platform, unit=path, current=current, loaded=loaded, note="as it should be")


@pytest.fixture
def said_of(look: Look, monkeypatch: pytest.MonkeyPatch) -> Say:
    """`said_of(unit(), …)`: what is said when those are installed."""

    monkeypatch.setattr(service, "is_container", lambda _environ: False)  # the machine of a test may be one

    def say(*units: Installed, **changes: object) -> list[Finding]:
        monkeypatch.setattr(service, "installed", lambda _home, *, ask: units if ask else ())
        return list(service.service(replace(look, **{"tasks": {}, **changes})))  # type: ignore[arg-type]

    return say


def test_a_home_without_a_service_is_told_how_to_get_one(said_of: Say, look: Look) -> None:
    (said,) = said_of()

    assert (said.level, said.mend) == (Level.WARN, f"afk-runner service install --home {look.home.root}")


@pytest.mark.parametrize(
    ("current", "loaded", "level", "verb"),
    [
        (True, True, Level.OK, None),
        (None, None, Level.OK, None),
        (False, True, Level.WARN, "service install"),
        (True, False, Level.FAIL, "service start"),
    ],
)
def test_a_unit_is_told_as_it_stands(
    said_of: Say, current: bool | None, loaded: bool | None, level: Level, verb: str | None
) -> None:
    (said,) = said_of(unit(current=current, loaded=loaded))

    assert said.level is level
    assert (said.mend is None) if verb is None else verb in (said.mend or "")


def test_two_services_of_one_home_are_told(said_of: Say) -> None:
    said = said_of(unit("launchd"), unit("launchd-daemon"), unit("cron", path=None))

    assert levels(said) == ["ok", "ok", "ok", "warn"]
    assert "launchd and launchd-daemon both start a runner" in said[-1].text


@pytest.mark.parametrize(
    ("linger", "version", "wanted"),
    [
        ("yes", "systemd 252 (252.39-1~deb12u1)", ["ok", "ok"]),
        ("no", "systemd 252 (252.39-1~deb12u1)", ["ok", "warn"]),
        ("yes", "systemd 255 (255.4-1ubuntu8.6)", ["ok", "ok", "warn"]),
        ("yes", "systemd 256 (256.2-1)", ["ok", "ok", "warn"]),
        ("yes", "systemd 256 (256.7-2)", ["ok", "ok"]),
        ("yes", "systemd 257 (257.1)", ["ok", "ok"]),
    ],
)
def test_the_traps_of_a_unit_of_a_user(said_of: Say, tool: Tool, linger: str, version: str, wanted: list[str]) -> None:
    tool("loginctl", f"echo {linger}")
    tool("systemctl", f"echo '{version}'")

    assert levels(said_of(unit("systemd-user"))) == wanted


@pytest.mark.parametrize(("code", "level"), [(0, "warn"), (1, "ok"), (217, "fail")])
def test_strict_hardening_is_tried(said_of: Say, look: Look, tool: Tool, code: int, level: str) -> None:
    """Some managers of users ignore it without a word."""
    assert look.config is not None
    config = replace(look.config, service=ServiceConfig(hardening="strict"))
    tool("loginctl", "echo yes")
    tool("systemctl", "echo systemd 252")
    tool("systemd-run", f"exit {code}")

    said = said_of(unit("systemd-user"), config=config)

    assert levels(said)[2:] == [level]


def test_cron_on_a_mac_is_told(said_of: Say) -> None:
    assert levels(said_of(unit("cron", path=None), platform="darwin")) == ["ok", "warn"]
    assert levels(said_of(unit("cron", path=None))) == ["ok"]


def test_a_program_the_service_would_not_find_is_told(said_of: Say, tmp_path: Path) -> None:
    """The PATH of a shell is not the one of a service."""
    (tmp_path / "only-here").write_text("#!/bin/sh\n")
    (tmp_path / "only-here").chmod(0o755)
    tasks = {
        name: TaskConfig(name=name, kind=TaskKind.COMMAND, command=(command,))
        for name, command in (("a", "only-here"), ("b", "sh"))
    }

    said = said_of(unit(), tasks=tasks, environ={"PATH": f"{tmp_path}:/bin"})

    assert [each.text for each in said[1:]] == ["task a: only-here is on your PATH and not on the service's"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sh", "-c", "afk-runner run"], "a shell, which passes no signal on"),
        (["/usr/bin/uv", "run", "afk-runner"], "uv run"),
        (["/app/bin/python", "/app/bin/afk-runner", "run"], None),
    ],
)
def test_the_first_process_of_a_container(tmp_path: Path, words: list[str], said: str | None) -> None:
    first = tmp_path / "cmdline"
    first.write_bytes(b"\0".join(word.encode() for word in words) + b"\0")

    found = list(container.examined(tmp_path, first=first, root=Path("/proc"), user=1000))

    assert found[0].text == f"{tmp_path} is on a volume"
    assert len(found) == (1 if said is None else 2)
    assert said is None or said in found[1].text


def test_a_home_in_the_layer_of_a_container_is_told(tmp_path: Path) -> None:
    """A new container would forget what today has cost."""
    found = list(container.examined(tmp_path, first=tmp_path / "none", root=tmp_path, user=0))

    assert levels(found) == ["warn", "warn"]
