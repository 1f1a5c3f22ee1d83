"""One table a session, written to RESULTS.md when every measurement ran."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.table import Table

RESULTS = Path(__file__).with_name("RESULTS.md")


@pytest.fixture(scope="session")
def table(request: pytest.FixtureRequest) -> Iterator[Table]:
    """The lines of this run. The file is only replaced by a whole run without a failure."""
    made = Table()
    yield made
    modules = {item.path.name for item in request.session.items if item.get_closest_marker("bench")}
    everything = {path.name for path in RESULTS.parent.glob("test_*.py") if "mark.bench" in path.read_text("utf-8")}
    if modules == everything and not request.session.testsfailed and made.rows:
        RESULTS.write_text(made.markdown(), "utf-8")


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A folder on a disk. Memory cannot be synced, so nothing measured there would mean anything."""
    kind = subprocess.run(["df", "-T", str(tmp_path)], capture_output=True, text=True, check=False).stdout
    if "tmpfs" in kind:
        pytest.skip("the temporary folder is in memory; name one on a disk with --basetemp")
    return tmp_path
