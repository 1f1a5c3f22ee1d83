"""Looking at what this process may open harms nothing of it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from runner.reach import refused

WRITE = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"


def test_a_look_at_the_home_leaves_its_database_locked(tmp_path: Path) -> None:
    """SQLite's locks belong to the process: closing any descriptor of the file would let somebody else write."""
    file = tmp_path / "agent.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("CREATE TABLE t (a)")
        db.execute("BEGIN IMMEDIATE")
        assert [path.name for path in tmp_path.iterdir()] == ["agent.db"]

        assert refused(tmp_path) is None

        other = subprocess.run([sys.executable, "-c", WRITE, file], capture_output=True, text=True, check=False)
    assert "database is locked" in other.stderr


def test_what_is_not_there_is_not_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "gone") is None
