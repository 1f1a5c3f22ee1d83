"""A console as it is quickly made of the library's own widgets, to measure ours beside.

python -m tests.bench.stock DIR    polls the same database four times a second: a Static, a DataTable, a Log, a Footer
"""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import DataTable, Footer, Log, Static

from runner.commands import Door
from runner.home import Home


class Stock(App[None]):
    """Everything is asked and drawn anew at every poll."""

    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("k", "kill", "Kill"),
        Binding("q", "quit", "Quit"),
        Binding("o", "oldest", "Oldest"),
    ]

    def __init__(self, home: Home) -> None:
        super().__init__()
        self.home = home
        self.db = sqlite3.connect(f"file:{home.db}?mode=ro", uri=True, isolation_level=None)
        self.door = Door(home)
        self.last = 0
        self.oldest = False

    def compose(self) -> ComposeResult:
        yield Static(id="vitals")
        yield DataTable()
        yield Log(max_lines=5_000)
        yield Footer()

    def on_mount(self) -> None:
        self.query_one(DataTable).add_columns("job", "task", "status", "attempts")
        self.query_one(DataTable).styles.height = 10
        self.poll()
        self.set_interval(0.25, self.poll)

    def poll(self) -> None:
        board = self.db.execute("SELECT pending, running, done, dead FROM board").fetchone()
        stop = self.db.execute("SELECT value FROM control WHERE key = 'stop'").fetchone()
        beat = self.db.execute("SELECT state, heartbeat_at FROM runners ORDER BY started_at DESC LIMIT 1").fetchone()
        text = "RUNNER {}\nSTOP {}\nqueued {} running {} done {} dead {}".format(
            beat[0], stop[0] if stop else "off", *board
        )
        self.query_one("#vitals", Static).update(text)
        table = self.query_one(DataTable)
        order = "ASC" if self.oldest else "DESC"
        table.clear()
        for row in self.db.execute(f"SELECT key, task, status, attempts FROM jobs ORDER BY id {order} LIMIT 50"):
            table.add_row(*map(str, row))
        log = self.query_one(Log)
        for id, line in self.db.execute("SELECT id, text FROM events WHERE id > ? ORDER BY id LIMIT 500", (self.last,)):
            self.last = id
            log.write_line(line)

    def action_kill(self) -> None:
        self.door.kill(reason="k")
        self.poll()

    def action_oldest(self) -> None:
        self.oldest = not self.oldest
        self.poll()


if __name__ == "__main__":
    Stock(Home(Path(sys.argv[1]))).run(mouse=False)
