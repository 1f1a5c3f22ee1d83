"""What a command finds around it: the gate under every name that clients know, and nothing of its owner's."""

from __future__ import annotations

import json
import os
import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest

from runner.work import agents
from runner.work.command import environment

GATE = "http://127.0.0.1:40123"
TOKEN = "token-of-the-attempt"

OWNERS = {
    "ANTHROPIC_AUTH_TOKEN": "sk-owner",
    "ANTHROPIC_API_KEY": "sk-owner",
    "CLAUDE_CODE_OAUTH_TOKEN": "sk-owner",
    "CLAUDE_CODE_USE_BEDROCK": "1",
    "OPENAI_API_KEY": "sk-owner",
    "GEMINI_API_KEY": "sk-owner",
    "AWS_PROFILE": "owner",
    "AWS_SECRET_ACCESS_KEY": "sk-owner",
    "GOOGLE_APPLICATION_CREDENTIALS": "/owner.json",
    "GITHUB_TOKEN": "sk-owner",
    "SSH_AUTH_SOCK": "/owner.sock",
    "GPG_AGENT_INFO": "/owner.sock",
    "DBUS_SESSION_BUS_ADDRESS": "unix:path=/owner.sock",
    "XDG_RUNTIME_DIR": "/run/user/0",
    "DOCKER_HOST": "unix:///owner.sock",
    "DISPLAY": ":0",
    "TMUX": "/tmp/tmux-0/default,1,0",
    "HTTPS_PROXY": "http://owner:secret@192.0.2.1:3128",
    "https_proxy": "http://owner:secret@192.0.2.1:3128",
    "ALL_PROXY": "socks5://192.0.2.1",
    "PYTHONPATH": "/owner",
    "LD_PRELOAD": "/owner.so",
    "NODE_OPTIONS": "--require /owner.js",
}


def order(tmp_path: Path, **others: Any) -> dict[str, Any]:
    """As much of a worker's order as an environment is made of."""
    return {
        "gate": GATE,
        "token": TOKEN,
        "child_home": str(tmp_path),
        "key": "k",
        "n": 3,
        "max_output_tokens": None,
        "env": {},
        **others,
    }


def test_nothing_of_the_owners_environment_gets_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a key, a login, a proxy, a socket nor what changes how a program starts."""
    for name, value in {**OWNERS, "PATH": "/usr/bin", "HOME": "/root", "TZ": "Asia/Tokyo"}.items():
        monkeypatch.setenv(name, value)

    made = environment(order(tmp_path), tmp_path / "agents")

    assert not {name for name, value in OWNERS.items() if made.get(name) == value}
    assert not {"HTTP_PROXY", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"} & made.keys()
    assert (made["HOME"], made["PATH"], made["TZ"]) == (str(tmp_path), "/usr/bin", "Asia/Tokyo")


def test_the_environment_is_these_names_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is added here is added on purpose."""
    for name in os.environ.keys() - {"PATH"}:
        monkeypatch.delenv(name)

    made = environment(order(tmp_path, max_output_tokens=8000), tmp_path / "agents")

    assert sorted(made) == [
        "AFK_ATTEMPT", "AFK_GATE_URL", "AFK_KEY", "AFK_TOKEN", "AIDER_ANALYTICS_DISABLE", "AIDER_CHECK_UPDATE",
        "ANTHROPIC_API_BASE", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
        "CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK", "CLAUDE_CODE_MAX_OUTPUT_TOKENS", "CLAUDE_CODE_MAX_RETRIES",
        "CLAUDE_CONFIG_DIR", "CODEX_HOME", "DISABLE_AUTOUPDATER", "HOME", "LANG", "LITELLM_LOCAL_MODEL_COST_MAP",
        "NO_PROXY", "OLLAMA_NO_CLOUD", "OPENAI_API_BASE", "OPENAI_API_KEY", "OPENAI_BASE_URL",
        "OPENCODE_CONFIG_CONTENT", "OPENCODE_DISABLE_AUTOUPDATE", "OPENCODE_DISABLE_LSP_DOWNLOAD",
        "OPENCODE_DISABLE_MODELS_FETCH", "PATH", "TMPDIR", "no_proxy",
    ]  # fmt: skip
    assert made["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] == "8000"


def test_an_owner_may_change_a_habit_but_not_an_address(tmp_path: Path) -> None:
    """The settings refuse the names that are ours; one that got by them would still not count."""
    env = {"CLAUDE_CODE_MAX_RETRIES": "2", "PATH": "/opt/bin", "ANTHROPIC_BASE_URL": "http://elsewhere", "OWN": "word"}

    made = environment(order(tmp_path, env=env), tmp_path / "agents")

    assert (made["CLAUDE_CODE_MAX_RETRIES"], made["PATH"], made["OWN"]) == ("2", "/opt/bin", "word")
    assert made["ANTHROPIC_BASE_URL"] == GATE


def test_the_agents_settings_lead_to_the_gate_and_are_theirs_alone(tmp_path: Path) -> None:
    folder = tmp_path / "agents" / str(os.getpid())

    agents.lay_out(folder, gate=GATE, token=TOKEN)

    codex = tomllib.loads((folder / "codex" / "config.toml").read_text())
    assert codex["model_providers"][codex["model_provider"]]["base_url"] == f"{GATE}/v1"
    claude = json.loads((folder / "claude-settings.json").read_text())
    assert claude["env"]["ANTHROPIC_BASE_URL"] == GATE
    assert list((folder / "claude").iterdir()) == []
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")} == {0o700, 0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    told = agents.addresses(gate=GATE, token=TOKEN, folder=folder)
    opencode = json.loads(told["OPENCODE_CONFIG_CONTENT"])
    assert {each["options"]["baseURL"] for each in opencode["provider"].values()} == {f"{GATE}/v1"}
    assert TOKEN not in told["OPENCODE_CONFIG_CONTENT"]


def test_what_an_agent_left_in_its_settings_is_gone_for_the_next(tmp_path: Path) -> None:
    """Its own folder is made anew, those of workers that are gone are cleared away, one of a living worker stays."""
    agents_folder = tmp_path / "agents"
    for name in (str(os.getpid()), str(os.getppid()), "999999999", "not-a-pid"):
        (agents_folder / name / "claude").mkdir(parents=True)
        (agents_folder / name / "claude" / "settings.json").write_text("{}")

    agents.lay_out(agents_folder / str(os.getpid()), gate=GATE, token=TOKEN)

    left = sorted(path.parts[-3] for path in agents_folder.rglob("settings.json"))
    assert left == [str(os.getppid())]


@pytest.mark.parametrize(
    ("command", "confined", "flags"),
    [
        (["claude", "-p", "x"], False, ["--settings", "FILE", "--setting-sources", "user"]),
        (["/opt/bin/claude", "-p", "x"], True, ["--settings", "FILE"]),
        (["claude", "--settings={}", "-p"], True, []),
        (["claude", "--setting-sources", "project", "-p"], False, ["--settings", "FILE"]),
        (["claudette", "-p", "x"], False, []),
        (["sh", "-c", "claude"], False, []),
    ],
)
def test_claude_is_given_its_flags_unless_the_owner_gave_them(
    tmp_path: Path, command: list[str], confined: bool, flags: list[str]
) -> None:
    file = str(tmp_path / "claude-settings.json")

    argv = agents.pinned(command, folder=tmp_path, confined=confined)

    assert argv == [command[0], *(file if word == "FILE" else word for word in flags), *command[1:]]
