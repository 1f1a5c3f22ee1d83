"""What an attempt printed is kept up to a limit, and nothing holds its worker for what is not kept."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.redact import MARK, Redactor
from runner.work import output
from runner.work.output import Capture

SECRET = "sk-" + "Zq7" * 14
LIMIT = 200_000


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "FILE_LIMIT", LIMIT)


class Counting(Redactor):
    """Counts what it looks through."""

    looked = 0

    def bytes(self, data: bytes) -> bytes:
        self.looked += len(data)
        return super().bytes(data)


def printed(pieces: Iterator[bytes], path: Path, redactor: Redactor) -> str:
    """The tail of an attempt that prints these."""

    def feed(fd: int) -> None:
        with os.fdopen(fd, "wb", buffering=0) as pipe:
            for piece in pieces:
                pipe.write(piece)

    async def attempt() -> str:
        reads, writes = os.pipe()
        capture = Capture(reads, redactor)
        capture.begin(lambda: path)
        await asyncio.to_thread(feed, writes)
        tail = capture.end()
        capture.close()
        return tail

    return asyncio.run(attempt())


def test_a_flood_is_thrown_away_without_a_look_and_its_end_kept(tmp_path: Path) -> None:
    redactor = Counting([SECRET])
    flood = (b"line %9d of many\n" % number * 100 for number in range(2_000))

    tail = printed(flood, tmp_path / "out", redactor)

    assert (tmp_path / "out").stat().st_size < LIMIT + 100
    lines = tail.splitlines()
    assert lines[-2] == "line      1999 of many", "why it failed stands at the end"
    assert lines[-1] == "[4,600,000 bytes were printed; only the first 200,000 are in its file]"
    assert redactor.looked < LIMIT + 5 * output.CHUNK, "each look through a megabyte holds up the whole runner"
    assert output.FLOOD_PAUSE_S * 40_000_000 / output.CHUNK < 3, "seconds that 50 MB hold a worker"


@pytest.mark.parametrize("cut", range(0, len(SECRET) + 3, 4))
def test_no_cut_of_a_flood_shows_a_part_of_a_secret(tmp_path: Path, cut: int) -> None:
    redactor = Redactor([SECRET])
    secrets = (SECRET.encode() + b" ") * 9_000
    pieces = iter([b"x" * cut, secrets, secrets[: cut or None]])

    tail = printed(pieces, tmp_path / "out", redactor)

    assert "Zq7" not in tail.replace(MARK, "")
    assert "Zq7" not in (tmp_path / "out").read_text()


def test_a_little_over_the_limit_keeps_the_whole_tail(tmp_path: Path) -> None:
    tail = printed(iter([b"a" * LIMIT, b"b" * 10]), tmp_path / "out", Redactor([SECRET]))

    assert tail.startswith("a" * 3_990 + "b" * 10 + "\n[200,010 bytes")


def test_output_that_fits_without_its_secrets_is_whole(tmp_path: Path) -> None:
    tail = printed(iter([(SECRET.encode() + b"\n") * 5_000]), tmp_path / "out", Redactor([SECRET]))

    assert tail.splitlines()[-1] == MARK
    assert (tmp_path / "out").read_text() == f"{MARK}\n" * 5_000


def test_what_is_kept_whole_says_nothing_of_it(tmp_path: Path) -> None:
    assert printed(iter([b"just this\n"]), tmp_path / "out", Redactor([])) == "just this\n"


def test_what_one_attempt_printed_is_not_the_next_ones(tmp_path: Path) -> None:
    """Neither where the next one prints nothing, nor where it ends before it began."""

    async def attempts() -> list[str]:
        reads, writes = os.pipe()
        capture = Capture(reads, Redactor([SECRET]))
        capture.begin(lambda: tmp_path / "one")
        os.write(writes, b"the first\n")
        tails = [capture.end(), capture.end()]
        capture.begin(lambda: tmp_path / "two")
        tails.append(capture.end())
        os.close(writes)
        capture.close()
        return tails

    assert asyncio.run(attempts()) == ["the first\n", "", ""]
    assert (tmp_path / "one").read_text() == "the first\n"
    assert not (tmp_path / "two").exists()
