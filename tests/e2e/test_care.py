"""Care of the data around real runners: copies of a live home, going back after a death, room on the disk."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.e2e.test_bad_input import mounted
from tests.e2e.world import World, eventually

TOML = """
[runner]
workers = 2
disk_low_mb = @LOW@
"""
TASKS = """
from runner import task

@task("good")
def good(ctx, payload):
    return payload
"""


def toml(*, low_mb: int = 0) -> str:
    return TOML.replace("@LOW@", str(low_mb))


def lines(count: int) -> str:
    return "\n".join(json.dumps({"task": "good", "key": f"job {n}"}) for n in range(count))


def bad(afk: World) -> list[dict[str, Any]]:
    """What a deep look finds."""
    return [check for check in afk.json("check", "--deep", code=None)["checks"] if check["level"] != "ok"]


def test_a_backup_of_a_home_at_full_speed_is_sound_and_can_be_gone_back_to(afk: World, tmp_path: Path) -> None:
    """Also after a SIGKILL. What ended since is named, and nothing starts before a person says so."""
    afk.init(toml(), tasks=TASKS)
    runner = afk.start()
    afk.afk("enqueue", "--lines", stdin=lines(200))
    eventually(lambda: afk.counts().get("done", 0) > 20, what="work under way")

    made = afk.json("backup", str(tmp_path / "b.db"))
    assert bad(afk) == [], "a live home is sound at every moment"
    assert afk.call("restore", made["path"]).returncode == 1, "a runner lives"
    eventually(lambda: afk.counts() == {"done": 200}, what="all done")
    afk.kill9(runner)

    told = afk.json("restore", made["path"], "--spent-since", "0")

    assert told["vouched"]
    assert bad(afk) == []
    there = afk.counts()
    again = [key for key, status in afk.sql("SELECT key, status FROM jobs") if status in ("pending", "running")]
    assert sorted(told["again"]) == sorted(again)
    assert there.get("done", 0) > 0
    afk.afk("run", "--once")
    assert afk.counts().get("done") == there.get("done"), "stopped until a person resumes"
    afk.afk("resume")
    afk.afk("run", "--once")
    assert afk.counts() == {"done": 200}


def test_a_runner_parks_before_the_disk_is_full_and_goes_on_by_itself(tmp_path: Path) -> None:
    """With a reason on every screen and an alert, which is over once there is room."""
    with mounted("-t", "tmpfs", "-o", "size=40m,mode=700", "tmpfs", at=tmp_path):
        afk = World(tmp_path)
        try:
            _run_short_of_room(afk)
        finally:
            afk.end()


def _run_short_of_room(afk: World) -> None:
    afk.init(toml(low_mb=15), tasks=TASKS)
    runner = afk.start()
    ballast = afk.home / "outputs" / "ballast"
    subprocess.run(["dd", "if=/dev/zero", f"of={ballast}", "bs=1M", "count=28"], capture_output=True, check=True)

    eventually(lambda: afk.sql("SELECT 1 FROM runners WHERE state = 'parked'"), what="parked")
    assert "disk" in afk.status()["runner"]["reason"]
    eventually(lambda: _disk_alert(afk) == [None], what="the alert")
    afk.afk("enqueue", "good", "--key", "later")
    assert afk.counts() == {"pending": 1}
    assert not afk.sql("SELECT text FROM alerts WHERE key = 'stop'"), "nobody stopped it"

    ballast.unlink()

    eventually(lambda: afk.counts() == {"done": 1}, what="the job done once there is room")
    eventually(lambda: _disk_alert(afk) != [None], what="the alert over")
    assert runner.poll() is None


def _disk_alert(afk: World) -> list[Any]:
    """When the alert was over; None while it holds, empty before."""
    return [row[0] for row in afk.sql("SELECT closed_at FROM alerts WHERE key = 'disk'")]
