"""Approvals: nothing is approved unread, nothing twice, and a rejection has a reason."""

from __future__ import annotations

import json
import sqlite3

import pytest

from console.tui import ConsoleApp, Options
from runner.home import Home
from runner.store import drafts
from runner.store.drafts import Draft, DraftState, NewDraft
from runner.units import UnixMs
from tests.console.conftest import ManualMonotonic
from tests.console.hostile import STORABLE
from tests.console.screen import flash_of, look, shows, text_of, until
from tests.factories import NOW, ManualClock

pytestmark = pytest.mark.usefixtures("live")


def draft(db: sqlite3.Connection, name: str = "send", *, lines: int = 1, summary: str = "mail to 41 people") -> Draft:
    """An action that waits; its request has so many lines, more or less."""
    payload = json.dumps({"to": [f"person-{number}@example.org" for number in range(lines)]})
    new = NewDraft(
        job_id=7,
        job="triage-1",
        task="triage",
        n=1,
        name=name,
        performs="send_mail",
        payload=payload,
        priority=0,
        max_attempts=4,
        summary=summary,
    )
    return drafts.add(db, new, now=UnixMs(NOW - 60_000))[0]


def state(db: sqlite3.Connection, one: Draft) -> DraftState:
    found = drafts.get(db, one.id)
    assert found is not None
    return found.state


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (120, 40)], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_a_request_is_read_to_its_end_before_y_queues_it_once(
    app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic, size: tuple[int, int]
) -> None:
    one = draft(db, lines=60)
    async with app.run_test(size=size) as pilot:
        await pilot.press("4")
        await shows(pilot, "4 Approvals 1!" if size[0] > 60 else "1!", "send_mail")
        await pilot.press("enter")
        await shows(pilot, f"Approve draft {one.id}?", "to be read before y")
        monotonic.advance(1)
        await pilot.press("y")
        await look(pilot)
        assert state(db, one) is DraftState.WAITING

        await pilot.press(*["pagedown"] * 16, "y")
        await until(pilot, lambda: state(db, one) is DraftState.APPROVED)
        await shows(pilot, f"draft {one.id} approved", "gone")
        await pilot.press("a")
        await shows(pilot, "the row under the cursor is gone")

    assert db.execute("SELECT task, count(*) FROM jobs").fetchall() == [("send_mail", 1)]


async def test_a_jump_to_the_end_shows_no_line_in_between(
    app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic
) -> None:
    """What was jumped over was not on the screen: it counts as unread."""
    one = draft(db, lines=100)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("4")
        await shows(pilot, "send_mail")
        await pilot.press("a")
        await shows(pilot, "to be read before y")
        monotonic.advance(1)
        await pilot.press("end", "y")
        await look(pilot)

        assert state(db, one) is DraftState.WAITING
        assert "to be read before y" in text_of(app)


async def test_a_rejection_wants_a_reason(app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic) -> None:
    one = draft(db)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("4")
        await shows(pilot, "send_mail")
        await pilot.press("d")
        await shows(pilot, "Reject draft")
        monotonic.advance(1)
        await pilot.press("enter")
        await shows(pilot, "a rejection wants a reason")
        await pilot.press(*"wrong list", "enter", "y")
        await until(pilot, lambda: state(db, one) is DraftState.REJECTED)
        await shows(pilot, "rejected: it will not be done")

    found = drafts.get(db, one.id)
    assert found is not None
    assert found.reason == "wrong list"


async def test_a_draft_decided_elsewhere_meanwhile_is_told(
    app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic
) -> None:
    one = draft(db)
    async with app.run_test(size=(100, 24)) as pilot:
        await pilot.press("4")
        await shows(pilot, "send_mail")
        await pilot.press("a")
        await shows(pilot, "y approve")
        monotonic.advance(1)
        drafts.reject(db, one.id, reason="no", by="ada@cli", now=UnixMs(NOW))
        await pilot.press("y")
        await until(pilot, lambda: "was rejected by ada@cli" in flash_of(app))

    assert db.execute("SELECT count(*) FROM jobs").fetchone() == (0,)


async def test_read_only_decides_nothing(
    home: Home, db: sqlite3.Connection, clock: ManualClock, monotonic: ManualMonotonic
) -> None:
    one = draft(db)
    app = ConsoleApp(home, clock=clock, monotonic=monotonic, options=Options(readonly=True))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("4")
        await shows(pilot, "send_mail")
        await pilot.press("a", "d")
        await shows(pilot, "off: started with --readonly")

    assert state(db, one) is DraftState.WAITING


async def test_hostile_requests_are_text(app: ConsoleApp, db: sqlite3.Connection, monotonic: ManualMonotonic) -> None:
    for number, text in enumerate(STORABLE):
        draft(db, f"draft-{number}", summary=text[:500])
    async with app.run_test(size=(100, 40)) as pilot:
        await pilot.press("4")
        await shows(pilot, "send_mail")
        await pilot.press("enter")
        await shows(pilot, "Approve draft")

        assert "\x1b" not in text_of(app)
        assert app.is_running
