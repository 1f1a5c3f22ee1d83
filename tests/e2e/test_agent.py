"""A prompt task is a conversation: its tools work, its limits hold, and a crash in the middle buys nothing twice."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.talker import Content, Plan, Talker, is_judge, results, script, text, tool, turns, verdicts
from tests.e2e.vendor import COST, HOLD, house, sums
from tests.e2e.world import World, eventually, world
from tests.upstream import Received, Reply

STEPS = 10
KILLED_AFTER = 7

TASK = """
[tasks.agent]
kind = "prompt"
model = "house-model"
prompt = "Work through it, step by step."
inputs = "inputs/*.md"
tools = ["read_file", "write_output"]
max_output_tokens = 100
"""
SHORT = TASK.replace("max_output_tokens = 100", "max_output_tokens = 100\nmax_attempts = 1")
ENDLESS = TASK.replace("max_output_tokens = 100", "max_output_tokens = 100\nmax_attempts = 100")


def agent(afk: World, vendor: Talker, extra: str = TASK, **fields: Any) -> World:
    """A home with the task, and one file to read."""
    house(afk, vendor, extra=extra, **fields)
    (afk.home / "inputs" / "a.md").write_text("Alpha beta gamma.\n")
    return afk


def once(afk: World) -> dict[str, Any]:
    """Run one job of the task to its end; all that is kept of it."""
    afk.afk("enqueue", "agent", "--key", "job")
    afk.afk("run", "--once")
    return dict(afk.json("job", "job"))


NO_TOOLS = TASK.replace('tools = ["read_file", "write_output"]', "")
CRITERIA = 'criteria = ["Names every failing service.", "Is one line."]\n'
TASKS = {
    "agent": TASK,
    "limited": TASK + "max_tool_calls = 9\n",
    "plain": NO_TOOLS,
    "judged": TASK + CRITERIA,
    "short": SHORT,
    **{name: NO_TOOLS.replace("inputs/*.md", f"inputs/{name}/*.md") for name in ("none", "binary", "linked")},
}


class Office:
    """A home whose runner stays: the SDK takes a worker two seconds to load, and one worker does all that is asked."""

    def __init__(self, afk: World, vendor: Talker) -> None:
        self.afk = afk
        self.vendor = vendor
        self._asked = 0

    def ask(self, plan: Plan, *flags: str, task: str = "agent") -> tuple[dict[str, Any], list[Received]]:
        """One job, whose vendor answers by the plan: all that is kept of it, and its requests."""
        self.vendor.plan = plan
        self.vendor.requests.clear()
        self._asked += 1
        key = f"job-{self._asked}"
        self.afk.afk("enqueue", task, "--key", key, *flags)
        at_work = "SELECT 1 FROM jobs WHERE key = ? AND status IN ('pending', 'running')"
        eventually(lambda: not self.afk.sql(at_work, key), what="its end")
        return dict(self.afk.json("job", key)), list(self.vendor.requests)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with world(tmp_path_factory.mktemp("office")) as afk, Talker(script(text("Fine."))) as vendor:
        extra = "".join(each.replace("[tasks.agent]", f"[tasks.{name}]") for name, each in TASKS.items())
        agent(afk, vendor, extra, workers=1, failures=100, breaker="rate_calls = 100")
        for name in ("binary", "linked"):
            (afk.home / "inputs" / name).mkdir()
        (afk.home / "inputs" / "binary" / "b.md").write_bytes(b"\xff")
        (afk.home / "inputs" / "linked" / "b.md").symlink_to("../../.env")
        afk.start()
        yield Office(afk, vendor)


def ten_steps(body: dict[str, Any]) -> Content:
    """Nine answers that use a tool, then the last word."""
    done = turns(body)
    if done == STEPS - 1:
        return text("All ten steps are done.")
    return [tool("write_output", done, name=f"step-{done}.md", content=f"Step {done}.")]


@pytest.mark.parametrize("killed", ["runner", "worker"])
def test_a_killed_agent_goes_on_at_the_last_recorded_answer(afk: World, killed: str) -> None:
    """Ten steps, SIGKILL once the seventh answer is recorded: ten calls are paid for and not seventeen."""
    with Talker(ten_steps) as vendor:
        vendor.held_turn = KILLED_AFTER  # the eighth call cannot end before the kill
        agent(afk, vendor, workers=1)
        runner = afk.start()
        afk.afk("enqueue", "agent", "--key", "job")
        answers = "SELECT count(*) FROM steps WHERE name GLOB 'turn [0-9]*' AND name NOT GLOB '* tool *'"
        eventually(lambda: afk.one(answers) >= KILLED_AFTER, what="the seventh answer recorded")

        victims = afk.workers(runner) if killed == "worker" else [runner.pid]
        for pid in victims:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if killed != "worker":
            runner.wait()
            afk.start()
        else:
            eventually(lambda: afk.one("SELECT starts FROM jobs") == 2, what="the killed worker noticed")
        vendor.go.set()
        eventually(lambda: afk.counts() == {"done": 1}, what="the job done")
        requests = len(vendor.requests)

    settled, held = sums(afk)
    job = afk.json("job", "job")
    assert job["result"] == "All ten steps are done."
    assert settled == STEPS * COST
    # Beside them stands the hold of the call that was on its way, whether it had reached the vendor or not.
    assert (requests - STEPS, held) in [(0, 0), (0, HOLD), (1, HOLD)]
    assert afk.one("SELECT count(*) FROM charges WHERE state = 'settled'") == STEPS
    assert job["starts"] == 2
    bought = [name for name in job["steps"] if "tool" not in name]
    assert bought == [f"turn {n}" for n in range(1, STEPS + 1)]
    assert len(list((afk.home / "outputs" / "job").iterdir())) == STEPS - 1


def test_an_answer_that_was_paid_for_and_not_recorded_is_not_bought_again(afk: World) -> None:
    """All is killed while the seventh answer is settled and its step cannot be written: ten calls are paid for."""
    full = f"BEFORE INSERT ON steps WHEN NEW.name = 'turn {KILLED_AFTER}' BEGIN SELECT RAISE(ABORT, 'no room'); END"
    with Talker(ten_steps) as vendor:
        agent(afk, vendor, ENDLESS, workers=1)
        afk.change(f"CREATE TRIGGER full {full}")
        runner = afk.start()
        afk.afk("enqueue", "agent", "--key", "job")
        eventually(lambda: afk.one("SELECT count(*) FROM attempts WHERE outcome = 'retry'") > 0, what="no room")

        for pid in (*afk.workers(runner), runner.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        runner.wait()
        afk.change("DROP TRIGGER full")
        afk.start()
        eventually(lambda: afk.counts() == {"done": 1}, what="the job done")
        requests = len(vendor.requests)

    assert (requests, sums(afk)) == (STEPS, (STEPS * COST, 0))
    assert afk.json("job", "job")["result"] == "All ten steps are done."
    assert afk.sql("SELECT * FROM answers") == []


def test_an_agent_reads_what_it_may_and_is_told_what_it_may_not(office: Office) -> None:
    """Each wrong call is answered with a sentence, and the conversation goes on."""
    wrong = [
        tool("read_file", 1, path="inputs/a.md"),
        tool("read_file", 2, path="../afk.toml"),
        tool("read_file", 3, path=["inputs/a.md"]),
        tool("read_file", 4),
        tool("read_file", 5, path="inputs/a.md", offset=-1),
        tool("read_file", 6, path="inputs/a.md", mode="w"),
        tool("read_file", 7, path="inputs/a.md\0"),
        tool("fetch_url", 8, url="http://127.0.0.1/"),
        tool("write_output", 9, name="../x", content="x"),
        tool("write_output", 10, name="x.md", content="x" * 500_001),
        {"type": "tool_use", "id": "toolu_11", "name": None, "input": {}},
        {"type": "tool_use", "id": "toolu_12", "name": "read_file", "input": "inputs/a.md"},
    ]
    job, (first, second) = office.ask(script(wrong, text("Done.")))

    assert job["result"] == "Done."
    told = results(second.body)
    assert [one["tool_use_id"] for one in told] == [call["id"] for call in wrong]
    assert (told[0]["content"], "is_error" in told[0]) == ("Alpha beta gamma.\n", False)
    assert all(one["is_error"] and one["content"] for one in told[1:])
    assert "there is no tool 'fetch_url' here" in told[7]["content"]
    assert not any(word in one["content"] for one in told for word in ("Traceback", "runner.", "Error"))
    assert {one["name"] for one in first.body["tools"]} == {"read_file", "write_output"}
    assert not first.body.keys() & {"thread", "container", "mcp_servers", "stream"}
    assert "Alpha" not in json.dumps(first.body), "a file that may be read is listed and not sent along"


def test_without_tools_the_files_are_part_of_the_prompt_and_nothing_is_offered(office: Office) -> None:
    job, (asked,) = office.ask(script(text("Fine.")), task="plain")

    assert job["result"] == "Fine."
    assert "Alpha beta gamma." in json.dumps(asked.body["messages"])
    assert not asked.body.keys() & {"tools", "system"}
    assert (office.afk.home / "outputs" / f"{job['key']}.md").read_text() == "Fine.\n"


def both(words: str) -> Content:
    """A text and a wish for more."""
    return [*text(words), tool("read_file", path="inputs/a.md")]


def test_more_tool_calls_than_allowed_halt_the_job_with_its_last_text(office: Office) -> None:
    """The limit of the job goes before that of its task."""
    plan = script(both("One."), both("Two."), both("Three."), text("Never."))
    job, requests = office.ask(plan, "--max-tool-calls", "2", task="limited")

    assert (job["status"], job["result"], len(requests)) == ("halted", "Three.", 3)
    assert job["error"] == "it asked for more than its limit of 2 tool calls"
    assert [name for name in job["steps"] if "tool" in name] == ["turn 1 tool 1", "turn 2 tool 1"]
    assert not (office.afk.home / "outputs" / f"{job['key']}.md").exists(), (
        "what is not finished must not look so in the morning"
    )


def test_the_gate_holds_the_limit_for_an_agent_that_does_not(afk: World) -> None:
    """A task's own loop goes on asking: the call after the answer that passed the limit is refused."""
    tasks = """
from runner import task
@task("busy", max_tool_calls=2)
def busy(ctx, payload):
    for turn in range(9):
        ctx._call("POST", "/v1/messages", {"model": "house-model", "max_tokens": 100,
                  "messages": [{"role": "user", "content": f"Go on. {turn}"}]})
"""
    with Talker(script([tool("shell", command="ls"), tool("shell", 2, command="ls")])) as vendor:
        house(afk, vendor)
        (afk.home / "tasks" / "busy.py").write_text(tasks)
        afk.afk("enqueue", "busy", "--key", "job")
        afk.afk("run", "--once")
        job = afk.json("job", "job")

    assert (job["status"], len(vendor.requests)) == ("halted", 2)
    assert job["error"] == "not sent: its limit of 2 tool calls holds: 4 were asked for"


def test_its_own_cap_halts_the_job_with_its_last_text(office: Office) -> None:
    """A call of 100 tokens may cost 11 cents, and each answer costs half a cent."""
    job, requests = office.ask(script(both("One."), both("Two."), text("Never.")), "--max-usd", "0.119")

    assert (job["status"], job["result"], len(requests)) == ("halted", "Two.", 2)
    assert job["error"].startswith("not sent: the job's own cap of $0.119 holds")
    assert job["cost_microusd"] == 2 * COST


def test_an_answer_that_was_cut_is_not_taken_for_a_whole_one(office: Office) -> None:
    cut = {
        **{"id": "m", "type": "message", "role": "assistant", "model": "house-model", "content": text("Half a sen")},
        **{"stop_reason": "max_tokens", "stop_sequence": None, "usage": {"input_tokens": 10, "output_tokens": 100}},
    }
    job, _ = office.ask(lambda _: Reply(body=json.dumps(cut).encode()))

    assert (job["status"], job["result"]) == ("halted", "Half a sen")
    assert job["error"] == "its answer was cut at its limit of 100 output tokens"


NONE = (
    b'{"id": "m"}',
    b'{"content": "words"}',
    b'{"content": [1]}',
    b'{"content": [{"type": "text"}]}',
    b'{"content": [{"type": "tool_use"}]}',
    b'{"content": []}',
    b'{"content": [{"type": "tool_use", "id": "t", "name": "x", "input": {"n": 1e999}}]}',
    b"[]",
    b"<html>busy</html>",
)


@pytest.mark.parametrize("answer", NONE)
def test_an_answer_that_is_none_is_a_plain_sentence(office: Office, answer: bytes) -> None:
    """No class path, no traceback: the reader is not the author."""
    job, requests = office.ask(lambda _: Reply(body=answer), task="short")

    assert (job["status"], len(requests)) == ("dead", 1)
    assert not any(word in job["error"] for word in ("runner.", "Error", "Traceback", "\n")), job["error"]
    assert "answer" in job["error"]


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ("none", "no file matches the inputs inputs/none/*.md"),
        ("binary", "input inputs/binary/b.md is not text"),
        ("linked", "input inputs/linked/b.md is a link or behind one"),
    ],
)
def test_inputs_that_cannot_be_read_kill_the_job_in_plain_words(office: Office, inputs: str, said: str) -> None:
    job, requests = office.ask(script(text("Never.")), task=inputs)

    assert (job["status"], requests) == ("dead", [])
    assert job["error"].startswith(said)


def test_a_changed_task_does_not_take_up_the_conversation_of_the_old_one(afk: World) -> None:
    """Whoever mends a prompt and replays a dead job wants the new question asked."""
    refused = Reply.error(400, "invalid_request_error", "no")

    def plan(body: dict[str, Any]) -> Content | Reply:
        mended = "Ask better." in json.dumps(body)
        return text("Better.") if mended else both("Old.") if not turns(body) else refused

    with Talker(plan) as vendor:
        agent(afk, vendor, SHORT)
        assert once(afk)["status"] == "dead"
        toml = afk.home / "afk.toml"
        toml.write_text(toml.read_text().replace("Work through it, step by step.", "Ask better."))
        afk.afk("replay", "job")
        afk.afk("run", "--once")
        job = afk.json("job", "job")

    assert (job["status"], job["result"]) == ("done", "Better.")
    assert list(job["steps"]) == ["turn 1", "turn 1 tool 1", "again 2: turn 1"]


def judged(body: dict[str, Any]) -> Content:
    """The first answer lacks something, the second one has it."""
    if is_judge(body):
        good = "shop and mail" in body["messages"][0]["content"][1]["text"]
        return verdicts(good, True, reasons=["mail is missing" if not good else "both are there", "it is"])
    return text("The shop fails." if not turns(body) else "The shop and mail fail: shop and mail.")


def test_what_a_criterion_lacks_goes_back_until_it_is_met(office: Office) -> None:
    """The judge is asked for a JSON schema, its reason reaches the author, its verdicts are kept."""
    job, requests = office.ask(judged, task="judged")
    calls = [request.body for request in requests]

    assert (job["status"], job["result"]) == ("done", "The shop and mail fail: shop and mail.")
    assert list(job["steps"]) == ["turn 1", "verdict 1", "turn 2", "verdict 2"]
    assert "mail is missing" in json.dumps(calls[2]["messages"][-1])
    assert calls[1]["output_config"]["format"]["type"] == "json_schema"
    assert "tools" not in calls[1]
    assert job["criteria"] == [
        {"criterion": "Names every failing service.", "met": True, "reason": "both are there"},
        {"criterion": "Is one line.", "met": True, "reason": "it is"},
    ]
    shown = office.afk.afk("job", job["key"])
    assert "criterion met: Names every failing service. (both are there)" in shown
    assert "step      verdict 1: 1 of 2 criteria met" in shown


def test_what_is_never_met_halts_the_job_with_its_last_text(office: Office) -> None:
    job, requests = office.ask(
        lambda body: verdicts(False) if is_judge(body) else text(f"Answer {turns(body)}."), "--criteria", "Sings."
    )

    assert (job["status"], job["result"]) == ("halted", "Answer 4.")
    assert job["error"].startswith("5 answers were judged, and this is still not met: Sings. (")
    assert len(requests) == 10
    assert [one["met"] for one in job["criteria"]] == [False]


@pytest.mark.parametrize("verdict", [text("Looks good to me!"), text('{"verdicts": 1}'), text("{")])
def test_a_judge_that_cannot_be_understood_twice_ends_the_job(office: Office, verdict: Content) -> None:
    """It has not said that the criterion is met, and no better answer makes it speak."""
    job, requests = office.ask(
        lambda body: verdict if is_judge(body) else text(f"Answer {turns(body)}."), "--criteria", "Sings."
    )

    assert (job["status"], job["result"]) == ("halted", "Answer 1.")
    assert job["error"].startswith("the judge gave no readable verdict twice")
    assert len(requests) == 4
    assert [one["met"] for one in job["criteria"]] == [False]


def test_one_verdict_that_cannot_be_read_is_no_end(office: Office) -> None:
    """Only two in a row are: every second one is bad here, and the rounds go on to their limit."""

    def plan(body: dict[str, Any]) -> Content:
        if not is_judge(body):
            return text(f"Answer {turns(body)}.")
        odd = body["messages"][0]["content"][1]["text"][-2] in "024"
        return text("Fine!") if odd else verdicts(False)

    job, requests = office.ask(plan, "--criteria", "Sings.")

    assert (job["status"], len(requests)) == ("halted", 10)
    assert job["error"].startswith("5 answers were judged")


def test_an_answer_that_stays_the_same_is_not_paid_for_again_and_again(office: Office) -> None:
    job, requests = office.ask(lambda body: verdicts(False) if is_judge(body) else text("No."), "--criteria", "Sings.")

    assert (job["status"], len(requests)) == ("halted", 4)
    assert job["error"].startswith("its answer does not change any more")


def test_the_built_in_model_reads_writes_and_judges_without_a_network(afk: World, tmp_path: Path) -> None:
    """A home can be tried with tools and criteria before it has a key."""
    afk.init(
        """
[tasks.agent]
kind = "prompt"
model = "offline/extract"
prompt = "Sum up what fails in one line, and write it to report.md."
inputs = "inputs/*.md"
tools = ["read_file", "write_output"]
criteria = ["Names the failing database."]
"""
    )
    (afk.home / "inputs" / "night.md").write_text("# Night\n\nThe database fails since midnight. Coffee was good.\n")
    job = once(afk)

    assert job["result"] == "The database fails since midnight."
    assert (afk.home / "outputs" / "job" / "report.md").read_text() == "The database fails since midnight.\n"
    assert job["criteria"][0]["met"]
    assert "words were counted, the sense was not judged" in job["criteria"][0]["reason"]
