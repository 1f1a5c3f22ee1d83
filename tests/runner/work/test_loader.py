"""The child that imports task files."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path


def test_a_file_that_hangs_does_not_outlive_whoever_asked(tmp_path: Path) -> None:
    """Who asked may have ended meanwhile, and then nobody else ends it."""
    (tmp_path / "stuck.py").write_text("while True:\n    pass\n")

    done = subprocess.run(
        [sys.executable, "-P", "-m", "runner.work.loader", str(tmp_path), "1"],
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == -signal.SIGALRM
