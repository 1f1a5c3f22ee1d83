"""What may import what. Direction is lost silently, so contracts hold it, and a look at what came along."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


def loaded_by(module: str) -> set[str]:
    """Every module that is loaded once `module` is, in a process of its own."""
    code = f"import json, sys; import {module}; json.dump(sorted(sys.modules), sys.stdout)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_the_contracts_hold() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_module_of_the_runner_has_its_floor() -> None:
    """A new module is put into the layers on purpose, or it could import anything."""
    (layers,) = (contract["layers"] for contract in CONTRACTS if contract["type"] == "layers")
    placed = {name.strip() for layer in layers for name in layer.split("|")}
    found = {f"runner.{path.stem}" for path in (ROOT / "runner").glob("*.py") if path.stem != "__init__"}
    found |= {f"runner.{path.parent.name}" for path in (ROOT / "runner").glob("*/__init__.py")}

    assert found == placed


def test_every_table_module_is_kept_apart() -> None:
    (apart,) = (contract["modules"] for contract in CONTRACTS if contract["type"] == "independence")
    shared = {f"runner.store.{name}" for name in ("__init__", "db", "enough", "inplace", "rows", "turnstile", "writer")}
    found = {f"runner.store.{path.stem}" for path in (ROOT / "runner" / "store").glob("*.py")}

    assert found - shared == set(apart)


def test_the_runner_process_loads_no_payload_and_no_screen() -> None:
    """`anthropic` alone would cost it a second and 75 MB. (`rich` comes with httpx, where it is installed.)"""
    loaded = loaded_by("runner.daemon")

    assert not loaded & {"anthropic", "textual", "console", "styles", "runner.work.worker", "runner.work.loader"}
    assert not {name for name in loaded if name.startswith("afk_tasks")}


def test_only_the_child_that_delivers_loads_what_delivers() -> None:
    """`apprise` costs half a second and 45 MB; the child watches its pipe before it loads it."""
    delivers = {"apprise", "requests", "yaml", "markdown"}

    for module in ("runner.daemon", "runner.notify.deliverer", "runner.cli", "runner.notify.send"):
        assert not loaded_by(module) & delivers, module
    child = loaded_by("runner.notify.send")
    assert not {name for name in child if name.startswith(("runner.store", "runner.gate", "runner.settings"))}


@pytest.mark.parametrize("module", ["runner.work.worker", "runner.work.loader"])
def test_a_worker_starts_light(module: str) -> None:
    """It knows neither the database nor the gate: what it is not given it cannot touch."""
    loaded = loaded_by(module)

    assert not loaded & {"anthropic", "httpx", "sqlite3", "typer", "runner.gate", "runner.daemon", "runner.settings"}
    assert not {name for name in loaded if name.startswith(("runner.store", "runner.gate", "runner.cli"))}


def test_a_task_file_needs_the_standard_library_alone() -> None:
    """`from runner import task` costs a task file nothing."""
    before = loaded_by("json")
    strange = {name.split(".")[0] for name in loaded_by("runner") - before} - set(sys.stdlib_module_names)

    assert strange <= {"runner"} | {name.split(".")[0] for name in before}


def test_the_console_loads_the_doors_and_not_the_engine() -> None:
    loaded = loaded_by("console.app")

    assert not loaded & {"httpx", "anthropic", "apscheduler", "runner.daemon"}
    assert not {name for name in loaded if name.startswith(("runner.gate", "runner.cli", "runner.work.pool"))}
