"""Is it well set up? One finding a matter, each with the command that mends it. Changes nothing, spends nothing.

What a finding says is what was seen, on this machine and in this environment: a key that only the service's
environment holds is missing here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial

from runner.doctor import (
    alerts,
    caps,
    clock,
    container,
    database,
    declared,
    disk,
    place,
    prices,
    privacy,
    program,
    secrets,
    service,
    state,
    terminal,
    upstreams,
    wake,
    watchers,
)
from runner.doctor.declared import Declared
from runner.doctor.finding import Finding, Level
from runner.doctor.look import Check, Look
from runner.doctor.watched import watched
from runner.home import Home
from runner.redact import Redactor
from runner.units import SystemClock

__all__ = ["Finding", "Level", "examine"]

FILES_LIMIT_S = 60.0
"""Importing the task files has a limit of its own that names the file, and that one should be met first."""

CHECKS: tuple[tuple[str, Check], ...] = (
    ("home", place.surroundings),
    ("secrets", secrets.secrets),
    ("program", program.program),
    ("privacy", privacy.privacy),
    ("database", database.database),
    ("tasks", declared.tasks),
    ("prices", prices.prices),
    ("clock", clock.clock),
    ("wake", wake.wake),
    ("runner", state.state),
    ("cap", caps.raised),
    ("alerts", alerts.channel),
    ("watch", watchers.outside),
    ("drill", watchers.proofs),
    ("service", service.service),
    ("container", container.container),
    ("tmux", terminal.terminal),
    ("disk", disk.disk),
)


def examine(
    home: Home, *, environ: Mapping[str, str], offline: bool = False, platform: str = sys.platform
) -> list[Finding]:
    """Look at everything that can be looked at; what one fault hides is left out."""
    look = Look(home=home, environ=environ, now=SystemClock().now(), offline=offline, platform=platform)
    found = watched([("home", partial(place.place, look))])
    if any(finding.level is Level.FAIL for finding in found):
        return found
    known = Declared()
    found += watched([("config", partial(declared.settings, look, known))])
    look = replace(look, config=known.config)
    found += watched([("tasks", partial(declared.files, look, known))], limit_s=FILES_LIMIT_S)
    look = replace(look, tasks=known.tasks)
    checks: list[tuple[str, Callable[[], Iterable[Finding]]]] = [(name, partial(each, look)) for name, each in CHECKS]
    if known.config is not None:
        checks += [("upstream", partial(upstreams.reached, look, each)) for each in known.config.upstreams.values()]
    checks += [("alerts", partial(alerts.understood, look, name, url)) for name, url in alerts.urls(look).items()]
    found += watched(checks)
    clean = Redactor(known.config.secrets if known.config else ())
    return [replace(each, text=clean(each.text), mend=each.mend and clean(each.mend)) for each in found]
