"""An agent reads what its task names and writes into a folder of its own, and no link, name or race leads elsewhere."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from runner.work.tools.files import (
    MAX_FILE_BYTES,
    MAX_WRITTEN_BYTES,
    MOST_WRITTEN,
    NotReadable,
    OutputFolder,
    names_matching,
    read_text,
    safe_name,
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with inputs, a secret, and something outside."""
    root = tmp_path / "home"
    for folder in ("inputs/deep", "outputs"):
        (root / folder).mkdir(parents=True)
    (root / "inputs" / "a.md").write_text("Alpha\n")
    (root / "inputs" / "deep" / "b.md").write_text("Beta\n")
    (root / ".env").write_text("KEY=sk-secret\n")
    (root / "afk.toml").write_text("[alerts]\n")
    (tmp_path / "outside.md").write_text("not yours\n")
    return root


def test_a_pattern_names_files_in_order(home: Path) -> None:
    assert names_matching(home, "inputs/**/*.md") == ["inputs/a.md", "inputs/deep/b.md"]
    assert read_text(home, "inputs/deep/b.md") == "Beta\n"


@pytest.mark.parametrize("pattern", ["*", "**/*", ".*", ".env", "afk.toml", "inputs/.*"])
def test_no_pattern_opens_what_belongs_to_the_home(home: Path, pattern: str) -> None:
    """`inputs = "*"` is a slip of the hand; it must not send keys to a model."""
    (home / "inputs" / ".hidden").write_text("x")
    (home / "agent.db-wal").write_text("x")
    assert not set(names_matching(home, pattern)) & {".env", "afk.toml", "agent.db-wal", "inputs/.hidden"}


@pytest.mark.parametrize("name", ["../outside.md", "inputs/../../outside.md", "/etc/passwd", "", ".", "inputs/../.env"])
def test_a_path_cannot_climb(home: Path, name: str) -> None:
    with pytest.raises(NotReadable):
        read_text(home, name)


@pytest.mark.parametrize("target", ["../../outside.md", "../.env", "a.md"])
def test_a_link_is_not_followed(home: Path, target: str) -> None:
    """Also not to where it would be allowed: what it points to can change."""
    (home / "inputs" / "link.md").symlink_to(target)
    with pytest.raises(NotReadable, match="is a link"):
        read_text(home, "inputs/link.md")


def test_a_linked_folder_is_not_entered(home: Path) -> None:
    (home / "inputs" / "up").symlink_to("../..")
    with pytest.raises(NotReadable, match="is a link"):
        read_text(home, "inputs/up/outside.md")


def test_a_folder_swapped_for_a_link_in_a_race_leads_nowhere(home: Path) -> None:
    """Checking first and opening then would lose this race sooner or later."""
    elsewhere = home.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "b.md").write_text("not yours\n")
    real, spare, over = home / "inputs" / "deep", home / "inputs" / "spare", threading.Event()

    def swap() -> None:
        while not over.is_set():
            real.rename(spare)
            real.symlink_to(elsewhere)
            real.unlink()
            spare.rename(real)

    swapper = threading.Thread(target=swap)
    swapper.start()
    found, count, deadline = set(), 0, time.monotonic() + 60
    while (count < 2_000 or not {"Beta\n", "a link"} <= found) and time.monotonic() < deadline:
        count += 1
        try:
            found.add(read_text(home, "inputs/deep/b.md"))
        except NotReadable as error:
            found.add("a link" if "is a link" in str(error) else "nothing")
    over.set()
    swapper.join()

    assert "not yours\n" not in found
    assert {"Beta\n", "a link"} <= found, f"in {count} reads the race was never run: proves nothing"


def test_a_pipe_does_not_hold_the_reader(home: Path) -> None:
    os.mkfifo(home / "inputs" / "pipe")
    with pytest.raises(NotReadable, match="is not a file"):
        read_text(home, "inputs/pipe")


@pytest.mark.parametrize(("data", "said"), [(b"\xff\xfe", "is not text"), (b"a\0b", "is not text")])
def test_only_text_is_read(home: Path, data: bytes, said: str) -> None:
    (home / "inputs" / "x.bin").write_bytes(data)
    with pytest.raises(NotReadable, match=said):
        read_text(home, "inputs/x.bin")


def test_a_file_that_is_too_large_is_refused_unread(home: Path) -> None:
    with (home / "inputs" / "big.md").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(NotReadable, match="more than 5,000,000 bytes"):
        read_text(home, "inputs/big.md")


def test_a_file_is_written_whole_under_the_job(home: Path) -> None:
    folder = OutputFolder(home / "outputs", "digest-1")

    folder.write("report.md", "one")
    folder.write("report.md", "two")

    assert [path.name for path in (home / "outputs" / "digest-1").iterdir()] == ["report.md"]
    assert (home / "outputs" / "digest-1" / "report.md").read_text() == "two"
    assert (home / "outputs" / "digest-1" / "report.md").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "name", ["../x", "a/b", ".x", "", "x" * 101, "a\0b", "-x", "x.part", "a b", "é.md", "..", "/x"]
)
def test_a_name_that_could_lead_elsewhere_is_refused(home: Path, name: str) -> None:
    with pytest.raises(NotReadable, match="is no name for a file here"):
        OutputFolder(home / "outputs", "job").write(name, "x")


def test_a_link_in_the_way_is_not_written_through(home: Path) -> None:
    """A link as the folder is refused; one as the file is replaced, and what it pointed to stays."""
    (home / "outputs" / "job").symlink_to(home / "inputs")
    with pytest.raises(NotReadable, match="cannot be written"):
        OutputFolder(home / "outputs", "job").write("a.md", "gone")
    folder = OutputFolder(home / "outputs", "other")
    folder.write("first.md", "x")
    (home / "outputs" / "other" / "a.md").symlink_to(home / "inputs" / "a.md")
    folder.write("a.md", "mine")

    assert (home / "inputs" / "a.md").read_text() == "Alpha\n"
    assert (home / "outputs" / "other" / "a.md").read_text() == "mine"


def test_what_is_written_has_limits(home: Path) -> None:
    folder = OutputFolder(home / "outputs", "job")
    with pytest.raises(NotReadable, match="500,001 bytes"):
        folder.write("big.md", "x" * (MAX_WRITTEN_BYTES + 1))
    for number in range(MOST_WRITTEN):
        folder.write(f"{number}.md", "x")
    folder.write("0.md", "again")
    with pytest.raises(NotReadable, match="50 files already"):
        folder.write("one-more.md", "x")


def test_a_full_disk_is_a_sentence_and_leaves_nothing_half_written(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = OutputFolder(home / "outputs", "job")
    folder.write("a.md", "old")
    monkeypatch.setattr("os.replace", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "No space left on device")))

    with pytest.raises(NotReadable, match="No space left on device"):
        folder.write("a.md", "new")

    assert {path.name: path.read_text() for path in (home / "outputs" / "job").iterdir()} == {"a.md": "old"}


def test_two_keys_never_share_a_file_or_a_folder() -> None:
    keys = ["a", "a/b", "a_b", "a b", "..", ".a", "a.md", "a.part", "é", "x" * 200, "x" * 150]
    files = [f"{safe_name(key)}.md" for key in keys]
    folders = [safe_name(key, folder=True) for key in keys]

    assert len({*files, *folders}) == 2 * len(keys)
    assert all("/" not in name and not name.startswith(".") for name in [*files, *folders])
