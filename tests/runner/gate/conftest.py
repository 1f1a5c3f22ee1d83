"""What most tests of the gate start from: a stand-in for a vendor, and a gate in front of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from runner.gate import book, http, local, upstreams
from tests.runner.gate.world import House, house
from tests.upstream import PATIENCE_S, FakeAnthropic


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that stands still for a while changes no answer; a test that is about a wait sets its own."""
    monkeypatch.setattr(upstreams, "CONNECT_S", PATIENCE_S)
    monkeypatch.setattr(local, "ASK_S", PATIENCE_S)
    monkeypatch.setattr(http, "LINGER_S", PATIENCE_S)
    monkeypatch.setattr(book, "TRIES_AGAIN", 1_000_000)


@pytest.fixture
def vendor() -> Iterator[FakeAnthropic]:
    with FakeAnthropic() as server:
        yield server


@pytest.fixture
async def gate(tmp_path: Path, vendor: FakeAnthropic) -> AsyncIterator[House]:
    async with house(tmp_path, vendor.url) as made:
        yield made
