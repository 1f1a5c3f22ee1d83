"""What agents and SDKs are told so that their calls come to the gate, and the folder they find their settings in.

The addresses and the token are not the owner's to change (`settings.tasks` refuses them); habits are. The only key in
any of it is the token of the attempt, which is worth nothing when the attempt is over.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

LOOPBACK = "127.0.0.1,localhost"


_standing: set[Path] = set()
"""Folders that this process laid out."""


def lay_out_once(folder: Path, *, gate: str, token: str) -> None:
    """The same unless it was done: Python tasks, which are the owner's code, have one for all attempts of a worker."""
    if folder not in _standing:
        lay_out(folder, gate=gate, token=token)


def lay_out(folder: Path, *, gate: str, token: str) -> None:
    """Make the settings folders of the agents anew; those of workers that are gone are cleared away.

    `folder` is named with the pid of the worker that uses it.
    """
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in os.listdir(folder.parent):
        if name == folder.name or not _lives(name):
            shutil.rmtree(folder.parent / name, ignore_errors=True)
    for path in (folder, folder / "claude", folder / "codex"):
        path.mkdir(mode=0o700, exist_ok=True)
    # It beats the settings that lie in a work tree.
    told = {"ANTHROPIC_BASE_URL": gate, "ANTHROPIC_API_KEY": token, "ANTHROPIC_AUTH_TOKEN": "", "NO_PROXY": LOOPBACK}
    told |= {"HTTP_PROXY": "", "HTTPS_PROXY": "", "ALL_PROXY": ""}
    _write(folder / "claude-settings.json", json.dumps({"env": told}))
    _write(folder / "codex" / "config.toml", _CODEX.format(url=json.dumps(f"{gate}/v1")))
    _standing.add(folder)


_CODEX = """\
model_provider = "afk"
check_for_update_on_startup = false
web_search = "disabled"

[model_providers.afk]
name = "afk"
base_url = {url}
env_key = "OPENAI_API_KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0

[analytics]
enabled = false
"""


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, "utf-8")


def clear(folder: Path) -> None:
    """Forget what an agent left there."""
    shutil.rmtree(folder, ignore_errors=True)
    _standing.discard(folder)


def _lives(pid: str) -> bool:
    with suppress(ValueError, ProcessLookupError, OverflowError):
        os.kill(int(pid), 0)
        return True
    return False


def addresses(*, gate: str, token: str, folder: Path) -> dict[str, str]:
    """Where the gate is and what opens it, in the words of every client we know."""
    options = {"baseURL": f"{gate}/v1"}
    inline = {
        "provider": {
            "anthropic": {"options": {**options, "apiKey": "{env:ANTHROPIC_API_KEY}"}},
            "openai": {"options": {**options, "apiKey": "{env:OPENAI_API_KEY}"}},
        },
        "enabled_providers": ["anthropic", "openai"],
        "share": "disabled",
    }
    return {
        "AFK_GATE_URL": gate,
        "AFK_TOKEN": token,
        "ANTHROPIC_BASE_URL": gate,
        "ANTHROPIC_API_BASE": gate,  # aider
        "ANTHROPIC_API_KEY": token,
        "OPENAI_BASE_URL": f"{gate}/v1",
        "OPENAI_API_BASE": f"{gate}/v1",  # aider
        "OPENAI_API_KEY": token,
        "NO_PROXY": LOOPBACK,
        "no_proxy": LOOPBACK,
        "CLAUDE_CONFIG_DIR": str(folder / "claude"),
        "CODEX_HOME": str(folder / "codex"),
        "OPENCODE_CONFIG_CONTENT": json.dumps(inline),  # the one place that a project's opencode.json does not beat
    }


def habits(*, max_output_tokens: int | None) -> dict[str, str]:
    """How agents are kept from spending twice, and from calling home. An owner may change them in `env`."""
    told = {
        # On a broken stream it would ask for the whole answer again.
        "CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_MAX_RETRIES": "0",
        "DISABLE_AUTOUPDATER": "1",
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
        "AIDER_ANALYTICS_DISABLE": "1",
        "AIDER_CHECK_UPDATE": "false",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "OLLAMA_NO_CLOUD": "1",
    }
    if max_output_tokens:
        told["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] = str(max_output_tokens)
    return told


def pinned(command: Sequence[str], *, folder: Path, confined: bool) -> list[str]:
    """The command with what an agent takes by flag alone, unless the owner gave that flag.

    A `.claude/settings.json` in the work tree beats the environment. A file given by flag beats it in turn; where
    nothing confines the command, the work tree's settings are not read at all.
    """
    argv = list(command)
    if _program(argv) != "claude":
        return argv
    flags = []
    if not _has(argv, "--settings"):
        flags += ["--settings", str(folder / "claude-settings.json")]
    if not confined and not _has(argv, "--setting-sources"):
        flags += ["--setting-sources", "user"]
    return [argv[0], *flags, *argv[1:]]


def _has(argv: Sequence[str], flag: str) -> bool:
    return any(word == flag or word.startswith(f"{flag}=") for word in argv)


def _program(argv: Sequence[str]) -> str:
    return os.path.basename(argv[0]) if argv else ""


KNOWN: Mapping[str, str] = {
    "claude": "its settings are pinned by flag and environment",
    "codex": "a config.toml of its own leads it to the gate; confined it needs --sandbox danger-full-access, for its "
    "own sandbox cannot start inside",
    "opencode": "a configuration in its environment leads it to the gate",
    "aider": "its environment leads it to the gate",
    "llm": "its environment leads it to the gate",
}
"""Agents by the name of their program, with how they are led to the gate."""
UNSERVED: Mapping[str, str] = {"gemini": "it speaks a wire that the gate does not serve, so it can call no model"}


def named(command: Sequence[str]) -> str | None:
    """The agent a command starts, if it is one we know by name."""
    program = _program(command)
    return program if program in KNOWN or program in UNSERVED else None
