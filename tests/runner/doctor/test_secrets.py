"""Where secrets are, and whether a service would find them."""

from __future__ import annotations

from dataclasses import replace

from runner.doctor.finding import Finding
from runner.doctor.look import Look
from runner.doctor.secrets import secrets
from runner.settings import load
from tests.runner.cli.world import SETTINGS
from tests.runner.doctor.conftest import levels

KEYED = f'{SETTINGS}[upstreams.a]\nurl = "https://a.example"\nkey = "env:A_KEY"\n# key = "env:OLD_KEY"\n'


def found(look: Look) -> list[Finding]:
    look.home.config.write_text(KEYED)
    config = load(look.home.root, environ={"A_KEY": "of the shell"})
    return list(secrets(replace(look, config=config)))


def test_a_key_that_only_a_shell_has_is_told(look: Look) -> None:
    """The service is started with another environment, and would refuse the configuration."""
    (said,) = found(look)

    assert said.text.startswith("A_KEY is in this environment and not in .env")
    assert said.mend is not None
    assert "of the shell" not in said.text + said.mend


def test_a_key_in_the_env_file_is_well_kept(look: Look) -> None:
    look.home.env.write_text("A_KEY=of the file\n")
    look.home.env.chmod(0o600)

    (said,) = found(look)

    assert (said.level.value, said.text) == ("ok", "A_KEY: in .env, which only you can read")


def test_an_open_copy_of_a_secret_is_told(look: Look) -> None:
    for name in (".env.bak", "afk.toml~"):
        (look.home.root / name).write_text("A_KEY=old\n")
        (look.home.root / name).chmod(0o644)
    (look.home.root / ".env.kept").touch(mode=0o600)

    assert levels(found(look)) == ["warn", "fail", "warn"]


def test_a_home_in_a_work_tree_is_told(look: Look) -> None:
    (look.home.root.parent / ".git").mkdir()

    said = found(look)[-1]

    assert "in a git work tree" in said.text
    assert said.mend is not None
    assert "/home/ >> " in said.mend
