"""Text from outside stays on its line: whatever a model, a payload or a person wrote forges no line of an answer."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable

import pytest

from runner.home import Home
from runner.store import alerts, breakers, charges, controls, drafts, events, rate_pauses, schedules, steps
from runner.store.charges import NewCharge
from runner.store.drafts import NewDraft
from runner.units import MicroUsd, SystemClock, UnixMs, day_of
from tests.runner.cli.world import Afk, bury, queue, start_runner

FORGED = 'Send it\npayload   {"to": "me"}\r\nstatus    done\x1b[2J\u202etxt\u2028why\x85next'
"""What an agent may write who wants a person to read a line that is not there."""
BEGINNINGS = ('payload   {"to": "me"}', "status    done", "why", "next")
"""How the lines begin that it would forge."""


@pytest.fixture
def world(home: Home, db: sqlite3.Connection) -> str:
    """A home in which every word that can come from outside is hostile; the key of its job."""
    from zoneinfo import ZoneInfo

    now = SystemClock().now()
    start_runner(db, reason=FORGED, ended=FORGED)
    key = bury(home, db, error=FORGED, payload={"n": FORGED})
    (id,) = db.execute("SELECT id FROM jobs WHERE key = ?", (key,)).fetchone()
    db.execute("UPDATE attempts SET tail = ?", (FORGED,))
    db.execute("UPDATE jobs SET result = ? WHERE id = ?", (json.dumps(FORGED), id))
    steps.record(db, job_id=id, name="read it", result=json.dumps(FORGED), n=1, now=now)
    fields = {"job_id": id, "job": key, "task": "digest", "n": 1, "performs": "sweep", "priority": 0}
    payload = json.dumps({"to": "all", "note": FORGED})
    for name in ("one", "two"):
        new = NewDraft(**fields, name=name, payload=payload, max_attempts=2, summary=FORGED)
        drafts.add(db, new, now=now)
    drafts.reject(db, 2, by="a test", reason=FORGED, now=now)
    call = NewCharge(
        day=day_of(now, ZoneInfo("Europe/Berlin")),
        zone="Europe/Berlin",
        job_id=id,
        n=1,
        task="digest",
        upstream="up",
        model="m",
        runner="r1",
        hold=MicroUsd(5),
    )
    charges.let_stand(db, charges.hold(db, call, now=now), note=FORGED, now=now)
    breakers.trip(db, "up/model", reason=FORGED, retry_at=None, now=now)
    rate_pauses.pause(db, "up/model", until=UnixMs(now + 60_000), reason=FORGED, now=now)
    alerts.raise_alert(db, key="a", level="warn", text=FORGED, now=now)
    controls.pause(db, name="sweep", by=FORGED, reason=FORGED, now=now)
    schedules.declare(db, name="digest", spec="every 1m", now=now)
    schedules.take_slot(db, schedule="digest", due_at=now, now=now, skipped=FORGED)
    events.record(db, now=now, level=events.WARN, event="cap.reached", text=FORGED)
    queue(home, db, "sweep", key="waits")
    home.stop.write_text(f"{FORGED}\nby {FORGED}\n")
    return key


VERBS: tuple[Callable[[str], tuple[str, ...]], ...] = (
    lambda _: ("status",),
    lambda _: ("jobs",),
    lambda _: ("dead",),
    lambda key: ("job", key),
    lambda key: ("why", key),
    lambda _: ("why", "waits"),
    lambda _: ("schedules",),
    lambda _: ("logs",),
    lambda _: ("spend",),
    lambda _: ("spend", "--holds"),
    lambda _: ("breaker",),
    lambda _: ("drafts", "--all"),
    lambda _: ("drafts", "show", "1"),
    lambda _: ("drafts", "show", "2"),
    lambda _: ("drafts", "approve", "2"),
    lambda _: ("replay", "--all", "--dry-run"),
    lambda _: ("cancel", FORGED),
    lambda _: ("pause", FORGED),
    lambda _: ("enqueue", FORGED),
    lambda _: ("doctor",),
    lambda _: ("kill",),
)


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: "-".join(verb("KEY"))[:24].split("\n")[0])
def test_no_word_from_outside_makes_a_line(afk: Afk, world: str, verb: Callable[[str], tuple[str, ...]]) -> None:
    answer = afk(*verb(world))
    said = answer.out + answer.err

    assert said.strip()
    assert not [line for line in said.splitlines() if line.startswith(BEGINNINGS)]
    assert not set("\x1b\u202e\u2028\x85\r") & set(said)


def test_a_draft_is_shown_in_five_lines(afk: Afk, world: str) -> None:
    """Whoever approves reads one payload, which is the one that will be done."""
    lines = afk("drafts", "show", "1").out.splitlines()

    assert [line.split(" ", 1)[0] for line in lines] == ["draft", "performs", "drafted", "summary", "payload"]
    assert lines[3].startswith('summary   Send it\\npayload   {"to": "me"}')


def test_a_result_stands_indented_under_its_label(afk: Afk, world: str) -> None:
    """Many lines may be read as such, and none at the place of ours."""
    out = afk("job", world).out

    assert 'result\n  Send it\n  payload   {"to": "me"}' in out
