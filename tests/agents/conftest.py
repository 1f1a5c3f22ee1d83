"""Real agents against the real runner and gate, with nothing behind the gate but a loopback vendor.

`make test-agents` installs them (npm, PyPI) and says where they are; without that these tests are skipped. When they
run, nothing leaves the machine.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runner.work.confine import obstacle
from tests.agents.turns import Vendor
from tests.e2e.world import World, eventually, world

KEY = "sk-vendor-canary-0123456789abcdef"
INSTALLED = os.environ.get("AFK_AGENTS", "")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Nobody downloads half a gigabyte by accident."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and not INSTALLED:
            item.add_marker(pytest.mark.skip(reason="real agents are run by `make test-agents`"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A home, a vendor behind its gate, a server that nobody may reach, and a work tree."""

    afk: World
    vendor: Vendor
    elsewhere: Vendor
    tree: Path

    def task(
        self, command: list[str], *, confined: bool = True, daily: str = "10.00", wire: str = "anthropic"
    ) -> Bench:
        """Make the home with one task and start its runner."""
        argv = ", ".join(f"'''{word}'''" for word in command)
        self.afk.env["VENDOR_KEY"] = KEY
        self.afk.init(
            f"""
[runner]
workers = 1
[budget]
daily_usd = "{daily}"
[upstreams.vendor]
url = "{self.vendor.url}"
wire = "{wire}"
key = "env:VENDOR_KEY"
[models]
"claude-*" = "vendor"
"house-*" = "vendor"
[prices."house-model"]
input = "1"
output = "5"
context = 400000
[tasks.agent]
kind = "command"
command = [{argv}]
cwd = "{self.tree}"
max_seconds = "120s"
max_output_tokens = 4000
max_attempts = 1
{'confine = "network"' if confined else ""}
"""
        )
        self.afk.start()
        return self

    def run(self, payload: str = "{}") -> dict[str, Any]:
        """Queue one job and wait for the end of its first attempt: the job, with that attempt as `attempt`."""
        key = self.afk.json("enqueue", "agent", payload)["key"]

        def ended() -> dict[str, Any] | None:
            job: dict[str, Any] = self.afk.json("job", key)
            tried = job["attempts_log"]
            return {**job, "attempt": tried[0]} if tried and tried[0]["ended_at"] else None

        found = eventually(ended, within_s=150, what="the agent ended")
        assert found is not None
        return found

    def charges(self) -> list[tuple[Any, ...]]:
        """State and cost of every call in the ledger."""
        return self.afk.sql("SELECT state, cost FROM charges ORDER BY id")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A bench whose processes end with the test."""
    tree = tmp_path / "tree"
    tree.mkdir()
    with world(tmp_path) as afk, Vendor() as vendor, Vendor() as elsewhere:
        yield Bench(afk=afk, vendor=vendor, elsewhere=elsewhere, tree=tree)


@pytest.fixture
def program() -> Any:
    """The path of an agent by its name."""
    return lambda name: str(Path(INSTALLED).resolve() / "node_modules" / ".bin" / name)


@pytest.fixture
def confinable() -> None:
    """For a test that needs confinement."""
    why = obstacle()
    if why is not None:
        pytest.skip(f"nothing can be confined here: {why}")
