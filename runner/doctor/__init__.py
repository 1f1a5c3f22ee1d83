"""Is it well set up? One finding a matter, each with the command that mends it. Changes nothing.

What a finding says is what was seen, on this machine and in this environment: a key that only the service's
environment holds is missing here.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress

from runner.config import Config, TaskConfig
from runner.doctor.children import children
from runner.doctor.finding import Finding, Level
from runner.doctor.sense import past, sense
from runner.errors import ConfigError, RunnerError, StoreError, StoreMissing
from runner.home import Home
from runner.settings import SettingsError, load
from runner.settings.secrets import DOTENV_REFUSED, NO_SECRET
from runner.settings.table import Problem
from runner.snapshot import Health, Reader, RunnerView, RunState, Vitals
from runner.store.db import open_reader, schema_version
from runner.units import SystemClock, duration, plural

__all__ = ["Finding", "Level", "examine"]

LOW_DISK_BYTES = 200_000_000
"""Below this a busy day of logs and results may fill the disk, and then no call can be paid for."""


def examine(home: Home, *, environ: Mapping[str, str]) -> list[Finding]:
    """Look at everything that can be looked at; what one fault hides is left out."""
    findings = [*_home(home)]
    if any(finding.level is Level.FAIL for finding in findings):
        return findings
    config, told = _config(home, environ)
    findings += told
    findings += _database(home)
    if config is not None:
        findings += _tasks(home, config)
        findings += _alerts(config)
    findings += _runner(home)
    findings.append(_disk(home))
    return findings


def _home(home: Home) -> Iterator[Finding]:
    try:
        home.check()
    except ConfigError as error:
        mend = f"chmod 700 {home.root}" if home.root.is_dir() else f"afk-runner init --home {home.root}"
        yield Finding(level=Level.FAIL, name="home", text=str(error), mend=mend)
        return
    mode = stat.S_IMODE(os.stat(home.root).st_mode)
    if mode & 0o077:
        text = f"{home.root} can be read by others; payloads, results and logs are in it"
        yield Finding(level=Level.WARN, name="home", text=text, mend=f"chmod 700 {home.root}")
    else:
        yield Finding(level=Level.OK, name="home", text=f"{home.root} is ours alone")


def _config(home: Home, environ: Mapping[str, str]) -> tuple[Config | None, list[Finding]]:
    try:
        config = load(home.root, environ=environ)
    except SettingsError as error:
        return None, [
            Finding(level=Level.FAIL, name="config", text=str(problem), mend=_mend(problem, home))
            for problem in error.problems
        ]
    except ConfigError as error:
        mend = f"afk-runner init --home {home.root}" if not home.config.exists() else f"edit {home.config}"
        return None, [Finding(level=Level.FAIL, name="config", text=str(error), mend=mend)]
    named = (
        f"{plural(len(config.tasks), 'task')} in afk.toml, {plural(config.runner.workers, 'worker')}, "
        f"days of {config.zone.key}"
    )
    return config, [Finding(level=Level.OK, name="config", text=named)]


def _mend(problem: Problem, home: Home) -> str:
    if DOTENV_REFUSED in problem.text:
        return f"what is said of {home.env} comes first"
    missing = NO_SECRET.search(problem.text)
    if missing is not None:
        env = shlex.quote(str(home.env))
        return f"printf '\\n{missing[1]}=%s\\n' 'the secret' >> {env} && chmod 600 {env}"
    if not problem.text.endswith("open to others; chmod 600 it"):
        return f"edit {problem.path}, then run doctor again"
    return f"chmod 600 {problem.path}" if problem.path == home.env else "chmod 600 the file that is named"


def _database(home: Home) -> Iterator[Finding]:
    yield Finding(level=Level.OK, name="sqlite", text=_sqlite_says(sqlite3.sqlite_version_info))
    try:
        db = open_reader(home.db)
    except StoreMissing as error:
        mend = f"afk-runner init --home {home.root}"
        yield Finding(level=Level.FAIL, name="database", text=str(error), mend=mend)
        return
    except StoreError as error:
        yield Finding(level=Level.FAIL, name="database", text=str(error))
        return
    try:
        said = [row[0] for row in db.execute("PRAGMA quick_check(3)")]
        version = schema_version(db)
    except sqlite3.Error as error:
        said, version = [str(error)], 0
    finally:
        db.close()
    if said == ["ok"]:
        size = home.db.stat().st_size / 1_000_000
        text = f"{home.db} is sound, schema {version}, {size:,.1f} MB"
        yield Finding(level=Level.OK, name="database", text=text)
    else:
        text = f"{home.db} is damaged: {'; '.join(said)}"
        mend = "stop the runner, keep the file, put the last backup in its place"
        yield Finding(level=Level.FAIL, name="database", text=text, mend=mend)


def _sqlite_says(version: tuple[int, ...]) -> str:
    """Source: the WAL-reset bug is fixed in 3.51.3, 3.50.7 and 3.44.6."""
    name = ".".join(str(part) for part in version[:3])
    fixed = version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)
    if fixed:
        return f"SQLite {name}"
    return f"SQLite {name}, which has the WAL-reset bug; our writes take turns and keep clear of it"


def _tasks(home: Home, config: Config) -> Iterator[Finding]:
    tasks: dict[str, TaskConfig] = dict(config.tasks)
    files = sorted(home.tasks.glob("*.py")) if home.tasks.is_dir() else []
    if files:
        from runner.work.declared import discover  # noqa: PLC0415 - starts a child; most homes have no task files

        try:
            found = discover(home.tasks, zone=config.zone)
        except RunnerError as error:
            yield from (
                Finding(level=Level.FAIL, name="tasks", text=line, mend=f"edit the file named, below {home.tasks}")
                for line in str(error).splitlines()
            )
        else:
            tasks |= found
            yield Finding(
                level=Level.OK,
                name="tasks",
                text=f"{plural(len(found), 'task')} in {plural(len(files), 'file')}, all sound",
            )
    yield from children(tasks)
    yield from sense(config, tasks)
    with suppress(StoreError), closing(Reader(home)) as reader:  # the database has its own finding
        now = SystemClock().now()
        yield from past(tasks, reader.schedules(now=now), now=now)
    yield _price_list()
    yield from _prices(config, tasks)


def _price_list() -> Finding:
    from runner.price_age import list_date  # noqa: PLC0415 - reads what is installed

    dated, now = list_date(), SystemClock().now()
    if not dated.old(now):
        return Finding(level=Level.OK, name="prices", text=dated.sentence(now))
    mend = "install a newer afk-console, or write what you pay into [prices] of afk.toml"
    return Finding(level=Level.WARN, name="prices", text=f"{dated.sentence(now)}: prices may have changed", mend=mend)


def _prices(config: Config, tasks: Mapping[str, TaskConfig]) -> Iterator[Finding]:
    models = sorted({task.model for task in tasks.values() if task.model})
    if not models:
        return
    from runner.gate.prices import PriceList  # noqa: PLC0415 - up to 0.2 s
    from runner.gate.upstreams import Upstreams  # noqa: PLC0415 - brings httpx along

    prices = PriceList(config.prices)
    upstreams = Upstreams(config.upstreams, config.models)
    for model in models:
        upstream = upstreams.serving(model)
        if upstream is None:
            text = f"{model}: no line of [models] leads it to an upstream"
            yield Finding(level=Level.FAIL, name="prices", text=text, mend=f'[models] "{model}" = "an upstream"')
            continue
        price = prices.lookup(model, local=upstream.local, now=SystemClock().now())
        if price is None:
            text = f"{model}: its price is not known, so every call of it is refused"
            mend = f'write [prices."{model}"] with input and output into afk.toml'
            yield Finding(level=Level.FAIL, name="prices", text=text, mend=mend)
        else:
            yield Finding(level=Level.OK, name="prices", text=f"{model} at {upstream.name}: {price.source}")


def _runner(home: Home) -> Iterator[Finding]:
    try:
        reader = Reader(home)
    except StoreError:
        return  # the database has its own finding
    try:
        vitals = reader.vitals(now=SystemClock().now())
    except StoreError as error:
        yield Finding(level=Level.FAIL, name="runner", text=f"its state cannot be read: {error}")
        return
    finally:
        reader.close()
    yield _health(vitals.runner, home)
    yield from _outdated(vitals.runner, home)
    if vitals.stop.set:
        text = f"stopped ({', '.join(vitals.stop.sources)}): {vitals.stop.reason}"
        mend = f"afk-runner resume --home {home.root}"
        yield Finding(level=Level.WARN, name="stop", text=text, mend=mend)
    yield from _cap(vitals)


def _health(view: RunnerView, home: Home) -> Finding:  # noqa: PLR0911 - one return a state
    pid = view.row.pid if view.row else "?"
    age = duration(view.heartbeat_age_ms or 0)
    start = f"afk-runner run --home {home.root}"
    match view.health:
        case Health.LIVE if view.row is not None and view.row.state is RunState.PARKED and view.row.reason != "stop":
            return Finding(level=Level.WARN, name="runner", text=f"pid {pid} is parked: {view.row.reason}")
        case Health.LIVE if view.row is not None:
            why = f" ({view.row.reason})" if view.row.reason else ""
            return Finding(level=Level.OK, name="runner", text=f"pid {pid} is {view.row.state}{why}")
        case Health.NEVER:
            return Finding(level=Level.WARN, name="runner", text="no runner was ever started here", mend=start)
        case Health.STOPPED:
            return Finding(level=Level.WARN, name="runner", text=f"none runs; pid {pid} said goodbye", mend=start)
        case Health.DEAD:
            text = f"none runs; pid {pid} went without a word {age} ago, its jobs are taken back by the next"
            return Finding(level=Level.WARN, name="runner", text=text, mend=start)
        case Health.LATE:
            return Finding(level=Level.WARN, name="runner", text=f"pid {pid} is late: last heartbeat {age} ago")
        case _:
            text = f"pid {pid} holds the lock and says nothing: it hangs or is frozen"
            return Finding(level=Level.FAIL, name="runner", text=text, mend=f"kill {pid}; kill -9 {pid} after 30 s")


def _outdated(view: RunnerView, home: Home) -> Iterator[Finding]:
    row = view.row
    if row is not None and view.health in (Health.LIVE, Health.LATE) and home.declared_at() > row.started_at:
        text = f"pid {row.pid} was started before afk.toml or tasks/*.py was changed, and knows them as they were"
        yield Finding(level=Level.WARN, name="runner", text=text, mend="restart the runner")


def _cap(vitals: Vitals) -> Iterator[Finding]:
    free = vitals.spend.free
    if free == 0 and vitals.spend.cap:
        text = f"the cap of {vitals.spend.day} is used up; jobs wait for the next day"
        yield Finding(level=Level.WARN, name="cap", text=text, mend="afk-runner spend --raise, or wait")


def _alerts(config: Config) -> Iterator[Finding]:
    if config.alert_urls:
        text = (
            f"[alerts] names {plural(len(config.alert_urls), 'address', 'addresses')}, but alerts are not delivered yet"
        )
        mend = "look at `afk-runner status` from cron, and mail what it says"
        yield Finding(level=Level.WARN, name="alerts", text=text, mend=mend)


def _disk(home: Home) -> Finding:
    free = shutil.disk_usage(home.root).free
    text = f"{free / 1_000_000:,.0f} MB free at {home.root}"
    if free < LOW_DISK_BYTES:
        return Finding(level=Level.WARN, name="disk", text=text, mend="make room; a full disk refuses every call")
    return Finding(level=Level.OK, name="disk", text=text)
