"""A block in a crontab, and not a byte beside it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import Refused
from runner.service import cron
from runner.service.plan import Platform
from tests.runner.service.world import rendered, settings

OTHERS = "MAILTO=ada@example.org\n# mine\n0 4 * * * /usr/bin/backup --all 2>&1 | logger\n\n@reboot  /bin/true"
LINES = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n\0"), max_size=30), max_size=8)


@pytest.fixture
def block(tmp_path: Path) -> str:
    (file,) = rendered(Platform.CRON, settings(tmp_path))
    return file.text


def test_two_lines_in_one_marked_block(block: str) -> None:
    begin, _, run, watch, end, rest = block.split("\n")

    assert (begin, end, rest) == ("# BEGIN afk-runner", "# END afk-runner", "")
    assert run.startswith("*/5 * * * * ")
    assert run.endswith(" run --once --quiet --home /home/ada/.afk")
    assert watch.startswith("*/15 * * * * ")
    assert watch.endswith(" status --check --quiet --home /home/ada/.afk")


@given(before=LINES, after=LINES)
def test_what_others_wrote_stays_to_the_byte(before: list[str], after: list[str]) -> None:
    """Put in, turned off, turned on and taken out: the lines around it are what they were."""
    head = "".join(f"{line}\n" for line in before)
    tail = "".join(f"{line}\n" for line in after)
    block = "# BEGIN x\n*/5 * * * * /bin/true\n# END x\n"
    if "# BEGIN x" in f"{head}{tail}" or "# END x" in f"{head}{tail}":
        return

    put = cron.find(head, "x").replaced(block) + tail
    found = cron.find(put, "x")

    assert (found.before, found.inside, found.after) == (head, block, tail)
    assert cron.find(found.replaced(cron.stopped(block)), "x").replaced(block) == put
    assert found.replaced("") == head + tail


def test_a_last_line_without_an_end_gets_one_and_nothing_else(block: str) -> None:
    put = cron.find(OTHERS, "afk-runner").replaced(block)

    assert put == f"{OTHERS}\n{block}"
    assert cron.find(put, "afk-runner").replaced("") == f"{OTHERS}\n"


def test_turned_off_lines_do_nothing_and_come_back(block: str) -> None:
    off = cron.stopped(block)

    assert cron.find(off, "afk-runner").stopped
    assert cron.stopped(off) == off
    assert cron.running(off) == block
    assert not cron.find(block, "afk-runner").stopped


def test_another_home_has_a_block_of_its_own(block: str) -> None:
    other = block.replace("afk-runner\n", "afk-runner-mail-123456\n")
    both = other + block

    assert cron.find(both, "afk-runner").replaced("") == other
    assert cron.find(both, "afk-runner-mail-123456").replaced("") == block


@pytest.mark.parametrize(
    "damaged",
    [
        "# BEGIN afk-runner\n*/5 * * * * /bin/true\n",
        "*/5 * * * * /bin/true\n# END afk-runner\n",
        "# END afk-runner\n# BEGIN afk-runner\n",
        "# BEGIN afk-runner\n# END afk-runner\n# BEGIN afk-runner\n# END afk-runner\n",
        "# BEGIN afk-runner\n# BEGIN afk-runner\n# END afk-runner\n",
    ],
)
def test_damaged_marks_are_left_to_a_person(damaged: str) -> None:
    with pytest.raises(Refused, match=r"do not enclose one block; mend them .*nothing was changed"):
        cron.find(OTHERS + "\n" + damaged, "afk-runner")
