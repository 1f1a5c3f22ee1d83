"""The stand-in vendor is understood by the vendor's own client."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from tests.upstream import PATIENCE_S, FakeAnthropic, Reply

ASKED: dict[str, Any] = {
    "model": "claude-haiku-4-5",
    "max_tokens": 50,
    "messages": [{"role": "user", "content": "Hello"}],
}


@pytest.fixture
def upstream() -> Iterator[FakeAnthropic]:
    with FakeAnthropic() as server:
        yield server


@pytest.fixture
def client(upstream: FakeAnthropic) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=upstream.url, api_key="sk-test", max_retries=0, timeout=PATIENCE_S) as ready:
        yield ready


def test_a_whole_answer_is_read_with_its_usage(upstream: FakeAnthropic, client: anthropic.Anthropic) -> None:
    upstream.script(Reply.ok("Good morning.", input_tokens=7, output_tokens=3))

    answer = client.messages.create(**ASKED)

    assert answer.content[0].text == "Good morning."
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (7, 3)
    assert upstream.requests[0].body["messages"] == ASKED["messages"]
    assert upstream.requests[0].path == "/v1/messages"


def test_a_streamed_answer_is_read_with_its_usage(upstream: FakeAnthropic, client: anthropic.Anthropic) -> None:
    upstream.script(Reply.ok("One two three.", input_tokens=7, output_tokens=3))

    with client.messages.stream(**ASKED) as stream:
        text = "".join(stream.text_stream)
        usage = stream.get_final_message().usage

    assert text == "One two three."
    assert (usage.input_tokens, usage.output_tokens) == (7, 3)


def test_a_connection_carries_several_requests(upstream: FakeAnthropic, client: anthropic.Anthropic) -> None:
    for _ in range(3):
        client.messages.create(**ASKED)

    assert len(upstream.wait_for(3)) == 3


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply.error(500), anthropic.InternalServerError),
        (Reply.error(429, "rate_limit_error", headers={"retry-after": "7"}), anthropic.RateLimitError),
        (Reply.error(529, "overloaded_error"), anthropic.InternalServerError),
        (Reply.error(402, "billing_error"), anthropic.APIStatusError),
    ],
)
def test_a_scripted_error_is_told_once_and_then_forgotten(
    upstream: FakeAnthropic, client: anthropic.Anthropic, reply: Reply, error: type[anthropic.APIStatusError]
) -> None:
    upstream.script(reply)

    with pytest.raises(error) as caught:
        client.messages.create(**ASKED)

    assert caught.value.status_code == reply.status
    assert all(caught.value.response.headers[name] == value for name, value in reply.headers.items())
    assert client.messages.create(**ASKED).stop_reason == "end_turn"


def test_a_hanging_answer_comes_when_it_is_released(upstream: FakeAnthropic, client: anthropic.Anthropic) -> None:
    release, answers = threading.Event(), []
    upstream.script(Reply.hang(release))
    caller = threading.Thread(target=lambda: answers.append(client.messages.create(**ASKED)))
    caller.start()
    upstream.wait_for(1)
    assert answers == []

    release.set()
    caller.join(PATIENCE_S)

    assert answers[0].content[0].text == "Understood."


def test_a_client_that_gives_up_is_noticed(upstream: FakeAnthropic, client: anthropic.Anthropic) -> None:
    upstream.script(Reply.hang(threading.Event(), after=3))

    with client.messages.create(**ASKED, stream=True) as stream:
        assert next(iter(stream)).type == "message_start"

    assert upstream.requests[0].gone.wait(PATIENCE_S)


def test_a_cut_stream_breaks_off(upstream: FakeAnthropic, client: anthropic.Anthropic) -> None:
    upstream.script(Reply.cut(3))
    broken = pytest.raises(Exception, match="peer closed connection")  # of httpx2, which only the SDK knows

    with client.messages.create(**ASKED, stream=True) as stream, broken:
        list(stream)

    assert len(upstream.requests) == 1


def test_garbage_and_silence_about_usage_are_sent_as_told(upstream: FakeAnthropic, client: anthropic.Anthropic) -> None:
    upstream.script(Reply.garbage(b"<html>"), Reply.without_usage())

    with pytest.raises(ValueError, match="Expecting value"):  # the SDK lets its JSON error through
        client.messages.create(**ASKED)
    assert client.messages.create(**ASKED).usage is None


def test_closing_does_not_wait_for_what_hangs() -> None:
    with FakeAnthropic() as upstream:
        upstream.script(Reply.hang(threading.Event()))
        client = anthropic.Anthropic(base_url=upstream.url, api_key="sk-test", max_retries=0, timeout=PATIENCE_S)
        failed = threading.Event()

        def call() -> None:
            try:
                client.messages.create(**ASKED)
            except anthropic.APIConnectionError:
                failed.set()

        threading.Thread(target=call, daemon=True).start()
        upstream.wait_for(1)

    assert failed.wait(PATIENCE_S)
