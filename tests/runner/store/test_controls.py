"""The stop switch as it is read: from its row, and from the file that a kill leaves."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from runner.store import controls
from runner.text import one_line
from tests.factories import NOW


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "STOP"


def test_what_a_kill_writes_is_read_back(file: Path) -> None:
    file.write_text(controls.stop_text(reason="the bill looks wrong", by="ada@cli"))
    os.utime(file, (NOW / 1000, NOW / 1000))

    assert controls.stop_words(file) == controls.StopWords(reason="the bill looks wrong", by="ada@cli", at=NOW)


@pytest.mark.parametrize("reason", ["x" * 100_000, "\U0001f4b8" * 100_000, "a\nby me\n\x1b[2J\u202e", "by ada"])
def test_whatever_a_reason_holds_it_is_read_as_one_line(file: Path, reason: str) -> None:
    file.write_text(controls.stop_text(reason=reason, by="ada@cli"))

    words = controls.stop_words(file)

    assert words is not None
    assert words.by == "ada@cli"
    assert words.reason.startswith(one_line(reason[:6]))
    assert len(words.reason) <= controls.MOST_REASON
    assert words.reason.isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "maintenance until noon\n",
        "maintenance\nby ada",
        "maintenance\nby ada\nand bob\n",
        "maintenance\nby \n",
        " \nby ada\n",
        "maintenance\nada\n",
        "\x1b[2Jmaintenance\nby ada\n",
        "maintenance\nby \u202eada\n",
        "maintenance\x00\nby ada\n",
        "m" * 501 + "\nby ada\n",
        "maintenance\nby " + "a" * 101 + "\n",
        "m" * 10_000_000 + "\nby ada\n",
    ],
)
def test_a_file_of_somebody_else_has_no_words(file: Path, text: str) -> None:
    file.write_text(text)

    assert controls.stop_words(file) is None


def test_what_is_no_file_has_no_words(file: Path) -> None:
    """Nor is it waited for."""
    assert controls.stop_words(file) is None
    file.mkdir()
    assert controls.stop_words(file) is None
    file.rmdir()
    os.mkfifo(file)
    assert controls.stop_words(file) is None
    file.unlink()
    file.with_name("other").write_text("maintenance\nby ada\n")
    file.symlink_to(file.with_name("other"))
    assert controls.stop_words(file) is None
    file.unlink()
    file.write_bytes(b"\xff\xfe\nby ada\n")
    assert controls.stop_words(file) is None


def test_a_row_without_a_reason_was_set_by_hand(db: sqlite3.Connection) -> None:
    controls.set_stop(db, controls.OFF, reason=None, by="ada@cli", now=NOW)
    db.execute("UPDATE control SET value = 'yes' WHERE key = 'stop'")

    for row in (controls.stop_row(db), controls.everything(db).stop):
        assert row.is_set
        assert (row.reason, row.by, row.at) == (controls.BY_HAND, None, None)
