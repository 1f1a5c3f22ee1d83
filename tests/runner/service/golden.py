"""The files as they should be: `python -m tests.runner.service.golden` writes them anew, for a person to read."""

from __future__ import annotations

import tempfile
from pathlib import Path

from runner.service.plan import Platform
from tests.runner.service.world import rendered, settings

FOLDER = Path(__file__).with_name("golden")


def files() -> dict[str, str]:
    """Every rendered file of ada's home, by its name in the folder."""
    with tempfile.TemporaryDirectory() as folder:
        config = settings(Path(folder))
    return {f"{platform}/{file.name}": file.text for platform in Platform for file in rendered(platform, config)}


def main() -> None:
    for name, text in files().items():
        path = FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
