"""Each row of the table: what an answer means for the money, the breaker and the job."""

from __future__ import annotations

import json

import httpx
import pytest

from runner.gate.verdict import (
    MAX_RETRY_AFTER_MS,
    Blow,
    Money,
    Verdict,
    of_status,
    of_stream_error,
    of_transport,
    retry_after,
)
from runner.units import UnixMs
from tests.factories import NOW


def judge(
    status: int, *, kind: str = "api_error", message: str = "", code: str | None = None, **headers: str
) -> Verdict:
    error: dict[str, object] = {"type": kind, "message": message}
    if code is not None:
        error["details"] = {"error_code": code}
    body = json.dumps({"type": "error", "error": error}).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return of_status(status, body, named, now=NOW)


@pytest.mark.parametrize(
    ("status", "money", "blow"),
    [
        (400, Money.RELEASE, Blow.NEUTRAL),
        (401, Money.RELEASE, Blow.TRIP),
        (402, Money.RELEASE, Blow.TRIP),
        (403, Money.RELEASE, Blow.TRIP),
        (404, Money.RELEASE, Blow.NEUTRAL),
        (408, Money.STAND, Blow.NEUTRAL),
        (409, Money.STAND, Blow.NEUTRAL),
        (413, Money.RELEASE, Blow.NEUTRAL),
        (422, Money.RELEASE, Blow.NEUTRAL),
        (429, Money.RELEASE, Blow.NEUTRAL),
        (499, Money.STAND, Blow.NEUTRAL),
        (500, Money.STAND, Blow.FAILURE),
        (502, Money.STAND, Blow.FAILURE),
        (503, Money.RELEASE, Blow.FAILURE),
        (504, Money.STAND, Blow.FAILURE),
        (529, Money.RELEASE, Blow.FAILURE),
        (302, Money.STAND, Blow.NEUTRAL),
        (418, Money.STAND, Blow.NEUTRAL),
    ],
)
def test_a_status_has_one_meaning(status: int, money: Money, blow: Blow) -> None:
    verdict = judge(status)

    assert (verdict.money, verdict.blow) == (money, blow)
    assert f"HTTP {status}" in verdict.note


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (429, "enforced_spend_limit_reached", ""),
        (429, "contract_spend_limit_reached", ""),
        (402, "linked_organization_suspended", ""),
        (400, None, "Your credit balance is too low to access the API."),
    ],
)
def test_an_account_at_its_own_limit_trips(status: int, code: str | None, message: str) -> None:
    """Waiting does not mend it, whatever the status says."""
    verdict = judge(status, code=code, message=message)

    assert (verdict.money, verdict.blow, verdict.wait_until) == (Money.RELEASE, Blow.TRIP, None)


def test_a_usual_rate_limit_does_not_trip() -> None:
    assert judge(429, kind="rate_limit_error", code="ramp_limit_exceeded").blow is Blow.NEUTRAL


@pytest.mark.parametrize("status", [429, 500, 503, 529])
def test_a_named_time_is_kept(status: int) -> None:
    assert judge(status, retry_after="7").wait_until == NOW + 7_000


def test_a_rate_limit_that_names_no_time_waits_for_what_its_headers_say() -> None:
    """Else an attempt would be burnt for it. A fault is none of a rate, whatever stands beside it."""
    named = {"x_ratelimit_remaining_requests": "0", "x_ratelimit_reset_requests": "2s"}

    assert judge(429, **named).wait_until == NOW + 2_000
    assert judge(429, retry_after="7", **named).wait_until == NOW + 7_000
    assert judge(500, **named).wait_until is None
    assert judge(429).wait_until is None


@pytest.mark.parametrize("status", [400, 404, 422, 409])
def test_a_time_beside_a_refusal_for_good_makes_no_pause_of_it(status: int) -> None:
    """Else a request that can never succeed would come back for ever, unburnt."""
    assert judge(status, retry_after="7").wait_until is None


@pytest.mark.parametrize(
    ("headers", "wait_ms"),
    [
        ({"retry-after": "0"}, 0),
        ({"retry-after": "1.5"}, 1_500),
        ({"retry-after-ms": "250", "retry-after": "9"}, 250),
        ({"retry-after": "Sun, 17 Mar 2030 17:47:40 GMT"}, 60_000),
        ({"retry-after": "99999999"}, MAX_RETRY_AFTER_MS),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "Sun, 17 Mar 2019 17:47:40 GMT"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_every_form(headers: dict[str, str], wait_ms: int | None) -> None:
    assert retry_after(headers, now=UnixMs(NOW)) == (NOW + wait_ms if wait_ms is not None else None)


@pytest.mark.parametrize("body", [b"", b"\xff", b"[]", b"7", b'{"error": 7}', b'{"error": {"type": 7, "details": []}}'])
def test_an_error_in_any_shape_is_judged_by_its_status(body: bytes) -> None:
    verdict = of_status(500, body, {}, now=NOW)

    assert (verdict.money, verdict.blow, verdict.note) == (Money.STAND, Blow.FAILURE, "HTTP 500")


@pytest.mark.parametrize("word", ["type", "message", "code"])
def test_half_a_surrogate_pair_in_an_error_can_be_written_down(word: str) -> None:
    """No row takes one: the money would stand as for a fault of ours, and the breaker learn nothing."""
    verdict = of_status(429, json.dumps({"error": {word: "over\ud800loaded"}}).encode(), {}, now=NOW)

    assert verdict.money is Money.RELEASE
    assert verdict.note.encode()
    assert of_stream_error("over\ud800loaded").note.encode()


def test_a_note_stays_short() -> None:
    """It is kept in rows and shown on screens."""
    assert len(judge(500, kind="x" * 10_000).note) < 200


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (httpx.ConnectTimeout(""), "it could not be reached in time"),
        (
            httpx.ConnectError("[Errno 111]  Connection\nrefused"),
            "it could not be reached ([Errno 111] Connection refused)",
        ),
        (httpx.ReadTimeout(""), "it was silent for too long"),
        (httpx.ReadError(""), "the connection to it broke"),
        (httpx.RemoteProtocolError("peer closed"), "it broke the connection off, or did not speak HTTP (peer closed)"),
        (httpx.DecodingError("incorrect header"), "its answer could not be unpacked (incorrect header)"),
        (OSError(), "the call to it broke"),
    ],
)
def test_a_broken_call_is_told_in_plain_words(error: Exception, said: str) -> None:
    """No class of a library is named to people."""
    assert of_transport(error, sent=True).note == said


@pytest.mark.parametrize(("sent", "money"), [(False, Money.RELEASE), (True, Money.STAND)])
def test_a_broken_call_costs_nothing_only_if_nothing_was_sent(sent: bool, money: Money) -> None:
    verdict = of_transport(httpx.ConnectError("no route"), sent=sent)

    assert (verdict.money, verdict.blow) == (money, Blow.FAILURE)
    assert verdict.note == "it could not be reached (no route)"


@pytest.mark.parametrize(
    ("kind", "blow"),
    [
        ("overloaded_error", Blow.FAILURE),
        ("api_error", Blow.FAILURE),
        ("timeout_error", Blow.FAILURE),
        ("server_error", Blow.FAILURE),
        ("502", Blow.FAILURE),
        ("error", Blow.FAILURE),
        ("invalid_request_error", Blow.NEUTRAL),
        ("429", Blow.NEUTRAL),
        ("insufficient_quota", Blow.TRIP),
    ],
)
def test_an_error_inside_a_stream_keeps_the_hold(kind: str, blow: Blow) -> None:
    verdict = of_stream_error(kind)

    assert (verdict.money, verdict.blow) == (Money.STAND, blow)
