"""What a home pays for its past: the same work beside no finished rows, a hundred thousand and a million."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from runner.home import Home
from runner.snapshot import Reader
from tests.bench.ours import CLOCK, RUNNER, Store, finish_and_claim
from tests.bench.rounds import interleaved
from tests.bench.table import Table
from tests.factories import make_runner, make_settings

pytestmark = pytest.mark.bench

PART = "Cost beside finished rows"
SIZES = (0, 100_000, 1_000_000)
JOBS = 1_000
FRAMES = 300


def test_the_past_costs_nothing(disk: Path, table: Table) -> None:
    """Draining and reading keep their pace at any number of finished rows."""
    stores = {size: _store(disk / str(size), size) for size in SIZES}
    readers = {size: Reader(Home(store.path.parent)) for size, store in stores.items()}

    paces = interleaved({str(size): lambda s=store: s.pace(JOBS) for size, store in stores.items()}, rounds=7)
    frames = interleaved({str(size): lambda r=reader: _frames(r) for size, reader in readers.items()}, rounds=7)
    looks = interleaved({str(size): lambda r=reader: _looks(r) for size, reader in readers.items()}, rounds=3)

    for size in SIZES[1:]:
        pace = paces.ratio(str(size), "0")
        table.add(PART, f"drain beside {size:,} finished rows, to empty", pace, goal="≥ 0.92", met=pace.typical >= 0.92)
        frame = frames.ratio(str(size), "0")
        table.add(
            PART, f"a frame's reads beside {size:,}, time to empty", frame, goal="≤ 1.1", met=frame.typical <= 1.1
        )
        assert pace.typical > 0.7
        assert frame.typical < 1.5
    longest = max(frames.typical(str(size)) for size in SIZES)
    table.add(
        PART,
        "a frame's reads: vitals, running jobs and new events",
        f"{longest * 1e6:,.0f} us",
        goal="≤ 50 us",
        met=longest <= 50e-6,
    )
    floor = max(_statements(readers[size]) for size in SIZES)
    table.add(PART, "of it the statements alone, the least of the rounds", f"{floor * 1e6:,.0f} us")
    look = max(looks.typical(str(size)) for size in SIZES)
    table.add(PART, "a look that finds nothing new", f"{look * 1e6:.1f} us")
    for size in SIZES:
        readers[size].close()
        stores[size].database.close()


def _store(folder: Path, size: int) -> Store:
    folder.mkdir()
    store = Store(folder / "agent.db")
    if size:
        store.keep_finished(size)
    with store.database.write() as db:
        make_runner(db, id=RUNNER)
        make_settings(db)
    store.pace(JOBS)
    store.fill(2)
    with store.database.write() as db:
        finish_and_claim(db, None)
        finish_and_claim(db, None)
    return store


def _frames(reader: Reader) -> float:
    """Seconds of what a screen reads when something has changed."""
    newest = reader.events(limit=1)[-1].id
    start = time.perf_counter()
    for _ in range(FRAMES):
        _frame(reader, newest)
    return (time.perf_counter() - start) / FRAMES


def _statements(reader: Reader) -> float:
    """Seconds of a frame's statements, with no line of ours between them: what any program around them must pay."""
    said: list[str] = []
    db = reader._connection
    db.set_trace_callback(said.append)
    newest = reader.events(limit=1)[-1].id
    del said[:]
    _frame(reader, newest)
    db.set_trace_callback(None)
    least = 1.0
    for _ in range(FRAMES):
        start = time.perf_counter()
        for text in said:
            db.execute(text).fetchall()
        least = min(least, time.perf_counter() - start)
    return least


def _frame(reader: Reader, newest: int) -> None:
    reader.vitals(now=CLOCK.now())
    reader.running(limit=50, cut=True)
    reader.events(after=newest - 5)


def _looks(reader: Reader) -> float:
    start = time.perf_counter()
    for _ in range(FRAMES):
        reader.changed()
    return (time.perf_counter() - start) / FRAMES
