"""The rendered lines under a real cron. Opt-in: `make test-cron`, as root, on a Debian or Ubuntu."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator

import pytest

from tests.supervisors.inside import PROGRAM, ROOT, Inside, eventually, why_not

CRON = os.environ.get("AFK_CRON", "")
pytestmark = pytest.mark.skipif(not CRON, reason="opt-in: make test-cron")

HOME = "/home/ada/it's my home"
SIT = """
[watch]
stall = "5s"
[tasks.sit]
kind = "command"
command = ["sh", "-c", "until test -e /home/ada/go; do sleep 1; done"]
"""
OTHERS = "# ada's own\n0 4 * * * /bin/true 'a\\%b'\n"


@pytest.fixture
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    if why := why_not("useradd"):
        pytest.skip(why)
    made = Inside(tmp_path_factory.mktemp("cron"), "/usr/bin/sleep", "infinity", also=(CRON,))
    try:
        made.must("useradd", "--create-home", "ada")
        made.must(
            *("sh", "-euc"),
            'cp -a "$0/usr" "$0/etc" /; groupadd -f crontab; mkdir -p /var/spool/cron/crontabs; '
            "chgrp crontab /usr/bin/crontab /var/spool/cron/crontabs; chmod 2755 /usr/bin/crontab; "
            "chmod 1730 /var/spool/cron/crontabs; /usr/sbin/cron",
            CRON,
        )
        yield made
    finally:
        made.close()


def test_cron_works_off_what_is_due(machine: Inside) -> None:
    """With a home whose name a shell would take apart, beside lines that are somebody's own."""

    def afk(*argv: str) -> str:
        return machine.must(PROGRAM, *argv, "--home", HOME, user="ada")

    afk("init")
    machine.must("sh", "-c", 'printf %s "$0" > "$HOME/own"; crontab "$HOME/own"', OTHERS, user="ada")
    machine.must("sh", "-c", 'echo "It matters." > "$0/inputs/note.md"', HOME, user="ada")
    afk("service", "install", "--platform", "cron")
    assert machine.must("crontab", "-l", user="ada").startswith(OTHERS)
    afk("enqueue", "sample", "--key", "one")

    # Nobody waits five minutes for a proof.
    machine.must("sh", "-c", "crontab -l | sed 's,^[*]/[0-9]*,*,' | crontab -", user="ada")
    done = eventually(
        lambda: (told := json.loads(afk("job", "one", "--json")))["status"] == "done" and told,
        within_s=240,
        what="a run",
    )

    assert [attempt["outcome"] for attempt in done["attempts_log"]] == ["done"]

    # A run whose loop stands still ends itself; the next one does its job and says where it hung.
    machine.must("sh", "-c", 'printf %s "$1" >> "$0/afk.toml"', HOME, SIT, user="ada")
    hanging = f"{sys.executable} {ROOT}/tests/e2e/hanging.py"
    machine.must("sh", "-c", 'crontab -l | sed "s,$0 run,$1 run," | crontab -', PROGRAM, hanging, user="ada")
    afk("enqueue", "sit", "--key", "two")
    eventually(lambda: json.loads(afk("job", "two", "--json"))["status"] == "running", within_s=240, what="a run")
    machine.must("sh", "-c", 'printf blocking_call > "$0/work/hang"; touch /home/ada/go', HOME, user="ada")
    done = eventually(
        lambda: (told := json.loads(afk("job", "two", "--json")))["status"] == "done" and told,
        within_s=240,
        what="the next run",
    )
    assert done["attempts"] == 1, "nothing was burnt"
    assert "it hung in blocking_call (" in afk("incidents", "--json")

    status = json.loads(afk("service", "status", "--json"))
    assert (status["verdict"], status["current"]) == ("running", False)  # its minutes were changed by hand
    afk("service", "install")
    assert json.loads(afk("service", "status", "--json"))["current"] is True
    afk("service", "uninstall")
    assert machine.must("crontab", "-l", user="ada") == OTHERS
