"""What an upstream's answer means for the ledger, the breaker and the job: one table.

Source: the settle and breaker tables of the design's spend reference, which follow the vendors' billing notes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum

import httpx

from runner.gate.rateheaders import exhausted
from runner.units import UnixMs

MAX_RETRY_AFTER_MS = 24 * 3_600_000
"""A longer wait than a day is not believed."""


class Money(Enum):
    """What becomes of a hold when no complete usage was told."""

    RELEASE = "release"
    """Nothing was sold."""
    STAND = "stand"
    """It may have been sold: the hold goes on counting."""


class Blow(Enum):
    """What the breaker learns."""

    FAILURE = "failure"
    NEUTRAL = "neutral"
    TRIP = "trip"
    """Waiting does not mend it: open until a person resets it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The meaning of one answer."""

    money: Money
    blow: Blow
    note: str
    """Kept on the charge and shown as the breaker's reason."""
    wait_until: UnixMs | None = None
    """The upstream named a time before which it wants no call."""


_RELEASED = frozenset({400, 401, 402, 403, 404, 413, 422, 429, 503, 529})
_OVERLOADED = frozenset({503, 529})
_FAILURES = frozenset({500, 502, 503, 504, 529})
_SPEND_CODES = frozenset(
    {
        *("enforced_spend_limit_reached", "contract_spend_limit_reached"),
        *("insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "account_deactivated"),
    }
)
_FAILURE_WORDS = frozenset(
    {
        *("overloaded_error", "api_error", "timeout_error", "server_error", "internal_error", "internal_server_error"),
        *("server_overloaded", "service_unavailable", "service_unavailable_error", "overloaded", "timeout"),
        *("engine_overloaded_error", "error"),
    }
)
"""What both wires call a fault of the upstream inside a stream. `error`: it said no more than that."""
_BROKEN: Mapping[type[Exception], str] = {
    httpx.ConnectTimeout: "it could not be reached in time",
    httpx.ConnectError: "it could not be reached",
    httpx.PoolTimeout: "too many calls were waiting for a connection to it",
    httpx.ReadTimeout: "it was silent for too long",
    httpx.WriteTimeout: "it took the request in too slowly",
    httpx.RemoteProtocolError: "it broke the connection off, or did not speak HTTP",
    httpx.DecodingError: "its answer could not be unpacked",
    httpx.NetworkError: "the connection to it broke",
}
"""What a call that broke is called. The first kind that fits, so the narrow ones stand before the wide."""


def held(note: str, *, blow: Blow = Blow.NEUTRAL) -> Verdict:
    """Its cost is not known; unless `blow` says otherwise, the upstream is no worse for it."""
    return Verdict(money=Money.STAND, blow=blow, note=note)


def released(note: str) -> Verdict:
    """It was not sent."""
    return Verdict(money=Money.RELEASE, blow=Blow.NEUTRAL, note=note)


REMOTE = Verdict(
    money=Money.STAND,
    blow=Blow.TRIP,
    note="its answer was made by a paid service it forwards to, though local = true says that its models cost nothing",
)


def unreadable(note: str) -> Verdict:
    """A 2xx that says nothing on its wire: it may well have cost something."""
    return held(f"{note}, which is no answer that can be read; its hold stands", blow=Blow.FAILURE)


def of_status(
    status: int, body: bytes, headers: Mapping[str, str], *, now: UnixMs, hold_overloaded: bool = False
) -> Verdict:
    """The meaning of an answer that is not a 2xx. `hold_overloaded`: the vendor may bill what it turns away."""
    kind, code, message = _error_of(body)
    kind, code = kind[:80], code[:80]
    note = f"HTTP {status} {kind}".strip()
    if 300 <= status < 400:
        return held(f"it answered with a redirect (HTTP {status}), which is not followed with a key; mend its url")
    unsold = status in _RELEASED and not (hold_overloaded and status in _OVERLOADED)
    money = Money.RELEASE if unsold else Money.STAND
    # Any other refusal would come again after the wait: a time beside it makes no pause of it.
    wait_until = retry_after(headers, now=now) if status == 429 or status in _FAILURES else None
    if status == 429 and wait_until is None and (told := exhausted(headers, now=now)) is not None:
        wait_until = told.until
    if code in _SPEND_CODES or code.startswith("linked_organization_") or "credit balance" in message.lower():
        return Verdict(money=money, blow=Blow.TRIP, note=f"{note}: the account's own limit is reached ({code or kind})")
    if status in (401, 403):
        return Verdict(money=money, blow=Blow.TRIP, note=f"{note}: the key is not accepted")
    if status == 402:
        return Verdict(money=money, blow=Blow.TRIP, note=f"{note}: the account cannot pay")
    if status in _FAILURES:
        return Verdict(money=money, blow=Blow.FAILURE, note=note, wait_until=wait_until)
    return Verdict(money=money, blow=Blow.NEUTRAL, note=note, wait_until=wait_until)


def of_transport(error: Exception, *, sent: bool) -> Verdict:
    """The meaning of a call that broke. `sent`: bytes of the request may have reached the upstream."""
    note = next((words for kind, words in _BROKEN.items() if isinstance(error, kind)), "the call to it broke")
    said = " ".join(str(error).split())[:120]
    return Verdict(
        money=Money.STAND if sent else Money.RELEASE, blow=Blow.FAILURE, note=f"{note} ({said})" if said else note
    )


def of_stream_error(kind: str) -> Verdict:
    """The meaning of an error event inside a 200 stream."""
    kind = _text(kind)
    if kind in _SPEND_CODES:
        blow = Blow.TRIP
    else:
        failed = kind in _FAILURE_WORDS or (kind.isdecimal() and kind[:1] == "5")
        blow = Blow.FAILURE if failed else Blow.NEUTRAL
    return Verdict(money=Money.STAND, blow=blow, note=f"it broke its stream off with an error: {kind}"[:200])


def retry_after(headers: Mapping[str, str], *, now: UnixMs) -> UnixMs | None:
    """The time named by `retry-after-ms` or `retry-after` (seconds or an HTTP date), at most a day away."""
    ms = _number(headers.get("retry-after-ms"))
    if ms is None and (seconds := _number(headers.get("retry-after"))) is not None:
        ms = seconds * 1000
    if ms is None and "retry-after" in headers:
        try:
            ms = parsedate_to_datetime(headers["retry-after"]).timestamp() * 1000 - now
        except (ValueError, TypeError, OverflowError):
            return None
    if ms is None or ms < 0:
        return None
    return UnixMs(now + int(min(ms, MAX_RETRY_AFTER_MS)))


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else None
    except ValueError:
        return None
    return value if value is not None and 0 <= value < 1e12 else None


def _text(word: str) -> str:
    """Half a surrogate pair, which JSON can hold, fits into no row."""
    return word.encode("utf-8", "backslashreplace").decode()


def _error_of(body: bytes) -> tuple[str, str, str]:
    """Type, error code and message of an error body; empty words where it has none."""
    try:
        error = json.loads(body)["error"]
        details = error.get("details") or {}
        code = details.get("error_code") if isinstance(details, dict) else None
        words = (error.get("type"), code or error.get("code"), error.get("message"))
        return tuple(_text(word) if isinstance(word, str) else "" for word in words)  # type: ignore[return-value]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "", "", ""
