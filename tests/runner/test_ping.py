"""The dead man's ping, against a real server on the loopback that answers, fails, hangs or is not there."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from runner import ping
from runner.ping import FAIL, WELL, Pinger
from tests.e2e.world import eventually


class Listener:
    """Takes pings, and answers each with the next of `answers`, the last for ever; None: never."""

    def __init__(self, *answers: int | None) -> None:
        self.heard: list[tuple[str, str]] = []
        self.released = threading.Event()
        left = list(answers) or [200]
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                words = self.rfile.read(int(self.headers["content-length"])).decode()
                answer = left.pop(0) if len(left) > 1 else left[0]
                outer.heard.append((self.path, words))
                if answer is None:
                    outer.released.wait(60)
                    return
                self.send_response(answer)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"OK")

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/s3cret-uuid"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def listen() -> Iterator[Callable[..., Listener]]:
    made: list[Listener] = []

    def make(*answers: int | None) -> Listener:
        made.append(Listener(*answers))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ping, "NEWS_S", 0.0)
    monkeypatch.setattr(ping, "ANSWER_S", 60.0)  # a listener that has to wait for a core does not hang


class Runner:
    """What a pinger asks and tells."""

    def __init__(self) -> None:
        self.state = (WELL, "running")
        self.answers: list[str | None] = []


async def looking(pinger: Pinger, reached: Callable[[], bool]) -> int:
    """Look as the loop does until it is so; how many turns that took."""
    deadline, turns = time.monotonic() + 120, 0
    while not reached():
        assert time.monotonic() < deadline, f"never came to be, in {turns} turns"
        pinger.look()
        turns += 1
        await asyncio.sleep(0.005)
    return turns


async def pings(pinger: Pinger, runner: Runner, count: int) -> None:
    """Until so many pings were answered or given up."""
    await looking(pinger, lambda: len(runner.answers) >= count)


def pinger_of(url: str, runner: Runner, *, every_s: float = 0.01) -> Pinger:
    return Pinger(url, every_s=every_s, told=lambda: runner.state, heard=runner.answers.append)


async def test_it_says_that_it_begins_and_then_that_it_is_well(listen: Callable[..., Listener]) -> None:
    listener, runner = listen(200), Runner()
    pinger = pinger_of(listener.url, runner)

    await pings(pinger, runner, 3)
    await pinger.close()

    assert listener.heard[:3] == [
        ("/s3cret-uuid/start", "running"),
        ("/s3cret-uuid", "running"),
        ("/s3cret-uuid", "running"),
    ]
    assert runner.answers[:3] == [None] * 3


async def test_parked_it_goes_on_in_other_words_and_a_fault_is_a_failure(listen: Callable[..., Listener]) -> None:
    """A stop must not look like a death, and what needs a person must not look well."""
    listener, runner = listen(200), Runner()
    pinger = pinger_of(listener.url, runner, every_s=3_600)
    await pings(pinger, runner, 2)

    runner.state = (WELL, "parked (stop)")
    await pings(pinger, runner, 3)
    runner.state = (FAIL, "parked (disk)")
    await pings(pinger, runner, 4)
    await pinger.close()

    assert listener.heard[2:] == [("/s3cret-uuid", "parked (stop)"), ("/s3cret-uuid/fail", "parked (disk)")]


async def test_what_begins_parked_for_a_fault_says_so_at_once(listen: Callable[..., Listener]) -> None:
    listener, runner = listen(200), Runner()
    runner.state = (FAIL, "parked (breaker)")
    pinger = pinger_of(listener.url, runner)

    await pings(pinger, runner, 1)
    await pinger.close()

    assert listener.heard[0] == ("/s3cret-uuid/fail", "parked (breaker)")


@pytest.mark.parametrize(("answer", "fault"), [(500, "answered 500"), (404, "answered 404"), (302, "answered 302")])
async def test_an_answer_that_is_no_yes_is_noted_and_the_next_ping_goes_out(
    listen: Callable[..., Listener], answer: int, fault: str
) -> None:
    """Also one that points elsewhere: a ping is sent to no other place."""
    listener, runner = listen(answer, 200), Runner()
    pinger = pinger_of(listener.url, runner)

    await pings(pinger, runner, 2)
    await pinger.close()

    assert runner.answers[:2] == [fault, None]
    assert all(path.startswith("/s3cret-uuid") for path, _ in listener.heard)


async def test_a_listener_that_hangs_holds_nothing_up(
    listen: Callable[..., Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop turns meanwhile, no second ping is sent, and the first is given up in the end."""
    given: list[asyncio.Timeout] = []
    limited = asyncio.timeout

    def timeout(seconds: float) -> asyncio.Timeout:
        given.append(limited(seconds))
        return given[-1]

    monkeypatch.setattr(asyncio, "timeout", timeout)
    listener, runner = listen(None), Runner()
    pinger = pinger_of(listener.url, runner, every_s=0.0)
    await looking(pinger, lambda: bool(listener.heard))
    for _ in range(5):
        pinger.look()
        await asyncio.sleep(0.005)
    assert (len(listener.heard), runner.answers) == (1, [])

    (limit,) = given
    limit.reschedule(asyncio.get_running_loop().time())  # its time is up
    await pings(pinger, runner, 1)
    await pinger.close()

    assert len(listener.heard) == 1
    assert runner.answers == ["no answer within 60s"]


async def test_who_ends_does_not_wait_for_an_answer(listen: Callable[..., Listener]) -> None:
    listener, runner = listen(None), Runner()
    pinger = pinger_of(listener.url, runner)
    pinger.look()
    await asyncio.to_thread(eventually, lambda: listener.heard)

    await pinger.close()

    assert runner.answers == [], "it was not waited for until it was given up"


async def test_where_nobody_listens_the_url_stays_a_secret() -> None:
    runner = Runner()
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nobody listens, and nobody else can have the port meanwhile
        pinger = pinger_of(f"http://127.0.0.1:{closed.getsockname()[1]}/s3cret-uuid", runner)

        await pings(pinger, runner, 1)
        await pinger.close()

    (fault, *_) = runner.answers
    assert fault is not None
    assert "s3cret" not in fault
    assert "127.0.0.1" not in fault
