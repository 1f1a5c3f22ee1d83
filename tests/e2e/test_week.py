"""Seven days of trouble, with a night of daylight saving: every slot ran once or says why not, no cap was passed."""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from runner.commands import Door
from runner.home import Home
from runner.schedule import MISSED
from runner.snapshot import Reader
from runner.units import HOUR_MS, MINUTE_MS, UnixMs
from tests.e2e.week import HOLD, Week, rows, slots_of
from tests.factories import ManualClock

BERLIN = ZoneInfo("Europe/Berlin")
CAP = 1_500_000
SCHEDULES = {
    # name: line, zone
    "digest": ("0 6 * * *", "Europe/Berlin"),
    "triage": ("0 * * * *", "Europe/Berlin"),
    "watch": ("*/30 * * * *", "Europe/Berlin"),
    "night": ("30 2 * * *", "Europe/Berlin"),
    "books": ("0 */2 * * *", "America/New_York"),
    "tokyo": ("15 9 * * 1-5", "Asia/Tokyo"),
}
TOML = """
timezone = "Europe/Berlin"
[budget]
daily_usd = "1.50"
[retry]
base = "10s"
cap = "60s"
[breaker]
failures = 3
cooldown = "5m"
max_cooldown = "15m"
[upstreams.house]
url = "https://house.example"
[models]
"house-*" = "house"
[prices."house-model"]
input = "0"
output = "1000"
[tasks.digest]
schedule = "0 6 * * *"
[tasks.triage]
schedule = "0 * * * *"
catch_up = "none"
[tasks.watch]
schedule = "*/30 * * * *"
hours = "08:00-20:00"
[tasks.night]
schedule = "30 2 * * *"
catch_up = "all"
catch_up_limit = 3
[tasks.books]
schedule = "0 */2 * * *"
timezone = "America/New_York"
catch_up = "all"
catch_up_limit = 3
max_lateness = "6h"
[tasks.tokyo]
schedule = "15 9 * * 1-5"
timezone = "Asia/Tokyo"
max_lateness = "2h"
[tasks.bulk]
at = "{bulk}"
""".replace("]\nschedule", ']\nkind = "command"\ncommand = ["true"]\nschedule').replace(
    "]\nat", ']\nkind = "command"\ncommand = ["true"]\nat'
)


class Diary:
    """When what was wrong, by the clock on the wall."""

    def __init__(self, monday: str, week: Week) -> None:
        self._monday = datetime.fromisoformat(monday)
        self._week = week
        self.dark: list[tuple[int, int]] = []
        """Nobody could deal with slots."""
        self.busy: list[tuple[int, int]] = []
        """Jobs could not end."""
        self.paused: list[tuple[int, int]] = []

    def at(self, text: str) -> UnixMs:
        """`Tue 04:30` in Berlin, of an hour that comes twice the first."""
        day, _, clock = text.partition(" ")
        number = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "next").index(day)
        hour, minute = clock.split(":")
        wall = self._monday + timedelta(days=number, hours=int(hour), minutes=int(minute))
        return UnixMs(int(wall.replace(tzinfo=BERLIN).timestamp() * 1000))

    @contextmanager
    def while_(self, kind: list[tuple[int, int]], *, after_ms: int = 0) -> Iterator[None]:
        """Trouble of a kind from now until the end of the block, and for a while after it."""
        began = self._week.clock.now()
        yield
        kind.append((began, self._week.clock.now() + after_ms))


def within(at: int, spans: list[tuple[int, int]]) -> bool:
    return any(began <= at <= ended for began, ended in spans)


@pytest.fixture(autouse=True)
def at_home() -> Iterator[None]:
    """Put the zone of this process right again."""
    before = os.environ.get("TZ")
    yield
    if before is None:
        os.environ.pop("TZ", None)
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


# 2026-03-29 02:00 to 03:00, and 2026-10-25 03:00 back to 02:00 in Berlin, on the last night of each.
@pytest.mark.parametrize("monday", ["2026-03-23", "2026-10-19"], ids=["a night too short", "a night too long"])
async def test_a_week_of_trouble(home: Home, monday: str, monkeypatch: pytest.MonkeyPatch) -> None:
    thursday = datetime.fromisoformat(monday) + timedelta(days=3, hours=20)
    home.config.write_text(TOML.format(bulk=thursday.isoformat(timespec="minutes")))
    clock = ManualClock(int(datetime.fromisoformat(monday).replace(tzinfo=BERLIN).timestamp() * 1000))
    week = Week(home, clock, monkeypatch)
    week.tokens = lambda task: (40, 55) if task == "bulk" else (1, 5)
    diary = Diary(monday, week)
    began = clock.now()

    await live(week, diary, home, monkeypatch)

    ended = clock.now()
    check_slots(home, diary, began, ended)
    check_jobs(home, week)
    check_money(home, diary)
    check_story(home, week, diary, ended)


async def live(week: Week, diary: Diary, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The week itself."""
    at = diary.at
    await week.start()

    await week.until(at("Mon 10:10"))
    with diary.while_(diary.busy, after_ms=20 * MINUTE_MS):  # the breaker waits a quarter of an hour at most
        week.up = False
        await week.until(at("Mon 11:20"))
        week.up = True

    await week.until(at("Mon 15:20"))
    week.kill_in = "watch"
    with diary.while_(diary.dark):
        await week.until(at("Mon 15:40"))
        assert week.life is None, "killed with a call in flight"
        await week.start()

    await week.until(at("Tue 01:00"))
    with diary.while_(diary.dark):
        await week.sleep_until(at("Tue 04:40"))

    await week.until(at("Tue 12:00"))
    with diary.while_(diary.paused):
        act(home, week, lambda door: door.pause("tokyo", reason="the feed moves"))
        await week.until(at("Wed 12:00"))
        act(home, week, lambda door: door.unpause("tokyo"))

    await week.until(at("Wed 13:05"))
    with diary.while_(diary.dark), diary.while_(diary.busy):
        assert week.life is not None
        await week.life.fill_disk()
        await week.until(at("Wed 16:20"))
        week.life.empty_disk()
        await week.until(at("Wed 16:45"))

    await week.until(at("Thu 20:00"))
    with diary.while_(diary.busy):  # the cap is used up, until midnight
        await week.until(at("Fri 00:01"))

    await week.until(at("Fri 03:00"))
    await week.set_clock(-2 * HOUR_MS)
    await week.until(at("Fri 12:10"))
    with diary.while_(diary.dark):
        await week.set_clock(2 * HOUR_MS)

    await week.until(at("Sat 07:50"))
    with diary.while_(diary.dark):  # somebody travels with it, and the machine's own zone is another one after that
        await week.kill()
        await week.until(at("Sat 17:45"))
        travelled(monkeypatch, "Asia/Tokyo")
        await week.start()

    await week.until(at("Sun 01:15"))
    with diary.while_(diary.dark):
        await week.kill()
        await week.start()
    await week.until(at("next 03:10"))
    await week.kill()


def travelled(monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    """The machine is in another zone."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()


def act(home: Home, week: Week, what: object) -> None:
    """What a person does from another process."""
    door = Door(home, clock=week.clock, by="ada")
    try:
        what(door)  # type: ignore[operator]
    finally:
        door.close()


# --- what must be true of it ------------------------------------------------------------------------------------------


def check_slots(home: Home, diary: Diary, began: UnixMs, ended: UnixMs) -> None:
    """Each due time of each schedule is one row: a job, or a reason that was true then."""
    jobs = {key for (key,) in rows(home, "SELECT key FROM jobs")}
    fired = skipped = 0
    for name, (line, zone) in SCHEDULES.items():
        found = {
            at: (key, why)
            for at, key, why in rows(home, "SELECT due_at, job_key, skipped FROM slots WHERE schedule = ?", name)
        }
        assert sorted(found) == slots_of(line, zone, after=began, until=ended), name
        for at, (key, why) in found.items():
            where = f"{name} {datetime.fromtimestamp(at / 1000, BERLIN):%a %H:%M}: {why}"
            if key is not None:
                fired += 1
                assert key in jobs, where
                continue
            skipped += 1
            if why.startswith("outside its running hours"):
                assert not 8 <= datetime.fromtimestamp(at / 1000, BERLIN).hour < 20, where
            elif why.startswith("paused by ada: the feed moves"):
                assert within(at, diary.paused), where
            elif why.startswith((MISSED, "missed by ")):
                assert within(at, diary.dark), where
            else:
                assert why.startswith("the job of an earlier slot"), where
                assert within(at, diary.busy), where
    held = [why for (why,) in rows(home, "SELECT skipped FROM slots WHERE skipped IS NOT NULL")]
    for words in (
        "; the latest one is run instead",
        "catch_up_limit is 3",
        'catch_up is "none"',
        "max_lateness is",
        "is still pending",
        "paused by",
    ):
        assert any(words in why for why in held), words
    assert fired > 250, "most of it"
    assert rows(home, "SELECT count(*) FROM jobs") == [(fired + 1,)], "and the one of bulk"


def check_jobs(home: Home, week: Week) -> None:
    """All work is done, each once, and the only attempts that counted beside it are those the vendor failed."""
    for key, status, attempts in rows(home, "SELECT key, status, attempts FROM jobs"):
        done = status == "done"
        assert done or (status == "dead" and attempts == 4), (key, status)
        assert attempts == week.failed[key] + done, (key, attempts)
    twice = "SELECT job_id FROM attempts WHERE outcome = 'done' GROUP BY job_id HAVING count(*) > 1"
    assert rows(home, twice) == []
    assert week.refused["cap:day"] > 0
    assert any(gate.startswith("breaker:") for gate in week.refused)


def check_money(home: Home, diary: Diary) -> None:
    """No day of the cap's zone cost more than its cap, by every row; one day used it up, and it lifted at midnight."""
    days: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for held_at, counted in rows(home, "SELECT held_at, counted FROM charges ORDER BY id"):
        days[f"{datetime.fromtimestamp(held_at / 1000, BERLIN):%a}"].append((held_at, counted))
    assert max(sum(counted for _, counted in calls) for calls in days.values()) <= CAP
    thursday, friday = days["Thu"], days["Fri"]
    assert sum(counted for _, counted in thursday) > CAP - HOLD
    assert thursday[-1][0] == diary.at("Thu 20:00"), "from then on nothing was let through"
    assert friday[0][0] == diary.at("Fri 00:00")
    assert rows(home, "SELECT count(*) FROM charges WHERE state = 'held' AND note IS NULL") == [(0,)]


def check_story(home: Home, week: Week, diary: Diary, ended: UnixMs) -> None:
    """Incidents and report tell what happened, how often, and nothing that did not."""
    reader = Reader(home)
    report = reader.report(days=8, now=ended)
    incidents = {one.subject: one for one in reader.incidents()}
    reader.close()

    overdue = {subject for subject in incidents if subject.startswith("schedule:")}
    assert overdue == {f"schedule:{name}" for name in ("triage", "watch", "books")}, "the disk was full"
    assert incidents.keys() - overdue == {
        *("breaker:house/house-model", "dead:watch", "cap:day", "orphans", "heartbeat", "clock")
    }
    over = {subject for subject, one in incidents.items() if one.settled_at is not None}
    assert incidents.keys() - over == {"dead:watch", "orphans"}, "what waits for a person"
    assert all(diary.at("Wed 13:05") < incidents[one].opened_at < diary.at("Wed 16:20") for one in overdue)
    assert incidents["cap:day"].opened_at > diary.at("Thu 20:00") - 1
    assert incidents["breaker:house/house-model"].opened_at > diary.at("Mon 10:10") - 1
    assert (incidents["breaker:house/house-model"].settled_at or 0) > diary.at("Mon 11:20")
    assert incidents["orphans"].opened_at == diary.at("Mon 15:40")

    assert [report.number(word) for word in ("runner.start", "runner.lost", "hold.orphan", "job.rescued")] == [
        4,
        3,
        1,
        1,
    ]
    assert [report.number(word) for word in ("clock.jump", "task.pause", "breaker.closed")] == [3, 1, 1]
    jumps = [event.text for event in report.story if event.event == "clock.jump"]
    assert jumps == ["the clock was set forward by 2h", "the clock was set back by 2h", "the machine slept for 3h 40m"]

    done = Counter(task for (task,) in rows(home, "SELECT task FROM jobs WHERE status = 'done'"))
    assert {row.task: row.done for row in report.tasks} == done
    assert (
        sum(row.dead for row in report.tasks)
        == rows(home, "SELECT count(*) FROM jobs WHERE status = 'dead'")[0][0]
        == 1
    )
    assert report.number("job.retry") + 1 == sum(week.failed.values()), "the last one is a death"
    cost = Counter[str]()
    for held_at, counted in rows(home, "SELECT held_at, counted FROM charges"):
        cost[f"{datetime.fromtimestamp(held_at / 1000, BERLIN):%Y-%m-%d}"] += counted
    assert {day.day: day.cost for day in report.days} == cost
    skipped = Counter(name for (name,) in rows(home, "SELECT schedule FROM slots WHERE skipped IS NOT NULL"))
    assert sum((Counter({row.schedule: row.slots}) for row in report.skipped), Counter[str]()) == skipped
