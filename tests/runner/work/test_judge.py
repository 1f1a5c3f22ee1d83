"""A criterion is met only where the judge says so in a form that can be read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.work.judge import complaint, question, read_verdicts, unreadable

CRITERIA = ("Sings.", "Is short.")


def said(*entries: object) -> str:
    return json.dumps({"verdicts": list(entries)})


@pytest.mark.parametrize(
    ("answer", "met"),
    [
        (said({"number": 1, "met": True, "reason": "a"}, {"number": 2, "met": False, "reason": "b"}), [True, False]),
        (said({"number": 2, "met": True, "reason": "b"}), [False, True]),
        (said({"number": 1, "met": "true"}, {"number": 2, "met": 1}), [False, False]),
        (said({"number": True, "met": True}, {"number": "2", "met": True}), [False, False]),
        (said({"number": 1, "met": False}, {"number": 1, "met": True}), [False, False]),
        (
            "Here you are:\n```json\n" + said({"number": 1, "met": True}, {"number": 2, "met": True}) + "\n```",
            [True] * 2,
        ),
        ('{"verdicts": "all met"}', [False, False]),
        ("All criteria are met!", [False, False]),
        ('{"verdicts": [{"number": 1, "met": tr', [False, False]),
        ("[" * 100_000, [False, False]),
        ("{" * 100_000, [False, False]),
        ("", [False, False]),
    ],
)
def test_what_is_not_said_clearly_is_not_met(answer: str, met: list[bool]) -> None:
    verdicts = read_verdicts(answer, CRITERIA)

    assert [verdict.met for verdict in verdicts] == met
    assert [verdict.criterion for verdict in verdicts] == list(CRITERIA)
    assert all(verdict.reason for verdict in verdicts)


@given(st.text(max_size=200) | st.recursive(st.none() | st.booleans() | st.integers(), st.lists).map(json.dumps))
def test_no_answer_breaks_the_reader(answer: str) -> None:
    assert len(read_verdicts(answer, CRITERIA)) == len(CRITERIA)
    assert len(read_verdicts(f'{{"verdicts": {answer}}}', CRITERIA)) == len(CRITERIA)


def test_the_judge_gets_criteria_and_text_apart_and_the_author_its_reasons() -> None:
    asked = question("m", CRITERIA, "La la.", max_tokens=50)
    unmet = read_verdicts(said({"number": 1, "met": False, "reason": "No tune."}), CRITERIA)

    assert [block["text"] for block in asked["messages"][0]["content"]] == [
        "Criteria:\n1. Sings.\n2. Is short.",
        "The text:\nLa la.",
    ]
    assert "- Sings.: No tune." in complaint(unmet)


@pytest.mark.parametrize(
    ("answer", "nothing"),
    [
        ("All criteria are met!", True),
        (said(), True),
        (said({"number": 7, "met": True}), True),
        (said({"number": 2, "met": False}), False),
        (said({"number": 1, "met": True}), False),
    ],
)
def test_an_answer_without_any_verdict_is_told_from_a_bad_verdict(answer: str, nothing: bool) -> None:
    assert unreadable(read_verdicts(answer, CRITERIA)) is nothing
