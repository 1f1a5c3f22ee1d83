"""An address is a secret; its name is not."""

from __future__ import annotations

import pytest

from runner.notify.addresses import name_of, named, without_secrets
from runner.notify.send import MESSAGE_S, channel_to
from runner.redact import MARK


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("json://user:hunter22@hooks.example.org:8080/path?token=abc", "json://hooks.example.org"),
        ("JSONS://Hooks.Example.org", "jsons://hooks.example.org"),
        ("https://discord.com/api/webhooks/1234/abcd-secret", "https://discord.com"),
        ("mailto://me:hunter22@example.org", "mailto://example.org"),
        ("tgram://123456789:AAbbCCdd/4711", "tgram"),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", "slack"),
        ("discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js", "discord"),
        ("ntfy://my-secret-topic", "ntfy"),
        ("json://user:pa/ss@host/hook", "json"),
        ("json://user:p@ss@host/hook", "json"),
        ("json://host/path/a@b", "json"),
        ("no URL at all", "an address"),
        ("secret stuff://x", "an address"),
    ],
)
def test_a_name_holds_no_secret(url: str, name: str) -> None:
    """Scheme, and host only where that is a server's name and cannot be anything else."""
    assert name_of(url) == name


def test_those_that_would_share_a_name_are_numbered() -> None:
    urls = ["json://one/a", "tgram://a/1", "json://one/b", "json://one/a", "tgram://b/2"]

    assert named(urls) == {
        "json://one": "json://one/a",
        "tgram": "tgram://a/1",
        "json://one (2)": "json://one/b",
        "tgram (2)": "tgram://b/2",
    }


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        (
            "json://user:hunter%2122@host.org/deep/path?token=abcdef",
            ["user", "hunter!22", "hunter%2122", "deep", "abcdef"],
        ),
        ("tgram://123456789:AAbbCCdd/4711", ["123456789", "AAbbCCdd", "4711"]),
    ],
)
def test_what_a_library_says_of_a_failure_is_freed_of_every_part(url: str, parts: list[str]) -> None:
    said = without_secrets(f"no connection: {url} with {' and '.join(parts)}", url)

    assert not [part for part in parts if part in said]
    assert MARK in said
    assert "no connection" in said


def test_the_name_may_stay_in_what_is_said() -> None:
    assert without_secrets("json to host.org refused", "json://u1:p1@host.org/") == "json to host.org refused"


def test_the_library_waits_as_long_as_we_say_unless_the_address_says_otherwise() -> None:
    """What a slow server took must not be sent again because somebody else's patience was shorter."""
    (ours,), (its_own,) = channel_to("json://127.0.0.1"), channel_to("json://127.0.0.1?cto=2&rto=3")

    assert ours.request_timeout == (MESSAGE_S, MESSAGE_S)
    assert its_own.request_timeout == (2, 3)
