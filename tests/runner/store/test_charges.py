"""Charges as rows: what a hold may become, and that what the caps sum stays cheap."""

from __future__ import annotations

import sqlite3

import pytest

from runner.store import charges
from runner.units import MicroUsd
from tests.factories import NOW, make_charge, make_running


def test_a_hold_is_refined_downward_alone(db: sqlite3.Connection) -> None:
    """The totals follow; a higher or an equal one changes nothing."""
    job = make_running(db)
    charge = make_charge(db, job, hold=900)

    assert charges.refine(db, charge, hold=MicroUsd(400))
    assert not charges.refine(db, charge, hold=MicroUsd(400))
    assert not charges.refine(db, charge, hold=MicroUsd(500))

    assert db.execute("SELECT held FROM spend_totals").fetchall() == [(400,)]
    assert charges.spent_on_job(db, job.id).held == 400


def test_a_call_that_ended_is_not_refined(db: sqlite3.Connection) -> None:
    job = make_running(db)
    settled, standing = make_charge(db, job, hold=900, cost=700), make_charge(db, job, hold=900)
    charges.let_stand(db, standing, note="nobody knows", now=NOW)

    assert not charges.refine(db, settled, hold=MicroUsd(400))
    assert not charges.refine(db, standing, hold=MicroUsd(400))

    assert charges.spent_on_job(db, job.id).committed == 1_600


def test_no_statement_makes_a_hold_grow_or_moves_it_in_time(db: sqlite3.Connection) -> None:
    """Whoever writes, a person with sqlite3 included."""
    make_charge(db, make_running(db), hold=900)

    for change in ("hold = 901", "held_at = 0", "zone = 'Asia/Tokyo'"):
        with pytest.raises(sqlite3.IntegrityError, match="never grows"):
            db.execute(f"UPDATE charges SET {change}")
