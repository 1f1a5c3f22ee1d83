"""A model's answer is read as what it is: bytes from somebody else."""

from __future__ import annotations

import json

import pytest

from runner.work.asking import _checked, text_of
from runner.work.context import Retry


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[]", b"null", b"{}", b'"x"', b"\xff", b'{"content": null}', b'{"content": {}}', b"[" * 100_000),
        *(b'{"content": [null]}', b'{"content": [{"type": 1}]}', b'{"content": [{"type": "text", "text": null}]}'),
        *(b'{"content": [{"type": "tool_use", "id": 1, "name": "x", "input": {}}]}', b'{"content": [], "n": NaN}'),
        *(b'{"content": [], "n": -Infinity}', b'{"content": [], "n": 1e999}'),
    ],
)
def test_what_is_no_message_is_tried_again_and_told_in_plain_words(body: bytes) -> None:
    with pytest.raises(Retry, match="the model's answer cannot be read"):
        _checked(body)


def test_what_could_not_be_recorded_is_mended() -> None:
    """Half a surrogate pair would be refused by the gate, and the answer be paid for again and again."""
    body = json.dumps(
        {"content": [{"type": "text", "text": "a\ud800b \U0001f600"}], "stop_reason": "end_turn"}
    ).encode()

    message = _checked(body)

    assert text_of(message["content"]) == "a?b \U0001f600"
    assert message["stop_reason"] == "end_turn"


def test_blocks_nobody_here_knows_are_kept_as_they_came() -> None:
    """A model's thinking is signed: it goes back unchanged or not at all."""
    thought = {"type": "thinking", "thinking": "hm", "signature": "c2ln", "new_field": {"a": [1]}}
    body = json.dumps({"content": [thought, {"type": "text", "text": "Yes."}], "stop_reason": "end_turn"}).encode()

    assert _checked(body)["content"][0] == thought
