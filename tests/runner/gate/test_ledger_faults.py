"""A ledger that cannot be written refuses every call, loses nothing, and serves again when it is mended."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest

from runner.gate import book
from tests.runner.gate.world import COST, HOLD, House, error_of, house
from tests.upstream import FakeAnthropic, Reply

_HOLD_THE_LOCK = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
db.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
db.execute("ROLLBACK")
"""


@contextmanager
def locked(gate: House) -> Iterator[None]:
    """Another process, one that takes no turns, writes and does not end."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD_THE_LOCK, str(gate.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        yield
        other.stdin.close()


@contextmanager
def full(gate: House) -> Iterator[None]:
    """The disk has no byte left."""
    ballast = gate.path.with_name("ballast")
    subprocess.run(["dd", "if=/dev/zero", f"of={ballast}", "bs=512"], capture_output=True, check=False)
    yield
    ballast.unlink()


@contextmanager
def no_file_may_grow(gate: House) -> Iterator[None]:
    """The same without a disk of its own: what grows a file fails."""
    most = max(file.stat().st_size for file in gate.path.parent.iterdir())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def read_only(gate: House) -> Iterator[None]:
    """SQLite refuses to write, as on a file system that the kernel remounted."""
    connection = gate.writer._database.connection
    connection.execute("PRAGMA query_only = ON")
    yield
    connection.execute("PRAGMA query_only = OFF")


@contextmanager
def moved_away(gate: House) -> Iterator[None]:
    aside = gate.path.with_name("aside.db")
    gate.path.rename(aside)
    yield
    aside.rename(gate.path)


Fault = Callable[[House], AbstractContextManager[None]]
FAULTS = pytest.mark.parametrize("fault", [locked, full, no_file_may_grow, read_only, moved_away])


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Where the database is: for a full disk one of a few megabytes, where mounting is permitted."""
    small = tmp_path / "small"
    small.mkdir(mode=0o700)
    if request.node.callspec.params.get("fault") is not full:
        yield small
        return
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mount is not permitted here; the same fault without a disk of its own is tried beside this")
    try:
        yield small
    finally:
        subprocess.run(["umount", "--lazy", str(small)], check=True)


@pytest.fixture
async def gate(folder: Path, vendor: FakeAnthropic, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setattr(book, "AGAIN_S", 0.02)
    async with house(folder, vendor.url) as made:
        yield made


@FAULTS
async def test_a_call_that_cannot_be_written_down_is_not_sent(gate: House, vendor: FakeAnthropic, fault: Fault) -> None:
    assert (await gate.ask()).status_code == 200

    with fault(gate):
        refusal = await gate.ask()
        while refusal.status_code == 200:  # there was room in the log; soon there is none
            refusal = await gate.ask()
        sent = len(vendor.requests)
        again = await gate.ask()

    assert error_of(refusal) == error_of(again) == (503, "api_error", "afk_ledger")
    assert refusal.headers["x-should-retry"] == "false"
    assert "so it was not sent: " in refusal.json()["error"]["message"]
    assert len(vendor.requests) == sent
    assert (await gate.ask()).status_code == 200, "it serves again"
    rows = await gate.ended(sent + 1)
    assert rows == [("settled", COST, None)] * (sent + 1)
    assert gate.sql("SELECT settled, held FROM spend") == [(COST * (sent + 1), 0)]
    assert gate.sql("PRAGMA integrity_check") == [("ok",)]


@FAULTS
async def test_a_call_in_flight_is_answered_and_keeps_its_hold_until_its_cost_can_be_written(
    gate: House, vendor: FakeAnthropic, fault: Fault
) -> None:
    """The client is not made to suffer for it, and the money counts all the while."""
    release = threading.Event()
    vendor.script(Reply.hang(release))
    call = asyncio.ensure_future(gate.ask())
    await asyncio.to_thread(vendor.wait_for, 1)

    with fault(gate):
        if fault in (full, no_file_may_grow):
            while (await gate.ask()).status_code == 200:
                pass
        release.set()
        assert (await call).status_code == 200
        if fault is not moved_away:
            with closing(sqlite3.connect(f"file:{gate.path}?mode=ro", uri=True)) as db:
                assert (HOLD,) in db.execute("SELECT counted FROM charges WHERE state = 'held'").fetchall()

    sent = len(vendor.requests)
    assert await gate.ended(sent) == [("settled", COST, None)] * sent
    assert gate.sql("SELECT settled, held FROM spend") == [(COST * sent, 0)]


@pytest.mark.parametrize("fault", [None])
async def test_a_ledger_that_was_deleted_never_serves_again(gate: House, vendor: FakeAnthropic, fault: None) -> None:
    """A connection would go on writing into the file that is gone; another file in its place is another ledger."""
    assert (await gate.ask()).status_code == 200
    gate.path.unlink()
    assert error_of(await gate.ask())[2] == "afk_ledger"

    gate.path.touch()

    assert error_of(await gate.ask())[2] == "afk_ledger"
    assert len(vendor.requests) == 1
