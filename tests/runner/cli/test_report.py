"""`report` in its forms, `incidents` and its journal, and `drill` as it is typed."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path

import pytest

from runner import telling
from runner.home import Home
from runner.store import controls
from runner.units import SystemClock
from tests.console.hostile import STORABLE
from tests.runner.cli.world import Afk, bury


def trouble(db: sqlite3.Connection, text: str = "a/b is open", *, key: str = "breaker:a/b") -> None:
    telling.tell(db, key=key, level="error", text=text, now=SystemClock().now())


def test_the_report_comes_as_text_json_markdown_or_a_file(
    afk: Afk, home: Home, db: sqlite3.Connection, tmp_path: Path
) -> None:
    bury(home, db)
    told, paper, document = afk("report"), afk("report", "--markdown"), afk("report", "--json")
    place = tmp_path / "out.md"
    written = afk("report", "--days", "30", "--out", str(place))

    assert "WAITS FOR YOU" in told.out
    assert "`afk-runner dead`" in told.out
    assert paper.out.startswith("# 20")
    assert document.json["waiting"]["dead"] == 1
    assert document.json["outcomes"][3] == {"outcome": "dead", "jobs": 1, "cost_microusd": 0, "each_microusd": 0}
    assert len(afk("report", "--days", "30", "--json").json["days"]) <= 2, "nothing is known of the days before"
    assert (written.code, written.out) == (0, f"wrote {place}\n")
    assert place.read_text().startswith("# 20")


@pytest.mark.parametrize("flags", [("--markdown", "--json"), ("--out", "x", "--json"), ("--days", "0")])
def test_what_cannot_be_meant_is_refused(afk: Afk, flags: tuple[str, ...]) -> None:
    assert afk("report", *flags).code == 64


def test_a_file_that_cannot_be_written_is_said_in_a_sentence(afk: Afk, tmp_path: Path) -> None:
    answer = afk("report", "--out", str(tmp_path / "gone" / "x.md"))

    assert answer.code == 1
    assert f"there is no folder {tmp_path / 'gone'}; make it first" in answer.err


def test_only_a_regular_file_is_replaced(afk: Afk, tmp_path: Path) -> None:
    """A device as well: whoever is root would lose its node."""
    pipe, link, paper = tmp_path / "pipe", tmp_path / "link", tmp_path / "paper.md"
    os.mkfifo(pipe)
    paper.write_text("old")
    link.symlink_to(paper)

    for place in (pipe, Path("/dev/full"), tmp_path):
        answer = afk("report", "--out", str(place))
        assert answer.code == 1
        assert "is no regular file" in answer.err
    assert pipe.is_fifo()
    assert afk("report", "--out", str(link)).code == 0
    assert link.is_symlink()
    assert paper.read_text().startswith("# 20")


ID_TOO_LONG = "99999999999999999999"


@pytest.mark.parametrize(
    "words",
    [
        ("incidents", "show", ID_TOO_LONG),
        ("incidents", "note", ID_TOO_LONG, "text"),
        ("incidents", "close", ID_TOO_LONG, "--cause", "a", "--fix", "b"),
        ("drafts", "approve", ID_TOO_LONG),
        ("drafts", "reject", ID_TOO_LONG, "--reason", "a"),
        ("spend", "--write-off", ID_TOO_LONG, "--reason", "a"),
        ("spend", "--write-off", "1", "--write-off", ID_TOO_LONG, "--reason", "a"),
    ],
)
def test_a_number_that_no_row_can_have_is_no_id(afk: Afk, words: tuple[str, ...]) -> None:
    answer = afk(*words)

    assert answer.code == 64
    assert f"{ID_TOO_LONG} is no ID" in answer.err
    assert answer.err.count("\n") == 1


def test_an_incident_is_noted_and_closed_with_cause_and_fix(afk: Afk, db: sqlite3.Connection) -> None:
    trouble(db)
    assert "incidents close ID" in afk("incidents").err
    assert afk("incidents", "note", "1", "the vendor   says\nsoon").out == "noted 1\n"
    shown = afk("incidents", "show", "1")
    closed = afk("incidents", "close", "1", "--cause", "an old key", "--fix", "a new key")

    assert "no, it still holds" in shown.out
    assert "the vendor says soon" in shown.out
    assert closed.out == "closed 1\n"
    assert afk("incidents").err == "no incidents\n"
    assert "cause: an old key; fix: a new key" in afk("incidents", "--all").out
    document = afk("incidents", "show", "1", "--json").json
    assert (document["cause"], document["fix"]) == ("an old key", "a new key")
    assert [note["text"] for note in document["notes"]] == ["the vendor says soon"]
    assert document["notes"][0]["by"].endswith("cli")
    again = afk("incidents", "close", "1", "--cause", "x", "--fix", "y")
    assert (again.code, "was closed by" in again.err) == (1, True)
    assert afk("incidents", "note", "1", "it came back as incident 2").code == 0
    words = [row[0] for row in db.execute("SELECT event FROM events ORDER BY id")]
    assert words == ["incident.note", "incident.closed", "incident.note"]


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (("note", "1"), 64, "wants a TEXT"),
        (("note", "1", "  "), 64, "wants words"),
        (("note", "1", "x" * 2_001), 64, "the most is 2,000"),
        (("close", "1", "--cause", "x"), 64, "--fix"),
        (("close", "1", "--cause", " ", "--fix", "y"), 64, "--cause"),
        (("show", "1", "two"), 64, "quote it whole"),
        (("--cause", "x"), 64, "belong to incidents close"),
        (("show", "9"), 1, "there is no incident 9"),
        (("close", "9", "--cause", "x", "--fix", "y"), 1, "there is no incident 9"),
    ],
)
def test_what_is_missing_is_named(
    afk: Afk, db: sqlite3.Connection, argv: tuple[str, ...], code: int, said: str
) -> None:
    trouble(db)
    answer = afk("incidents", *argv)

    assert (answer.code, said in answer.err) == (code, True), answer.err
    assert len(afk("incidents", "--json").json) == 1


def test_hostile_incidents_stay_on_their_lines(afk: Afk, db: sqlite3.Connection) -> None:
    for number, text in enumerate(STORABLE):
        trouble(db, text[:1_000], key=f"dead:{number:02}{text[:200]}")
    controls.put_settings(db, {"hours_saved": '{"x": "NaN", "y": []}', "report_rate": "\x1b"}, now=SystemClock().now())

    for answer in (afk("incidents"), afk("report"), afk("incidents", "show", "1")):
        assert answer.code == 0
        assert "\x1b" not in answer.out
    assert len(afk("incidents").out.splitlines()) == len(STORABLE) + 1
    assert afk("report", "--json").out.isascii()
    assert json.loads(afk("incidents", "--json").out)


def test_a_drill_wants_a_home_before_it_takes_its_time(afk: Afk, tmp_path: Path) -> None:
    answer = afk("drill", "--home", str(tmp_path / "nowhere"))

    assert (answer.code, "there is no home at" in answer.err) == (78, True)
    assert afk("drill", "fire").code == 64
