"""Commands of the real runner that may reach the gate alone, and what is left of an attempt when it is over."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
from typing import Any
from urllib.parse import urlsplit

import pytest

from runner.units import MINUTE_MS
from runner.work.confine import obstacle
from tests.e2e.clocks import Clocks
from tests.e2e.world import BIN, World, alive, eventually
from tests.upstream import FakeAnthropic

WHY_NOT = obstacle()
confines = pytest.mark.skipif(WHY_NOT is not None, reason=f"nothing can be confined here: {WHY_NOT}")

TOML = """
[runner]
workers = 1
stop_grace = "300ms"
[retry]
max_attempts = 1
[upstreams.house]
url = "{url}"
[models]
"house-*" = "house"
[prices."house-model"]
input = "0"
output = "1000"
[tasks.confined]
kind = "command"
confine = "network"
command = ["python3", "-c", '''{call}''', "{url}"]
[tasks.lingers]
kind = "command"
confine = "network"
command = ["sh", "-c", '''
trap "" TERM
(setsid sh -c "trap '' TERM; echo \\$\\$ >> ../pids; sleep 3600; sleep 3600" &)
echo $$ >> ../pids
sleep 3600; sleep 3600
''']
[tasks.tells]
kind = "command"
command = ["sh", "-c", "echo $AFK_GATE_URL $AFK_TOKEN"]
"""

CALL = """
import json, os, sys, urllib.request
def ask(base):
    body = {"model": "house-model", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]}
    headers = {"x-api-key": os.environ["AFK_TOKEN"], "content-type": "application/json"}
    asked = urllib.request.Request(base + "/v1/messages", json.dumps(body).encode(), headers)
    try:
        return json.load(urllib.request.urlopen(asked, timeout=60))["content"][0]["text"]
    except OSError as error:
        return type(error).__name__
print(json.dumps([ask(os.environ["ANTHROPIC_BASE_URL"]), ask(sys.argv[1])]))
"""

TASKS = """
import os, subprocess
from runner import task

@task("starts")
def starts(ctx, payload):
    told = subprocess.run(["sh", "-c", "env"], capture_output=True, text=True).stdout
    return dict(line.split("=", 1) for line in told.splitlines() if "=" in line)
"""


@pytest.fixture
def house(afk: World, vendor: FakeAnthropic) -> World:
    """A home whose vendor is another service of this host: right behind the gate, and out of a confined one's reach."""
    return afk.init(TOML.format(url=vendor.url, call=CALL), tasks=TASKS)


def ended(afk: World, key: str) -> dict[str, Any]:
    """The job, once it is at rest."""
    found = eventually(lambda: (job := afk.json("job", key))["status"] not in ("pending", "running") and job, what=key)
    assert isinstance(found, dict)
    return found


@confines
def test_a_confined_command_calls_models_through_the_gate_alone(house: World, vendor: FakeAnthropic) -> None:
    """What it asks at the gate is charged; the vendor itself, on the same loopback, is not there for it."""
    house.start()

    job = ended(house, house.json("enqueue", "confined")["key"])

    assert json.loads(job["result"]) == ["Understood.", "URLError"]
    assert len(vendor.requests) == 1
    assert house.sql("SELECT state, cost FROM charges") == [("settled", 5_000)]


@confines
@pytest.mark.parametrize("how", ["time", "kill -9"])
def test_nothing_confined_outlives_its_limit_or_its_runner(house: World, how: str) -> None:
    """Neither the command nor what left its session, though both ignore TERM."""
    clocks = Clocks(house)
    runner = house.start()
    key = house.json("enqueue", "lingers", "--max-seconds", "600")["key"]
    pids = house.home / "pids"
    found = eventually(lambda: pids.exists() and len(pids.read_text().split()) == 2 and pids.read_text().split())

    if how == "time":
        clocks.go_on(10 * MINUTE_MS)
        assert ended(house, key)["status"] == "halted"
    else:
        house.kill9(runner)

    eventually(lambda: not any(alive(int(pid)) for pid in found), what="both gone")


@confines
def test_what_cannot_be_confined_waits_and_is_not_run(house: World, vendor: FakeAnthropic) -> None:
    """In a place where namespaces are used up nothing is burnt; doctor says what to mend; the next runner does it."""
    key = house.json("enqueue", "confined")["key"]
    stingy = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    wrap = ["unshare", "--user", "--map-root-user", "sh", "-c", stingy, "sh", str(BIN / "afk-runner")]
    runner = subprocess.Popen(
        [*wrap, "run"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=house.env, start_new_session=True
    )
    house._runners.append(runner)

    job = eventually(lambda: (job := house.json("job", key))["waiting_gate"] == "confine" and job)
    doctor = subprocess.run(
        [*wrap, "doctor", "--offline", "--json"], env=house.env, capture_output=True, text=True, check=False
    )

    assert "cannot be confined here" in job["why"]
    assert (job["status"], job["attempts"], vendor.requests) == ("pending", 0, [])
    (said,) = [each for each in json.loads(doctor.stdout)["checks"] if "cannot be confined" in each["text"]]
    assert (said["level"], said["mend"]) == ("fail", "sysctl -w user.max_user_namespaces=10000")

    runner.send_signal(signal.SIGTERM)
    runner.wait(60)
    house.start()
    assert ended(house, key)["status"] == "done"


def test_a_token_dies_with_its_attempt(house: World, vendor: FakeAnthropic) -> None:
    """Whoever kept it is refused before anything is read, held or sent, at the models and at the job's own calls."""
    house.start()
    url, token = json.loads(json.dumps(ended(house, house.json("enqueue", "tells")["key"])["result"])).split()

    for path in ("/v1/messages", "/v1/chat/completions", "/v1/responses", "/afk/v1/log", "/v1/models"):
        line = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        line.request("GET" if path == "/v1/models" else "POST", path, b"{}", {"x-api-key": token})
        answer = line.getresponse()
        assert answer.status == 403, path
        assert b"ends with it" in answer.read()
    assert vendor.requests == []
    assert house.sql("SELECT count(*) FROM charges") == [(0,)]


def test_what_a_python_task_starts_finds_the_gate_and_no_login(house: World) -> None:
    """Its home is the owner's, for it is the owner's code; the agents' own settings are not."""
    house.start(env={"ANTHROPIC_AUTH_TOKEN": "sk-owner", "CLAUDE_CONFIG_DIR": "/owner", "SSH_AUTH_SOCK": "/owner.sock"})

    found = ended(house, house.json("enqueue", "starts")["key"])["result"]

    assert found["ANTHROPIC_BASE_URL"].startswith("http://127.0.0.1:")
    assert found["OPENAI_BASE_URL"] == f"{found['ANTHROPIC_BASE_URL']}/v1"
    assert found["ANTHROPIC_API_KEY"] == found["AFK_TOKEN"]
    assert found["CLAUDE_CONFIG_DIR"].startswith(str(house.home / "work"))
    assert found["HOME"] == house.env["HOME"]
    assert not {"ANTHROPIC_AUTH_TOKEN", "SSH_AUTH_SOCK"} & found.keys()
