"""Why a job is not running: what its row says is held against what is seen of the runner."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest

from runner.snapshot.why import lifts, why
from runner.store.runners import RunState
from runner.units import HOUR_MS, iso
from runner.views import Health, RunnerView, StopView
from tests.factories import NOW, a_runner, make_job, make_running

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


def test_a_job_that_no_time_helps_is_told_when_it_looks_again(db: sqlite3.Connection) -> None:
    """The time on its row is not when its cap lifts."""
    fact = (
        "the cap is too small for it: raise the cap or lower max_tokens; it does not lift by itself, so the job sleeps"
    )
    job = make_job(db, key="k", not_before=NOW + HOUR_MS, waiting_on=fact)

    said = why(db, job, RunnerView(health=Health.LIVE), StopView(), now=NOW)

    assert said == f"k waits: {fact}; it looks again at {iso(job.not_before)}."


@pytest.mark.parametrize(("note", "told"), [(None, "disk"), ("the disk has 3 MB left", "the disk has 3 MB left")])
def test_a_runner_that_parked_for_a_fault_holds_every_job(db: sqlite3.Connection, note: str | None, told: str) -> None:
    row = replace(a_runner(state=RunState.PARKED, reason="disk"), note=note)

    said = why(db, make_job(db, key="k"), RunnerView(health=Health.LIVE, row=row), StopView(), now=NOW)

    assert said == f"k waits: the runner is parked ({told})."


def test_what_lifts_a_stop_is_named() -> None:
    unset = "AFK_STOP is unset in the runner's environment and the runner restarted"

    assert lifts(STOP) == "`afk-runner resume` lifts it"
    assert lifts(StopView(sources=("env",))) == f"it holds until {unset}"
    assert lifts(StopView(sources=("row", "env"))) == f"it holds until {unset}, then `afk-runner resume`"
