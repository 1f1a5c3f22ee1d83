"""The language of filters: what it means, what it refuses, and that it reads what it writes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.snapshot.filter import EXAMPLES, LONGEST, NUMBERS, TEXTS, BadFilter, Field, Filter, Term, parse
from runner.store.jobs import JobStatus
from runner.units import MAX_DURATION_MS, MAX_USD

# Characters that mean something to the language, more often than chance would bring them.
TEXT = st.text(st.sampled_from('":<>,*- a_%\\') | st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
TASK = TEXT.map(lambda text: text.replace(",", "")).filter(bool)


@st.composite
def terms(draw: st.DrawFn) -> Term:
    field = draw(st.sampled_from(Field))
    negated = draw(st.booleans())
    if field in NUMBERS:
        most = MAX_DURATION_MS if field is Field.AGE else MAX_USD
        return Term(
            field=field,
            sign=draw(st.sampled_from("<>")),
            number=draw(st.integers(min_value=0, max_value=most)),
            negated=negated,
        )
    values = {
        Field.STATE: st.lists(st.sampled_from([status.value for status in JobStatus]), min_size=1, unique=True),
        Field.TASK: st.lists(TASK, min_size=1, max_size=3, unique=True),
    }.get(field, st.lists(TEXT, min_size=1, max_size=1))
    return Term(field=field, values=tuple(draw(values)), negated=negated)


@given(st.lists(terms(), max_size=5).map(lambda made: Filter(tuple(made))).filter(lambda one: len(str(one)) <= LONGEST))
def test_what_is_written_is_read_as_the_same(made: Filter) -> None:
    assert parse(str(made)) == made


@given(
    st.text(max_size=60)
    | st.text(st.sampled_from('"- :<>,*\t\n') | st.characters(), max_size=30)
    | st.lists(st.sampled_from(["state:", "age>", "cost<", '"', "-", ",", "2h", "1", "dead", " ", "\ud800"])).map(
        "".join
    )
)
def test_any_text_is_a_filter_or_refused_in_one_line(text: str) -> None:
    try:
        made = parse(text)
    except BadFilter as refusal:
        said = str(refusal)
        assert said.strip()
        assert len(said) < 300
        return
    assert len(str(made)) > LONGEST or parse(str(made)) == made


@pytest.mark.parametrize("text", [*EXAMPLES.values(), "state:pending,running", "-state:done", '"state:x"', '-"-x"', ""])
def test_what_help_shows_is_read_and_written_alike(text: str) -> None:
    assert str(parse(text)) == text
    assert set(EXAMPLES) == {*TEXTS, *NUMBERS}


def test_terms_say_what_they_look_at() -> None:
    assert parse('State:PENDING,pending -err:"timed out" age>1h30m cost<$2 "a:b" word').terms == (
        Term(field=Field.STATE, values=("pending",)),
        Term(field=Field.ERR, values=("timed out",), negated=True),
        Term(field=Field.AGE, sign=">", number=5_400_000),
        Term(field=Field.COST, sign="<", number=2_000_000),
        Term(field=Field.WORD, values=("a:b",)),
        Term(field=Field.WORD, values=("word",)),
    )


def test_a_time_of_day_in_a_key_is_no_qualifier() -> None:
    assert parse("2030-03-17T06:00").terms[0].field is Field.WORD


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("state:pendin", ("state:pendin", "the nearest is state:pending; ")),
        ("state:", ("state:", "state:pending")),
        ("state>dead", ("state>dead", "state:pending")),
        ("status:dead", ("status:", "the nearest is state:pending", '"status:dead"')),
        ("job:a", ("job:", "task:")),
        ("age:2h", ("age:2h", "age>2h")),
        ("age>soon", ("age>soon", "age>90s")),
        ("cost>much", ("cost>much", "cost>0.10")),
        ("task:a,,b", ("task:a,,b", "task:digest*")),
        ('err:"timed out', ('err:"timed out', "does not end")),
        ("fine -", ("-state:done",)),
        ('""', ('""',)),
        ("key:\ud800", ("no job can hold",)),
        ("x" * (LONGEST + 1), (str(LONGEST), f"{LONGEST + 1}")),
    ],
)
def test_a_refusal_names_the_word_and_the_way_it_is_written(text: str, names: tuple[str, ...]) -> None:
    with pytest.raises(BadFilter) as refused:
        parse(text)

    for name in names:
        assert name in str(refused.value)
