"""What end-to-end tests start from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.world import World, world
from tests.upstream import FakeAnthropic

LIMIT_S = 900
"""Of one test: it starts dozens of programs one after the other, which takes minutes on a machine under load."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each wait has a limit of its own; this one ends what waits without."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(LIMIT_S))


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
