"""Going back to a backup: the database is exchanged whole, and what guards money and the world is brought along.

The home stays stopped until a person resumes it: jobs that ended since the backup was made would be done again.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from runner.care.backup import page_of
from runner.care.carry import NOTHING, Carried, attach, carry, hold_unknown, last_sign, told_cap, vouches
from runner.care.copying import SIDES, Progress, copy, digest, forget, sync_file, sync_folder, verify
from runner.errors import Refused, StoreCorrupt, StoreError
from runner.home import Home
from runner.lock import HomeLock
from runner.store import controls, events, runners
from runner.store.db import Database, open_reader, translate
from runner.store.runners import RunState
from runner.store.turnstile import Turnstile
from runner.units import MicroUsd, UnixMs, iso, plural, usd

READERS_WAIT_MS = 5_000
"""How long somebody who reads the replaced database is waited for."""
TURN_S = 5.0
STANDBY_MS = 10_000
"""A second runner that was seen so lately stands by still."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a restore did."""

    source: Path
    as_of: UnixMs
    """When the backup was made; where nothing says it, the last time something happened in it."""
    kept: Path | None
    """Where the replaced database is now; None: there was none."""
    again: Path | None = None
    """A file with the keys of all jobs that would be done again, a line each; None: there are none, or no file."""
    vouched: bool
    """The replaced database is sound and of the same home, so all that was spent since is known."""
    held: MicroUsd = NOTHING
    """What is held for what may have been spent since, and nobody can tell."""
    held_days: int = 0
    carried: Carried = field(default_factory=Carried)


def restore(
    home: Home,
    source: Path,
    *,
    cap: tuple[MicroUsd, ZoneInfo] | None,
    spent: MicroUsd | None,
    irreversible: Collection[str] | None,
    by: str,
    now: UnixMs,
    progress: Progress,
) -> Restored:
    """Put a backup in the place of a home's database. Raises Refused, StoreError; then nothing was exchanged.

    `cap`: the day's cap and its zone as configured now; None: the settings cannot be read. `spent`: what a person says
    was spent since the backup, where the replaced database cannot say it. `irreversible`: the tasks that do what cannot
    be undone; None: they cannot be read.
    """
    home.check()
    made_at = _check_source(home, source)
    lock = HomeLock(home.lock)
    try:
        if not lock.take():
            raise Refused(
                f"runner pid {lock.holder()} holds {home.root}; end it first, `afk-runner kill` alone parks it"
            )
        _check_standby(home)
        copied = home.db.with_name(home.db.name + ".restoring")
        _forget_all(copied)
        try:
            return _exchange(
                home,
                source,
                copied,
                made_at=made_at,
                cap=cap,
                spent=spent,
                irreversible=irreversible,
                by=by,
                now=now,
                progress=progress,
            )
        finally:
            _forget_all(copied)
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
                raise Refused(f"a second runner (pid {runner.pid}) stands by for {home.root}; end it first")


def _exchange(
    home: Home,
    source: Path,
    copied: Path,
    *,
    made_at: UnixMs | None,
    cap: tuple[MicroUsd, ZoneInfo] | None,
    spent: MicroUsd | None,
    irreversible: Collection[str] | None,
    by: str,
    now: UnixMs,
    progress: Progress,
) -> Restored:
    os.close(os.open(copied, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        _take_in(source, copied, progress=progress)
    except StoreCorrupt as error:
        why = str(error).removeprefix(str(copied)).removeprefix(str(source)).partition(";")[0].strip(" :")
        why = f"it {why}" if why.startswith(("is ", "holds ", "cannot ")) else why
        raise StoreCorrupt(f"{source} is no sound backup of a home ({why}); nothing was changed") from error
    there = home.db.exists()
    with _turn(home):
        with closing(sqlite3.connect(copied.absolute().as_uri(), uri=True, isolation_level=None)) as db:
            told = _prepare(
                db,
                home,
                source,
                there=there,
                made_at=made_at,
                cap=cap,
                spent=spent,
                irreversible=irreversible,
                by=by,
                now=now,
            )
            db.execute("PRAGMA main.wal_checkpoint(TRUNCATE)")
        verify(copied)
        sync_file(copied)
        kept = _swap(home, copied, there=there, sound=told.vouched, now=now)
        again = _write_keys(kept, told.carried.again)
        sync_folder(home.root)
    with suppress(OSError):  # the row of the database holds by itself
        home.write_stop(f"{_reason(told)}\nby {by}\n")
    return Restored(
        source=source,
        as_of=told.as_of,
        kept=kept if there else None,
        again=again,
        vouched=told.vouched,
        held=told.held,
        held_days=told.held_days,
        carried=told.carried,
    )


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
    db: sqlite3.Connection,
    home: Home,
    source: Path,
    *,
    there: bool,
    made_at: UnixMs | None,
    cap: tuple[MicroUsd, ZoneInfo] | None,
    spent: MicroUsd | None,
    irreversible: Collection[str] | None,
    by: str,
    now: UnixMs,
) -> Restored:
    """Bring everything along that must not be forgotten, and stop what is restored: one transaction."""
    as_of = made_at or last_sign(db)
    sound = there and attach(db, home.db)
    db.execute("BEGIN IMMEDIATE")
    vouched, carried = _carried(db, irreversible, now=now) if sound else (False, Carried())
    held, days = NOTHING, 0
    if not vouched:
        known = cap or told_cap(db)
        if known is None and spent is None:
            raise Refused("what was spent since the backup is not known, and neither is the cap: mend afk.toml first")
        limit, zone = known or (MicroUsd(0), ZoneInfo("UTC"))
        held, days = hold_unknown(db, cap=limit, zone=zone, since=as_of, now=now, spent=spent)
    told = Restored(source=source, as_of=as_of, kept=None, vouched=vouched, held=held, held_days=days, carried=carried)
    controls.set_stop(db, controls.STOP, reason=_reason(told), by=by, now=now)
    text = f"restored by {by} from {source}; {plural(carried.calls, 'call')} of {usd(carried.cost)} carried over"
    if held:
        text += f"; {usd(held)} held for what may have been spent since"
    events.record(db, now=now, level=events.WARN, event="home.restored", text=text)
    db.execute("COMMIT")
    return told


def _carried(db: sqlite3.Connection, irreversible: Collection[str] | None, *, now: UnixMs) -> tuple[bool, Carried]:
    """Whether the replaced database vouches for what was spent, and what came along from it."""
    db.execute("SAVEPOINT carry")
    try:
        vouched = vouches(db)
        carried = carry(db, same=vouched, irreversible=irreversible, now=now)
    except sqlite3.Error:  # of another version, or broken where nobody looked
        db.execute("ROLLBACK TO carry")
        return False, Carried()
    finally:
        db.execute("RELEASE carry")
    return vouched, carried


def _reason(told: Restored) -> str:
    as_of = (iso(told.as_of) or "")[:16]
    return f"restored from {told.source.name}, which is as of {as_of}Z: what was done since would be done again"


@contextmanager
def _turn(home: Home) -> Iterator[None]:
    """Nobody writes to the replaced database from here on."""
    name = home.db.name
    turnstile = Turnstile(home.db.with_name(f"{name}-turn-a"), home.db.with_name(f"{name}-turn-b"))
    try:
        with turnstile.turn(TURN_S):
            yield
    finally:
        turnstile.close()


def _swap(home: Home, copied: Path, *, there: bool, sound: bool, now: UnixMs) -> Path:
    """Put the copy in place; where the replaced database is from then on.

    Its log must not lie beside the new one: SQLite would take it for that one's, also if nothing but the log is there.
    """
    stamp = (iso(now) or "")[:19].replace("-", "").replace(":", "")
    kept = home.db.with_name(f"{home.db.name}.before-restore-{stamp}Z")
    if os.path.lexists(kept):
        raise Refused(f"{kept} is in the way; move it and try again")
    empty = there and _empty_log(home.db, sound=sound)
    if there:
        try:
            os.link(home.db, kept)  # unlike a rename it leaves no moment without a database
        except OSError:
            os.rename(home.db, kept)
    for side in SIDES:
        beside = home.db.with_name(home.db.name + side)
        with suppress(FileNotFoundError):
            if empty or side == "-shm":
                beside.unlink()
            else:
                os.rename(beside, kept.with_name(kept.name + side))
    os.replace(copied, home.db)
    return kept


def _write_keys(kept: Path, keys: tuple[str, ...]) -> Path | None:
    """The list of them beside the kept database."""
    if not keys:
        return None
    path = kept.with_name(kept.name + ".again")
    try:
        path.write_text("".join(f"{key}\n" for key in keys), "utf-8")
    except OSError:  # it is only a list, and the exchange is made
        return None
    return path


def _empty_log(database: Path, *, sound: bool) -> bool:
    """Move the log of a database into it; False for one that is not sound, whose log goes where it goes.

    Raises Refused while somebody reads in it: then it cannot be emptied.
    """
    try:
        with closing(sqlite3.connect(database, isolation_level=None)) as db:
            db.execute(f"PRAGMA busy_timeout = {READERS_WAIT_MS}")
            busy = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except sqlite3.Error as error:
        if sound:
            raise translate(error, database) from error
        return False
    if busy:
        raise Refused(f"another program keeps reading {database}; `fuser {database}` names it")
    return True


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _forget_all(copied: Path) -> None:
    forget(copied)
    for lock in ("-turn-a", "-turn-b"):
        with suppress(OSError):
            copied.with_name(copied.name + lock).unlink()
