"""Secrets are taken out by value, in whatever coat they come."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.redact import MARK, Redactor

SECRET = 'sk-ant/?"ö~\\9+x zz'

COATS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "url path": quote,
    "url": lambda secret: quote(secret, safe=""),
    "form": quote_plus,
    "lower-case escapes": lambda secret: re.sub("%..", lambda code: code[0].lower(), quote(secret, safe="")),
    "json": lambda secret: json.dumps({"key": secret}),
    "json as it is": lambda secret: json.dumps({"key": secret}, ensure_ascii=False),
    "base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "url-safe base64": lambda secret: base64.urlsafe_b64encode(secret.encode()).decode().rstrip("="),
}


@pytest.mark.parametrize("coat", COATS)
def test_a_secret_is_taken_out_in_every_coat(coat: str) -> None:
    """Plain, quoted, escaped or encoded: the mark stands where the secret stood, in text and in bytes."""
    worn = COATS[coat](SECRET).removeprefix('{"key": "').removesuffix('"}')
    redact = Redactor([SECRET])

    assert redact(f"before {worn} after") == f"before {MARK} after"
    assert redact.bytes(f"before {worn} after".encode()) == f"before {MARK} after".encode()


@given(st.binary(max_size=5), st.binary(max_size=5))
def test_a_secret_inside_something_encoded_is_taken_out(before: bytes, after: bytes) -> None:
    """`user:secret` in base64, as Basic authentication has it, gives no more away than the secret's rim."""
    encoded = base64.b64encode(before + SECRET.encode() + after).decode()

    cleaned = Redactor([SECRET])(encoded)

    assert MARK in cleaned
    assert len(cleaned) - len(MARK) <= len(base64.b64encode(before + after)) + 4


def test_the_longer_of_two_secrets_goes_first() -> None:
    """A secret that begins with another leaves no tail behind."""
    assert Redactor(["secret", "secret-and-more"])("secret-and-more secret") == f"{MARK} {MARK}"


def test_json_stays_json() -> None:
    """A redacted line of a log can still be read by a program."""
    line = json.dumps({"event": f"refused {SECRET}", "n": 1})

    assert json.loads(Redactor([SECRET])(line)) == {"event": f"refused {MARK}", "n": 1}


def test_short_secrets_are_left_alone() -> None:
    """Five characters would eat ordinary words."""
    assert Redactor(["error", ""])("an error") == "an error"


def test_without_secrets_nothing_is_touched() -> None:
    """No secrets, no work: the very same object comes back."""
    text, data = "words", b"\xff\xfe"

    assert Redactor([])(text) is text
    assert Redactor([]).bytes(data) is data


def test_bytes_that_are_not_text_are_cleaned_too() -> None:
    """Raw output keeps its broken bytes, a secret that is not UTF-8 goes all the same."""
    odd = b"caf\xe9-token".decode(errors="surrogateescape")

    assert Redactor([odd, "secret"]).bytes(b"\xff caf\xe9-token secret \xfe") == b"\xff [redacted] [redacted] \xfe"


@given(st.lists(st.text(min_size=6, max_size=20), max_size=3), st.text(max_size=20), st.text(max_size=20))
def test_no_secret_is_left(secrets: list[str], before: str, after: str) -> None:
    """Whatever the secrets hold, none of them stands in the cleaned text, unless it is a piece of the mark."""
    redact = Redactor(secrets)

    for secret in secrets:
        assert redact(f"{before}\n{secret}\n{after}").count(secret) <= MARK.count(secret)


def test_pattern_characters_in_a_secret_mean_themselves() -> None:
    """`a.b*c+d` is no pattern."""
    assert Redactor(["a.b*c+d"])("a.b*c+d axbbcd") == f"{MARK} axbbcd"


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_a_secret_is_taken_out_of_json_in_json(depth: int) -> None:
    """A vendor's answer, in a result, in an event, in a line of the log."""
    worn = f"before {SECRET} after"
    for _ in range(depth):
        worn = json.dumps(worn)

    cleaned = Redactor([SECRET])(worn)
    for _ in range(depth):
        cleaned = json.loads(cleaned)

    assert cleaned == f"before {MARK} after"


@pytest.mark.parametrize("left", range(20, 40))
def test_what_a_cut_left_of_a_secret_is_taken_out(left: int) -> None:
    """At the end of a text that was cut to a length, and where a sentence goes on behind the cut."""
    secret = "sk-0123456789abcdefghijklmnopqrstuvwxyz"
    redact = Redactor([secret])

    assert redact(f"said {secret[:left]}") == f"said {MARK}"
    assert redact(f"said {secret[:left]}; try again, said {secret}") == f"said {MARK}; try again, said {MARK}"


def test_less_than_half_of_a_secret_is_left_alone() -> None:
    """Many keys of one vendor begin alike, and sentences speak of how they begin."""
    secret = "sk-ant-api03-0123456789abcdefghijklmnopqrstuvwxyz"

    assert Redactor([secret])("keys begin with sk-ant-api03-") == "keys begin with sk-ant-api03-"
