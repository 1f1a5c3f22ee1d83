"""What the library itself costs: an app of one word, without a database, to know what no console can go below.

python -m tests.bench.bare DIR    the folder is not looked at
"""

from __future__ import annotations

from textual.app import App, ComposeResult
from textual.widgets import Static


class Bare(App[None]):
    """Draws one word."""

    ENABLE_COMMAND_PALETTE = False

    def __init__(self) -> None:
        super().__init__(ansi_color=True)
        self.theme = "ansi-dark"

    def compose(self) -> ComposeResult:
        yield Static("RUNNER")


if __name__ == "__main__":
    Bare().run(mouse=False)
