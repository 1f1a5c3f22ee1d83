"""JSON in pieces is the same JSON: what is held money for is what is sent, whichever thread wrote it."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.config import UpstreamConfig
from runner.gate import plain
from runner.gate.body import MOST_MEMBERS, json_object
from runner.gate.estimate import Bound, Unbounded, bound
from runner.gate.http import BadRequest
from runner.gate.message import message_in
from runner.gate.openai import bound as openai
from runner.gate.prices import PriceList
from runner.nesting import MOST_DEPTH

_T = TypeVar("_T")

UPSTREAM = UpstreamConfig(name="house", url="https://house.example/v1", default_output_tokens=9)

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
)
VALUES = st.recursive(
    LEAVES,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(max_size=5), below, max_size=4),
    max_leaves=20,
)


def patiently(work: Callable[..., _T], *given: Any, **named: Any) -> _T:
    """Done in turns."""
    return plain.in_turns(lambda: work(*given, **named))


@given(VALUES, st.booleans(), st.booleans())
def test_it_is_written_and_read_as_at_once(value: Any, sort_keys: bool, sent: bool) -> None:
    text = plain.dumps(value, sort_keys=sort_keys, sent=sent)

    assert patiently(plain.dumps, value, sort_keys=sort_keys, sent=sent) == text
    assert patiently(plain.loads, text) == plain.loads(text) == value


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_not_sent(number: float) -> None:
    for write in (plain.dumps, partial(patiently, plain.dumps)):
        assert write({"a": "NaN"}, sent=True) == '{"a":"NaN"}'
        assert write([number]) == json.dumps([number])
        with pytest.raises(ValueError, match="not JSON compliant"):
            write([number], sent=True)


@pytest.mark.parametrize("letter", ["a", '"', "\\", "\n", "é", "\U0001f600"])
def test_a_long_text_is_the_same_wherever_it_is_cut(letter: str) -> None:
    text = "x" + letter * (2 * plain.PIECE + 1)

    assert json.loads(patiently(plain.dumps, {"content": text})) == {"content": text}


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1, "a": 2}',
        b'{"a": {"b": 1, "b": 2}}',
        b'{"a": NaN}',
        b'{"a": 1e999}',
        b'{"a": ' + b"1" * 200 + b"}",
        b'{"a": 1} x',
        b'{"a": "\\ud800"}',
        b'{"a": "\n"}',
        b"{'a': 1}",
        b'{"a" 1}',
        b"[1]",
        b"[" * 100_000,
        b'{"a": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
        b'{"a": ' + b"[" * MOST_DEPTH + b"]" * MOST_DEPTH + b"}",
        b"",
    ],
)
def test_what_is_no_plain_object_is_refused_alike(body: bytes) -> None:
    with pytest.raises(BadRequest) as at_once:
        json_object(body)
    with pytest.raises(BadRequest) as in_turns:
        patiently(json_object, body)

    assert in_turns.value.status == at_once.value.status == 400


@pytest.mark.parametrize("key", ["messages", "system", "tools", "input", "instructions", "metadata", "result"])
@pytest.mark.parametrize(("opens", "closes"), [("[", "]"), ('{"content":', "}")])
def test_what_is_nested_as_deep_as_may_be_is_read_written_and_bounded(key: str, opens: str, closes: str) -> None:
    """Whatever comes after meets no limit of the interpreter: a bound, or the sentence about its depth."""
    price = PriceList({}).lookup("claude-haiku-4-5", local=False)
    assert price is not None
    deep = opens * (MOST_DEPTH - 1) + "1" + closes * (MOST_DEPTH - 1)
    text = f'{{"model":"claude-haiku-4-5","max_tokens":9,"{key}":{deep}}}'

    def work() -> tuple[str, object, object]:
        body = json_object(text.encode())
        wires = [
            wire(body, price=price, upstream=UPSTREAM, max_output_tokens=None)
            for wire in (openai.chat, openai.responses)
        ]
        return plain.dumps(body, sent=True), bound(body, price=price, max_output_tokens=None), wires

    at_once, in_turns = work(), patiently(work)

    assert at_once == in_turns
    assert at_once[0] == text
    for held in (at_once[1], *at_once[2]):
        assert isinstance(held, Unbounded)
        assert "levels deep" in held.reason


def test_an_answer_nested_deeper_than_that_is_none() -> None:
    deep = "[" * 5_000 + "]" * 5_000
    answer = f'{{"content": [{{"type": "tool_use", "id": "a", "name": "b", "input": {deep}}}]}}'.encode()

    with pytest.raises(ValueError, match="nested more than"):
        message_in(answer)


def test_brackets_within_texts_are_no_depth() -> None:
    body = json.dumps({"a": "[{" * 5_000, "b": [[1]] * 300}).encode()

    assert patiently(json_object, body) == json_object(body) == json.loads(body)


def test_an_object_of_more_members_than_any_has_is_refused() -> None:
    members = ",".join(f'"{number}":1' for number in range(MOST_MEMBERS + 1))

    with pytest.raises(BadRequest, match="members"):
        patiently(json_object, f"{{{members}}}".encode())


@pytest.mark.parametrize("letter", ["a", "é", "\ufdfa", "中"])
def test_the_bound_is_the_same(letter: str) -> None:
    price = PriceList({}).lookup("claude-haiku-4-5", local=False)
    assert price is not None
    content = letter * 100_000
    body = {"model": "claude-haiku-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": content}]}

    held = bound(body, price=price, max_output_tokens=None)

    assert isinstance(held, Bound)
    assert patiently(bound, body, price=price, max_output_tokens=None) == held
