"""What headers say of a limit that is used up; what they may say and mean nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.gate.rateheaders import exhausted
from runner.units import DAY_MS
from tests.factories import NOW

LATER = "2030-03-17T17:47:40Z"
"""A minute after NOW."""


def anthropic(remaining: str = "0", reset: str = LATER, kind: str = "requests") -> dict[str, str]:
    return {
        f"anthropic-ratelimit-{kind}-limit": "50",
        f"anthropic-ratelimit-{kind}-remaining": remaining,
        f"anthropic-ratelimit-{kind}-reset": reset,
    }


def openai(remaining: str = "0", reset: str = "60s", kind: str = "requests") -> dict[str, str]:
    return {f"x-ratelimit-remaining-{kind}": remaining, f"x-ratelimit-reset-{kind}": reset}


@pytest.mark.parametrize(
    ("headers", "what", "after_ms"),
    [
        (anthropic(), "requests", 60_000),
        (anthropic(kind="input-tokens"), "input-tokens", 60_000),
        (anthropic(reset="2030-03-17T18:47:40.5+01:00"), "requests", 60_500),
        ({name.title(): value for name, value in anthropic().items()}, "requests", 60_000),
        (anthropic() | anthropic(kind="tokens", reset="2030-03-17T17:48:40Z"), "tokens", 120_000),
        (anthropic() | anthropic("7", kind="tokens", reset="2030-03-17T17:48:40Z"), "requests", 60_000),
        (openai(reset="1s"), "requests", 1_000),
        (openai(reset="6m0s", kind="tokens"), "tokens", 360_000),
        (openai(reset="1.5s"), "requests", 1_500),
        (openai(reset="120ms"), "requests", 120),
        (openai(reset="8.64s"), "requests", 8_640),
        (openai(reset="24h"), "requests", DAY_MS),
    ],
)
def test_a_limit_of_which_nothing_is_left_says_until_when(headers: dict[str, str], what: str, after_ms: int) -> None:
    told = exhausted(headers, now=NOW)

    assert told is not None
    assert (told.what, told.until - NOW) == (what, after_ms)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        anthropic("1"),
        anthropic("-1"),
        anthropic("none"),
        anthropic(""),
        anthropic("0x0"),
        anthropic("٠"),
        anthropic("0" * 10_000),
        anthropic(reset="2030-03-17T17:46:40Z"),  # now
        anthropic(reset="1970-01-01T00:00:00Z"),
        anthropic(reset="2030-03-18T17:46:41Z"),  # in more than a day
        anthropic(reset="9999-12-31T23:59:59Z"),
        anthropic(reset="0001-01-01T00:00:00+23:59"),
        anthropic(reset="2030-03-17T17:47:40"),  # of no zone
        anthropic(reset="60"),
        anthropic(reset="-60s"),
        anthropic(reset="soon"),
        anthropic(reset=""),
        {"anthropic-ratelimit-requests-remaining": "0"},
        openai("-0"),
        openai(reset="-1s"),
        openai(reset="1"),
        openai(reset="1s 2"),
        openai(reset="1e9s"),
        openai(reset="999999999h"),
        openai(reset="24h1ms"),
        openai(reset="nan"),
        openai(reset="1s" * 10_000),
        {"x-ratelimit-remaining-requests": "0"},
    ],
    ids=lambda headers: repr(sorted(headers.values()))[:50],
)
def test_whatever_else_they_say_is_ignored(headers: dict[str, str]) -> None:
    assert exhausted(headers, now=NOW) is None


@given(
    st.dictionaries(
        st.sampled_from([*anthropic(), *openai(), *anthropic(kind="tokens")]) | st.text(max_size=60),
        st.text(max_size=40)
        | st.sampled_from(["0", LATER, "60s", "0.0"])
        | st.datetimes().map(lambda at: at.isoformat()),
    )
)
def test_no_header_makes_it_fail_or_wait_longer_than_a_day(headers: dict[str, str]) -> None:
    told = exhausted(headers, now=NOW)

    assert told is None or NOW < told.until <= NOW + DAY_MS
