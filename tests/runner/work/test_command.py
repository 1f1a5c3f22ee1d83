"""What a command leaves: its result, or the words in which it failed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from runner.work import command, processes
from runner.work.command import last_word, run_command


def ran(tmp_path: Path, code: str) -> dict[str, Any]:
    """The answer of a command task that is this Python code."""
    return run_command(
        {
            "command": [sys.executable, "-c", code],
            "cwd": str(tmp_path),
            "env": {},
            "child_home": str(tmp_path),
            "confine": None,
            "agents": str(tmp_path / "agents"),
            "gate": "http://127.0.0.1:9",
            "token": "t",
            "payload": "{}",
            "key": "k",
            "n": 1,
            "max_output_tokens": 10,
        }
    )


@pytest.fixture(autouse=True)
def spared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' own process has children that a worker has not."""
    monkeypatch.setattr(processes, "end_leftovers", lambda: None)
    monkeypatch.setattr(command, "LAST_LOOKS", 1_200)  # on a machine that stands still they take their time


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import sys; print('half done'); sys.exit('no such branch: main')", "exit code 1: no such branch: main"),
        ("raise ValueError('bad box')", "exit code 1: ValueError: bad box"),
        ("import sys; print('out of luck'); sys.exit(3)", "exit code 3: out of luck"),
        ("import sys; sys.exit(75)", "exit code 75"),
        ("import os; os.kill(os.getpid(), 9)", "was ended by signal 9"),
    ],
)
def test_a_failure_says_the_last_line_of_stderr_first(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], code: str, told: str
) -> None:
    answer = ran(tmp_path, code)

    assert answer["outcome"] == "retry"
    assert answer["error"].endswith(told)
    assert "\n" not in answer["error"]


def test_both_streams_go_on_to_the_capture(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    answer = ran(tmp_path, "import sys; print('result'); print('remark', file=sys.stderr)")

    assert (answer["outcome"], json.loads(answer["result"])) == ("done", "result\n")
    shown = capfdbinary.readouterr()
    assert sorted(shown.out.splitlines()) == [b"remark", b"result"]


def test_a_result_that_is_cut_says_so(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    result = json.loads(ran(tmp_path, "print('x' * 999_999)")["result"])

    assert result.endswith("xx\n[1,000,000 bytes were printed; only the first 500,000 are the result]")
    assert result.count("x") == 500_000


@pytest.mark.parametrize(
    ("end", "word"),
    [
        (b"", ""),
        (b" \n\t\n", ""),
        (b"one\ntwo \n\n  \n", "two"),
        (b"10%\r90%\rError: no space left\r\n", "Error: no space left"),
        (b"\x1b[1;31merror\x1b[0m: \x1b]0;title\x07denied\x1b[K\n\x1b[0m\n", "error: denied"),
        (b"bell \x07 and \xff\n", "bell \\x07 and \ufffd"),
        (b"y" * 9_000, "y" * 500),
    ],
)
def test_a_last_line_is_bounded_and_fit_to_be_shown(end: bytes, word: str) -> None:
    assert last_word(end) == word
