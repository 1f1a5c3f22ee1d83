"""NEEDS YOU on Home: the most urgent first, each with the key that leads there, and nothing when all is well."""

from __future__ import annotations

import sqlite3

import pytest

from console.seen import View
from console.tui import ConsoleApp
from runner.snapshot import JobStatus
from runner.store import addresses, alerts, charges, controls, drafts
from runner.store.drafts import NewDraft
from runner.units import MINUTE_MS, UnixMs
from tests.console.hostile import STORABLE
from tests.console.screen import lacks, lines_of, look, shows, text_of
from tests.factories import NOW, make_breaker, make_charge, make_job, make_schedule

pytestmark = pytest.mark.usefixtures("live")


def draft(db: sqlite3.Connection, name: str = "send", summary: str = "mail to 41 people") -> None:
    new = NewDraft(
        job_id=7,
        job="triage-1",
        task="triage",
        n=1,
        name=name,
        performs="send_mail",
        payload="{}",
        priority=0,
        max_attempts=4,
        summary=summary,
    )
    drafts.add(db, new, now=UnixMs(NOW - 3 * MINUTE_MS))


def told(app: ConsoleApp) -> list[str]:
    """The lines of NEEDS YOU."""
    return [row.strip() for row in lines_of(app) if row.startswith(" ! ")]


async def test_all_is_well(app: ConsoleApp, db: sqlite3.Connection) -> None:
    make_job(db, status=JobStatus.DONE)
    make_charge(db, make_job(db, status=JobStatus.DONE), cost=1_000)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "NEEDS YOU  nothing")
        assert told(app) == []


async def test_each_has_a_line_and_a_key_and_the_most_urgent_is_first(app: ConsoleApp, db: sqlite3.Connection) -> None:
    make_job(db, status=JobStatus.HALTED)
    make_job(db, status=JobStatus.HALTED)
    make_schedule(db, "digest")
    controls.pause(db, name="digest", reason="holidays", by="ada@cli", now=NOW)
    charge = make_charge(db, make_job(db, status=JobStatus.DONE), hold=55_000, held_at=NOW - 40 * MINUTE_MS)
    charges.let_stand(db, charge, note="the stream broke", now=NOW)
    draft(db)
    make_job(db, status=JobStatus.DEAD, error="no")
    make_breaker(db)
    alerts.raise_alert(db, key="breaker:x", level="warn", text="open", now=NOW)
    async with app.run_test(size=(120, 60)) as pilot:
        await shows(pilot, "NEEDS YOU  7")
        rows = told(app)

    assert [row[-3:] for row in rows] == ["[b]", "[4]", "[3]", "[m]", "[5]"]
    assert "1 action waits for approval, the last 3m ago: send_mail: mail to 41 people" in rows[1]
    assert "1 hold stands for $0.055, the oldest for 40m: nobody knows what the calls cost" in rows[3]
    assert "task digest is paused by ada@cli: holidays" in rows[4]


async def test_the_keys_lead_there(app: ConsoleApp, db: sqlite3.Connection) -> None:
    make_breaker(db)
    charge = make_charge(db, make_job(db, status=JobStatus.DONE), hold=55_000)
    charges.let_stand(db, charge, note="the stream broke", now=NOW)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "[b]", "[m]")
        await pilot.press("b")
        assert app.board.view is View.BREAKERS
        await pilot.press("q", "m")
        assert app.board.view is View.SPEND


async def test_a_paused_task_is_told_once_and_how_to_lift_it(app: ConsoleApp, db: sqlite3.Connection) -> None:
    controls.pause(db, name="intake", reason="tea", by="ada@cli", now=NOW)
    async with app.run_test(size=(120, 24)) as pilot:
        await shows(pilot, "task intake is paused by ada@cli: tea; afk-runner unpause intake")
        job = make_job(db, task="intake", not_before=NOW + MINUTE_MS)
        db.execute("UPDATE jobs SET waiting_gate = 'pause:intake', waiting_on = 'it is paused' WHERE id = ?", (job.id,))
        make_job(db)
        await look(pilot)
        await shows(pilot, "waiting: 1 job for task intake, which is paused")
        await lacks(pilot, "by ada@cli")


async def test_an_alert_that_is_over_is_nobodys_need(app: ConsoleApp, db: sqlite3.Connection) -> None:
    alerts.raise_alert(db, key="breaker:x", level="warn", text="open", now=UnixMs(NOW - MINUTE_MS))
    async with app.run_test(size=(120, 24)) as pilot:
        await shows(pilot, "1 alert that nobody was told of: no address was tried: set [alerts] urls")
        addresses.failed(db, "ntfy://example", error="it refused", now=NOW)
        await look(pilot)
        await shows(pilot, "1 alert that nobody was told of: it refused")
        alerts.close(db, key="breaker:x", now=NOW)
        make_job(db)
        await look(pilot)
        await shows(pilot, "NEEDS YOU  nothing")


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (120, 40)], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_hostile_texts_are_text(app: ConsoleApp, db: sqlite3.Connection, size: tuple[int, int]) -> None:
    for number, text in enumerate(STORABLE[:12]):
        draft(db, f"draft-{number}", summary=text[:500])
        controls.pause(db, name=f"{text[:300]}", reason=text[:300], by=text[:300], now=NOW)
    async with app.run_test(size=size) as pilot:
        await shows(pilot, "12 actions wait")
        assert "\x1b" not in text_of(app)
        assert app.is_running
