"""The home: found, made, checked, and its STOP file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from runner.errors import ConfigError
from runner.home import Home, check_filesystem, init_text
from runner.settings import load


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def test_the_option_goes_before_the_variable_before_the_default() -> None:
    """`--home`, then `AFK_HOME`, then `~/.afk`; an empty variable is none."""
    environ = {"AFK_HOME": "/from/variable", "HOME": "/h"}

    assert Home.find(Path("/from/option"), environ).root == Path("/from/option")
    assert Home.find(None, environ).root == Path("/from/variable")
    assert Home.find(None, {"AFK_HOME": "", "HOME": "/h"}).root == Path("/h/.afk")
    assert Home.find(None, {"AFK_HOME": "~/x", "HOME": "/h"}).root == Path("/h/x")


def test_a_home_is_absolute_and_links_stay_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative option counts from where it was typed; a link to a home keeps its own name."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.chdir(tmp_path)

    assert Home.find(Path("./link/../link"), {}).root == tmp_path / "link"
    with pytest.raises(ValueError, match="absolute"):
        Home(Path("link"))


def test_every_place_is_below_the_root(home: Home) -> None:
    """The names people type stay what they are."""
    places = {
        *(home.config, home.env, home.db, home.tasks, home.inputs, home.outputs, home.logs, home.attempts),
        *(home.work, home.stop, home.lock, home.guard_lock, home.fifo, home.heartbeat),
    }

    assert {str(place.relative_to(home.root)) for place in places} == {
        *("afk.toml", ".env", "agent.db", "tasks", "inputs", "outputs", "logs", "logs/attempts", "work", "STOP"),
        *("runner.lock", "guard.lock", "runner.fifo", "heartbeat"),
    }


def test_a_made_home_is_private_and_passes_its_own_check(home: Home) -> None:
    """Home and folders are 0700 whatever the umask says."""
    before = os.umask(0)
    try:
        home.create()
    finally:
        os.umask(before)

    home.check()
    for folder in (home.root, home.tasks, home.inputs, home.outputs, home.logs, home.attempts, home.work):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_making_a_home_twice_keeps_what_is_there(home: Home) -> None:
    """The second time changes nothing but a mode that was too open."""
    home.create()
    (home.inputs / "note.md").write_text("mine")
    (home.root / "notes.txt").write_text("mine too")
    home.config.write_text("")
    home.root.chmod(0o755)

    home.create()

    assert (home.inputs / "note.md").read_text() == "mine"
    assert stat.S_IMODE(home.root.stat().st_mode) == 0o700


def test_an_empty_directory_and_a_fresh_volume_are_taken(home: Home) -> None:
    """A mounted volume holds `lost+found`, a home in the making holds our names alone."""
    home.root.mkdir()
    (home.root / "lost+found").mkdir()
    home.stop.touch()

    home.create()

    assert home.tasks.is_dir()


def test_a_directory_of_other_things_is_not_taken(home: Home) -> None:
    """`AFK_HOME=$HOME` would close a person's own directory and fill it; it is refused and left as it was."""
    home.root.mkdir(mode=0o755)
    (home.root / "thesis.doc").touch()

    with pytest.raises(ConfigError, match=r"thesis\.doc"):
        home.create()

    assert os.listdir(home.root) == ["thesis.doc"]
    assert stat.S_IMODE(home.root.stat().st_mode) == 0o755


def test_a_file_in_the_way_is_named(home: Home) -> None:
    """Neither a file for a home nor a file for a folder is overwritten."""
    home.root.touch()
    with pytest.raises(ConfigError, match="not a directory"):
        home.create()

    home.root.unlink()
    home.root.mkdir()
    home.tasks.touch()
    with pytest.raises(ConfigError, match="tasks"):
        home.create()


def test_a_missing_home_names_the_way_out(home: Home) -> None:
    """The sentence says which command makes one."""
    with pytest.raises(ConfigError, match="afk-runner init"):
        home.check()


def test_a_home_others_can_write_is_refused(home: Home) -> None:
    """Whoever can write the home can write its tasks."""
    home.create()
    home.root.chmod(0o770)

    with pytest.raises(ConfigError, match="chmod 700"):
        home.check()


def test_a_home_of_somebody_else_is_refused(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither checked nor moved into."""
    home.create()
    monkeypatch.setattr(os, "geteuid", lambda: home.root.stat().st_uid + 1)

    with pytest.raises(ConfigError, match="somebody else"):
        home.check()
    with pytest.raises(ConfigError, match="somebody else"):
        home.create()


def test_a_home_that_is_a_file_is_refused(home: Home) -> None:
    """Not a directory, said as such."""
    home.root.touch()

    with pytest.raises(ConfigError, match="not a directory"):
        home.check()


def test_without_a_stop_file_nothing_is_stopped(home: Home) -> None:
    """Neither in a home nor where there is none."""
    assert not home.stop_set()
    home.create()
    assert not home.stop_set()


def test_any_stop_file_stops(home: Home) -> None:
    """A file, a directory, a dangling link: whatever bears the name."""
    home.create()

    home.stop.touch()
    assert home.stop_set()
    home.stop.unlink()
    home.stop.mkdir()
    assert home.stop_set()
    home.stop.rmdir()
    home.stop.symlink_to("nowhere")
    assert home.stop_set()


def test_a_stop_file_that_cannot_be_looked_at_stops(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """In doubt nothing runs."""

    def refuse(path: Path) -> os.stat_result:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "lstat", refuse)

    assert home.stop_set()


MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw
30 22 0:40 / /mnt/nas rw shared:2 - nfs4 nas:/export rw
31 30 8:2 / /mnt/nas/local rw - xfs /dev/sdb rw
32 22 0:41 / /mnt/my\\040share rw - cifs //nas/share rw
33 22 0:42 / /mnt/remote rw - fuse.sshfs me@there:/ rw
34 22 0:43 / /mnt/vm rw - 9p host rw
35 22 0:44 / /mnt/covered rw - nfs nas:/x rw
36 35 8:3 / /mnt/covered rw - ext4 /dev/sdc rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/mnt/nas", "nfs4"),
        ("/mnt/nas/a/b", "nfs4"),
        ("/mnt/my share/home", "cifs"),
        ("/mnt/remote/home", "fuse.sshfs"),
    ],
)
def test_a_network_file_system_is_refused(path: str, kind: str, tmp_path: Path) -> None:
    """The sentence names the kind, so that a person can look it up."""
    (tmp_path / "mounts").write_text(MOUNTS)

    with pytest.raises(ConfigError, match=kind):
        check_filesystem(Path(path), mounts=tmp_path / "mounts")


@pytest.mark.parametrize("path", ["/", "/mnt/nasty", "/mnt/nas/local/home", "/mnt/vm/home", "/mnt/covered/home"])
def test_a_local_disk_is_taken(path: str, tmp_path: Path) -> None:
    """Beside, below or over a network mount, and where a virtual machine passes a disk through."""
    (tmp_path / "mounts").write_text(MOUNTS)

    check_filesystem(Path(path), mounts=tmp_path / "mounts")


def test_where_no_mounts_are_listed_nothing_is_refused(tmp_path: Path) -> None:
    """macOS has no /proc."""
    check_filesystem(Path("/mnt/nas"), mounts=tmp_path / "missing")


def test_the_first_settings_are_valid_and_free(home: Home) -> None:
    """What `init` writes loads as it is; its one task needs no key, no network and no money, and waits to be asked."""
    home.create()
    home.config.write_text(init_text("Africa/Cairo"))

    config = load(home.root, environ={})

    assert config.zone.key == "Africa/Cairo"
    assert config.budget.daily_usd == 1_000_000
    (task,) = config.tasks.values()
    assert task.model == "offline/extract"
    assert task.schedule is None


def test_the_commented_examples_are_valid_too(home: Home) -> None:
    """An owner who takes the `# ` off every example has a file that loads."""
    home.create()
    lines = init_text("UTC").splitlines()
    examples = [line.removeprefix("# ") if line.startswith("# ") and is_toml(line[2:]) else line for line in lines]
    home.config.write_text("\n".join(examples))

    config = load(home.root, environ={"ANTHROPIC_API_KEY": "sk-ant-1", "ALERT_WEBHOOK": "discord://id/token"})

    assert set(config.upstreams) == {"anthropic", "ollama"}
    assert set(config.tasks) == {"sample", "digest", "review"}
    assert config.budget.monthly_usd == 20_000_000


def is_toml(line: str) -> bool:
    """Whether a line of a comment is an example rather than prose."""
    return line.startswith("[") or line.split("#", maxsplit=1)[0].count(" = ") == 1
