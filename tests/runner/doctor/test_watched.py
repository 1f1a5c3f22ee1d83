"""No check takes the others along."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from types import SimpleNamespace

import pytest

from runner import doctor
from runner.doctor import state
from runner.doctor.finding import Finding, Level, ok
from runner.doctor.look import Look
from runner.doctor.watched import watched
from runner.store import runners
from runner.store.runners import RunState
from runner.views import Health, RunnerView
from tests.factories import make_runner
from tests.runner.cli.world import SETTINGS


def sound() -> Iterator[Finding]:
    yield ok("sound", "well")


def breaks() -> Iterator[Finding]:
    yield ok("breaks", "seen before")
    raise ZeroDivisionError("nobody thought of it")


def test_a_check_that_fails_keeps_what_it_had_found_and_hides_nothing() -> None:
    found = watched([("breaks", breaks), ("sound", sound)])

    assert [(finding.name, finding.level) for finding in found] == [
        ("breaks", Level.OK),
        ("breaks", Level.WARN),
        ("sound", Level.OK),
    ]
    assert found[1].text == "could not be looked at: ZeroDivisionError: nobody thought of it"


def test_a_check_that_never_comes_back_is_named_and_waited_for_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    hanging, never = threading.Event(), threading.Event()

    def hangs() -> Iterator[Finding]:
        yield ok("hangs", "seen before")
        hanging.set()
        never.wait()

    def moments() -> Iterator[float]:
        yield 0.0
        assert hanging.wait(60)
        yield 40.0  # its time is up
        yield 0.0  # and that of the other is not, however late it has its turn

    monkeypatch.setitem(watched.__globals__, "time", SimpleNamespace(monotonic=moments().__next__))
    try:
        found = watched([("hangs", hangs), ("sound", sound)], limit_s=40.0)
    finally:
        never.set()

    assert [finding.text for finding in found] == [
        "seen before",
        "did not answer within 40s; what it looks at hangs",
        "well",
    ]


def test_a_hanging_check_does_not_keep_the_program_from_ending() -> None:
    """Its thread is nobody's to wait for, also at the exit of the process."""
    script = (
        "import time; from runner.doctor.watched import watched\n"
        "print([f.level.value for f in watched([('h', lambda: time.sleep(3600))], limit_s=0.1)])"
    )

    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)

    assert ended.stdout == "['fail']\n"


def test_no_finding_repeats_a_secret(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a check quotes: a tool, an upstream, an error."""
    secret = "sk-of-the-owner-0123456789"
    look.home.config.write_text(SETTINGS + '[upstreams.a]\nurl = "http://127.0.0.1:9"\nkey = "env:SOME_KEY"\n')

    def leaks(_look: Look) -> Iterator[Finding]:
        yield doctor.Finding(level=Level.WARN, name="a", text=f"it said {secret}", mend=f"echo {secret}")

    monkeypatch.setattr(doctor, "CHECKS", (("a", leaks),))
    found = doctor.examine(look.home, environ={**look.environ, "SOME_KEY": secret}, offline=True, platform="linux")

    assert secret not in json.dumps([finding.document() for finding in found])
    assert any(finding.text == "it said [redacted]" for finding in found)


@pytest.mark.parametrize(
    ("ended", "told"), [("signal", "said goodbye"), ("forced by ada@cli at noon", "was forced by ada@cli at noon")]
)
def test_how_the_last_runner_ended_is_told(look: Look, ended: str, told: str) -> None:
    with closing(sqlite3.connect(look.home.db, isolation_level=None)) as db:
        make_runner(db)
        (row,) = runners.present(db)

    found = state.health(look, RunnerView(health=Health.STOPPED, row=replace(row, ended=ended)))

    assert found.text == f"none runs; pid {row.pid} {told}"


@pytest.mark.parametrize("reason", ["breaker", "disk", "refused"])
def test_every_way_to_park_has_its_mend(look: Look, reason: str) -> None:
    with closing(sqlite3.connect(look.home.db, isolation_level=None)) as db:
        make_runner(db, state=RunState.PARKED, reason=reason)
        (row,) = runners.present(db)

    found = state.health(look, RunnerView(health=Health.LIVE, row=row))

    assert found.text == f"pid {row.pid} is parked: {reason}"
    assert found.mend == state.PARKED[reason]
