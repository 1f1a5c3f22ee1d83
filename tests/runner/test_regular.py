"""What anybody may have put where a file is expected."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runner.regular import open_regular, read_regular


def test_a_file_is_read_whole_with_its_status(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 2048)

    status, data = read_regular(file, limit=2048)

    assert (status.st_ino, data) == (file.stat().st_ino, b"x" * 2048)


def test_one_byte_over_the_limit_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 2049)

    with pytest.raises(OSError, match="larger than 2 KB"):
        read_regular(file, limit=2048)


def test_a_link_is_read_only_where_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"there")
    link = tmp_path / "link"
    link.symlink_to("file")

    with pytest.raises(OSError, match="symbolic link"):
        read_regular(link, limit=10)
    assert read_regular(link, limit=10, follow=True)[1] == b"there"


@pytest.mark.parametrize("follow", [False, True])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path, follow: bool) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(OSError, match="not a regular file"), open_regular(tmp_path / "pipe", follow=follow):
        pass


def test_a_directory_is_named_as_one(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="it is a directory"):
        read_regular(tmp_path, limit=10)
