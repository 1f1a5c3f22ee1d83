"""What cannot be undone is written down, waits for a person, and is done once that person says so, and once."""

from __future__ import annotations

import json

from tests.e2e.talker import Talker, results, script, text, tool
from tests.e2e.vendor import house
from tests.e2e.world import World, eventually

TASKS = '''
import os
from runner import task

@task("post", irreversible=True)
def post(ctx, payload):
    """What cannot be undone."""
    with open(os.path.join(os.path.dirname(__file__), "..", "posted"), "a") as file:
        file.write(payload["text"] + "\\n")

@task("asks")
def asks(ctx, payload):
    first = ctx.draft("post", {"text": "from a function"}, "A post from a function.")
    if ctx.attempt == 1:
        raise RuntimeError("again, please")
    return first

@task("awaits")
async def awaits(ctx, payload):
    return await ctx.draft("post", {"text": "from a coroutine"}, "A post from a coroutine.")

@task("pushes", max_attempts=1)
def pushes(ctx, payload):
    ctx.enqueue("post", {"text": "never"})
'''
AGENT = """
[tasks.agent]
kind = "prompt"
model = "house-model"
prompt = "Tell everybody."
tools = ["draft"]
max_output_tokens = 100
"""


def test_an_approved_draft_is_performed_once(afk: World) -> None:
    """Drafted by an agent, a function and a coroutine; approved, twice approved, rejected."""
    wishes = [
        tool("draft", 1, task="post", payload={"text": "from an agent"}, summary="A post from an agent."),
        tool("draft", 2, task="agent", payload={}, summary="Run me again."),
        tool("draft", 3, task="post", payload={"text": "no"}, summary=" "),
        tool("draft", 4, task="post", payload="no", summary="No."),
    ]
    with Talker(script(wishes, text("It is drafted."))) as vendor:
        house(afk, vendor, extra=AGENT)
        (afk.home / "tasks" / "posts.py").write_text(TASKS)
        for task in ("agent", "asks", "awaits", "pushes"):
            afk.afk("enqueue", task, "--key", task)
        runner = afk.start()
        eventually(lambda: afk.counts() == {"done": 3, "dead": 1}, what="all jobs ended")
        told = results(vendor.requests[1].body)

        drafts = {draft["job"]: draft for draft in afk.json("drafts")}
        assert {job: draft["summary"] for job, draft in drafts.items()} == {
            "agent": "A post from an agent.",
            "asks": "A post from a function.",
            "awaits": "A post from a coroutine.",
        }, "an attempt that came again found its draft; what could not be one is none"
        assert not (afk.home / "posted").exists()

        for job in ("agent", "asks"):
            afk.afk("drafts", "approve", str(drafts[job]["id"]))
        afk.afk("drafts", "approve", str(drafts["agent"]["id"]), code=1)
        afk.afk("drafts", "reject", str(drafts["awaits"]["id"]), "--reason", "said enough")
        eventually(lambda: afk.counts() == {"done": 5, "dead": 1}, what="the approved ones performed")
        runner.terminate()
        assert runner.wait() == 0

    assert sorted((afk.home / "posted").read_text().splitlines()) == ["from a function", "from an agent"]
    assert "waits for a person" in told[0]["content"]
    assert [one.get("is_error", False) for one in told] == [False, True, True, True]
    assert "'agent' cannot be drafted; these can: post" in told[1]["content"]
    pushed = afk.json("job", "pushes")["error"].partition("\n")[0]
    assert pushed == (
        "task 'post' does what cannot be undone, so no payload may start it; "
        "draft it, and a person approves or rejects it"
    )


def test_a_person_starts_what_cannot_be_undone_directly(afk: World) -> None:
    """The mark holds back payloads and schedules, not whoever owns the home."""
    afk.init("", tasks=TASKS)
    afk.afk("enqueue", "post", json.dumps({"text": "by hand"}))
    afk.afk("run", "--once")

    assert (afk.home / "posted").read_text() == "by hand\n"
