"""Every example that docs/cost.md works out, to the digits that it gives."""

from datetime import date
from decimal import Decimal

import pytest

from bench.cost import api_prices, attribution, break_even, dollars, owned, serving
from bench.cost.attribution import Point
from bench.cost.blend import parse
from bench.cost.break_even import Replica
from bench.cost.duty import Duty
from bench.cost.hourly import HourlyRate
from bench.cost.mix import Mixing, Sums
from bench.cost.tariff import Tariff, Tier
from bench.hardware import datasheet
from bench.metrics.statistics import Estimate
from bench.report import trend
from bench.schema import Accelerator, CostChoices, OneOff, Owned

GPT_4, GPT_4O = (Decimal(30), Decimal(60)), (Decimal("2.5"), Decimal(10))


def test_a_thousand_tokens_a_second_at_three_sixty() -> None:
    assert dollars.per_mtok(dollars.bill_usd(3.6, 1.0, 1.0), 1000) == pytest.approx(1.00, rel=1e-12)


def test_under_load() -> None:
    """$3.60 an hour, two requests a second of 400 tokens in and 100 out."""
    mix = Sums(2, 800, 0, 200)
    rates = serving.Rates(exact(1000.0), exact(200.0), exact(2.0))
    found = serving.prices(rates, mix, 3.6, 1.0, CostChoices().price_ratio)
    parts = (found.input_usd_per_mtok, found.output_usd_per_mtok)
    assert [one.value for one in parts if one is not None] == pytest.approx([0.625, 2.5])
    assert found.blended_usd_per_mtok.value == pytest.approx(1.0)
    assert found.all_in_usd_per_mtok_output.value == pytest.approx(5.0)
    assert found.usd_per_1000_requests.value == pytest.approx(0.5)
    good = serving.good(exact(1.0), Sums(1, 400, 0, 100), 3.6, 1.0)
    assert good is not None
    assert good.blended_usd_per_mtok.value == pytest.approx(2.0)
    asleep = serving.asleep(found, rates, HourlyRate(3.6, "stated"), 1.0, Duty(0.5, 73, 1800))
    assert round(asleep.blended_usd_per_mtok.value, 2) == 1.11
    mixing = Mixing()
    mixing.add(400, 100, 100)
    usd = mixing.mix().usd(Tariff((Tier(-1, Decimal("0.25"), Decimal("0.025"), Decimal(2)),)))
    assert usd * 1000 == Decimal("0.2775")
    assert round(0.5 / 0.2775, 2) == 1.80


def exact(value: float) -> Estimate:
    return Estimate(value, None, None, 1)


def test_a_price_ratio_of_four() -> None:
    parts = attribution.by_ratio(Point(8000, 0, 1000, [1.0]), 4.0, usd_per_hour=2.69)
    assert parts.input_usd_per_mtok is not None
    assert parts.output_usd_per_mtok is not None
    assert round(parts.input_usd_per_mtok.value, 4) == 0.0623
    assert round(parts.output_usd_per_mtok.value, 4) == 0.2491
    whole = 8000 * parts.input_usd_per_mtok.value + 1000 * parts.output_usd_per_mtok.value
    assert whole / 1e6 == pytest.approx(2.69 / 3600, rel=1e-12)


@pytest.mark.parametrize(("prices", "share"), [((0.05, 0.08), 1.56), ((0.18, 0.18), 0.46)])
def test_break_even_of_an_h100(prices: tuple[float, float], share: float) -> None:
    found = break_even.utilisation_of_rates(1, 2.69, 8000, 1000, *prices)
    assert round(found, 2) == share
    assert (found > 1) is (share > 1)


def test_an_owned_h100() -> None:
    """About $1.26 an hour."""
    machine = Owned(capex_usd=31_000, financing_rate=0.10, life_years=4, power_kw=1.73, usd_per_kwh=0.083)
    assert owned.hourly_usd(machine).total_usd == pytest.approx(1.26, abs=0.005)


def test_electricity_and_a_one_off() -> None:
    assert dollars.electricity_usd_per_mtok(3.6, 0.25) == pytest.approx(0.25)
    assert owned.one_off_usd_per_mtok(OneOff(usd=100, mtok=50)) == pytest.approx(2.0)


def test_volumes() -> None:
    assert Replica(730, 1_000_000).first(0.001) == 730_000
    whole = Replica(600, 1_000_000)
    assert (whole.first(0.001), whole.for_good(0.001)) == (600_000, 1_200_000)


def test_blends_of_one_and_twenty() -> None:
    assert [parse(name).of(1.0, 20.0) for name in ("3:1", "80/20")] == pytest.approx([5.75, 4.8])


# --- the fall of GPT-4 -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("blend", "yearly"), [("80/20", 78.8), ("3:1", 78.1), ("50/50", 75.2)], ids=["80/20", "3:1", "50/50"]
)
def test_the_blend_decides_how_fast_gpt_4_fell(blend: str, yearly: float) -> None:
    before, after = parse(blend).of(*GPT_4), parse(blend).of(*GPT_4O)
    assert round(100 * trend.yearly_fall_by_months(float(before), float(after), 17), 1) == yearly


def test_the_fall_at_eighty_twenty() -> None:
    before, after = parse("80/20").of(*GPT_4), parse("80/20").of(*GPT_4O)
    assert (before, after) == (Decimal(36), Decimal(4))
    assert round(100 * trend.total_fall(36.0, 4.0), 1) == 88.9
    days = (date(2024, 8, 6) - date(2023, 3, 14)).days
    assert round(100 * trend.yearly_fall_by_days(36.0, 4.0, days), 1) == 79.2
    assert round(100 * trend.yearly_fall_by_months(60.0, 10.0, 17), 1) == 71.8  # output alone


# --- traps -----------------------------------------------------------------------------------------------------------


def test_clamped_dates_are_not_believed() -> None:
    """genai-prices answers gpt-4o at 2.5/10 for June 2024, model-prices gpt-4 at 10/30 for 2023."""
    then = api_prices.lookup("openai/gpt-4o", date(2024, 6, 1))
    assert (then.input_usd_per_mtok, then.output_usd_per_mtok) == (5.0, 15.0)
    first = api_prices.lookup("openai/gpt-4", date(2023, 6, 1))
    assert (first.input_usd_per_mtok, first.output_usd_per_mtok) == (30.0, 60.0)


def test_a_floor_needs_the_tensor_rate() -> None:
    """An H100's dense bf16 rate is 989 TFLOP/s; lists of graphics cards give a rate that is no tensor rate."""
    sheet = datasheet.find(Accelerator(name="NVIDIA H100 80GB HBM3", memory_bytes=85_000_000_000))
    assert sheet is not None
    assert sheet.bf16_flops_per_s == pytest.approx(989e12)
