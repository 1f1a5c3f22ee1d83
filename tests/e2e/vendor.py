"""A home whose models are served by the stand-in vendor, at a price that makes sums easy.

`house-model` costs a tenth of a cent for each token of its answer and nothing for its prompt. A call of 100 tokens
may cost 11 cents (a region costs a tenth more, and no request here rules one out), the usual answer costs half one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tests.e2e.world import World, noon
from tests.upstream import FakeAnthropic

KEY = "sk-house-canary-0123456789abcdef"
"""The vendor's key, in the runner's environment alone."""
HOLD = 110_000
"""Micro-dollars held for a call of 100 tokens."""
COST = 5_000
"""Micro-dollars the vendor's usual answer of 5 tokens costs."""
BREAKER = "house/house-model"

_TOML = """
timezone = "{zone}"
[runner]
workers = {workers}
stop_grace = "{grace}"
[budget]
daily_usd = "{daily}"
[retry]
base = "10ms"
cap = "20ms"
[breaker]
failures = {failures}
cooldown = "{cooldown}"
{breaker}
[upstreams.house]
url = "{url}"
key = "env:HOUSE_KEY"
{upstream}
[upstreams.cellar]
url = "{url}"
local = true
[models]
"house-*" = "house"
"cellar-*" = "cellar"
[prices."house-model"]
input = "0"
output = "1000"
"""

# `ask` speaks HTTP by hand: the SDK takes a second to load in every worker.
_TASKS = '''
import http.client, json
from urllib.parse import urlsplit
from runner import task

def post(ctx, **body):
    """Status and JSON of one call, made by hand."""
    line = http.client.HTTPConnection(urlsplit(ctx._gate).netloc, timeout=120)
    asked = {"model": "house-model", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}], **body}
    line.request("POST", "/v1/messages", json.dumps(asked).encode(), {"x-api-key": ctx._token})
    answer = line.getresponse()
    return answer.status, answer.read()

@task("ask")
def ask(ctx, payload):
    status, body = post(ctx, **payload.get("body", {}))
    if status != 200:
        raise RuntimeError(f"HTTP {status}: {body.decode()}")
    return json.loads(body)["content"][0]["text"]

@task("sdk")
def sdk(ctx, payload):
    """One call through the SDK as it comes, told as it was met."""
    import anthropic
    client = ctx.anthropic().with_options(max_retries=payload.get("max_retries", 0))
    asked = dict(model="house-model", max_tokens=100, messages=[{"role": "user", "content": "Hello"}])
    try:
        if payload.get("stream"):
            with client.messages.stream(**asked) as stream:
                return stream.get_final_message().content[0].text
        return client.messages.create(**asked).content[0].text
    except anthropic.APIStatusError as error:
        told = error.response.json()["error"]
        return {"status": error.status_code, "type": told["type"], "code": told.get("details", {}).get("error_code")}

@task("loop")
def loop(ctx, payload):
    """The very same call until it is refused by the gate, or answered often enough."""
    for _ in range(payload["times"]):
        status, body = post(ctx)
        told = json.loads(body)
        if told.get("error", {}).get("details", {}).get("error_code"):
            raise RuntimeError(f"HTTP {status}: {body.decode()}")
    return "never refused"

@task("nothing")
def nothing(ctx, payload):
    return "done"
'''


def house(
    afk: World,
    vendor: FakeAnthropic,
    *,
    workers: int = 2,
    daily: str = "10.00",
    grace: str = "1s",
    failures: int = 5,
    cooldown: str = "5m",
    breaker: str = "",
    upstream: str = "",
    extra: str = "",
) -> World:
    """Make the home; its runners get the vendor's key from their environment.

    `breaker`, `upstream`: more lines of these sections; `extra`: more sections.
    """
    afk.env["HOUSE_KEY"] = KEY
    toml = _TOML.format(
        zone=noon(),
        workers=workers,
        daily=daily,
        grace=grace,
        failures=failures,
        cooldown=cooldown,
        breaker=breaker,
        upstream=upstream,
        url=vendor.url,
    )
    return afk.init(toml + extra, tasks=_TASKS)


def ask(afk: World, count: int, *flags: str, task: str = "ask") -> list[str]:
    """Queue so many jobs of one call each; their keys."""
    lines = "\n".join(json.dumps({"key": f"{task}-{number:03}"}) for number in range(count))
    return [job["key"] for job in afk.json("enqueue", task, "--lines", *flags, stdin=lines)["jobs"]]


def spent(afk: World) -> tuple[int, int]:
    """Settled and held of today, as `status` tells them; checked against the sum of the ledger's rows."""
    spend: dict[str, Any] = afk.status()["spend"]
    told = spend["settled_microusd"], spend["held_microusd"]
    assert told == sums(afk)
    return told


def sums(afk: World) -> tuple[int, int]:
    """The same, added up row by row."""
    return (
        afk.one("SELECT coalesce(sum(cost), 0) FROM charges WHERE state = 'settled'"),
        afk.one("SELECT coalesce(sum(hold), 0) FROM charges WHERE state = 'held'"),
    )


def burnt(afk: World, keys: Iterable[str]) -> dict[str, int]:
    """Keys of those that lost an attempt, with how many."""
    counted = dict(afk.sql("SELECT key, attempts FROM jobs"))
    return {key: counted[key] for key in keys if counted[key]}
