"""What most tests of the gate start from: a stand-in for a vendor, and a gate in front of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.runner.gate.world import House, house
from tests.upstream import FakeAnthropic


@pytest.fixture
def vendor() -> Iterator[FakeAnthropic]:
    with FakeAnthropic() as server:
        yield server


@pytest.fixture
async def gate(tmp_path: Path, vendor: FakeAnthropic) -> AsyncIterator[House]:
    async with house(tmp_path, vendor.url) as made:
        yield made
