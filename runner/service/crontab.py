"""cron through `crontab`: a block is put between two marks, and every other byte stays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from runner.errors import Refused
from runner.service import cron
from runner.service.keeper import Told
from runner.service.plan import File, Plan
from runner.service.tools import call


@dataclass
class Cron:
    """The lines of one crontab."""

    plan: Plan
    session: str | None = None
    unit: Path | None = None

    def there(self) -> str | None:
        inside = self._find().inside
        if inside is None:
            return None
        return cron.running(inside)

    def ask(self) -> Told:
        try:
            block = self._find()
        except Refused as refused:
            return Told(loaded=None, text=str(refused))
        if block.inside is None:
            return Told(loaded=False, text="the crontab has no lines of it")
        if block.stopped:
            return Told(loaded=False, text="its lines in the crontab are turned off", enabled=False)
        return Told(loaded=True, text="its lines are in the crontab; whether cron runs cannot be told", enabled=True)

    def put(self, file: File) -> None:
        block = self._find()
        self._write(block.replaced(cron.stopped(file.text)))

    def begin(self) -> None:
        block = self._find()
        if block.inside is None:
            raise Refused("the crontab has no lines of it; `afk-runner service install` puts them there")
        self._write(block.replaced(cron.running(block.inside)))

    def nudge(self) -> None:
        """cron has no way to be hurried."""

    def end(self, *, persist: bool) -> None:  # noqa: ARG002 - lines that are turned off stay so
        block = self._find()
        if block.inside is not None:
            self._write(block.replaced(cron.stopped(block.inside)))

    def again(self, *, changed: bool) -> None:  # noqa: ARG002 - cron reads its lines anew by itself
        self.begin()

    def drop(self) -> None:
        block = self._find()
        if block.inside is None:
            return
        rest = block.replaced("")
        if rest.strip():
            self._write(rest)
        else:
            self._remove()

    def _find(self) -> cron.Block:
        ran = call(["crontab", "-l"])
        if ran.code != 0:
            if "no crontab" in ran.err.lower():
                return cron.find("", self.plan.name)
            raise Refused(f"the crontab cannot be read: {ran.said}")
        return cron.find(ran.out, self.plan.name)

    def _write(self, text: str) -> None:
        ran = call(["crontab", "-"], stdin=text)
        if ran.code != 0:
            raise Refused(f"the crontab was not accepted and stayed as it was: {ran.said}")
        back = call(["crontab", "-l"])
        if back.code != 0 or not back.out.endswith(text):  # some put lines of their own before it
            raise Refused("the crontab was written and reads differently now; look at it with `crontab -l`")

    def _remove(self) -> None:
        ran = call(["crontab", "-r"])
        if ran.code != 0 and "no crontab" not in ran.err.lower():
            raise Refused(f"the crontab could not be removed: {ran.said}")
