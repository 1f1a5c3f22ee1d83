"""A database of its own for each test, a clock moved by hand, and a place alerts go."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.mailbox import Mailbox


class Patient(Mailbox):
    """Is waited for, however long the machine stands still: apprise alone would give it four seconds."""

    @property
    def url(self) -> str:
        return f"{super().url}?cto=240&rto=240"


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    made = Patient()
    yield made
    made.close()
