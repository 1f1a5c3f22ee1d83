"""Prices are those of the exact id, whole numbers all the way, and never free by accident."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.config import PriceConfig
from runner.gate.prices import PriceList
from runner.gate.rates import FREE, Price, Rate, cost, dearest
from runner.gate.usage import Part, Tokens, Usage
from runner.price_age import ListDate, list_date
from runner.units import UnixMs

NOW = UnixMs(1_795_132_800_000)  # 2026-11-20
MILLION = 1_000_000
PINNED = Path(__file__).parents[3] / "requirements.txt"

# USD per million tokens: in, out, cache read, 5 minute write, 1 hour write.
# Source, beside the price list itself: the vendor's page platform.claude.com/docs/en/about-claude/pricing and, for the
# 5.5 models, its pages about each model, as they stood in November 2026; of the two 5.2 models spend.md § 2.
VENDOR = {
    "claude-fable-5": (10, 50, 1, 12.5, 20),
    "claude-fable-5-1": (10, 50, 0.25, 12.5, 20),
    "claude-fable-5-2": (8, 40, 0.2, 10, 16),
    "claude-mythos-5-2": (8, 40, 0.2, 10, 16),
    "claude-opus-5-5": (4, 20, 0.2, 5, 8),
    "claude-opus-5": (5, 25, 0.5, 6.25, 10),
    "claude-opus-4-8": (5, 25, 0.5, 6.25, 10),
    "claude-opus-4-7": (5, 25, 0.5, 6.25, 10),
    "claude-opus-4-6": (5, 25, 0.5, 6.25, 10),
    "claude-opus-4-5": (5, 25, 0.5, 6.25, 10),
    "claude-sonnet-5-5": (2, 10, 0.1, 2.5, 4),
    "claude-sonnet-5": (2, 10, 0.2, 2.5, 4),
    "claude-sonnet-4-6": (3, 15, 0.3, 3.75, 6),
    "claude-sonnet-4-5": (3, 15, 0.3, 3.75, 6),
    "claude-haiku-4-5": (1, 5, 0.1, 1.25, 2),
    "claude-haiku-5-5": (0.1, 0.5, 0.01, 0.125, 0.2),
}


@pytest.fixture
def prices() -> PriceList:
    return PriceList({})


def make_price(**rates: int) -> Price:
    changed: dict[str, Any] = {name: Rate(rate) for name, rate in rates.items()}
    return replace(FREE, **changed)


def in_dollars(price: Price, *, prompt: int) -> tuple[float, ...]:
    rates = (price.input, price.output, price.cache_read, price.cache_write_5m, price.cache_write_1h)
    return tuple(rate.at(prompt) / MILLION for rate in rates)


@pytest.mark.parametrize("dated", ["", "-20251001"])
@pytest.mark.parametrize("model", VENDOR)
def test_no_source_is_dearer_than_our_price(prices: PriceList, model: str, dated: str) -> None:
    price = prices.lookup(model + dated, local=False, now=NOW)

    assert price is not None
    ours, theirs = in_dollars(price, prompt=1_000), VENDOR[model]
    assert all(own >= other for own, other in zip(ours, theirs, strict=True))
    assert ours == pytest.approx(theirs)  # dearer is safe, and a sign that one of the two is out of date
    assert price.context in (200_000, MILLION)


# USD per million tokens in and out at `speed: "fast"`. Source: the vendor's page on fast mode, and spend.md § 2.
FAST = {
    "claude-opus-4-8": (10, 50),
    "claude-opus-5": (10, 50),
    "claude-opus-5-5": (8, 40),
    "claude-fable-5-2": (16, 80),
    "claude-mythos-5-2": (16, 80),
}


@pytest.mark.parametrize("model", VENDOR)
def test_fast_answers_cost_double_where_there_are_any(prices: PriceList, model: str) -> None:
    price = prices.lookup(model, local=False, now=NOW)

    assert price is not None
    if model not in FAST:
        assert price.fast is None
        return
    assert price.fast is not None
    assert in_dollars(price.fast, prompt=1_000) == pytest.approx([2 * rate for rate in VENDOR[model]])
    assert in_dollars(price.fast, prompt=1_000)[:2] == FAST[model]
    assert price.fast.context == price.context


def test_a_search_of_the_vendor_costs_a_cent(prices: PriceList) -> None:
    for model in VENDOR:
        price = prices.lookup(model, local=False, now=NOW)
        assert price is not None
        assert price.web_search == 10_000 * MILLION
    assert FREE.web_search == 0


def test_models_of_the_sdk_that_the_list_lacks_have_no_price(prices: PriceList) -> None:
    """They resemble others by name, which must not price them."""
    from anthropic.types.model import Model

    named = [name for each in get_args(Model) for name in get_args(each)]

    assert {name for name in named if prices.lookup(name, local=False, now=NOW) is None} == {
        "claude-mythos-5",
        "claude-mythos-5-1",
        "claude-mythos-preview",
    }


def test_a_long_prompt_pays_the_dearer_rate_for_every_token(prices: PriceList) -> None:
    """The tier is a cliff over the whole request, output too. Source: price comment of genai-prices on Haiku 5.5."""
    price = prices.lookup("claude-haiku-5-5", local=False, now=NOW)
    assert price is not None

    assert in_dollars(price, prompt=100_000) == pytest.approx((0.1, 0.5, 0.01, 0.125, 0.2))
    assert in_dollars(price, prompt=100_001) == pytest.approx((0.5, 2.5, 0.05, 0.625, 1.0))
    usage = Usage(model="m", input=1, output=1_000, cache_read=100_000)
    assert cost(price, usage) == -(-(1 * 500_000 + 1_000 * 2_500_000 + 100_000 * 50_000) // MILLION)


@pytest.mark.parametrize(
    "model",
    [
        "claude-opus-4-6-fast",
        "claude-opus-4-6-fast-20260201",
        "claude-haiku-4-5-20251001-20251001",
        "claude-haiku-4-5 ",
        "-20251001",
        "claude-opus-4-6-2026020",
        "claude-opus-4-6-20260201-x",
        "claude-haiku-4-5-20251001\n",
        "CLAUDE-HAIKU-4-5",
        "claude-mythos-5",
        "claude",
        "",
        "house-model",
        "qwen3:8b",
        "mai-ds-r1:free",
    ],
)
def test_an_id_that_is_not_listed_has_no_price(prices: PriceList, model: str) -> None:
    """Never by prefix, never free: also not what is listed without a price."""
    assert prices.lookup(model, local=False, now=NOW) is None


def test_other_exact_names_of_an_entry_count(prices: PriceList) -> None:
    price = prices.lookup("claude-sonnet-4-20250514", local=False, now=NOW)

    assert price is not None
    assert in_dollars(price, prompt=1_000)[:2] == (3, 15)


def test_a_maker_goes_before_resellers_and_of_resellers_the_dearest_holds(prices: PriceList) -> None:
    resold = prices.lookup("openai/gpt-oss-120b", local=False, now=NOW)

    assert resold is not None
    assert "dearest of" in resold.source
    own = prices.lookup("gpt-5", local=False, now=NOW)
    assert own is not None
    assert in_dollars(own, prompt=1_000)[:3] == (1.25, 10, 0.125)


def test_without_a_date_the_dearest_terms_of_any_time_hold(prices: PriceList) -> None:
    """Opus 4.6 once charged double above 200k; with a date that is history."""
    ever = prices.lookup("claude-opus-4-6", local=False)
    today = prices.lookup("claude-opus-4-6", local=False, now=NOW)
    before = prices.lookup("claude-opus-4-6", local=False, now=UnixMs(1_770_000_000_000))  # 2026-02-02

    assert ever is not None
    assert today is not None
    assert before is not None
    assert [price.input.at(300_000) for price in (ever, today, before)] == [10_000_000, 5_000_000, 10_000_000]


def test_local_models_and_the_built_in_one_cost_nothing(prices: PriceList) -> None:
    assert prices.lookup("qwen3:8b", local=True) is FREE
    assert prices.lookup("offline/extract", local=False) is FREE
    assert FREE.free
    assert cost(FREE, Usage(model="m", input=9, output=9, us_only=True)) == 0


def test_the_owners_price_goes_before_everything() -> None:
    owner = PriceConfig(input=Decimal("0.15"), output=Decimal("0.60"))
    prices = PriceList({"claude-haiku-4-5": owner, "qwen3:8b": owner, "house-model": owner})

    for model, local in (("claude-haiku-4-5", False), ("qwen3:8b", True), ("house-model", False)):
        price = prices.lookup(model, local=local)
        assert price is not None
        assert in_dollars(price, prompt=1) == pytest.approx((0.15, 0.6, 0.15, 0.1875, 0.3))
        assert not price.free
        assert price.source == "afk.toml"


def test_the_owner_may_state_all_of_it_or_leave_the_window_to_the_list() -> None:
    stated = PriceConfig(
        input=Decimal(1),
        output=Decimal(2),
        cache_read=Decimal("0.05"),
        cache_write=Decimal(3),
        cache_write_1h=Decimal(4),
        context=32_000,
    )
    prices = PriceList({"m": stated, "claude-haiku-4-5": PriceConfig(input=Decimal(1), output=Decimal(2))})

    price, listed = prices.lookup("m", local=False), prices.lookup("claude-haiku-4-5", local=False)

    assert price is not None
    assert in_dollars(price, prompt=1) == (1, 2, 0.05, 3, 4)
    assert price.context == 32_000
    assert listed is not None
    assert listed.context == 200_000


def test_a_cost_is_rounded_up_once() -> None:
    """Five classes of a third of a micro-dollar are two, not five."""
    price = make_price(**dict.fromkeys(("input", "output", "cache_read", "cache_write_5m", "cache_write_1h"), 333_334))
    usage = Usage(model="m", input=1, output=1, cache_read=1, cache_write_5m=1, cache_write_1h=1)

    assert cost(price, usage) == 2


def test_a_pinned_region_costs_a_tenth_more() -> None:
    price = make_price(input=MILLION)

    assert cost(price, Usage(model="m", input=100, output=0)) == 100
    assert cost(price, Usage(model="m", input=101, output=0, us_only=True)) == 112


rates = st.builds(
    Rate,
    st.integers(0, 10**9),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**9)), max_size=3).map(tuple),
)
any_price = st.builds(
    Price,
    input=rates,
    output=rates,
    cache_read=rates,
    cache_write_5m=rates,
    cache_write_1h=rates,
    source=st.just("test"),
)
counts = st.integers(0, 10**6)
any_usage = st.builds(
    Usage,
    model=st.just("m"),
    input=counts,
    output=counts,
    cache_read=counts,
    cache_write_5m=counts,
    cache_write_1h=counts,
    us_only=st.booleans(),
)


@given(price=any_price, usage=any_usage)
def test_a_cost_is_the_exact_sum_rounded_up(price: Price, usage: Usage) -> None:
    prompt = usage.prompt
    exact = Fraction(
        usage.input * price.input.at(prompt)
        + usage.output * price.output.at(prompt)
        + usage.cache_read * price.cache_read.at(prompt)
        + usage.cache_write_5m * price.cache_write_5m.at(prompt)
        + usage.cache_write_1h * price.cache_write_1h.at(prompt),
        MILLION,
    ) * Fraction(11 if usage.us_only else 10, 10)

    assert exact <= cost(price, usage) < exact + 1


@given(several=st.lists(any_price, min_size=1, max_size=4), usage=any_usage)
def test_no_call_passes_the_dearest_of_several(several: list[Price], usage: Usage) -> None:
    assert cost(dearest(several), usage) >= max(cost(price, usage) for price in several)


def test_the_age_of_the_installed_list_is_known() -> None:
    """Counted from its release. Whoever pins another version writes down when that came out."""
    listed = list_date()

    assert listed.version is not None
    assert listed.released is not None, f"add the release day of genai-prices {listed.version} to price_age.py"
    assert f"genai-prices=={listed.version}" in PINNED.read_text()
    assert listed.age_days(NOW) == (date(2026, 11, 20) - listed.released).days
    assert str(listed.released) in listed.sentence(NOW)


def test_an_old_list_is_told_from_a_new_one() -> None:
    made = ListDate(version="9.9", released=date(2026, 11, 10))
    unknown = ListDate(version="9.9", released=None)

    assert [made.age_days(UnixMs(NOW + days * 86_400_000)) for days in (-30, 0, 50)] == [0, 10, 60]
    assert [made.old(UnixMs(NOW + days * 86_400_000)) for days in (-30, 49, 50)] == [False, False, True]
    assert unknown.age_days(NOW) is None
    assert unknown.old(NOW)
    assert "9.9" in unknown.sentence(NOW)
    assert "no price list" in ListDate(version=None, released=None).sentence(NOW)


def test_each_part_of_a_call_costs_what_its_own_model_does() -> None:
    """At the tier of its own prompt; what no part accounts for costs what the dearest does."""
    cheap = replace(make_price(input=MILLION, output=MILLION), input=Rate(MILLION, ((100, 5 * MILLION),)))
    dear = make_price(input=10 * MILLION, output=10 * MILLION)
    parts = (
        Part(model="", input=60, output=1),
        Part(model="m-20250101", input=60, output=0),
        Part(model="other", input=7, output=0),
    )
    usage = Usage(model="m", input=127 + 3, output=1, parts=parts, other_models=("other",))

    assert usage.rest == Tokens(input=3, output=0)
    assert cost(cheap, usage, {"other": dear}) == 61 + 60 + 70 + 3 * 10


def test_a_call_whose_answer_names_another_model_costs_the_dearer() -> None:
    low, high = make_price(input=MILLION), make_price(input=3 * MILLION)
    usage = Usage(model="other", input=5, output=0, other_models=("other",))
    parted = replace(usage, parts=(Part(model="", input=5, output=0),))

    for each in (usage, parted):
        assert cost(low, each, {"other": high}) == cost(high, each, {"other": low}) == 15


def test_a_fast_answer_costs_the_fast_price_or_nobody_knows() -> None:
    price = replace(make_price(input=MILLION), fast=make_price(input=2 * MILLION))
    usage = Usage(model="m", input=5, output=0, fast=True)

    assert cost(price, usage) == 10
    assert cost(make_price(input=MILLION), usage) is None
    assert cost(price, replace(usage, other_models=("other",)), {"other": make_price(input=1)}) is None


def test_searches_are_billed_beside_the_tokens_and_bear_no_surcharge() -> None:
    price = replace(make_price(input=MILLION), web_search=10_000 * MILLION)

    assert cost(price, Usage(model="m", input=10, output=0, web_searches=2, us_only=True)) == 11 + 20_000


def test_the_list_is_loaded_only_when_it_is_asked() -> None:
    """It costs 30 MB, which a runner of local models never needs."""
    program = (
        "import sys; from runner.gate.prices import PriceList; "
        "PriceList({}).lookup('offline/extract', local=False); print('genai_prices' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"
