"""What an hour of a machine of one's own costs, by formula and through the command."""

import math

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.cost.owned import HOURS_PER_YEAR, crf, described, hourly_usd, one_off_usd_per_mtok
from bench.errors import InputError
from bench.schema import OneOff, Owned
from tests.commands import bench
from tests.test_bad_input import refused

unhurried = settings(deadline=None, max_examples=60)
rates = st.floats(min_value=0.0, max_value=0.9)
years = st.floats(min_value=0.1, max_value=40)
dollars = st.floats(min_value=1.0, max_value=1e7)
shares = st.floats(min_value=0.05, max_value=1.0)
EXAMPLE = ("--capex", "31000", "--financing", "0.10", "--life", "4", "--power-kw", "1.73", "--usd-per-kwh", "0.083")


def _annuity_by_hand(price: float, rate: float, count: int) -> float:
    """The yearly payment after which nothing is owed, found by paying a loan off year by year."""
    low, high = 0.0, price * (1 + rate)
    for _ in range(200):
        middle = (low + high) / 2
        owed = price
        for _ in range(count):
            owed = owed * (1 + rate) - middle
        low, high = (middle, high) if owed > 0 else (low, middle)
    return high


# --- the capital recovery factor


@unhurried
@given(st.floats(min_value=0.001, max_value=0.9), st.integers(min_value=1, max_value=15))
def test_the_factor_pays_a_loan_off(rate: float, count: int) -> None:
    """Against a loan that is paid off year by year, without the formula."""
    assert crf(rate, count) == pytest.approx(_annuity_by_hand(1.0, rate, count), rel=1e-6)


@unhurried
@given(rates, st.integers(min_value=1, max_value=40))
def test_the_factor_is_the_textbooks(rate: float, count: int) -> None:
    if rate > 1e-4:
        growth = (1 + rate) ** count
        assert crf(rate, count) == pytest.approx(rate * growth / (growth - 1), rel=1e-9)


@unhurried
@given(years)
def test_without_interest_it_is_a_straight_line(life: float) -> None:
    """And it goes there without a jump: a small rate adds about (n + 1)/2n of itself."""
    assert crf(0.0, life) == pytest.approx(1 / life, rel=1e-15)
    for rate in (1e-6, 1e-9, 1e-12, 1e-300):
        assert crf(rate, life) == pytest.approx(1 / life, rel=rate * (life + 1), abs=1e-15)
        assert crf(rate, life) >= 1 / life * (1 - 1e-15)


@unhurried
@given(rates, rates, years)
def test_more_interest_costs_more(one: float, other: float, life: float) -> None:
    low, high = sorted((one, other))
    assert crf(low, life) <= crf(high, life) * (1 + 1e-12)


# --- the hour


def test_an_h100_of_31000_dollars_in_digits() -> None:
    """31000 · 0.14641 / 0.4641 = 9779.6 a year, / 8760 h = 1.116392; 1.73 kW · 0.083 = 0.14359; together 1.259982."""
    machine = Owned(capex_usd=31_000, financing_rate=0.10, life_years=4, power_kw=1.73, pue=1, usd_per_kwh=0.083)
    rate = hourly_usd(machine)
    assert rate.capital_usd == pytest.approx(31_000 * 0.14641 / 0.4641 / 8760, rel=1e-12)
    assert rate.capital_usd == pytest.approx(1.116392, abs=1e-6)
    assert rate.power_usd == pytest.approx(0.14359, rel=1e-12)
    assert rate.opex_usd == 0
    assert rate.total_usd == pytest.approx(1.26, abs=0.005)
    assert rate.total_usd == pytest.approx(1.259982, abs=1e-6)


def test_every_part_by_hand() -> None:
    """$87,600 without interest over 10 years, $8,760 left, half the hours: (87600 − 8760)/10/4380 = 1.80.

    2 kW · 1.5 · $0.10 = 0.30 while it works; $4,380 a year over 4,380 hours = 1.00.
    """
    machine = Owned(
        capex_usd=87_600,
        life_years=10,
        residual_usd=8_760,
        power_kw=2,
        pue=1.5,
        usd_per_kwh=0.10,
        opex_usd_per_year=4_380,
        availability=0.5,
    )
    rate = hourly_usd(machine)
    assert (rate.capital_usd, rate.power_usd, rate.opex_usd) == pytest.approx((1.80, 0.30, 1.00))
    assert rate.total_usd == pytest.approx(3.10)
    said = described(machine)
    for word in ("$1.8000 capital", "$87,600 over 10 years at 0%", "less $8,760", "PUE 1.5", "$4,380 a year", "50% of"):
        assert word in said


@unhurried
@given(dollars, rates, years, shares)
def test_twice_the_price_is_twice_the_capital(price: float, rate: float, life: float, share: float) -> None:
    """And nothing else changes."""
    once, twice = (
        hourly_usd(
            Owned(
                capex_usd=price * factor,
                financing_rate=rate,
                life_years=life,
                power_kw=2,
                usd_per_kwh=0.2,
                opex_usd_per_year=500,
                availability=share,
            )
        )
        for factor in (1, 2)
    )
    assert twice.capital_usd == pytest.approx(2 * once.capital_usd, rel=1e-12)
    assert (twice.power_usd, twice.opex_usd) == (once.power_usd, once.opex_usd)


@unhurried
@given(dollars, rates, years, st.floats(min_value=0.01, max_value=0.99))
def test_what_is_left_in_the_end_lowers_the_rate(price: float, rate: float, life: float, part: float) -> None:
    """By its present value, so by less the dearer the money is; never below nothing."""
    plain = hourly_usd(Owned(capex_usd=price, financing_rate=rate, life_years=life))
    kept = hourly_usd(Owned(capex_usd=price, financing_rate=rate, life_years=life, residual_usd=part * price))
    assert 0 < kept.capital_usd < plain.capital_usd
    saved = (plain.capital_usd - kept.capital_usd) / plain.capital_usd
    assert saved == pytest.approx(part / (1 + rate) ** life, rel=1e-6, abs=1e-9)


@unhurried
@given(dollars, rates, years, shares)
def test_capital_and_opex_are_paid_in_the_hours_that_work(price: float, rate: float, life: float, share: float) -> None:
    """Half the hours, twice the rate of what is paid by the year; power is paid while it works."""
    whole, part = (
        hourly_usd(
            Owned(
                capex_usd=price,
                financing_rate=rate,
                life_years=life,
                power_kw=1,
                usd_per_kwh=0.1,
                opex_usd_per_year=1000,
                availability=availability,
            )
        )
        for availability in (1.0, share)
    )
    assert part.capital_usd == pytest.approx(whole.capital_usd / share, rel=1e-12)
    assert part.opex_usd * share * HOURS_PER_YEAR == pytest.approx(1000, rel=1e-12)
    assert part.power_usd == whole.power_usd == pytest.approx(0.1)
    assert part.total_usd == pytest.approx(part.capital_usd + part.power_usd + part.opex_usd, rel=1e-15)


@pytest.mark.parametrize(
    ("residual", "rate", "words"),
    [
        (1000.0, 0.0, "residual_usd: $1,000 in the end must be less than the price, $1,000"),
        (1500.0, 0.0, "residual_usd: $1,500"),
        (1210.1, 0.10, "must be less than the price with 2 years of interest, $1,210"),
    ],
)
def test_a_machine_that_earns_by_standing_there_is_refused(residual: float, rate: float, words: str) -> None:
    with pytest.raises(InputError) as caught:
        hourly_usd(Owned(capex_usd=1000, financing_rate=rate, life_years=2, residual_usd=residual))
    assert words in caught.value.lines[0]


def test_with_interest_it_may_be_worth_its_price_in_the_end() -> None:
    """$1,000 that comes back after two years at 10 % costs the interest: $100 a year."""
    rate = hourly_usd(Owned(capex_usd=1000, financing_rate=0.10, life_years=2, residual_usd=1000))
    assert rate.capital_usd * HOURS_PER_YEAR == pytest.approx(100.0)


@unhurried
@given(dollars, st.floats(min_value=1e-3, max_value=1e9))
def test_a_cost_paid_once_is_spread_over_its_tokens(usd: float, mtok: float) -> None:
    """What each million bears, times the millions, is what was paid."""
    assert one_off_usd_per_mtok(OneOff(usd=usd, mtok=mtok)) * mtok == pytest.approx(usd, rel=1e-12)


# --- the command


def test_the_command_shows_the_parts_and_a_config_that_says_the_same() -> None:
    done = bench("prices", "owned", *EXAMPLE)
    assert done.returncode == 0, done.stderr
    for word in ("$1.2600 per hour", "$1.1164  capital", "$0.1436  power", "0.315471", "8,760 of the 8,760 hours"):
        assert word in done.stdout
    block = yaml.safe_load(done.stdout[done.stdout.index("cost:") :])
    machine = Owned.model_validate(block["cost"]["owned"], extra="forbid", strict=True)
    assert hourly_usd(machine).total_usd == pytest.approx(1.259982, abs=1e-6)
    assert set(block["cost"]["owned"]) == {*("capex_usd", "life_years", "financing_rate", "power_kw", "usd_per_kwh")}


def test_every_option_reaches_the_config() -> None:
    more = ("--pue", "1.3", "--residual", "2500", "--opex-per-year", "900", "--availability", "0.97")
    done = bench("prices", "owned", *EXAMPLE, *more)
    block = yaml.safe_load(done.stdout[done.stdout.index("cost:") :])["cost"]["owned"]
    assert block == {
        "capex_usd": 31000,
        "life_years": 4,
        "financing_rate": 0.1,
        "residual_usd": 2500,
        "power_kw": 1.73,
        "pue": 1.3,
        "usd_per_kwh": 0.083,
        "opex_usd_per_year": 900,
        "availability": 0.97,
    }
    total = hourly_usd(Owned.model_validate(block)).total_usd
    assert f"${total:.4f} per hour" in done.stdout
    assert math.isclose(
        total, (31000 - 2500 / 1.4641) * 0.315470804 / 8497.2 + 1.73 * 1.3 * 0.083 + 900 / 8497.2, rel_tol=1e-8
    )


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--capex", "0", "greater than 0"),
        ("--capex", "-1", "greater than 0"),
        ("--capex", "nan", "finite number"),
        ("--capex", "inf", "finite number"),
        ("--life", "0", "greater than 0"),
        ("--life", "51", "less than or equal to 50"),
        ("--financing", "-0.1", "greater than or equal to 0"),
        ("--financing", "10", "0.10 is 10 %"),
        ("--power-kw", "-1", "greater than or equal to 0"),
        ("--usd-per-kwh", "nan", "finite number"),
        ("--pue", "0.9", "greater than or equal to 1"),
        ("--residual", "-5", "greater than or equal to 0"),
        ("--residual", "90000", "must be less than the price"),
        ("--opex-per-year", "-5", "greater than or equal to 0"),
        ("--availability", "0", "greater than 0"),
        ("--availability", "1.1", "less than or equal to 1"),
    ],
)
def test_a_bad_value_is_one_line_with_the_options_name(option: str, value: str, words: str) -> None:
    done = bench("prices", "owned", *EXAMPLE, option, value)
    refused(done, words)
    assert done.stderr.startswith(f"error: {option}: ")
    assert len(done.stderr.splitlines()) == 1
