"""The child that imports task files."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from runner.errors import ConfigError
from runner.work import declared
from runner.work.declared import discover


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


def test_a_name_that_afk_toml_has_too_is_named_with_both_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(declared, "LOAD_TIMEOUT_S", 120)
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "mine.py").write_text("from runner import task\n\n\n@task('digest')\ndef digest(ctx):\n    pass\n")
    (tmp_path / "afk.toml").write_text('timezone = "UTC"\n\n[tasks.digest]\nkind = "command"\n')

    with pytest.raises(ConfigError) as refused:
        discover(folder, zone=ZoneInfo("UTC"))

    assert str(refused.value) == (
        f"{folder}/mine.py:4: task 'digest' is declared at {tmp_path}/afk.toml:3 as well; rename one"
    )
