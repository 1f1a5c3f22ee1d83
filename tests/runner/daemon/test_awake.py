"""The lease against idle sleep, with stand-ins for the two programs of a Mac first on PATH."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from runner.daemon import awake
from runner.daemon.awake import Awake
from tests.e2e.world import eventually

PMSET = "#!/bin/sh\necho pmset $* >> {log}\necho \"Now drawing from '{source}'\"\necho ' -InternalBattery-0 81%'\n"
CAFFEINATE = "#!/bin/sh\necho caffeinate $* key=$SECRET >> {log}\nexec sleep 60\n"


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What was started, a line each."""
    path = tmp_path / "log"
    path.touch()
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("SECRET", "hunter22")
    monkeypatch.setattr(awake, "ASK_S", 60.0)
    monkeypatch.setattr(awake, "RENEW_S", 3600.0)
    program(tmp_path, "caffeinate", CAFFEINATE.format(log=path))
    program(tmp_path, "pmset", PMSET.format(log=path, source="AC Power"))
    return path


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(text)
    path.chmod(0o700)


def started(log: Path) -> list[str]:
    return log.read_text().splitlines()


async def until(log: Path, lines: int) -> list[str]:
    await asyncio.to_thread(eventually, lambda: len(started(log)) >= lines)
    return started(log)


async def settled(lease: Awake) -> None:
    """Until it has decided."""
    if lease._renewal is not None:
        await asyncio.wait([lease._renewal])
        await asyncio.sleep(0)  # its callback


async def test_on_mains_power_a_lease_is_taken_and_let_go_of_at_the_end(log: Path) -> None:
    lease = Awake("on_power", platform="darwin")

    lease.look(working=True)
    words = await until(log, 2)
    await settled(lease)
    await lease.close()  # it waits for the program, which would sleep for a minute, to be gone

    assert words == ["pmset -g batt", "caffeinate -i -t 120 key="]


async def test_it_is_renewed_while_something_works_and_not_sooner(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = Awake("always", platform="darwin")
    for _ in range(5):
        lease.look(working=True)
    await until(log, 1)
    await settled(lease)
    lease.look(working=True)
    assert lease._renewal is None, "its time is not over"

    monkeypatch.setattr(awake, "RENEW_S", 0.0)
    lease.look(working=False)
    assert lease._renewal is None, "nothing works"
    lease.look(working=True)
    words = await until(log, 2)
    await settled(lease)
    await lease.close()

    assert words == ["caffeinate -i -t 120 key="] * 2


async def test_on_battery_the_machine_may_sleep(log: Path, tmp_path: Path) -> None:
    program(tmp_path, "pmset", PMSET.format(log=log, source="Battery Power"))
    lease = Awake("on_power", platform="darwin")

    lease.look(working=True)
    await settled(lease)
    await lease.close()

    assert started(log) == ["pmset -g batt"]


@pytest.mark.parametrize(("how", "platform"), [("never", "darwin"), ("always", "linux"), ("on_power", "linux")])
async def test_nothing_is_started_elsewhere_or_where_it_is_not_wanted(log: Path, how: str, platform: str) -> None:
    lease = Awake(how, platform=platform)

    lease.look(working=True)
    await settled(lease)
    await lease.close()

    assert started(log) == []


async def test_without_the_programs_nothing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    lease = Awake("on_power", platform="darwin")

    lease.look(working=True)
    await settled(lease)
    await lease.close()
