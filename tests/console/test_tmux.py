"""`--tmux`: a session of its own that outlives its client, joined the second time; advice where there can be none."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from console import tmux
from runner.home import Home
from runner.store.db import Database
from tests.console.screen import eventually
from tests.console.terminals import on_a_terminal

needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="no tmux here")


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the server of this test has its socket."""
    made = tmp_path_factory.mktemp("t")
    yield str(made)
    subprocess.run(["tmux", "-L", "afk", "kill-server"], env=_environ(str(made)), capture_output=True, check=False)


def _environ(folder: str) -> dict[str, str]:
    environ = {**os.environ, "TMUX_TMPDIR": folder}
    environ.pop("TMUX", None)
    return environ


def ask(folder: str, *words: str) -> str:
    done = subprocess.run(
        ["tmux", "-L", "afk", *words], env=_environ(folder), capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@needs_tmux
def test_a_session_is_started_survives_its_client_and_is_joined(home: Home, database: Database, folder: str) -> None:
    given = ("--tmux", "--home", str(home.root))
    with on_a_terminal(*given, TMUX_TMPDIR=folder, TMUX="") as tty:
        tty.read_until(b"Quit")
        (name,) = ask(folder, "list-sessions", "-F", "#{session_name}").splitlines()
        before = ask(folder, "display-message", "-p", "-t", f"{name}:", "#{pane_pid}")
        assert name == tmux.session(home, ())
        assert ask(folder, "show-options", "-s", "-v", "escape-time") == "10"
        assert ask(folder, "show-options", "-s", "-v", "focus-events") == "on"
        assert ask(folder, "show-options", "-s", "-v", "set-clipboard") == "on"
        assert ask(folder, "show-options", "-t", f"{name}:", "-v", "status") == "off"
    eventually(lambda: ask(folder, "list-clients") == "")

    with on_a_terminal(*given, TMUX_TMPDIR=folder, TMUX="", size=(100, 30)) as tty:
        tty.read_until(b"Quit")

        assert ask(folder, "display-message", "-p", "-t", f"{name}:", "#{pane_pid}") == before
        tty.press(b"q")
        assert tty.process.wait(60) == 0


@needs_tmux
def test_a_strange_home_and_the_size_of_the_terminal_reach_the_console_as_they_are(tmp_path: Path, folder: str) -> None:
    home = Home(tmp_path / "a 'b' $(c);")
    home.create()
    Database.open(home.db, create=True).close()
    said = {"COLUMNS": "80", "LINES": "20"}  # of whatever terminal the server's first client was started from
    with on_a_terminal("--tmux", "--home", str(home.root), TMUX_TMPDIR=folder, TMUX="", size=(120, 24), **said) as tty:
        tty.read_until(b"'b' $(c);")


def test_inside_tmux_and_without_one_there_is_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    fine = {"TERM": "xterm"}
    inside = tmux.why_not({**fine, "TMUX": "/tmp/tmux-0/default,1,0"})
    monkeypatch.setenv("PATH", "/nowhere")
    missing = tmux.why_not(fine)

    assert inside is not None
    assert "inside tmux already" in inside
    assert missing is not None
    assert "no tmux here" in missing


@needs_tmux
def test_a_terminal_that_the_machine_does_not_know_gets_advice(home: Home, database: Database, folder: str) -> None:
    with on_a_terminal("--tmux", "--home", str(home.root), TERM="xterm-unheard-of", TMUX_TMPDIR=folder, TMUX="") as tty:
        tty.read_until(b"TERM=xterm-256color")

        assert tty.process.wait(60) == 1
        assert b"Traceback" not in tty.output


def test_each_home_has_its_session_and_read_only_another() -> None:
    names = {
        tmux.session(home, options)
        for home in (Home(Path.home() / ".afk"), Home(Path("/a/.afk")), Home(Path("/a/x.y")), Home(Path("/b/x.y")))
        for options in ((), ("--readonly",))
    }

    assert len(names) == 8
    assert "afk" in names
    assert not [name for name in names if "." in name or ":" in name]


@pytest.mark.parametrize("term", ["foo", "xterm-ghostty"])
def test_without_tmux_an_unknown_terminal_is_drawn_on(home: Home, database: Database, term: str) -> None:
    with on_a_terminal("--home", str(home.root), TERM=term) as tty:
        tty.read_until(b"Quit")
        tty.press(b"q")
        tty.read_until(b"the runner goes on")


@pytest.mark.parametrize("term", ["", "dumb"])
def test_a_terminal_without_a_screen_gets_a_sentence(home: Home, database: Database, term: str) -> None:
    with on_a_terminal("--home", str(home.root), TERM=term) as tty:
        tty.read_until(b"afk-console --once")

        assert tty.process.wait(60) == 1
        assert b"Traceback" not in tty.output
