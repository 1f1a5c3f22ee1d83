"""Upkeep keeps files short: the log beside the database, and what attempts printed."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runner import upkeep
from runner.settings import load
from runner.store import jobs
from runner.store.db import Database, open_reader
from runner.store.jobs import JobStatus
from runner.store.writer import Writer
from runner.units import UnixMs
from runner.upkeep import Upkeep
from tests.factories import NOW, ManualClock, make_job

SETTINGS = 'timezone = "UTC"\n[budget]\ndaily_usd = "1.00"\n[runner]\nkeep_output_mb = 1\n'


@pytest.fixture
async def writer(tmp_path: Path) -> AsyncIterator[Writer]:
    made = Writer(Database.open(tmp_path / "agent.db", create=True))
    await made.checkpoint(truncate=True)  # what making the schema left
    yield made
    await made.close()


@pytest.fixture
def care(tmp_path: Path, writer: Writer, monkeypatch: pytest.MonkeyPatch) -> Upkeep:
    monkeypatch.setattr(upkeep, "WAL_LIMIT", 100_000)
    (tmp_path / "afk.toml").write_text(SETTINGS)
    (tmp_path / "attempts").mkdir()
    return Upkeep(
        writer=writer,
        config=load(tmp_path, environ={}),
        database=tmp_path / "agent.db",
        outputs=tmp_path / "attempts",
        clock=ManualClock(),
    )


def wal(tmp_path: Path) -> int:
    return (tmp_path / "agent.db-wal").stat().st_size


def reading(tmp_path: Path) -> sqlite3.Connection:
    """Somebody in the middle of a look."""
    reader = open_reader(tmp_path / "agent.db")
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM jobs").fetchone()
    return reader


async def fill(writer: Writer) -> None:
    for _ in range(3):
        await writer.write(lambda db: make_job(db, payload="x" * 50_000))


async def test_a_log_that_is_long_is_cut_and_a_short_one_is_kept(tmp_path: Path, writer: Writer, care: Upkeep) -> None:
    """Writing over it again is quicker than letting it grow anew."""
    await writer.write(make_job)
    before = wal(tmp_path)
    await care.shorten()
    assert wal(tmp_path) == before > 0

    await fill(writer)
    await care.shorten()
    assert wal(tmp_path) == 0


async def test_readers_who_take_over_from_each_other_do_not_keep_it_long(
    tmp_path: Path, writer: Writer, care: Upkeep
) -> None:
    """At every moment somebody reads, as several consoles do; nobody waits for them who wants to write."""
    first = reading(tmp_path)
    await fill(writer)
    await care.shorten()
    assert wal(tmp_path) > 100_000, "the first one still needs it"
    await writer.write(make_job)

    second = reading(tmp_path)
    first.close()
    await care.shorten()  # all of it is in the file now, and whoever comes next reads it there
    third = reading(tmp_path)
    second.close()
    await care.shorten()

    assert wal(tmp_path) == 0
    assert third.execute("SELECT count(*) FROM jobs").fetchone() == (4,)
    third.close()


async def test_outputs_have_a_size_and_those_of_a_dead_letter_stay(
    tmp_path: Path, writer: Writer, care: Upkeep
) -> None:
    """A million bytes here: the oldest go, but what a person still has to look at."""
    dead, *rest = [
        (await writer.write(lambda db, status=status: make_job(db, status=status))).id  # type: ignore[misc]
        for status in (JobStatus.DEAD, *[JobStatus.DONE] * 3)
    ]
    for place, id in enumerate((dead, *rest)):
        path = tmp_path / "attempts" / f"{id}-1.log"
        path.write_bytes(b"x" * 400_000)
        os.utime(path, (NOW / 1000 + place, NOW / 1000 + place))

    await care.round()

    assert {path.name for path in (tmp_path / "attempts").iterdir()} == {f"{dead}-1.log", f"{rest[-1]}-1.log"}


async def test_a_round_ends_before_what_is_too_young_for_it(
    tmp_path: Path, writer: Writer, care: Upkeep, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not read a million kept rows each minute."""
    monkeypatch.setattr("runner.care.retention.BATCH", 2)
    monkeypatch.setattr("runner.care.retention.FRUITLESS", 3)
    for _ in range(20):
        await writer.write(lambda db: make_job(db, status=JobStatus.DONE))
    looked = []
    prunable = jobs.prunable

    def counted(db: sqlite3.Connection, *, before: UnixMs, over: int, after_id: int, batch: int) -> jobs.Prunable:
        looked.append(after_id)
        return prunable(db, before=before, over=over, after_id=after_id, batch=batch)

    monkeypatch.setattr(jobs, "prunable", counted)

    await care.round()

    assert looked == [0, 2, 4]
