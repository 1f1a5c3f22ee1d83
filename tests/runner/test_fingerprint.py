"""Ids, times and counts make no other error; codes and tasks do, but for an outage that strikes them all."""

from __future__ import annotations

import pytest

from runner.fingerprint import fingerprint


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ValueError: 'a' has 12 mails at 0x7f00\n  at x.py:3", "ValueError: 'b' has 9 mails at 0x8a11\n  at y.py:7"),
        ("no answer after 31 s", "no answer after 2m05s"),
        ("it took 1.5s", "it took 900 ms"),
        ("locked since 2026-11-21T18:30:00.125Z", "locked since 2027-01-02T06:05:00Z"),
        ("request req_011CSHoEeqs5C35K2UUqR7Fy", "request req_01XFDUDYJgAACzvnptvVoYEL"),
        ("task 0af3e1b2-77aa-4c1d-9f2e-1234567890ab lost", "task ffffffff-ab12-4c1d-8f2e-aaaaaaaaaaaa lost"),
        ("sh ended with exit code 3: 17 rows", "sh ended with exit code 3: 4 rows"),
    ],
)
def test_ids_times_and_counts_make_no_other_error(one: str, other: str) -> None:
    assert fingerprint(one, task="digest") == fingerprint(other, task="digest")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ValueError: box 'a'", "KeyError: box 'a'"),
        ("sh ended with exit code 3", "sh ended with exit code 4"),
        ("sh was ended by signal 9", "sh was ended by signal 11"),
        ("SystemExit: 3", "SystemExit: 4"),
        ("HTTP 504", "HTTP 401"),
        ("Error code: 429 - {}", "Error code: 400 - {}"),
        ("OSError: [Errno 2] it", "OSError: [Errno 13] it"),
    ],
)
def test_a_code_makes_another_error(one: str, other: str) -> None:
    assert fingerprint(one, task="digest") != fingerprint(other, task="digest")


@pytest.mark.parametrize(
    "error", ["python3 ended with exit code 1", "sh ended with exit code 7: timeout", "KeyError: 'x'"]
)
def test_what_a_task_does_wrong_is_its_own_error(error: str) -> None:
    assert fingerprint(error, task="digest") != fingerprint(error, task="triage")


@pytest.mark.parametrize("error", ["HTTP 504 after 3s", "TimeoutError: upstream 504", "ConnectError: refused"])
def test_an_outage_is_one_error_of_all_tasks(error: str) -> None:
    """So that one replay takes all that it struck."""
    assert fingerprint(error, task="digest") == fingerprint(error, task="triage")
