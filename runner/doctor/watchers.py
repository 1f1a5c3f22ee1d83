"""Who notices when the guards themselves no longer work: drills, and somebody outside this machine."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress

from runner.doctor.finding import Finding, fail, ok, warn
from runner.doctor.look import Look
from runner.errors import StoreError
from runner.store import controls, drills
from runner.store.db import open_reader
from runner.units import DAY_MS, duration, plural


def proofs(look: Look) -> Iterator[Finding]:
    """When stop, cap, breaker, alert and rescue were last seen at work."""
    try:
        with closing(open_reader(look.home.db)) as db:
            known = drills.all_of(db)
    except (StoreError, sqlite3.Error):
        return  # the database has its own finding
    for drill in known:
        if drill.failing:
            yield fail("drill", f"{drill.name} was not proven: {drill.fault}", look.command(f"drill {drill.name}"))
    old = [drill.name for drill in known if not drill.failing and not drill.fresh(look.now)]
    if old:
        days = plural(drills.FRESH_MS // DAY_MS, "day")
        yield warn("drill", f"not proven in the last {days}: {', '.join(old)}", look.command("drill"))
    elif not any(drill.failing for drill in known):
        yield ok("drill", "stop, cap, breaker, alert and rescue were proven not long ago")


def outside(look: Look) -> Iterator[Finding]:
    """Whether somebody notices when this machine is gone: an alert cannot tell of it."""
    if look.config is None or not look.config.alert_urls:
        return  # who is told of nothing has a finding of their own
    if look.config.watch.ping_url is None:
        text = "nobody outside notices when this machine is gone: no alert leaves it then"
        yield warn("watch", text, '[watch] ping_url = "env:PING_URL", as healthchecks.io gives you one')
        return
    ping = None
    with suppress(StoreError, sqlite3.Error), closing(open_reader(look.home.db)) as db:
        ping = controls.ping(db)
    if ping is None:
        yield ok("watch", "somebody outside is pinged while a runner is well or parked; none was sent yet")
    elif ping.fault is not None:
        text = f"the last ping to the outside was not answered: {ping.fault}"
        yield warn("watch", text, "mend PING_URL, or who listens there; they may think that this machine is gone")
    else:
        yield ok("watch", f"somebody outside answered a ping {duration(max(look.now - (ping.at or 0), 0))} ago")
