"""cron's verbs at a crontab that keeps what it is given."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from runner.errors import Refused
from runner.service import cron
from runner.service.plan import Platform
from runner.service.witness import look
from tests.runner.service.conftest import Make
from tests.runner.service.fakes import Crontab, Slow, Stage

CRON = Platform.CRON
OTHERS = "MAILTO=ada@example.org\n0 4 * * * /usr/bin/backup \udcff 2>&1\n"


def test_install_start_stop_uninstall_leave_the_rest_as_it_was(make: Make, crontab: Crontab) -> None:
    """Bytes that are no text are somebody's, too."""
    crontab.text = OTHERS

    assert make(CRON).install().changed
    put = crontab.text
    assert put is not None
    assert put.startswith(OTHERS)
    assert not make(CRON).install().changed

    make(CRON).stop(persist=False)
    assert crontab.text is not None
    assert cron.find(crontab.text, make(CRON).plan.name).stopped
    make(CRON).start()
    assert crontab.text == put

    assert make(CRON).uninstall().changed
    assert crontab.text == OTHERS
    assert not make(CRON).uninstall().changed


def test_a_crontab_that_held_nothing_else_is_gone_again(make: Make, crontab: Crontab) -> None:
    make(CRON).install()
    make(CRON).uninstall()

    assert crontab.text is None


def test_no_start_puts_lines_that_do_nothing(make: Make, crontab: Crontab) -> None:
    make(CRON).install(start=False)

    assert crontab.text is not None
    assert all(line.startswith("#") for line in crontab.text.splitlines())


def test_damaged_marks_keep_every_verb_away(make: Make, crontab: Crontab) -> None:
    name = make(CRON).plan.name
    crontab.text = f"{OTHERS}# BEGIN {name}\n*/5 * * * * /bin/true\n"

    for act in (make(CRON).install, make(CRON).uninstall, make(CRON).start):
        with pytest.raises(Refused, match="nothing was changed"):
            act()
    assert crontab.text == f"{OTHERS}# BEGIN {name}\n*/5 * * * * /bin/true\n"


def test_a_crontab_that_cannot_be_read_is_not_written(make: Make, crontab: Crontab, bin_folder: Path) -> None:
    """An empty answer and a refused one look alike to whoever does not ask why."""
    tool = bin_folder / "crontab"
    tool.write_text(tool.read_text().replace("-l) cat", "-l) echo 'not allowed' >&2; exit 1; cat"))
    crontab.text = OTHERS

    with pytest.raises(Refused, match="cannot be read: not allowed"):
        make(CRON).install()
    assert crontab.text == OTHERS


def test_stop_ends_the_run_that_cron_began(make: Make, crontab: Crontab, stage: Stage, slow: Slow) -> None:
    make(CRON).install()
    stage.enter(words=("run", "--once", str(stage.home.root)))
    slow.after(1, stage.join)

    done = make(CRON).stop(persist=False)

    assert done.text == "it ended, and the home's lock is free"


def test_stop_leaves_the_runner_somebody_else_began(make: Make, crontab: Crontab, stage: Stage) -> None:
    make(CRON).install()
    pid = stage.enter(words=("run", str(stage.home.root)))

    done = make(CRON).stop(persist=False)

    assert f"pid {pid} is running all the same, started by somebody else" in done.text
    assert look(stage.home).pid == pid


def test_a_machine_without_cron_is_told(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.path.dirname(shutil.which("env") or "") + "-nowhere")

    with pytest.raises(Refused, match="there is no crontab on this machine; name another --platform"):
        make(CRON).install()
