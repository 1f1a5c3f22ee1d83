"""Our own rules for the image: what makes one unsafe, unrepeatable or deaf to a stop."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from runner.service.plan import Platform
from tests.runner.service.world import rendered, settings

ROOT = Path(__file__).parents[3]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    return {file.name: file.text for file in rendered(Platform.DOCKER, settings(tmp_path))}


def steps(dockerfile: str) -> list[tuple[str, str]]:
    """Its instructions, continued lines joined."""
    lines = re.sub(r"\\\n", "", re.sub(r"^#.*\n", "", dockerfile, flags=re.MULTILINE)).splitlines()
    return [
        (line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines if line.strip() and not line.startswith(" ")
    ]


def stages(dockerfile: str) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    name = ""
    for word, rest in steps(dockerfile):
        if word == "FROM":
            name = rest.partition(" AS ")[2] or "last"
            found[name] = []
        if name:
            found[name].append((word, rest))
    return found


def last(stage: list[tuple[str, str]], word: str) -> str:
    return [rest for name, rest in stage if name == word][-1]


def test_the_runner_is_the_first_process_and_not_root(files: dict[str, str]) -> None:
    """A shell in front of it would swallow the signal."""
    runner = stages(files["Dockerfile"])["runner"]

    assert json.loads(last(runner, "ENTRYPOINT")) == ["/opt/afk/bin/afk-runner"]
    assert json.loads(last(runner, "CMD")) == ["run", "--supervisor", "docker", "--home", "/var/lib/afk"]
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", last(runner, "USER"))
    assert last(runner, "STOPSIGNAL") == "SIGTERM"
    assert json.loads(last(runner, "VOLUME")) == ["/var/lib/afk"]


def test_what_is_built_without_a_target_is_the_one_for_docker(files: dict[str, str]) -> None:
    found = stages(files["Dockerfile"])

    assert list(found)[-1] == "last"
    assert found["last"] == [("FROM", "runner")]


def test_fly_drops_root_once_the_volume_is_given_away(files: dict[str, str]) -> None:
    shell, flags, script, name = json.loads(last(stages(files["Dockerfile"])["fly"], "ENTRYPOINT"))

    assert (shell, flags, name) == ("/bin/sh", "-euc", "afk-runner")
    assert re.search(r"^chown 10001:10001 /var/lib/afk; .*; exec setpriv --reuid 10001 --regid 10001 ", script)
    assert script.endswith('/opt/afk/bin/afk-runner "$@"')
    assert subprocess.run(["/bin/sh", "-n", "-c", script], check=False).returncode == 0


def test_only_pinned_packages_get_in_and_nothing_from_a_fallback(files: dict[str, str]) -> None:
    installs = [rest for word, rest in steps(files["Dockerfile"]) if word == "RUN" and "pip install" in rest]

    assert len(installs) == 2
    assert "--require-hashes -r requirements.txt" in installs[0]
    assert "--no-deps --no-build-isolation ." in installs[1]
    assert not any("||" in rest or "curl" in rest for _, rest in steps(files["Dockerfile"]))


def test_only_what_is_named_gets_into_the_image(files: dict[str, str]) -> None:
    """No step copies everything, and the list of what may be copied begins with nothing."""
    ignore = [line for line in files[".dockerignore"].splitlines() if line and not line.startswith("#")]
    allowed = {line[1:] for line in ignore if line.startswith("!")}
    copied = {
        word
        for name, rest in steps(files["Dockerfile"])
        if name == "COPY" and not rest.startswith("--from")
        for word in rest.split()[:-1]
    }

    assert ignore[0] == "*"
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)
    assert "**/.env" in ignore


def test_a_warning_is_no_illness(files: dict[str, str]) -> None:
    """`status --check` says 1 for a runner that is parked; Docker knows only well and ill."""
    (check,) = re.findall(r"HEALTHCHECK [^\n]*CMD (\[.*\])", re.sub(r"\\\n", "", files["Dockerfile"]))
    shell, flag, script = json.loads(check)

    for code, ill in ((0, 0), (1, 0), (2, 1), (3, 1)):
        said = script.replace("/opt/afk/bin/afk-runner status --check --quiet", f"(exit {code})")
        assert subprocess.run([shell, flag, said], check=False).returncode == ill


def test_compose_does_not_undo_an_end_that_was_asked_for(files: dict[str, str]) -> None:
    compose = files["compose.yaml"]

    assert "\n    restart: on-failure:5\n" in compose
    assert "\n    init: true\n" in compose
    assert "\n    cap_drop: [ALL]\n" in compose
    assert "privileged: true" not in compose
    assert not re.search(r"^\s+(environment|env_file|secrets):", compose, re.MULTILINE)
