"""Whether the service runs: our own lock and heartbeat first, the supervisor second, else that it cannot be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from runner.errors import Refused, RunnerError
from runner.home import Home
from runner.service import record
from runner.service.choose import NOT_OURS
from runner.service.keeper import Told
from runner.service.machine import Machine
from runner.service.plan import Platform
from runner.service.render import only, render
from runner.service.verbs import Service
from runner.service.witness import Seen, look
from runner.units import Clock, UnixMs, duration

CRON_LATE_MS = 15 * 60_000
"""Three turns of the line in the crontab: a runner that was not seen for longer is not started."""


class Verdict(IntEnum):
    """The exit codes of `service status`."""

    RUNNING = 0
    NOT_RUNNING = 3
    UNKNOWN = 4


_WORDS = {Verdict.RUNNING: "running", Verdict.NOT_RUNNING: "not running", Verdict.UNKNOWN: "unknown"}


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """How a service stands."""

    platform: Platform | None
    """None: none was named, and this machine has none."""
    name: str
    verdict: Verdict
    text: str
    """Why it is that, in one sentence."""
    installed: bool | None
    current: bool | None
    """Whether its file is what would be rendered now."""
    supervisor: Told
    seen: Seen
    unit: str | None

    def document(self) -> dict[str, Any]:
        """As `service status --json` prints it."""
        runner = self.seen.runner
        return {
            "platform": self.platform.value if self.platform else None,
            "name": self.name,
            "verdict": _WORDS[self.verdict],
            "text": self.text,
            "unit": self.unit,
            "installed": self.installed,
            "current": self.current,
            "loaded": self.supervisor.loaded,
            "enabled": self.supervisor.enabled,
            "supervisor": self.supervisor.text,
            "runner": {
                "pid": self.seen.pid,
                "id": runner.id if runner else None,
                "state": runner.state.value if runner else None,
                "reason": runner.reason if runner else None,
            },
        }


def state_of(
    home: Home, named: Platform | None, environ: Mapping[str, str], *, clock: Clock, machine: Machine | None = None
) -> State:
    """Look at it without a change. Raises Refused where nothing can be said at all."""
    told = record.read(home)
    platform = named or (told.platform if told else None)
    if platform in NOT_OURS and platform is not None:
        return _of_container(home, platform)
    service = Service.find(home, platform, environ, machine=machine)
    seen = look(home)
    unknown: str | None = None
    answer = Told(loaded=None, text="it was not asked")
    there: str | None = None
    try:
        there = service.keeper.there()
        answer = service.keeper.ask()
    except Refused as refused:
        unknown = str(refused)
    current = None
    if there is not None and service.fault is None:
        file = only(render(home, service.config, service.machine, service.platform, session=service.plan.session))
        current = there == file.text
    if unknown is not None and not seen.held:
        verdict, text = Verdict.UNKNOWN, f"it cannot be told: {unknown}"
    elif there is None and answer.loaded is not True:
        verdict, text = Verdict.UNKNOWN, f"nothing is installed on {service.platform}; {seen.text}"
    elif service.platform is Platform.CRON:
        verdict, text = _of_cron(seen, answer, clock.now())
    else:
        ours = answer.loaded is not None or service.proof.looks_ours(seen.pid)
        verdict, text = _of_unit(seen, answer, ours=ours)
    return State(
        platform=service.platform,
        name=service.plan.name,
        verdict=verdict,
        text=text,
        installed=None if unknown is not None else there is not None,
        current=current,
        supervisor=answer,
        seen=seen,
        unit=str(service.keeper.unit) if service.keeper.unit else None,
    )


def untold(home: Home, platform: Platform | None, error: RunnerError) -> State:
    """What can be said where nothing is known of a service: why, and who runs all the same."""
    seen = look(home)
    alive = seen.held or seen.refused
    return State(
        platform=platform,
        name="",
        verdict=Verdict.UNKNOWN,
        text=f"{seen.text}, started by somebody else; {error}" if alive else str(error),
        installed=None,
        current=None,
        supervisor=Told(loaded=None, text="it was not asked"),
        seen=seen,
        unit=None,
    )


def _of_unit(seen: Seen, answer: Told, *, ours: bool) -> tuple[Verdict, str]:
    """`ours`: the supervisor answers, or the runner looks to be the service's without its word."""
    waits = {row.pid for row in seen.standing_by}
    if answer.pid is not None and answer.pid in waits:
        return Verdict.RUNNING, f"pid {answer.pid} stands by: {seen.text}, and was started by somebody else"
    if seen.held or seen.refused:
        if answer.pid is not None and seen.pid is not None and answer.pid != seen.pid:
            return Verdict.NOT_RUNNING, f"{seen.text}, but the service is pid {answer.pid} and says nothing yet"
        if answer.loaded is False or (answer.loaded and answer.pid is None):
            return Verdict.NOT_RUNNING, f"{seen.text}, started by somebody else; {answer.text}"
        verdict, by = (Verdict.RUNNING, "") if ours else (Verdict.UNKNOWN, ", started by somebody else")
        return verdict, f"{seen.text}{by}; {answer.text}"
    if answer.loaded is None:
        return Verdict.UNKNOWN, f"no runner holds the home, and {answer.text}"
    return Verdict.NOT_RUNNING, f"no runner holds the home; {answer.text}"


def _of_cron(seen: Seen, answer: Told, now: UnixMs) -> tuple[Verdict, str]:
    if answer.loaded is not True:
        verdict = Verdict.UNKNOWN if answer.loaded is None else Verdict.NOT_RUNNING
        return verdict, f"{answer.text}; {seen.text}"
    if seen.held:
        return Verdict.RUNNING, f"{seen.text}; {answer.text}"
    if seen.last is None:
        return Verdict.NOT_RUNNING, f"no runner was ever here; {answer.text}"
    ago = max(0, now - max(seen.last.started_at, seen.last.heartbeat_at))
    if ago > CRON_LATE_MS:
        return Verdict.NOT_RUNNING, f"the last runner was here {duration(ago)} ago; {answer.text}"
    return Verdict.RUNNING, f"the last runner was here {duration(ago)} ago; {answer.text}"


def _of_container(home: Home, platform: Platform) -> State:
    seen = look(home)
    alive = seen.held or seen.refused
    return State(
        platform=platform,
        name="",
        verdict=Verdict.RUNNING if alive else Verdict.UNKNOWN,
        text=f"{seen.text}; {platform} is not asked: {NOT_OURS[platform]}",
        installed=None,
        current=None,
        supervisor=Told(loaded=None, text=f"{platform} is not asked"),
        seen=seen,
        unit=None,
    )
