"""Money and time, at the edges where they usually go wrong."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runner.units import (
    DAY_MS,
    HOUR_MS,
    MAX_DURATION_MS,
    MAX_USD,
    MINUTE_MS,
    UnixMs,
    day_of,
    duration,
    iso,
    local,
    midnight_after,
    parse_duration,
    parse_time,
    parse_usd,
    start_of_day,
    usd,
)

CAIRO = ZoneInfo("Africa/Cairo")  # clocks go from 00:00 to 01:00 in spring, from 24:00 to 23:00 in autumn
HAVANA = ZoneInfo("America/Havana")  # clocks go from 00:00 to 01:00 in spring, from 01:00 to 00:00 in autumn
ST_JOHNS = ZoneInfo("America/St_Johns")  # until 2011 from 00:01 to 23:01: a day that begins twice
APIA = ZoneInfo("Pacific/Apia")  # had no 30 December 2011

AWKWARD_ZONES = [CAIRO, HAVANA, ST_JOHNS, *map(ZoneInfo, ["Asia/Kathmandu", "Australia/Lord_Howe", "UTC"])]
INSTANTS = st.integers(946_684_800_000, 4_102_444_800_000)  # 2000 to 2100


def utc(*parts: int) -> UnixMs:
    return UnixMs(int(datetime(*parts, tzinfo=UTC).timestamp()) * 1000)  # type: ignore[misc, arg-type]


@given(st.integers(0, MAX_USD))
def test_every_amount_of_dollars_is_read_exactly(micro: int) -> None:
    """No amount up to the limit loses a micro-dollar between its text and its number."""
    assert parse_usd(f"{micro // 1_000_000}.{micro % 1_000_000:06d}") == micro


@pytest.mark.parametrize(("text", "micro"), [("0", 0), ("0.1", 100_000), ("1.00", 1_000_000), ("0.000001", 1)])
def test_dollars_become_micro_dollars(text: str, micro: int) -> None:
    """Whole and broken amounts are counted in millionths."""
    assert parse_usd(text) == micro


@pytest.mark.parametrize(
    "text",
    ["", "-1", "+1", "1.", ".5", "1e3", "1,00", "1_000", " 1", "1\n", "$1", "NaN", "0.0000001", "1000000.01", "١"],
)
def test_what_is_not_plainly_dollars_is_refused(text: str) -> None:
    """Signs, exponents, separators, a seventh decimal, other scripts' digits and more than a million raise."""
    with pytest.raises(ValueError, match="dollars"):
        parse_usd(text)


@pytest.mark.parametrize(
    ("micro", "words"),
    [
        (0, "$0.00"),
        (1, "$0.000001"),
        (99, "$0.000099"),
        (100, "$0.0001"),
        (9_999, "$0.0100"),
        (10_000, "$0.01"),
        (1_234_567_890, "$1,234.57"),
        (999_999, "$1.00"),
        (-250_000, "-$0.25"),
        (-1, "-$0.000001"),
    ],
)
def test_dollars_for_eyes(micro: int, words: str) -> None:
    """Amounts are rounded to cents, and smaller ones keep the decimals that tell them from nothing."""
    assert usd(micro) == words


@given(st.integers(-MAX_USD, MAX_USD), st.integers(2, 6))
def test_dollars_for_eyes_are_never_off_by_more_than_half_of_their_last_decimal(micro: int, places: int) -> None:
    """What is shown is the nearest amount that can be shown, with at least the places asked for."""
    shown = usd(micro, places=places).replace("$", "").replace(",", "")
    decimals = len(shown.partition(".")[2])

    assert decimals >= places
    assert abs(Decimal(shown) * 1_000_000 - micro) <= Decimal(10) ** (6 - decimals) / 2
    assert not micro or Decimal(shown) != 0


@pytest.mark.parametrize(
    ("text", "ms"),
    [("0s", 0), ("250ms", 250), ("90s", 90_000), ("5m", 300_000), ("1h30m", 5_400_000), ("2d", 2 * DAY_MS)],
)
def test_durations_are_read(text: str, ms: int) -> None:
    """Every unit counts, alone and together."""
    assert parse_duration(text) == ms


@pytest.mark.parametrize("text", ["", "5", "5 m", "-5m", "5M", "1.5h", "m", "5m ", "5m\n", "٥m", "999999999d"])
def test_what_is_not_plainly_a_duration_is_refused(text: str) -> None:
    """A missing unit, a sign, a fraction, spaces, other scripts' digits and more than a century raise."""
    with pytest.raises(ValueError, match=r"duration|hundred years"):
        parse_duration(text)


def test_a_refused_text_is_not_repeated_at_length() -> None:
    """A megabyte in the wrong place does not become a megabyte of error."""
    for parse in (parse_usd, parse_duration, lambda text: parse_time(text, CAIRO)):
        with pytest.raises(ValueError, match="x") as caught:
            parse("x" * 1_000_000)
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (-5, "0ms"),
        (999, "999ms"),
        (40_999, "40s"),
        (HOUR_MS, "1h"),
        (HOUR_MS + 59_000, "1h"),
        (3 * HOUR_MS + 5 * MINUTE_MS, "3h 5m"),
        (2 * DAY_MS + HOUR_MS, "2d 1h"),
    ],
)
def test_a_span_is_said_in_two_units_at_most(ms: int, words: str) -> None:
    """What is smaller than the two largest units is left unsaid."""
    assert duration(ms) == words


@given(st.integers(0, MAX_DURATION_MS))
def test_a_said_span_is_a_span_again(ms: int) -> None:
    """The words for a span can be read back and never promise more than there is."""
    assert 0 <= parse_duration(duration(ms).replace(" ", "")) <= ms


def test_an_instant_is_written_in_utc_with_milliseconds() -> None:
    """JSON carries one form of time; before 1970 as well, and nothing where there is no such date."""
    assert iso(utc(2027, 1, 1, 6) + 7) == "2027-01-01T06:00:00.007Z"
    assert iso(-1) == "1969-12-31T23:59:59.999Z"
    assert iso(None) is None
    assert iso(10**18) is None


@given(INSTANTS)
@example(1_001)
def test_a_written_instant_reads_as_the_same_millisecond(at: int) -> None:
    """Writing and reading lose nothing; a float on the way would."""
    text = iso(at)
    assert text is not None
    assert parse_time(text, CAIRO) == at


def test_a_time_without_an_offset_is_of_the_zone() -> None:
    """`2027-01-01T06:00` is six in Cairo; with an offset the zone has no say."""
    assert parse_time("2027-01-01T06:00", CAIRO) == utc(2027, 1, 1, 4)
    assert parse_time("2027-01-01T06:00-05:00", CAIRO) == utc(2027, 1, 1, 11)


@pytest.mark.parametrize("text", ["", "tomorrow", "06:00", "2027-13-01", "2027-01-01T25:00"])
def test_what_is_not_a_time_is_refused(text: str) -> None:
    """A word, a time of day alone and a date that does not exist raise."""
    with pytest.raises(ValueError, match="is not a time"):
        parse_time(text, CAIRO)


def test_a_day_whose_midnight_is_skipped_begins_after_the_gap() -> None:
    """In Cairo 26 April 2024 begins at 01:00, in Havana 10 March 2024 as well; each lasts 23 hours."""
    for zone, day in ((CAIRO, date(2024, 4, 26)), (HAVANA, date(2024, 3, 10))):
        start = start_of_day(day, zone)

        assert local(start, zone).isoformat()[:19] == f"{day}T01:00:00"
        assert day_of(start - 1, zone) == (day - timedelta(days=1)).isoformat()
        assert midnight_after(start, zone) - start == 23 * HOUR_MS


def test_a_day_whose_midnight_comes_twice_begins_with_the_first() -> None:
    """In Havana 3 November 2024 has 25 hours, both its midnights belong to it, and its cap lifts once."""
    start = start_of_day(date(2024, 11, 3), HAVANA)
    second = start + HOUR_MS

    assert start == utc(2024, 11, 3, 4)
    assert local(second, HAVANA).isoformat()[:19] == "2024-11-03T00:00:00"
    assert midnight_after(start - 1, HAVANA) == start
    assert midnight_after(start, HAVANA) == midnight_after(second, HAVANA) == start + 25 * HOUR_MS


def test_a_day_whose_last_hour_comes_twice_ends_with_the_second() -> None:
    """In Cairo 31 October 2024 lives through 23:00 twice; both belong to it."""
    start = start_of_day(date(2024, 10, 31), CAIRO)

    assert midnight_after(start, CAIRO) == start + 25 * HOUR_MS
    assert day_of(start + 25 * HOUR_MS - 1, CAIRO) == "2024-10-31"


def test_a_day_that_never_was_takes_no_time() -> None:
    """Samoa went from 29 to 31 December 2011: the midnight after the one is the start of the other."""
    evening = parse_time("2011-12-29T23:00", APIA)

    assert midnight_after(evening, APIA) == start_of_day(date(2011, 12, 31), APIA) == evening + HOUR_MS


@given(INSTANTS, st.sampled_from(AWKWARD_ZONES))
@example(utc(2010, 11, 7, 3, 0), ST_JOHNS)
def test_the_next_midnight_is_ahead_and_within_a_day(at: UnixMs, zone: ZoneInfo) -> None:
    """A cap always lifts later than now, in at most 25 hours, and at the change of the calendar day."""
    midnight = midnight_after(at, zone)

    assert at < midnight <= at + 25 * HOUR_MS
    assert day_of(midnight, zone) > day_of(at, zone)
    assert day_of(midnight - 1, zone) < day_of(midnight, zone)


@given(st.dates(date(2000, 1, 1), date(2099, 12, 31)), st.sampled_from(AWKWARD_ZONES))
def test_a_day_starts_with_its_first_instant(day: date, zone: ZoneInfo) -> None:
    """The millisecond of the start is of the day, the one before is not."""
    start = start_of_day(day, zone)

    assert day_of(start, zone) == day.isoformat()
    assert day_of(start - 1, zone) < day.isoformat()


def test_a_sum_beyond_all_sums_is_called_too_large() -> None:
    with pytest.raises(ValueError, match="is too large"):
        parse_usd("99999999999999999999")
