"""The way to the terminal: only cells that changed are sent, and a terminal that does not keep up gets fewer pictures.

The library sends a widget whole when a word of it changed, and waits, keys and all, once thirty writes are queued for
a slow terminal. Here frames are dropped instead, never keys. It stands on parts of the library that are not promised,
so any surprise leads back to the library's own way, as does AFK_TUI_DIFF=0.
Source: console.md § 3.3, where the gain and the danger were measured.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from typing import Any, Generic

from rich.console import RenderableType
from rich.control import Control
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual._ansi_sequences import SYNC_END, SYNC_START
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual._time import get_time
from textual.app import App, ReturnType
from textual.screen import Screen
from textual.strip import Strip

from console.clean import clean

MOST_QUEUED = 4
"""Writes the terminal has not taken yet, from which on frames are dropped."""
CATCH_UP_S = 0.05
BRIDGE = 8
"""Unchanged cells between two changed ones that cost less to send again than to jump over."""

COPIED = 8_000
"""Characters given to the clipboard at most: terminals drop a longer sequence whole."""

Cell = tuple[object, ...]
"""A character and its style, or a part of a text whose characters are not one cell wide each."""
Piece = tuple[int, int, Strip]
"""Column, line and what is to stand there."""


class TerminalBehind(Exception):
    """The terminal is slow or stalled; nothing was sent to it."""


class Shadow:
    """What the terminal shows, as far as it is known."""

    def __init__(self) -> None:
        self._lines: dict[int, list[Cell | None]] = {}

    def forget(self) -> None:
        """Nothing is known any more."""
        self._lines.clear()

    def changes(self, x: int, y: int, strip: Strip) -> Iterator[tuple[int, Strip]]:
        """The parts of a strip that the terminal does not show yet, with their columns; from now on it does."""
        cells, divisible = _cells(strip)
        line = self._lines.setdefault(y, [])
        end = x + len(cells)
        if len(line) < end:
            line.extend([None] * (end - len(line)))
        if line[x:end] == cells:
            return
        before, line[x:end] = line[x:end], cells
        if not divisible:
            yield x, strip
            return
        for first, last in _runs(before, cells):
            yield x + first, _strip(cells[first:last])


def _cells(strip: Strip) -> tuple[list[Cell], bool]:
    """The cells of a strip, and whether it may be sent in parts."""
    cells: list[Cell] = []
    for text, style, control in strip:
        if control:
            raise ValueError("a control code in a picture")
        if not text.isascii():
            break
        cells += [(char, style) for char in text]
    else:
        return cells, True
    if all(Segment(text).cell_length == len(text) and all(map(_is_narrow, text)) for text, _, _ in strip):
        return [(char, style) for text, style, _ in strip for char in text], True
    whole = tuple((text, style) for text, style, _ in strip)
    return [(whole, place) for place in range(strip.cell_length)], False


def _is_narrow(char: str) -> bool:
    return char.isascii() or Segment(char).cell_length == 1


def _runs(before: list[Cell | None], after: list[Cell]) -> Iterator[tuple[int, int]]:
    """Where they differ, from and to; differences that stand close together are one."""
    first = last = -1
    for place, (old, new) in enumerate(zip(before, after, strict=True)):
        if old == new:
            continue
        if first >= 0 and place - last > BRIDGE:
            yield first, last + 1
            first = -1
        first = place if first < 0 else first
        last = place
    if first >= 0:
        yield first, last + 1


def _strip(cells: list[Cell]) -> Strip:
    segments: list[Segment] = []
    text, style = "", cells[0][1]
    for char, its_style in cells:
        if its_style is not style and its_style != style:
            segments.append(_segment(text, style))
            text, style = "", its_style
        text += str(char)
    segments.append(_segment(text, style))
    return Strip(segments, len(cells))


def _segment(text: str, style: object) -> Segment:
    return Segment(text, style if isinstance(style, Style) else None)


def _pieces(update: CompositorUpdate) -> Iterator[Piece]:
    """What an update of the library says, line by line."""
    if isinstance(update, LayoutUpdate):
        for y, strips in enumerate(update.strips, update.region.y):
            x = update.region.x
            for whole in strips:
                yield x, y, whole
                x += whole.cell_length
    elif isinstance(update, ChopsUpdate):
        for y, left, right in update.spans:
            for end, (x, strip) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
                if strip is None or x > right or end <= left:
                    continue
                yield x, y, strip if left <= x < right and end <= right else strip.crop(0, min(end, right) - x)
    else:
        raise TypeError(f"an update of another kind: {type(update).__name__}")


class ThriftyApp(App[ReturnType], Generic[ReturnType]):
    """An app that sends what changed and drops what the terminal cannot take."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._shadow = Shadow()
        self._thrifty = os.environ.get("AFK_TUI_DIFF", "1") != "0"
        self._behind = False
        """A frame was dropped: the picture is drawn anew once the terminal took what is queued."""
        self._sent_cursor: tuple[int, int] | None = None
        self.pressed_at = math.inf
        """When the key came that is being obeyed, on the library's clock; infinite while none is."""
        self._to_show: list[Callable[[float], object]] = []

    async def on_mount(self) -> None:
        # After a stop and a continue the shell's lines stand where ours were.
        self.app_resume_signal.subscribe(self, lambda _: self._shadow.forget())

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Resize):
            self._shadow.forget()  # what a terminal does to its cells then is its own affair
        if not isinstance(event, events.Key):
            await super().on_event(event)
            return
        self.pressed_at = event.time
        try:
            if event.is_forwarded or not await self._obeyed(event):
                await super().on_event(event)
        finally:
            self.pressed_at = math.inf

    async def _obeyed(self, event: events.Key) -> bool:
        """Do what the key is bound to before the next key is looked at, unless somebody there reads letters.

        The library sends a key from widget to widget up to us first. On a busy machine one that was pressed after `:`
        is then obeyed once the palette has come and gone: a letter of a word that stops everything.
        """
        here = self.focused or self.screen
        if any(hasattr(one, "on_key") for one in here.ancestors_with_self):
            return False
        self.app_focus = True
        return await self._check_bindings(event.key, priority=True) or await self._check_bindings(event.key)

    def once_shown(self, then: Callable[[float], object]) -> None:
        """Call this with the time at which the picture that is being drawn was handed to the terminal.

        Keys that came before that time were pressed without it, however late they are obeyed.
        """
        self._to_show.append(then)

    def copy_to_clipboard(self, text: str) -> None:
        """Give a text to the clipboard of the person's terminal; cut, and without whatever a terminal obeys.

        Raises TerminalBehind when the terminal does not take what it is sent: the write would wait, keys and all.
        """
        if self._queued() >= MOST_QUEUED:
            raise TerminalBehind
        super().copy_to_clipboard(clean(text, COPIED))

    def redraw_all(self) -> None:
        """Send everything anew, for a terminal on which something else has written."""
        self._shadow.forget()
        self.screen.refresh()

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        if renderable is None or self._batch_count:
            super()._display(screen, renderable)
            return
        if not self._may_be_thrifty():
            super()._display(screen, renderable)
            self._was_shown()
            return
        try:
            if self._queued() >= MOST_QUEUED:
                self._fall_behind()
            elif isinstance(renderable, CompositorUpdate):
                self._send(renderable)
            else:
                self._shadow.forget()
                super()._display(screen, renderable)
                self._was_shown()
                return
        except Exception:  # the library is not as it was: its own way is slower, and right
            self._thrifty = False
            super()._display(screen, renderable)
            screen.refresh()
            return
        self._was_shown()
        self.post_display_hook()

    def _may_be_thrifty(self) -> bool:
        driver = self._driver
        return (
            self._thrifty
            and self._running
            and not self._closed
            and not self.is_headless
            and driver is not None
            and not driver.is_inline
        )

    def _send(self, update: CompositorUpdate) -> None:
        console = self.console
        parts = [
            Control.move_to(x, y).segment.text + strip.render(console)
            for left, y, whole in _pieces(update)
            for x, strip in self._shadow.changes(left, y, whole)
        ]
        cursor = self.screen.outer_size.clamp_offset(self.cursor_position)
        if not parts and self._sent_cursor == (cursor.x, cursor.y):
            return
        self._sent_cursor = (cursor.x, cursor.y)
        parts.append(Control.move_to(cursor.x, cursor.y).segment.text)
        text = "".join(parts)
        assert self._driver is not None
        self._driver.write(f"{SYNC_START}{text}{SYNC_END}" if self._sync_available else text)
        self._driver.flush()

    def _was_shown(self) -> None:
        if self._behind:
            return  # what was dropped comes with the whole picture, after this one
        now, told = get_time(), self._to_show
        self._to_show = []
        for then in told:
            then(now)

    def _queued(self) -> int:
        thread = getattr(self._driver, "_writer_thread", None)
        return int(thread._queue.qsize()) if thread is not None else 0

    def _fall_behind(self) -> None:
        if not self._behind:
            self._behind = True
            self.set_timer(CATCH_UP_S, self._catch_up)

    def _catch_up(self) -> None:
        if self._queued() >= MOST_QUEUED:
            self.set_timer(CATCH_UP_S, self._catch_up)
            return
        self._behind = False
        self.screen.refresh()
