"""What Tab adds to a filter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.completing import Completion, complete

TASKS = ("digest", "digest_b", "triage", "two words")


@pytest.mark.parametrize(
    ("text", "completion"),
    [
        ("sta", Completion(rest="te:")),
        ("age", Completion(told="age> age<")),
        ("state:pe", Completion(rest="nding ")),
        ("state:d", Completion(told="done dead")),
        ("-state:dead,h", Completion(rest="alted ")),
        ("state:dead", Completion()),
        ("task:di", Completion(rest="gest", told="digest digest_b")),
        ("key:x task:tr", Completion(rest="iage ")),
        ("task:two", Completion()),  # it would want quotes
        ("waiting:c", Completion(rest="ap ")),
        ("key:a", Completion()),
        ("word ", Completion()),
        ('err:"state:pe', Completion()),
        ("nothing:", Completion()),
    ],
)
def test_tab_goes_as_far_as_there_is_no_choice_and_names_the_choices(text: str, completion: Completion) -> None:
    assert complete(text, TASKS) == completion


def test_an_empty_line_shows_what_can_be_typed() -> None:
    assert complete("", TASKS).told.startswith("state:pending task:digest*")


@given(st.text(st.sampled_from('"-:,<> \tstaeork') | st.characters(), max_size=20), st.lists(st.text(max_size=8)))
def test_any_line_and_any_task_can_be_completed(text: str, tasks: list[str]) -> None:
    for _ in range(3):  # a field, one of its values and the blank after it
        text += complete(text, tasks).rest

    assert complete(text, tasks).rest == ""
