"""Lines in which keys mean something: what was on the screen when they were pressed, and nothing that came after."""

from __future__ import annotations

import math

from textual.geometry import Region
from textual.strip import Strip

from console.look import Look
from console.output import ThriftyApp
from console.widgets.lines import Lines


class Meant(Lines):
    """Knows when what its keys mean was last shown. Who changes that by itself sets `_unseen`."""

    def __init__(self, look: Look, *, id: str | None = None) -> None:
        super().__init__(look, id=id)
        self._unseen = False
        """What an act would mean has changed by itself, and no picture of that was sent yet."""
        self._shown_at = -math.inf
        """When one was sent."""
        self._telling: int | None = None
        """The line that tells of it; None while none is drawn."""

    @property
    def was_shown(self) -> bool:
        """Whether the key that is being obeyed was pressed when what it means was on the screen.

        A key that was on its way when a page came was not meant for the first row of that page, and one that was
        pressed for marks not for the row under the cursor, once the last of the marks went by itself.
        """
        app = self.app
        assert isinstance(app, ThriftyApp)
        return not self._unseen and app.pressed_at > self._shown_at

    def unsee(self) -> None:
        """It was hidden: no key means what it shows before that was shown again."""
        self._unseen = True
        self._send_telling()

    def render_line(self, y: int) -> Strip:
        if self._unseen and y == self._telling and isinstance(app := self.app, ThriftyApp):
            app.once_shown(self._was_shown)
        return super().render_line(y)

    def _send_telling(self) -> None:
        if self._unseen and self._telling is not None:  # its line may be as it was, and is sent all the same
            self.refresh(Region(0, self._telling, self.size.width, 1))

    def _was_shown(self, at: float) -> None:
        self._unseen, self._shown_at = False, at
