"""`afk-runner` that gives what it waits for a minute: for tests that show what comes of the wait, not how long it is.

A machine that others use too is slow, and what is cut short then has nothing to show.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.e2e.world import DEADLINE_S

RUNS = [sys.executable, str(Path(__file__))]
"""For the `runs` of a world."""


def main() -> None:
    """The runner, patient with a worker that was asked to end, with the upkeep and with what is to be told."""
    import runner.daemon.loop
    import runner.work.child
    from runner.cli import main as runner_main

    runner.work.child.KILL_AFTER_S = DEADLINE_S
    runner.daemon.loop.TIDYING_S = DEADLINE_S
    runner.daemon.loop.PARTING_WORDS_S = DEADLINE_S
    sys.argv[0] = "afk-runner"
    runner_main()


if __name__ == "__main__":
    main()
