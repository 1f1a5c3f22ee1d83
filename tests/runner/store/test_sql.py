"""What every Python we run on takes as SQL."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_no_placeholder_is_numbered() -> None:
    """Python 3.14 takes a number for a name, and refuses values that come without one."""
    files = [path for package in ("runner", "console") for path in (ROOT / package).rglob("*.py")]

    assert files
    assert [f"{path}: {found[0]}" for path in files for found in re.finditer(r"\?\d", path.read_text("utf-8"))] == []
