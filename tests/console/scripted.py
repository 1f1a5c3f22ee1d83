"""Keys by the thousand, against rows that change all the time: which row was shown as the target of each act?

The picture is put together from what the program sends to the terminal, not asked of its widgets. An act may change
what stood under the cursor, or stood marked, when its key was pressed; nothing else.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import re
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import textual.screen
from rich.console import RenderableType
from textual import events
from textual._compositor import CompositorUpdate
from textual.screen import Screen

from console.output import _pieces
from console.screens.question import Question
from console.screens.typed import TypedQuestion
from console.seen import View
from console.tui import ConsoleApp
from runner.commands import who
from runner.home import Home
from runner.store import drafts, jobs
from runner.store.db import Database
from runner.store.drafts import NewDraft
from runner.store.jobs import JobStatus
from runner.units import SystemClock
from tests.console.screen import DEADLINE_S
from tests.factories import make_charge, make_job

SIZE = (80, 24)
CHANGES_S = 50
NAME = re.compile(r"\b(?:job-\d{5}|act-\d{5}|send-draft-\d+)\b")
TAB = re.compile(r"\[\d \w+")
GROUP = re.compile(r".{3}(?:gone )?[+-] (?:\((\d+) marked\) )?(.*)")
ERRORS = ("Timeout: 504", "Value: box 7", "Dead: no box")
ACTS = ("r", "x", "D", "a", "d")
KEYS = {
    View.JOBS: ("down", "up", "down", "up", "space", "shift+down", "c", "r", "x", "pagedown", "home", "end"),
    View.DEAD: ("down", "up", "down", "up", "space", "c", "r", "D", "left", "right", "asterisk", "home", "end"),
    View.APPROVALS: ("down", "up", "down", "up", "a", "d", "home", "end"),
}
CHARACTERS = {"space": " ", "asterisk": "*"}
EFFECTS = """
SELECT id, job FROM events WHERE id > ? AND event IN ('job.replay', 'job.cancel', 'job.remove') AND text LIKE ?
"""
DECIDED = "SELECT summary FROM drafts WHERE by = ? AND state <> 'waiting' ORDER BY decided_at, id"


class Watched(ConsoleApp):
    """The console, with a copy of what it has sent to the screen."""

    def __init__(self, home: Home) -> None:
        steps = itertools.count(1)
        # Every look at this clock is a second after the one before: no question drops a key for coming too early.
        super().__init__(home, monotonic=lambda: float(next(steps)))
        self.picture = [" " * SIZE[0]] * SIZE[1]

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        if isinstance(renderable, CompositorUpdate):
            for x, y, strip in _pieces(renderable):
                before = self.picture[y]
                self.picture[y] = before[:x] + strip.text + before[x + len(strip.text) :]
        super()._display(screen, renderable)


@dataclass
class Shown:
    """What the picture showed as the target when a key was pressed."""

    view: View
    cursor: str
    """The line under the cursor."""
    marked: frozenset[str]
    counted: dict[str, int]
    """Errors, with the marks among their letters that their line told: some of these may be folded away or below."""


@dataclass
class Played:
    """What a script of keys did."""

    keys: int = 0
    changes: int = 0
    acts: int = 0
    """Keys of acts."""
    changed: int = 0
    """Rows that were changed by them."""
    asked: int = 0
    """Questions that were answered with yes."""
    wrong: list[str] = field(default_factory=list)
    """Rows that were changed without having been shown as the target."""

    def is_telling(self, keys: int) -> bool:
        """Whether rows changed meanwhile, and the keys did enough for so many, to judge by."""
        return self.changes > keys / 500 and self.changed > keys / 100 and self.asked > keys / 200


class Play:
    """Presses the keys of one script, and looks what became of each."""

    def __init__(self, app: Watched, db: sqlite3.Connection, rng: random.Random, crowd: Crowd) -> None:
        self.app = app
        self.played = Played()
        self._crowd = crowd
        self._db = db
        self._rng = rng
        self._marked: dict[str, set[str]] = {}
        """By tab, names that were on the screen with a mark, and not without one since."""
        self._counted: dict[str, int] = {}
        """What the line of each error last told of marks."""
        self._event = int(db.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()[0])
        self._decided = 0
        self._me = who("console")

    async def run(self, count: int) -> Played:
        """Press so many keys, and more as long as they told nothing: the rows come by a thread that may get no turn."""
        deadline = time.monotonic() + 2 * DEADLINE_S
        while self.played.keys < count or (not self.played.is_telling(count) and time.monotonic() < deadline):
            view = self._rng.choice(tuple(KEYS))
            await self._press(view.value)
            for _ in range(self._rng.randint(5, 40)):
                key = self._rng.choice(KEYS[view])
                if key in ACTS:
                    await self._act(view, key)
                else:
                    await self._press(key)
            self.played.changes = self._crowd.changes
        return self.played

    async def _act(self, view: View, key: str) -> None:
        await self._until_told()
        shown = self._shown(view)
        self.played.acts += 1
        await self._press(key)
        await self._until_told()
        while isinstance(top := self.app.screen, Question):
            yes = self._rng.random() < 0.7
            self.played.asked += yes
            if not yes:
                await self._press("escape")
            elif isinstance(top, TypedQuestion):
                await self._type("because")
                await self._press("enter")
                await self._press("y")
            else:
                await self._type(top.word)
                await self._press("y")
            await self._until_told()
            if self.app.screen is top:  # it wants something else first
                await self._press("escape")
                await self._until_told()
        self._judge(key, shown)

    def _judge(self, key: str, shown: Shown) -> None:
        """Whatever was changed since the last act was changed by this one."""
        changed = []
        for id, name in self._db.execute(EFFECTS, (self._event, f"%by {self._me}%")).fetchall():
            self._event = max(self._event, id)
            changed.append(name)
        decided = [row[0] for row in self._db.execute(DECIDED, (self._me,))]
        changed += decided[self._decided :]
        self._decided = len(decided)
        self.played.changed += len(changed)
        errors = {name: self._error(name) if shown.view is View.DEAD else None for name in changed}
        of_error = Counter(errors.values())
        for name, error in errors.items():
            if shown.marked or shown.counted:
                # A line that tells of three marks stands for three letters at the most.
                right = name in shown.marked or (error is not None and of_error[error] <= shown.counted.get(error, 0))
            else:  # the line of an error stands for all that have it
                right = name in NAME.findall(shown.cursor) or (error is not None and error in shown.cursor)
            if not right:
                self.played.wrong.append(f"{key} changed {name} ({error}); shown were {shown}")

    def _error(self, name: str) -> str | None:
        row = self._db.execute("SELECT text FROM told WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def _shown(self, view: View) -> Shown:
        picture = self.app.picture
        cursor = next((line for line in picture if line.startswith(">")), "")
        marked = frozenset(self._see_marks())
        return Shown(view, cursor.rstrip(), marked, dict(self._counted) if view is View.DEAD else {})

    def _see_marks(self) -> set[str]:
        """Follow the marks of the tab that is open; those that are scrolled out of view stay."""
        picture = self.app.picture
        tab = TAB.search(picture[4])
        marked = self._marked.setdefault(tab[0] if tab else "", set())
        if isinstance(self.app.screen, Question):
            return marked  # it covers some of the lines
        dead = tab is not None and tab[0].startswith(f"[{View.DEAD.value} ")
        if not any(" marked" in line for line in picture[:-2]):
            marked.clear()
            if dead:
                self._counted.clear()
        for line in picture[5:-2]:
            if dead and (group := GROUP.match(line)):
                self._count(group[2], int(group[1] or 0))
                continue
            name = NAME.search(line)
            if name and line[1] == "x":
                marked.add(name[0])
            elif name:
                marked.discard(name[0])
        return marked

    def _count(self, told: str, marks: int) -> None:
        for error in ERRORS:
            if error in told:
                self._counted.pop(error, None)
                if marks:
                    self._counted[error] = marks

    async def _type(self, text: str) -> None:
        for letter in text:
            await self._press(letter)

    async def _press(self, key: str) -> None:
        self.played.keys += 1
        event = events.Key(key, CHARACTERS.get(key, key if len(key) == 1 else None))
        event.set_sender(self.app)
        assert self.app._driver is not None
        self.app._driver.send_message(event)
        await self._drawn()
        self._see_marks()

    async def _drawn(self) -> None:
        """Let the program work until it has nothing left to do, and has drawn what it did."""
        calm = 0
        while calm < 4:
            await asyncio.sleep(0)
            calm = 0 if self._busy() else calm + 1

    def _busy(self) -> bool:
        app = self.app
        nodes = [app, *app.screen_stack]
        if app.focused is not None:
            nodes += [node for node in app.focused.ancestors_with_self if node not in nodes]
        screen = app.screen
        dirty = screen._dirty_widgets or screen._layout_required or screen._repaint_required
        return bool(dirty) or any(not node._message_queue.empty() for node in nodes)

    async def _until_told(self) -> None:
        """Wait until no act is under way and what it told was heard."""
        deadline = time.monotonic() + DEADLINE_S
        while any(thread.is_alive() for thread in self.app.acts._threads):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.001)
        await self._drawn()
        if any(thread.is_alive() for thread in self.app.acts._threads):
            await self._until_told()  # what was planned is being done


class Crowd:
    """Everybody else: jobs come, die, are replayed, removed and decided about, fifty times a second."""

    def __init__(self, home: Home, rng: random.Random) -> None:
        self._home = home
        self._rng = rng
        self._names = itertools.count(1)
        self._ended = threading.Event()
        self.changes = 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Crowd:
        self._database = Database.open(self._home.db)
        with self._database.write() as db:
            db.execute("CREATE TABLE told (name TEXT PRIMARY KEY, text TEXT)")
            for _ in range(40):
                self._change(db)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._database.close()

    def _run(self) -> None:
        while not self._ended.wait(1 / CHANGES_S):
            with self._database.write() as db:
                self._change(db)
            self.changes += 1

    def _change(self, db: sqlite3.Connection) -> None:
        rng = self._rng
        match rng.choice(("dead", "pending", "draft")):
            case "draft":
                waiting = [row[0] for row in db.execute("SELECT id FROM drafts WHERE state = 'waiting'")]
                if len(waiting) > rng.randint(2, 8):
                    drafts.reject(db, rng.choice(waiting), reason="other", by="other", now=SystemClock().now())
                else:
                    self._draft(db)
            case status:
                ids = [row[0] for row in db.execute("SELECT id FROM jobs WHERE status = ?", (status,))]
                if len(ids) <= rng.randint(3, 10):
                    self._job(db, JobStatus(status))
                elif status == "pending":
                    jobs.cancel(db, id=rng.choice(ids), now=SystemClock().now())
                elif rng.random() < 0.5:
                    jobs.replay(db, id=rng.choice(ids), now=SystemClock().now())
                else:
                    jobs.remove(db, id=rng.choice(ids))

    def _job(self, db: sqlite3.Connection, status: JobStatus) -> None:
        now = SystemClock().now()
        error = self._rng.choice(ERRORS) if status is JobStatus.DEAD else None
        name = f"job-{next(self._names):05}"
        job = make_job(db, key=name, status=status, created_at=now, error=error)
        db.execute("INSERT INTO told VALUES (?, ?)", (name, error))
        if error is not None and self._rng.random() < 0.5:
            make_charge(db, job, cost=1_000, held_at=now)

    def _draft(self, db: sqlite3.Connection) -> None:
        name = f"act-{next(self._names):05}"
        new = NewDraft(
            job_id=1,
            job="drafter",
            task="drafter",
            n=1,
            name=name,
            performs="send",
            payload="{}",
            priority=0,
            max_attempts=4,
            summary=name,
        )
        drafts.add(db, new, now=SystemClock().now())


@contextmanager
def painting_at_once() -> Iterator[None]:
    """Without the library's pause between two pictures, for nobody looks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(textual.screen, "UPDATE_PERIOD", 0.0005)
        yield


async def play(home: Home, db: sqlite3.Connection, *, keys: int, seed: int) -> Played:
    """Press so many keys while the crowd is at work."""
    app = Watched(home)
    with painting_at_once(), Crowd(home, random.Random(seed)) as crowd:
        async with app.run_test(size=SIZE):
            played = await Play(app, db, random.Random(seed + 1), crowd).run(keys)
        app.finish()
    return played
