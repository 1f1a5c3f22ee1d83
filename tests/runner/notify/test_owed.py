"""What an address does not know yet: each edge once, its end once, and a storm as one alert with a count."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from runner import telling
from runner.notify import owed
from runner.notify.messages import MOST_APART, Message, compose
from runner.notify.owed import FLIPS, GAPS_MS, plan, undelivered_key
from runner.store import addresses, alerts, tellings
from runner.units import DAY_MS, MINUTE_MS, UnixMs
from tests.factories import NOW, ManualClock

ONE, TWO = "json://one", "json://two"


class Teller:
    """Does what the deliverer does, with addresses that take everything."""

    def __init__(self, db: sqlite3.Connection, clock: ManualClock, *names: str) -> None:
        self.db, self.clock, self.names = db, clock, names
        self.said: dict[str, list[Message]] = {name: [] for name in names}

    def look(self) -> int | None:
        """Tell everything that is due; when to look again."""
        found = plan(self.db, self.names, now=self.clock.now())
        for name, due in found.due.items():
            for message in compose(due, host="web1", home=Path("/srv/afk"), redact=lambda text: text):
                self.said[name].append(message)
                for alert in message.of:
                    over = alert.closed_at is not None
                    tellings.note(
                        self.db, alert.id, name, edge=alert.edge, times=alert.times, over=over, now=self.clock.now()
                    )
        if found.due:
            return self.look()
        return found.again_at

    def lines(self, name: str = ONE) -> list[str]:
        """Title without the host, and first line, of what was said since the last time."""
        said, self.said[name] = self.said[name], []
        return [f"{one.title.removeprefix('web1: ')} | {one.body.splitlines()[0]}" for one in said]


@pytest.fixture
def teller(db: sqlite3.Connection, clock: ManualClock) -> Teller:
    return Teller(db, clock, ONE)


def tell(teller: Teller, key: str = "breaker:x", text: str = "x is open", **more: bool) -> bool:
    return telling.tell(teller.db, key=key, level="warn", text=text, now=teller.clock.now(), **more)


def settle(teller: Teller, key: str = "breaker:x", text: str | None = None, *, quiet: bool = False) -> bool:
    return telling.settled(teller.db, key=key, text=text, now=teller.clock.now(), quiet=quiet)


def owes(teller: Teller) -> tuple[int, int]:
    """What is undelivered, and whether anything is looked at any more."""
    return alerts.counts(teller.db)[0], len(alerts.owed(teller.db, limit=1))


def test_an_edge_is_told_once_and_its_end_once(teller: Teller) -> None:
    assert tell(teller)
    assert owes(teller) == (1, 1)
    teller.look()
    assert not tell(teller)
    teller.look()
    assert teller.lines() == ["breaker:x | x is open"]
    assert owes(teller) == (0, 0)

    teller.clock.advance(MINUTE_MS)
    settle(teller, text="x answers again")
    settle(teller, text="x answers again")
    teller.look()

    assert teller.lines() == ["breaker:x is over | x answers again"]
    assert owes(teller) == (0, 0)


def test_what_was_over_before_anybody_could_be_told_is_one_message(teller: Teller) -> None:
    tell(teller)
    settle(teller, text="x answers again")
    teller.look()

    (message,) = teller.said[ONE]
    assert message.title == "web1: breaker:x is over"
    assert message.body.splitlines()[:2] == ["x is open", "it is over since 2030-03-17T17:46:40Z: x answers again"]
    assert owes(teller) == (0, 0)


@pytest.mark.parametrize("told_first", [True, False])
def test_what_a_person_closed_or_time_ended_is_told_and_its_end_is_not(teller: Teller, told_first: bool) -> None:
    tell(teller, "orphans:r")
    telling.tell(
        teller.db, key="cap:day:d:80", level="warn", text="80 %", now=teller.clock.now(), lapses_at=UnixMs(NOW + 1)
    )
    if told_first:
        teller.look()
    settle(teller, "orphans:r", quiet=True)
    alerts.lapse(teller.db, now=UnixMs(NOW + 1))
    teller.look()

    assert teller.lines() == ["orphans:r | x is open", "cap:day:d:80 | 80 %"]
    assert owes(teller) == (0, 0)


def test_a_storm_is_one_alert_with_a_count(teller: Teller) -> None:
    """Two hundred dead letters in a day: told at once, and then in bundles with growing gaps."""
    for number in range(200):
        telling.dead(teller.db, task="t", job=f"t-{number}", error="no", now=teller.clock.now())
        teller.look()
        teller.clock.advance(DAY_MS // 200)
    lines = teller.lines()

    assert lines[0].startswith("dead:t | task t: job t-0 is a dead letter: no;")
    assert lines[1].startswith("dead:t | 1 more since ")
    assert ", 2 in all since 2030-03-17T17:46:40Z; the last: task t: job t-1 is a dead letter" in lines[1]
    assert len(lines) == 5  # after 5 m, 30 m, 2 h and 12 h
    counted = sum(int(line.partition("| ")[2].split()[0]) for line in lines[1:])
    assert counted + 1 <= 200
    assert teller.db.execute("SELECT times FROM alerts").fetchall() == [(200,)]
    teller.clock.advance(DAY_MS)
    teller.look()
    (last,) = teller.lines()
    assert f"| {200 - counted - 1} more since" in last
    assert owes(teller) == (0, 0)


def test_the_rest_of_a_storm_is_told_when_its_gap_is_over(teller: Teller) -> None:
    for _ in range(3):
        tell(teller, counted=True)
        again_at = teller.look()
    assert len(teller.lines()) == 1
    assert again_at == NOW + GAPS_MS[0]
    assert owes(teller) == (0, 1)  # everybody knows of it, if not how often

    teller.clock.advance(GAPS_MS[0] - 1)
    teller.look()
    assert teller.lines() == []
    teller.clock.advance(1)
    teller.look()
    assert [line.partition("| ")[2].split()[0] for line in teller.lines()] == ["2"]


def test_what_flaps_is_told_at_once_at_first_and_then_in_bundles(teller: Teller) -> None:
    for _ in range(30):
        tell(teller)
        teller.look()
        teller.clock.advance(2 * MINUTE_MS)
        settle(teller)
        teller.look()
        teller.clock.advance(2 * MINUTE_MS)
    lines = teller.lines()

    assert len(lines) == FLIPS + 3  # in two hours
    assert [" is over |" in line for line in lines[:FLIPS]] == [False, True, False, True]
    assert teller.db.execute("SELECT edge, times FROM alerts").fetchall() == [(1, 30)]
    teller.clock.advance(DAY_MS)
    teller.look()
    assert " is over |" in teller.lines()[-1]
    assert owes(teller) == (0, 0)


def test_after_a_calm_it_is_news_again(teller: Teller) -> None:
    for _ in range(3):
        assert tell(teller)
        teller.look()
        settle(teller)
        teller.look()
        teller.clock.advance(alerts.FOLD_MS)

    assert [" is over |" in line for line in teller.lines()] == [False, True] * 3
    assert teller.db.execute("SELECT edge, times FROM alerts").fetchall() == [(3, 1)]


def test_an_edge_nobody_could_be_told_of_is_not_lost_in_the_next_one(teller: Teller) -> None:
    tell(teller, text="first")
    settle(teller)
    teller.clock.advance(DAY_MS)
    tell(teller, text="second")
    teller.look()

    (message,) = teller.said[ONE]
    assert "2 times since 2030-03-17T17:46:40Z" in message.body


def test_more_than_a_few_at_once_are_one_message_that_lists_them(teller: Teller) -> None:
    for number in range(MOST_APART + 50):
        tell(teller, f"breaker:{number}", f"{number} is open")
    settle(teller, "breaker:3")
    teller.look()

    (message,) = teller.said[ONE]
    assert message.title == "web1: 60 alerts"
    assert "warn over: 3 is open" in message.body
    assert "and 20 more; `afk-runner alerts --all` lists them" in message.body
    assert owes(teller) == (0, 0)


def test_each_address_is_told_by_itself(db: sqlite3.Connection, clock: ManualClock) -> None:
    """One that fails rests, holds back nobody, and is told all of it later."""
    teller = Teller(db, clock, ONE, TWO)
    addresses.failed(db, TWO, error="down", now=clock.now())
    tell(teller)
    again_at = teller.look()
    assert teller.lines(ONE) == ["breaker:x | x is open"]
    assert teller.lines(TWO) == []
    assert owes(teller) == (1, 1)
    assert again_at == addresses.get(db, TWO).next_at

    settle(teller, text="x answers again")
    teller.look()
    assert teller.lines(ONE) == ["breaker:x is over | x answers again"]
    clock.advance(addresses.FIRST_GAP_MS)
    teller.look()

    assert teller.lines(TWO) == ["breaker:x is over | x is open"]
    assert owes(teller) == (0, 0)


def test_gaps_grow_and_a_message_that_is_taken_ends_them(db: sqlite3.Connection) -> None:
    gaps = []
    for _ in range(9):
        stands = addresses.failed(db, ONE, error="down", now=UnixMs(NOW))
        gaps.append((stands.next_at or 0) - NOW)
    assert gaps == [5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 320_000, 600_000, 600_000]
    assert addresses.get(db, ONE).rests(UnixMs(NOW + 599_999))
    assert not addresses.get(db, ONE).rests(UnixMs(NOW + 600_000))
    assert not addresses.get(db, ONE).rests(UnixMs(NOW - DAY_MS)), "a clock that was set back is no reason to wait"

    addresses.took(db, ONE, now=UnixMs(NOW))

    assert (addresses.get(db, ONE).failures, addresses.get(db, ONE).last_error) == (0, None)


def test_without_an_address_only_what_holds_waits_for_one(teller: Teller) -> None:
    teller.names = ()
    tell(teller, "breaker:x")
    tell(teller, "breaker:y")
    settle(teller, "breaker:x")
    teller.look()

    assert owes(teller) == (1, 1)
    teller.names = (ONE,)
    teller.look()
    assert teller.lines() == ["breaker:y | x is open"]


def test_an_address_is_not_told_of_its_own_failure(db: sqlite3.Connection, clock: ManualClock) -> None:
    teller = Teller(db, clock, ONE, TWO)
    tell(teller, undelivered_key(TWO), "two takes none")
    teller.look()

    assert len(teller.lines(ONE)) == 1
    assert teller.lines(TWO) == []
    assert owes(teller) == (0, 0)


def test_what_moved_on_while_it_was_told_is_owed_still(teller: Teller) -> None:
    tell(teller)
    read = alerts.by_key(teller.db, "breaker:x")
    assert read is not None
    settle(teller)

    alerts.known(teller.db, read)

    assert alerts.owed(teller.db, limit=1)


def test_what_is_new_is_not_hidden_by_what_an_address_missed_for_long(
    db: sqlite3.Connection, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owed, "MOST", 3)
    teller = Teller(db, clock, ONE, TWO)
    addresses.failed(db, TWO, error="down", now=clock.now())
    for number in range(5):
        tell(teller, f"breaker:{number}")
        teller.look()

    assert len(teller.lines(ONE)) == 5


def test_words_of_others_call_nobody_and_stay_on_their_line(teller: Teller) -> None:
    hostile = "boom @everyone <!channel> <@U1>\n\x1b]0;title\x07" + "x" * 5_000
    tell(teller, text=hostile)
    teller.look()

    (message,) = teller.said[ONE]
    assert "@everyone" not in message.body
    assert "<!channel" not in message.body
    assert "\x1b" not in message.body
    assert len(message.body.splitlines()) == 2
    assert len(message.body) < 1_200


def test_what_is_long_over_and_known_goes_and_nothing_else(teller: Teller) -> None:
    for key in ("known", "unknown", "holds"):
        tell(teller, key)
        if key != "unknown":
            teller.look()
        if key != "holds":
            settle(teller, key, quiet=True)
        if key == "known":
            teller.look()
    teller.db.execute("UPDATE alerts SET owed = 1 WHERE key = 'unknown'")

    alerts.prune(teller.db, now=UnixMs(NOW + alerts.KEEP_MS + 1))

    assert [key for (key,) in teller.db.execute("SELECT key FROM alerts ORDER BY key")] == ["holds", "unknown"]
