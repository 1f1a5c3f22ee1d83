"""Why a job is not running: what its row says is held against what is seen of the runner."""

from __future__ import annotations

import sqlite3

import pytest

from runner.snapshot.why import lifts, why
from runner.views import Health, RunnerView, StopView
from tests.factories import NOW, make_running

STOP = StopView(sources=("file", "row"), reason="lunch", by="ada@cli")


@pytest.mark.parametrize("health", [Health.DEAD, Health.STOPPED, Health.NEVER])
def test_a_job_whose_runner_has_ended_does_not_run(db: sqlite3.Connection, health: Health) -> None:
    job = make_running(db, key="k")
    back = "k was at work when its runner ended; the next runner takes it back: `afk-runner run` starts one"

    assert why(db, job, RunnerView(health=health), StopView(), now=NOW) == f"{back}."
    stopped = "everything is stopped (file, row by ada@cli: lunch) until `afk-runner resume`"
    assert why(db, job, RunnerView(health=health), STOP, now=NOW) == f"{back}; {stopped}."


@pytest.mark.parametrize("health", [Health.LIVE, Health.LATE])
def test_a_job_whose_runner_lives_runs(db: sqlite3.Connection, health: Health) -> None:
    assert why(db, make_running(db, key="k"), RunnerView(health=health), STOP, now=NOW) == "k is running now."


def test_of_a_job_at_a_silent_runner_nobody_knows(db: sqlite3.Connection) -> None:
    said = why(db, make_running(db, key="k"), RunnerView(health=Health.SILENT), StopView(), now=NOW)

    assert "running now" not in said
    assert "hangs or is frozen; `afk-runner kill --force` ends it" in said


def test_what_lifts_a_stop_is_named() -> None:
    unset = "AFK_STOP is unset in the runner's environment and the runner restarted"

    assert lifts(STOP) == "`afk-runner resume` lifts it"
    assert lifts(StopView(sources=("env",))) == f"it holds until {unset}"
    assert lifts(StopView(sources=("row", "env"))) == f"it holds until {unset}, then `afk-runner resume`"
