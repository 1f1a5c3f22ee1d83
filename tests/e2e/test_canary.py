"""A secret stands in its source and nowhere else, whatever vendors, payloads and faults do to get it out.

Five secrets are configured in every way there is. Vendors quote them back wherever an answer has room, payloads print,
return, log, record, raise and write down what they were told, and everything that is left is then searched for each
secret, plain and in the usual coats.
"""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus
from uuid import uuid4

import pytest

from tests.e2e.world import DEADLINE_S, World, alive, eventually
from tests.upstream import FakeAnthropic, Received, Reply

ENVIRONMENT = 'sk-env-CANARY/"+&=1a2b3c4d5e6f7a8b9c'
DOTENV = "sk-dotenv-CANARY-2a3b4c5d6e7f8a9b0c1d"
FILE = "sk-file-CANARY-3a4b5c6d7e8f9a0b1c2d"
ALERT = "CANARY4a5b6c7d8e9f0a1b2c3d"
BYSTANDER = "sk-bystander-CANARY-5a6b7c8d9e0f1a2b"
"""In `.env`, named by no setting: nobody has use for it, so nobody is to meet it."""
SECRETS = (ENVIRONMENT, DOTENV, FILE, ALERT, BYSTANDER)

TOML = """
[runner]
workers = 2
stop_grace = "300ms"
[budget]
daily_usd = "50.00"
[retry]
max_attempts = 2
base = "10ms"
cap = "20ms"
[breaker]
failures = 1000
failure_rate = 100
rate_calls = 1000
[upstreams.one]
url = "{url}"
key = "env:CANARY_KEY"
[upstreams.two]
url = "{url}"
key = "env:DOTENV_KEY"
[upstreams.three]
url = "{url}"
key = "file:vendor.key"
[models]
"one-*" = "one"
"two-*" = "two"
"three-*" = "three"
[prices."one-model"]
input = "1"
output = "5"
[prices."two-model"]
input = "1"
output = "5"
[prices."three-model"]
input = "1"
output = "5"
[alerts]
urls = ["env:ALERT_URL"]
[tasks.prompted]
kind = "prompt"
model = "one-model"
prompt = "Say what you know."
[tasks.shell]
kind = "command"
command = ["sh", "-c", '''
env; cat /proc/self/environ /proc/$PPID/environ | tr "\\\\0" "\\\\n"; cat /proc/*/cmdline | tr "\\\\0" "\\\\n"
cat; sleep "$NAP"; exit "$CODE"
''']
env = {{CODE = "3", NAP = "0"}}
[tasks.sleeper]
kind = "command"
command = ["sleep", "600"]
"""

TASKS = """
import base64, http.client, json, os, sys, urllib.parse
from urllib.parse import urlsplit
from runner import Dead, task

def call(ctx, model, reply, stream):
    line = http.client.HTTPConnection(urlsplit(os.environ["AFK_GATE_URL"]).netloc, timeout=60)
    asked = {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": reply}]}
    asked["stream"] = stream
    line.request("POST", "/v1/messages", json.dumps(asked).encode(), {"x-api-key": os.environ["AFK_TOKEN"]})
    answer = line.getresponse()
    return str(answer.getheaders()) + answer.read().decode("utf-8", "replace")

@task("quote")
def quote(ctx, payload):
    # What a vendor sent back, put wherever a payload can put something.
    told = call(ctx, payload["model"], payload["reply"], payload["stream"])
    print(told)
    for start in range(0, len(told), 7):
        sys.stdout.write(told[start:start + 7]); sys.stdout.flush()
    print(base64.b64encode(told.encode()).decode(), urllib.parse.quote(told), file=sys.stderr)
    ctx.log(told)
    ctx.step("told", lambda: told)
    if payload["end"] == "raise":
        raise ValueError(told)
    if payload["end"] == "dead":
        raise Dead("x" * 3950 + told)
    if payload["end"] == "exit":
        sys.exit(told)
    return {"told": told, "again": [told]}

@task("environment")
def environment(ctx, payload):
    found = {name: value for name, value in os.environ.items()}
    for pid in ("self", os.getppid()):
        with open(f"/proc/{pid}/environ", "rb") as file:
            found[str(pid)] = file.read().decode("utf-8", "replace")
    print(found)
    ctx.log(json.dumps(found))
    return found
"""


def coats(secret: str) -> Iterator[bytes]:
    """The secret as it may be met, and the larger half of it: what is cut off is no less a secret."""
    raw = secret.encode()
    yield raw
    yield raw[: -(-len(raw) * 2 // 3)]
    for dressed in (quote(secret), quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]):
        yield dressed.encode()
    yield json.dumps(json.dumps(secret))[3:-3].encode()
    for shift in range(3):
        core = base64.b64encode(bytes(shift) + raw)[-(-8 * shift // 6) : 8 * (shift + len(raw)) // 6]
        yield core
        yield core.replace(b"+", b"-").replace(b"/", b"_")


COATS = re.compile(b"|".join(re.escape(coat) for secret in SECRETS for coat in dict.fromkeys(coats(secret))))


def found_in(data: bytes) -> list[bytes]:
    """Every place of a secret, with what stands around it."""
    return [data[max(0, match.start() - 80) : match.end() + 40] for match in COATS.finditer(data)]


def nothing_in(what: str, data: bytes | str) -> None:
    found = found_in(data if isinstance(data, bytes) else data.encode())
    assert not found, f"{what} holds a secret {len(found)} times, first here: {found[0]!r}"


class Tattler(FakeAnthropic):
    """A vendor that says the key back. Which of its ways it takes is what the prompt says."""

    def _reply(self, received: Received) -> Reply:
        ways = tattling(received.headers["x-api-key"])
        return next(
            (reply for way, reply in ways.items() if received.raw.find(f'"{way}"'.encode()) >= 0), ways["words"]
        )


@pytest.fixture
def vendor() -> Iterator[Tattler]:
    with Tattler() as server:
        yield server


@pytest.fixture
def canary(afk: World, vendor: Tattler) -> World:
    """A home with a secret in every place that may hold one."""
    afk.init(TOML.format(url=vendor.url), tasks=TASKS)
    dotenv = f"DOTENV_KEY={DOTENV}\nUNNAMED={BYSTANDER}\n"
    for name, text in ((".env", dotenv), ("vendor.key", f"{FILE}\n")):
        afk.home.joinpath(name).touch(mode=0o600)
        afk.home.joinpath(name).write_text(text)
    afk.env |= {"CANARY_KEY": ENVIRONMENT, "ALERT_URL": f"json://user:{ALERT}@127.0.0.1:9/hook"}
    return afk


def tattling(secret: str) -> dict[str, Reply]:
    """In an error, in its headers, in words, in pieces, and in what is no answer."""
    bearer = base64.b64encode(f"user:{secret}".encode()).decode()
    said = f"invalid x-api-key {secret}, {quote(secret, safe='')} or {bearer}?"
    headers = {"request-id": secret, "retry-after": "0", "www-authenticate": f"Bearer {secret}", "x-echo": bearer}
    return {
        "words": Reply(text=said, headers=headers),
        "letters": Reply(text=" ".join(secret), headers=headers),
        "refused": Reply.error(400, "invalid_request_error", said, headers=headers),
        "failed": Reply.error(500, secret, said * 20, headers=headers),
        "no json": Reply(body=secret.encode(), headers={**headers, "content-type": secret}),
        "no number": Reply(text=said, usage={"input_tokens": secret, "output_tokens": 5}),
        "other model": Reply(text=said, model=secret),
        "cut": Reply(text=said, cut_after=4),
        "elsewhere": Reply(status=302, body=b"", headers={"location": f"http://127.0.0.1:9/{secret}"}),
        "later": Reply.error(429, "rate_limit_error", said, headers={"retry-after": "600"}),
    }


def listings(afk: World, keys: list[str]) -> Iterator[tuple[str, str]]:
    """Everything the programs say about this home."""
    verbs = [
        ["status"], ["status", "--json"], ["doctor"], ["doctor", "--json"], ["jobs"], ["jobs", "--json"], ["dead"],
        ["dead", "--json"], ["spend"], ["spend", "--json"], ["breaker", "--json"], ["schedules"], ["drafts", "--json"],
        ["logs"], ["logs", "--json"], ["alerts", "--all"], ["alerts", "--json"], ["alerts", "test"],
        ["report"], ["report", "--json"], ["incidents", "--json"],
    ]  # fmt: skip
    for key in keys:
        verbs += [["job", key], ["job", key, "--json"], ["why", key]]
    for verb in verbs:
        done = afk.call(*verb)
        yield " ".join(verb), done.stdout + done.stderr


def processes(afk: World, runner: subprocess.Popen[bytes]) -> Iterator[tuple[int, bytes, bytes]]:
    """Pid, arguments and environment of everything that works for this home but the runner, which holds the keys."""
    for pid in (*afk.processes(), *afk.guards(runner), *afk.workers(runner)):
        with suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
            # After a fork and before its exec a child still has words and environment of its parent.
            holds_keys = words == Path(f"/proc/{runner.pid}/cmdline").read_bytes()
            yield pid, words, b"" if holds_keys else Path(f"/proc/{pid}/environ").read_bytes()


def enqueue(afk: World, jobs: list[dict[str, Any]]) -> list[str]:
    """Queue them in one go, one attempt each; their keys."""
    lines = "\n".join(json.dumps({**job, "max_attempts": 1, "key": f"job-{uuid4().hex[:8]}"}) for job in jobs)
    return [job["key"] for job in afk.json("enqueue", "--lines", stdin=lines)["jobs"]]


def _waits(afk: World) -> bool:
    return bool(afk.one("SELECT count(*) FROM jobs WHERE status = 'pending' AND waiting_gate IS NOT NULL"))


def test_no_secret_leaves_its_source(canary: World, vendor: Tattler) -> None:
    """Files, rows, raw bytes of the database, listings, processes, errors: each is searched."""
    runner = canary.start()
    ends = cycle(["return", "raise", "dead", "exit"])
    jobs = [
        {"task": "quote", "payload": {"model": f"{model}-model", "reply": reply, "stream": stream, "end": next(ends)}}
        for reply in tattling("")
        if reply != "later"
        for model in ("one", "two", "three")
        for stream in (False, True)
    ]
    jobs += [{"task": task} for task in ("environment", "prompted", "shell")]
    keys = enqueue(canary, jobs)
    eventually(lambda: not {"pending", "running"} & canary.counts().keys(), within_s=3 * DEADLINE_S, what="all ended")
    assert len(vendor.requests) > 50, "the vendors were asked, and so had a key to quote"
    assert {call.headers["x-api-key"] for call in vendor.requests} == {ENVIRONMENT, DOTENV, FILE}

    waiting = {"model": "one-model", "reply": "later", "stream": False, "end": "raise"}
    keys += enqueue(canary, [{"task": "quote", "payload": waiting}, {"task": "sleeper"}])
    eventually(lambda: canary.counts().get("pending") == 1 and _waits(canary), what="one waits for its vendor")
    eventually(lambda: any(b"sleep\x00600" in words for _, words, _ in processes(canary, runner)), what="a child")
    eventually(lambda: canary.sql("SELECT 1 FROM addresses WHERE failures > 0"), what="an alert was tried to be told")
    for pid, words, environment in list(processes(canary, runner)):
        nothing_in(f"the command line of {pid}", words)
        nothing_in(f"the environment of {words!r}", environment)
    for verb, said in listings(canary, [*keys[::40], *keys[-4:]]):
        nothing_in(f"`afk-runner {verb}`", said)

    (canary.home / "afk.toml").write_text("[nonsense")
    nothing_in("a refused configuration", canary.call("doctor").stderr + canary.call("run", "--once").stderr)
    runner.send_signal(signal.SIGTERM)
    runner.wait(60)
    searched = 0
    for path in canary.home.rglob("*"):
        if path.is_file() and path.name not in (".env", "vendor.key"):
            nothing_in(str(path.relative_to(canary.home)), path.read_bytes())
            searched += 1
    assert searched > 60
    assert (canary.home / "outputs").exists()
    for (table,) in canary.sql("SELECT name FROM sqlite_schema WHERE type = 'table'"):
        for row in canary.sql(f"SELECT * FROM {table}"):
            nothing_in(f"a row of {table}", repr(row))


def test_a_killed_runner_leaves_no_secret_behind(canary: World, vendor: Tattler) -> None:
    """The write-ahead log as it stands, and what was being printed at that moment."""
    runner = canary.start()
    payload = {"model": "one-model", "reply": "refused", "stream": False, "end": "raise"}
    enqueue(canary, [{"task": "quote", "payload": payload}, {"task": "shell"}])
    eventually(lambda: canary.counts().get("dead") == 2, what="both ended")

    canary.kill9(runner)

    eventually(lambda: not [pid for pid in canary.processes() if alive(pid)], what="nothing left")
    assert (canary.home / "agent.db-wal").exists()
    for path in canary.home.rglob("*"):
        if path.is_file() and path.name not in (".env", "vendor.key"):
            nothing_in(str(path.relative_to(canary.home)), path.read_bytes())


def test_the_search_finds_what_it_looks_for() -> None:
    """A search that finds nothing must be able to."""
    for secret in SECRETS:
        for worn in (secret, quote(secret, safe=""), json.dumps({"a": secret}), secret[:-3]):
            assert found_in(f"before {worn} after".encode())
        for before in ("", "a", "ab"):
            assert found_in(base64.b64encode(f"{before}{secret}!".encode()))
    assert os.environ.get("AFK_STOP") is None
