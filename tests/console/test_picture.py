"""The README's pictures can be remade, are the same each time, and show the program as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.console.picture import FOLDER, PICTURES, draw_all, words_of


@pytest.fixture
async def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NO_COLOR", raising=False)
    return await draw_all(tmp_path)


async def test_the_same_home_gives_the_same_pictures(
    drawn: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = tmp_path / "again"
    again.mkdir()
    monkeypatch.setenv("HOME", str(again))

    assert await draw_all(again) == drawn


async def test_the_readme_shows_what_the_program_draws(drawn: dict[str, str]) -> None:
    """If this fails, the screen has changed: `make screenshots` draws the pictures anew."""
    readme = (FOLDER.parent / "README.md").read_text("utf-8")
    for picture in PICTURES:
        kept = (FOLDER / f"{picture.name}.svg").read_text("utf-8")

        assert words_of(kept) == words_of(drawn[picture.name]), f"docs/{picture.name}.svg: run `make screenshots`"
        assert f"docs/{picture.name}.svg" in readme


async def test_a_picture_fetches_nothing(drawn: dict[str, str]) -> None:
    for svg in drawn.values():
        assert "url(http" not in svg
        assert "@import" not in svg
