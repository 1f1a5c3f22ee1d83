"""The section `[watch]`."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.config import Config, WatchConfig
from runner.redact import Redactor
from runner.settings import SettingsError, load

REQUIRED = 'timezone = "UTC"\n[budget]\ndaily_usd = "1.00"\n'
ENVIRON = {"PING": "https://hc-ping.com/0f-uuid/", "WORDS": "no url", "ASKS": "https://x.org/?a=1"}


def read(home: Path, text: str) -> Config:
    (home / "afk.toml").write_text(f"{REQUIRED}[watch]\n{text}\n")
    return load(home, environ=ENVIRON)


def test_without_the_section_a_stalled_loop_is_ended_and_nothing_is_pinged(tmp_path: Path) -> None:
    (tmp_path / "afk.toml").write_text(REQUIRED)

    assert load(tmp_path, environ={}).watch == WatchConfig(
        ping_url=None, ping_every_ms=60_000, stall_ms=45_000, stay_awake="on_power"
    )


def test_every_key_arrives_in_its_unit(tmp_path: Path) -> None:
    text = 'ping_url = "env:PING"\nping_every = "5m"\nstall = "90s"\nstay_awake = "never"'

    assert read(tmp_path, text).watch == WatchConfig(
        ping_url="https://hc-ping.com/0f-uuid", ping_every_ms=300_000, stall_ms=90_000, stay_awake="never"
    )


def test_the_ping_url_is_a_secret(tmp_path: Path) -> None:
    config = read(tmp_path, 'ping_url = "env:PING"')

    assert "0f-uuid" not in repr(config)
    assert "0f-uuid" not in Redactor(config.secrets)("POST https://hc-ping.com/0f-uuid/ failed")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('ping_url = "https://hc-ping.com/0f"', '[watch] ping_url must be "env:NAME" or "file:PATH"; a secret'),
        ('ping_url = "env:NOPE"', "[watch] ping_url names env:NOPE, but NOPE is set neither"),
        ('ping_url = "env:WORDS"', "[watch] ping_url names something that is not a URL such as https://"),
        ('ping_url = "env:ASKS"', "[watch] ping_url names a URL with a query or a fragment"),
        ('ping_every = "1s"', "[watch] ping_every must be from 5s to 1d"),
        ('stall = "1s"', "[watch] stall must be from 5s to 1h"),
        ('stay_awake = "sometimes"', '[watch] stay_awake must be "on_power" or "always" or "never"'),
        ('pingurl = "env:PING"', '[watch] pingurl is not a known key; did you mean "ping_url"?'),
    ],
)
def test_what_is_not_understood_is_refused_in_words(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, text)

    (problem,) = caught.value.problems
    assert problem.text.startswith(said)
    assert problem.line == 5
