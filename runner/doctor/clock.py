"""The clock and the zone: days, caps, leases and schedules all follow them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime

from runner.doctor.ask import ask
from runner.doctor.finding import Finding, fail, ok, warn
from runner.doctor.look import MAC, Look
from runner.errors import StoreError
from runner.store.db import open_reader
from runner.units import MINUTE_MS, UnixMs, duration, iso

MADE = UnixMs(int(datetime(2026, 11, 1, tzinfo=UTC).timestamp() * 1000))
"""This program did not exist before; a clock that says so was never set."""
AHEAD_MS = MINUTE_MS
"""The newest row may be younger than our look by what two processes differ, and no more."""

NEWEST = """
SELECT max(at) FROM (
    SELECT (SELECT at FROM events ORDER BY id DESC LIMIT 1) AS at
    UNION ALL SELECT max(heartbeat_at) FROM runners
    UNION ALL SELECT (SELECT held_at FROM charges ORDER BY id DESC LIMIT 1)
)
"""


def clock(look: Look) -> Iterator[Finding]:
    """Whether the clock can be right, who keeps it, and in which zone days end."""
    if look.now < MADE:
        text = f"the clock says {iso(look.now)}, which is before this program was made: it was never set"
        yield fail("clock", text, _set(look))
    else:
        yield from _set_back(look)
    yield from _kept(look)
    if look.config is not None:
        zone = look.config.zone
        here = datetime.fromtimestamp(look.now / 1000, zone)
        offset = here.strftime("%z")
        text = f"{here:%H:%M} in {zone.key} (UTC{offset[:3]}:{offset[3:]}): at its midnight a day of the caps begins"
        yield ok("clock", text)


def _set_back(look: Look) -> Iterator[Finding]:
    try:
        with closing(open_reader(look.home.db)) as db:
            newest = db.execute(NEWEST).fetchone()[0]
    except (StoreError, sqlite3.Error):
        return  # the database has its own finding
    if newest is not None and newest - look.now > AHEAD_MS:
        text = (
            f"the newest row of the database is {duration(newest - look.now)} ahead of the clock, which was set back: "
            "what was to come due waits that much longer"
        )
        yield warn("clock", text, _set(look))


def _kept(look: Look) -> Iterator[Finding]:
    if look.platform == MAC:
        return  # who sets it can only be asked as root
    said = ask("timedatectl", "show", "-p", "NTPSynchronized", "--value")
    if said is None or said.code != 0:
        return  # as in a container, where the host keeps it
    if said.out.strip() == "yes":
        yield ok("clock", "it is kept by a time server")
    elif said.out.strip() == "no":
        yield warn("clock", "no time server keeps it, so it drifts", "sudo timedatectl set-ntp true")


def _set(look: Look) -> str:
    if look.platform == MAC:
        return "sudo sntp -sS time.apple.com"
    return "sudo timedatectl set-ntp true"
