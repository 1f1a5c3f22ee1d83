"""robots.txt is read as RFC 9309 says: the longest rule that fits decides, with wildcards, for our own name first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.work.tools.robots import Robots


def allows(text: str, path: str) -> bool:
    return Robots(text, program="afk-runner").allows(path)


@pytest.mark.parametrize(
    ("rules", "path", "allowed"),
    [
        ("", "/x", True),
        ("Disallow: /", "/x", False),
        ("Disallow:", "/x", True),
        ("Allow: /\nDisallow: /private", "/private/x", False),
        ("Disallow: /\nAllow: /open", "/open/x", True),
        ("Disallow: /x\nAllow: /x", "/x", True),
        ("Disallow: /*.pdf$", "/a/b.pdf", False),
        ("Disallow: /*.pdf$", "/a/b.pdf?x", True),
        ("Disallow: /a*c", "/abbbcd", False),
        ("Disallow: /*?", "/a?b", False),
        ("Disallow: /*?", "/a", True),
        ("Disallow: /a$", "/a", False),
        ("Disallow: /a$", "/ab", True),
        ("Disallow: /*a*$", "/bab", False),
        ("Disallow: /%7Ejoe", "/~joe", False),
        ("Disallow: /a%2Fb", "/a/b", True),
        ("Disallow: /caf\u00e9", "/caf%C3%A9", False),
        ("disallow : /x # not here", "/x", False),
    ],
)
def test_the_longest_rule_that_fits_decides(rules: str, path: str, allowed: bool) -> None:
    assert allows(f"User-agent: *\n{rules}\n", path) is allowed


def test_rules_for_our_name_go_before_those_for_everybody() -> None:
    text = "User-agent: *\nDisallow: /\n\nUser-Agent: AFK-Runner/9\nDisallow: /secret\nCrawl-delay: 2.5\n"
    robots = Robots(text, program="afk-runner")

    assert (robots.allows("/x"), robots.allows("/secret/x"), robots.delay_s) == (True, False, 2.5)


def test_groups_of_one_name_are_joined_and_names_in_a_row_share_rules() -> None:
    text = "\ufeffUser-agent: other\nUser-agent: afk-runner\nDisallow: /a\nUser-agent: afk-runner\nDisallow: /b\n"
    assert [allows(text, path) for path in ("/a", "/b", "/c")] == [False, False, True]


@pytest.mark.parametrize(
    "text", ["Disallow: /", "User-agent:\nDisallow: /", "\x00\xff", "User-agent: *\nCrawl-delay: x"]
)
def test_what_says_nothing_forbids_nothing(text: str) -> None:
    assert allows(text, "/x")


def test_a_pattern_of_many_stars_takes_no_time() -> None:
    """It comes from anybody; a reader that backtracks would never come to the assertion."""
    assert allows("User-agent: *\nDisallow: /" + "*a" * 400 + "$\n", "/" + "a" * 399)


@given(st.text(max_size=200), st.text(max_size=50))
def test_no_text_breaks_the_reader(text: str, path: str) -> None:
    allows(text, path)
