"""The `[report]` section: what an hour is worth, when the morning's file is written, how many are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.config import ReportConfig
from runner.errors import ConfigError
from runner.settings import load

REQUIRED = 'timezone = "Europe/Berlin"\n[budget]\ndaily_usd = "1.00"\n'


def read(home: Path, text: str) -> ReportConfig:
    (home / "afk.toml").write_text(REQUIRED + text)
    return load(home, environ={}).report


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", ReportConfig(hourly_rate=None, at=390, keep=60)),
        (
            '[report]\nhourly_rate = "60"\nat = "00:00"\nkeep = 7',
            ReportConfig(hourly_rate=60_000_000, at=0, keep=7),  # type: ignore[arg-type]
        ),
        ('[report]\nat = "23:59"', ReportConfig(at=1_439)),
        ('[report]\nat = "off"', ReportConfig(at=None)),
    ],
)
def test_every_key_is_read(tmp_path: Path, text: str, meant: ReportConfig) -> None:
    assert read(tmp_path, text) == meant


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('at = "24:00"', '[report] at must be a time of day such as "06:30", or "off", not "24:00"'),
        ('at = "6:30"', '[report] at must be a time of day such as "06:30", or "off", not "6:30"'),
        ('at = "06:30 "', "[report] at must be a time of day"),
        ("at = 06:30:00", '[report] at must be a string such as "06:30", not a date or time'),
        ("hourly_rate = 60", '[report] hourly_rate must be a string of dollars such as "1.00", not the number 60'),
        ('hourly_rate = "-1"', "[report] hourly_rate is refused"),
        ("keep = 0", "[report] keep must be"),
        ("hourly = 60", '[report] hourly is not a known key; did you mean "hourly_rate"?'),
    ],
)
def test_what_is_bad_is_named_with_its_line(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, f"[report]\n{line}")

    assert f"afk.toml:5: {said}" in str(refused.value)
