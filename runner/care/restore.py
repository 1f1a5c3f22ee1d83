"""Going back to a backup: the database is exchanged whole, and what guards money and the world is brought along.

The home stays stopped until a person resumes it: jobs that ended since the backup was made would be done again.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from runner.care.backup import page_of
from runner.care.carry import NOTHING, Carried, attach, carry, hold_unknown, last_sign, told_cap, vouches
from runner.care.copying import SIDES, Progress, copy, digest, sync_file, sync_folder, verify
from runner.care.exchange import forget_all, swap, turn
from runner.errors import Refused, StoreCorrupt, StoreError
from runner.home import Home
from runner.lock import HomeLock
from runner.store import controls, events, runners
from runner.store.db import Database, open_reader
from runner.store.runners import RunState
from runner.units import MicroUsd, UnixMs, iso, plural, usd

STANDBY_MS = 10_000
"""A second runner that was seen so lately stands by still."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a person, the settings and the clock say to it."""

    cap: tuple[MicroUsd, ZoneInfo] | None
    """The day's cap and its zone as configured now; None: the settings cannot be read."""
    spent: MicroUsd | None
    """What was spent since the backup, for a replaced database that cannot say it; None: nobody knows."""
    irreversible: Collection[str] | None
    """The tasks that do what cannot be undone; None: they cannot be read."""
    by: str
    now: UnixMs


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a restore did."""

    source: Path
    as_of: UnixMs
    """When the backup was made; where nothing says it, the last time something happened in it."""
    kept: Path | None
    """Where the replaced database is now; None: there was none."""
    again: Path | None = None
    """A file with the keys of all jobs that would be done again, a NUL after each; None: there are none, or no file."""
    vouched: bool
    """The replaced database is sound and of the same home, so all that was spent since is known."""
    held: MicroUsd = NOTHING
    """What is held for what may have been spent since, and nobody can tell."""
    held_days: int = 0
    carried: Carried = field(default_factory=Carried)


def restore(home: Home, source: Path, terms: Terms, *, progress: Progress) -> Restored:
    """Put a backup in the place of a home's database. Raises Refused, StoreError; then nothing was exchanged."""
    home.check()
    made_at = _check_source(home, source)
    lock = HomeLock(home.lock)
    try:
        if not lock.take():
            pid = lock.holder()
            raise Refused(
                f"runner pid {pid} holds {home.root}: end it first with `afk-runner service stop`, or `kill {pid}` "
                "where no service keeps it; `afk-runner kill` only parks it"
            )
        _check_standby(home)
        copied = home.db.with_name(home.db.name + ".restoring")
        forget_all(copied)
        try:
            return _exchange(home, source, copied, terms, made_at=made_at, progress=progress)
        finally:
            forget_all(copied)
    finally:
        lock.close()


def _check_source(home: Home, source: Path) -> UnixMs | None:
    """When the backup was made, where its page says so."""
    if not source.is_file():
        raise Refused(f"there is no file {source}")
    if home.db.exists() and source.samefile(home.db):
        raise Refused(f"{source} is the database itself; name a backup")
    page = page_of(source)
    if page is not None and page.get("sha256") not in (None, digest(source)):
        raise StoreCorrupt(f"{source} is not the file that its page {source.name}.json tells of; take another backup")
    try:
        return UnixMs(int(datetime.fromisoformat(str((page or {})["made_at"])).timestamp() * 1000))
    except (KeyError, ValueError):
        return None


def _check_standby(home: Home) -> None:
    """A second runner waits for our lock with the replaced database open."""
    with suppress(StoreError, sqlite3.Error), closing(open_reader(home.db, older_too=True)) as db:
        for runner in runners.present(db):
            seen = runner.heartbeat_at > last_sign(db) - STANDBY_MS
            if runner.state is RunState.STANDBY and seen and _lives(runner.pid):
                raise Refused(
                    f"a second runner (pid {runner.pid}) stands by for {home.root}: `kill {runner.pid}` first"
                )


def _exchange(
    home: Home, source: Path, copied: Path, terms: Terms, *, made_at: UnixMs | None, progress: Progress
) -> Restored:
    os.close(os.open(copied, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        _take_in(source, copied, progress=progress)
    except StoreCorrupt as error:
        why = str(error).removeprefix(str(copied)).removeprefix(str(source)).partition(";")[0].strip(" :")
        why = f"it {why}" if why.startswith(("is ", "holds ", "cannot ")) else why
        raise StoreCorrupt(f"{source} is no sound backup of a home ({why}); nothing was changed") from error
    there = home.db.exists()
    with turn(home):
        with closing(sqlite3.connect(copied.absolute().as_uri(), uri=True, isolation_level=None)) as db:
            told = _prepare(db, home if there else None, source, terms, made_at=made_at)
            db.execute("PRAGMA main.wal_checkpoint(TRUNCATE)")
        verify(copied)
        sync_file(copied)
        kept = swap(home, copied, there=there, sound=told.vouched, now=terms.now)
        again = _write_keys(kept, told.carried.again)
        sync_folder(home.root)
    with suppress(OSError):  # the row of the database holds by itself
        home.write_stop(f"{_reason(told)}\nby {terms.by}\n")
    return replace(told, kept=kept if there else None, again=again)


def _take_in(source: Path, copied: Path, *, progress: Progress) -> None:
    with closing(_open_source(source)) as db:
        copy(db, copied, progress=progress)
    verify(copied)
    Database.open(copied).close()  # brings its schema up to date, or refuses it


def _open_source(source: Path) -> sqlite3.Connection:
    """A backup may lie where nothing can be written beside it."""
    beside = any(source.with_name(source.name + side).exists() for side in SIDES)
    try:
        return open_reader(source, older_too=True)
    except StoreError as error:
        if beside or isinstance(error, StoreCorrupt):
            raise
        return sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None)


def _prepare(
    db: sqlite3.Connection, replaces: Home | None, source: Path, terms: Terms, *, made_at: UnixMs | None
) -> Restored:
    """Bring everything along that must not be forgotten, and stop what is restored: one transaction."""
    as_of = made_at or last_sign(db)
    sound = replaces is not None and attach(db, replaces.db)
    db.execute("BEGIN IMMEDIATE")
    vouched, carried = _carried(db, terms) if sound else (False, Carried())
    held, days = NOTHING, 0
    if not vouched:
        known = terms.cap or told_cap(db)
        if known is None and terms.spent is None:
            raise Refused("what was spent since the backup is not known, and neither is the cap: mend afk.toml first")
        limit, zone = known or (MicroUsd(0), ZoneInfo("UTC"))
        held, days = hold_unknown(db, cap=limit, zone=zone, since=as_of, now=terms.now, spent=terms.spent)
    told = Restored(source=source, as_of=as_of, kept=None, vouched=vouched, held=held, held_days=days, carried=carried)
    controls.set_stop(db, controls.STOP, reason=_reason(told), by=terms.by, now=terms.now)
    text = f"restored by {terms.by} from {source}; {plural(carried.calls, 'call')} of {usd(carried.cost)} carried over"
    if held:
        text += f"; {usd(held)} held for what may have been spent since"
    events.record(db, now=terms.now, level=events.WARN, event="home.restored", text=text)
    db.execute("COMMIT")
    return told


def _carried(db: sqlite3.Connection, terms: Terms) -> tuple[bool, Carried]:
    """Whether the replaced database vouches for what was spent, and what came along from it."""
    db.execute("SAVEPOINT carry")
    try:
        vouched = vouches(db)
        carried = carry(db, same=vouched, irreversible=terms.irreversible, now=terms.now)
    except sqlite3.Error:  # of another version, or broken where nobody looked
        db.execute("ROLLBACK TO carry")
        return False, Carried()
    finally:
        db.execute("RELEASE carry")
    return vouched, carried


def _reason(told: Restored) -> str:
    as_of = (iso(told.as_of) or "")[:16]
    return f"restored from {told.source.name}, which is as of {as_of}Z: what was done since would be done again"


def _write_keys(kept: Path, keys: tuple[str, ...]) -> Path | None:
    """The list of them beside the kept database, for `xargs -0`: any other sign may be part of a key."""
    if not keys:
        return None
    path = kept.with_name(kept.name + ".again")
    try:
        path.write_bytes(b"".join(key.encode() + b"\0" for key in keys))
    except OSError:  # it is only a list, and the exchange is made
        return None
    return path


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
