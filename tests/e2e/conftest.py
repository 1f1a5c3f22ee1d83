"""What end-to-end tests start from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.world import World, world
from tests.upstream import FakeAnthropic


@pytest.fixture
def afk(tmp_path: Path) -> Iterator[World]:
    """A home that is not made yet; its runners end with the test."""
    with world(tmp_path) as made:
        yield made


@pytest.fixture
def vendor() -> Iterator[FakeAnthropic]:
    """A stand-in on the loopback."""
    with FakeAnthropic() as server:
        yield server
