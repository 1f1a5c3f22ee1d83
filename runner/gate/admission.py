"""May this call go, and if not, why. Pure: numbers in, a decision out.

The order is fixed: stop, breaker, rate, caps. A refusal is an answer that agents stop on at once: never 401, a bare
429 or 529, on which clients go on for minutes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import formatdate
from zoneinfo import ZoneInfo

from runner.store.breakers import Breaker, BreakerState
from runner.store.rate_pauses import RatePause
from runner.units import SECOND_MS, MicroUsd, UnixMs, duration, exact_usd, iso, local, plural

_UTC = ZoneInfo("UTC")
_NOTHING = MicroUsd(0)

RECHECK_MS = 60_000
"""When a job looks again at a gate that names no time of its own."""

ENDING_GATES = ("cap:job", "cap:tools")
"""Limits of the job itself: crossing one ends it, with what it had so far kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a call may not go."""

    code: str
    """`afk_stopped`, `afk_breaker_open`, `afk_rate`, `afk_daily_cap`, `afk_job_cap`, `afk_unknown_model`, ..."""
    status: int
    kind: str
    """The error type of the Messages wire."""
    message: str
    """One sentence for whoever reads the client's output."""
    gate: str
    """What the job waits for: `stop`, `breaker:NAME`, `rate:NAME`, `cap:day`, ..."""
    fact: str
    """The same as a sentence's worth of fact for `why`."""
    lifts_at: UnixMs | None
    """None: only a person lifts it."""

    @property
    def final(self) -> bool:
        """Waiting changes nothing: the same call would be refused for ever."""
        return self.gate in ("config", *ENDING_GATES)

    def body(self) -> bytes:
        """The answer in the Messages wire's error form."""
        return error_body(self.kind, self.message, code=self.code)

    def headers(self) -> dict[str, str]:
        """The answer's headers: no client may wait by itself, and whoever does it all the same learns until when."""
        named = {"x-should-retry": "false"}
        if self.status == 503 and self.lifts_at is not None:
            named["retry-after"] = formatdate(-(-self.lifts_at // SECOND_MS), usegmt=True)
        return named


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """One limit and what counts against it already."""

    name: str
    """`day`, `hour`, `rolling`, `month`, `task` or `job`."""
    limit: MicroUsd
    committed: MicroUsd
    lifts_at: UnixMs | None
    """When enough of what counts against it counts no more; None: it does not lift by itself."""
    settling: MicroUsd = _NOTHING
    """The part of `committed` that is held for calls of other jobs in flight: most of it comes back in minutes."""


_CAP_CODES = {
    "day": "afk_daily_cap",
    "hour": "afk_hourly_cap",
    "rolling": "afk_rolling_cap",
    "month": "afk_monthly_cap",
    "task": "afk_task_cap",
    "job": "afk_job_cap",
}
CAP_GATES = tuple(f"cap:{name}" for name in _CAP_CODES)
"""What jobs may be parked for that a change of the caps can lift."""
CAP_WORDS = {
    "day": "today's cap",
    "hour": "the hourly cap",
    "rolling": "the cap of the last 24 hours",
    "month": "the month's cap",
    "task": "the task's cap of today",
    "job": "the job's own cap",
}


def stopped(reason: str | None) -> Refusal:
    """Everything is stopped."""
    said = f": {reason}" if reason else ""
    return Refusal(
        code="afk_stopped",
        status=503,
        kind="api_error",
        message=f"afk-runner is stopped{said}; no model call leaves until `afk-runner resume`",
        gate="stop",
        fact="everything is stopped until `afk-runner resume`",
        lifts_at=None,
    )


def attempt_over() -> Refusal:
    """The attempt that asks has ended, or a person asked for its end."""
    return Refusal(
        code="afk_attempt_over",
        status=403,
        kind="permission_error",
        message="not sent: this attempt is over, and its token is good no more",
        gate="stop",
        fact="its attempt was ended while a call was on its way",
        lifts_at=None,
    )


def slept(*, now: UnixMs) -> Refusal:
    """The machine slept while the call was on its way, and its connection is gone."""
    return Refusal(
        code="afk_slept",
        status=503,
        kind="api_error",
        message="this machine slept while the call was on its way; what became of it is not known",
        gate="sleep",
        fact="the machine slept while a call of it was on its way",
        lifts_at=now,
    )


def ledger_unusable(reason: str, *, now: UnixMs) -> Refusal:
    """The ledger cannot record a hold, so nothing may be spent."""
    return Refusal(
        code="afk_ledger",
        status=503,
        kind="api_error",
        message=f"the ledger cannot record this call, so it was not sent: {reason}",
        gate="ledger",
        fact=f"the ledger could not record a call: {reason}",
        lifts_at=UnixMs(now + 10_000),
    )


def unknown_model(model: str, why: str) -> Refusal:
    """No price or no upstream: refused, never free."""
    named = f"model {model[:100]!r}"
    return _misconfigured("unknown_model", f"{named} is refused: {why}", fact=f"{named} is not configured: {why}")


def too_many_tools(asked: int, most: int) -> Refusal:
    """The models of a job asked for more tool calls than it may have."""
    said = f"its limit of {most:,} tool calls holds: {asked:,} were asked for"
    return Refusal(
        code="afk_tool_calls",
        status=402,
        kind="billing_error",
        message=f"not sent: {said}",
        gate="cap:tools",
        fact=said,
        lifts_at=None,
    )


def unbounded(reason: str) -> Refusal:
    """A request whose cost has no upper bound."""
    said = f"the cost of this request cannot be bounded, so it was not sent: {reason}"
    return _misconfigured("unbounded", said, fact=f"a request could not be bounded: {reason}")


def _misconfigured(what: str, message: str, *, fact: str) -> Refusal:
    """Waiting does not mend it: the same request is refused until a person changes the task or the configuration."""
    return Refusal(
        code=f"afk_{what}",
        status=400,
        kind="invalid_request_error",
        message=message,
        gate="config",
        fact=fact,
        lifts_at=None,
    )


def check_breaker(breaker: Breaker | None, *, now: UnixMs) -> Refusal | None:
    """Refuse while a breaker is open, or half-open with its one trial out.

    None: the call may go, as the one trial if the breaker is not closed.
    """
    if breaker is None or breaker.state is BreakerState.CLOSED:
        return None
    if breaker.retry_at is None:
        lifts_at, state = None, "open until a person resets it"
    elif breaker.trial is not None and breaker.trial_until is not None and breaker.trial_until > now:
        lifts_at, state = UnixMs(now + min(RECHECK_MS, breaker.trial_until - now)), "open, its one trial is under way"
    elif breaker.retry_at > now:
        lifts_at, state = breaker.retry_at, "open"
    else:
        return None
    when = f"; one call may try at {iso(breaker.retry_at)}" if lifts_at == breaker.retry_at and lifts_at else ""
    return Refusal(
        code="afk_breaker_open",
        status=503,
        kind="api_error",
        message=f"not sent: the breaker of {breaker.name} is {state} ({breaker.reason}){when}",
        gate=f"breaker:{breaker.name}",
        fact=f"the breaker of {breaker.name} is {state} ({breaker.reason})",
        lifts_at=lifts_at,
    )


def rate_paused(pause: RatePause, *, now: UnixMs) -> Refusal:
    """The upstream asked for no call before a time."""
    said = f"calls to {pause.name} are paused at its wish ({pause.reason})"
    return _rate(pause.name, said, lifts_at=pause.until, now=now)


def rate_full(
    upstream: str, unit: str, *, limit: int, used: int, asked: int, ahead: int, lifts_at: UnixMs, now: UnixMs
) -> Refusal:
    """The configured rate of an upstream is used up. `ahead`: jobs that wait for it already."""
    said = f"the limit of {limit:,} {unit} a minute for {upstream} holds: {used:,} were used in the last 60s"
    if asked > 1:
        said += f" and this call may take {asked:,}"
    if ahead:
        said += f", and {plural(ahead, 'job waits', 'jobs wait')} before it"
    return _rate(upstream, said, lifts_at=lifts_at, now=now)


def _rate(name: str, said: str, *, lifts_at: UnixMs, now: UnixMs) -> Refusal:
    return Refusal(
        code="afk_rate",
        status=503,
        kind="api_error",
        message=f"not sent: {said}; its turn is in {duration(lifts_at - now)}, at {iso(lifts_at)}",
        gate=f"rate:{name}",
        fact=said,
        lifts_at=lifts_at,
    )


def bad_requests(upstream: str, count: int, status: int) -> Refusal:
    """The job asks again and again for what the upstream calls a mistake."""
    said = f"{upstream} refused {count} requests of this job in a row as bad, the last with HTTP {status}"
    return _misconfigured("bad_requests", f"not sent: {said}; no more of them leave", fact=said)


def check_caps(caps: Sequence[Cap], *, hold: MicroUsd, now: UnixMs, zone: ZoneInfo = _UTC) -> Refusal | None:
    """Refuse when the hold would pass any cap; of several the one that lifts last, so that a job wakes once.

    A call that costs nothing passes every cap. `zone`: in which people are told when it lifts, beside UTC.
    """
    if hold <= 0:
        return None
    full = [(cap, _lifts_at(cap, hold=hold, now=now)) for cap in caps if cap.committed + hold > cap.limit]
    if not full:
        return None
    cap, lifts_at = max(full, key=lambda one: (one[0].name == "job", one[0].limit < hold, one[1] or 0))
    said = (
        f"{CAP_WORDS[cap.name]} of {exact_usd(cap.limit)} holds: {exact_usd(cap.committed)} is spent or held "
        f"and this call may cost {exact_usd(hold)}"
    )
    if cap.limit < hold:
        said += ", more than the cap alone: raise the cap or lower max_tokens"
    elif lifts_at is not None and lifts_at != cap.lifts_at:
        said += f"; {exact_usd(cap.settling)} of it is held for calls in flight, of which most comes back when they end"
    there = ""
    if cap.limit >= hold and lifts_at is not None and lifts_at == cap.lifts_at and zone.key != "UTC":
        there = f"{local(lifts_at, zone):%H:%M on %Y-%m-%d} in {zone.key}"
    word = "lifts" if cap.lifts_at == lifts_at else "is looked at again"
    when = f"it {word} in {duration(lifts_at - now)}, at {iso(lifts_at)}" if lifts_at else "it does not lift by itself"
    fact = f"{said}; it lifts at {there}" if there else said
    if lifts_at is None and cap.name != "job":  # whoever names the time of the job's next look must not call it the end
        fact += "; it does not lift by itself, so the job sleeps"
    return Refusal(
        code=_CAP_CODES[cap.name],
        status=402,
        kind="billing_error",
        message=f"not sent: {said}; {when}{', which is ' + there if there else ''}",
        gate=f"cap:{cap.name}",
        fact=fact,
        lifts_at=lifts_at,
    )


def _lifts_at(cap: Cap, *, hold: MicroUsd, now: UnixMs) -> UnixMs | None:
    """When the same call is worth another try."""
    if cap.limit < hold:
        return None
    if cap.committed - cap.settling + hold <= cap.limit:
        return UnixMs(min(now + RECHECK_MS, cap.lifts_at or now + RECHECK_MS))
    return cap.lifts_at


def error_body(kind: str, message: str, *, code: str | None = None) -> bytes:
    """An error answer for the clients of either wire: one reads the code in `details`, the other `code`."""
    error: dict[str, object] = {"type": kind, "message": message, "param": None, "code": code}
    if code:
        error["details"] = {"error_code": code}
    return json.dumps({"type": "error", "error": error}).encode()
