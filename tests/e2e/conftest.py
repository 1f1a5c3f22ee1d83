"""The fixture every end-to-end test starts from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.world import World, world


@pytest.fixture
def afk(tmp_path: Path) -> Iterator[World]:
    """A home that is not made yet; its runners end with the test."""
    with world(tmp_path) as made:
        yield made
