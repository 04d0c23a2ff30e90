"""Intervals: what an estimate and its two ends must keep to, whatever was measured."""

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.metrics.statistics import Estimate, estimate, t975

seconds = st.floats(min_value=1e-6, max_value=1e6)
factors = st.floats(min_value=1e-6, max_value=1e6)
replicates = st.lists(seconds, min_size=2, max_size=12)
unhurried = settings(deadline=None, max_examples=60)


def _ends(of: Estimate | None) -> tuple[float, float, float]:
    assert of is not None
    assert of.low is not None
    assert of.high is not None
    return of.low, of.value, of.high


@unhurried
@given(replicates)
def test_the_interval_contains_the_estimate(values: list[float]) -> None:
    """Low ≤ estimate ≤ high, and the estimate lies among the values."""
    low, value, high = _ends(estimate(values))
    assert 0 < low <= value <= high
    assert min(values) * (1 - 1e-9) <= value <= max(values) * (1 + 1e-9)


@unhurried
@given(replicates, factors)
def test_a_rate_has_exactly_the_mirrored_interval(values: list[float], amount: float) -> None:
    """Tokens by seconds: each end is the amount by the other end, to the last bit."""
    low, value, high = _ends(estimate(values))
    time = Estimate(value, low, high, len(values))
    assert time.into(amount) == Estimate(amount / value, amount / high, amount / low, len(values))
    assert time.into(amount).spread() == pytest.approx(time.spread(), rel=1e-9, abs=1e-12)


@unhurried
@given(replicates, factors)
def test_the_estimate_of_rates_is_the_rate_of_the_estimate(values: list[float], amount: float) -> None:
    """Averaging seconds or averaging tokens per second must give the same answer: the geometric mean does."""
    of_rates = _ends(estimate([amount / value for value in values]))
    assert estimate(values) is not None
    mirrored = _ends(Estimate(*_as_estimate(values)).into(amount))
    assert of_rates == pytest.approx(mirrored, rel=1e-6)


def _as_estimate(values: list[float]) -> tuple[float, float, float, int]:
    low, value, high = _ends(estimate(values))
    return value, low, high, len(values)


@unhurried
@given(replicates, factors)
def test_another_unit_scales_the_whole_interval(values: list[float], factor: float) -> None:
    """`times` scales estimate and ends alike, and leaves the relative spread as it was."""
    one = Estimate(*_as_estimate(values))
    assert one.low is not None
    assert one.high is not None
    assert one.times(factor) == Estimate(one.value * factor, one.low * factor, one.high * factor, one.n)
    assert one.times(factor).spread() == pytest.approx(one.spread(), rel=1e-9, abs=1e-12)


@unhurried
@given(seconds, factors)
def test_one_replicate_has_no_interval(value: float, factor: float) -> None:
    """One process says nothing of how far two would differ; no unit or rate invents an interval."""
    alone = estimate([value])
    assert alone == Estimate(value, None, None, 1)
    for derived in (alone.times(factor), alone.into(factor)):
        assert (derived.low, derived.high, derived.spread()) == (None, None, None)


@unhurried
@given(seconds, st.integers(min_value=2, max_value=12))
def test_equal_replicates_have_a_point_for_an_interval(value: float, count: int) -> None:
    """No scatter, no width."""
    low, middle, high = _ends(estimate([value] * count))
    assert (low, middle, high) == pytest.approx((value, value, value), rel=1e-9)


@pytest.mark.parametrize("values", [[], [0.0], [1.0, 0.0], [1.0, -2.0]])
def test_what_is_not_positive_has_no_estimate(values: list[float]) -> None:
    """A time of zero or less is no time."""
    assert estimate(values) is None


def test_an_interval_worked_out_by_hand() -> None:
    """1 and e²: logs 0 and 2, mean 1, deviation √2, half-width 12.706·√2/√2."""
    low, value, high = _ends(estimate([1.0, math.exp(2)]))
    assert value == pytest.approx(math.e)
    assert low == pytest.approx(math.exp(1 - 12.706))
    assert high == pytest.approx(math.exp(1 + 12.706))


def test_spread_is_the_factor_less_one() -> None:
    """From 1 to 1.21 around 1.1 is ±10 %."""
    assert Estimate(1.1, 1.0, 1.21, 3).spread() == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("freedom", "point"),
    [
        (1, 12.706), (2, 4.303), (10, 2.228), (30, 2.042),
        (31, 2.039513), (40, 2.021075), (60, 2.000298), (100, 1.983972), (120, 1.979930), (100_000, 1.959988),
    ],
)  # fmt: skip
def test_student_t_agrees_with_published_tables(freedom: int, point: float) -> None:
    """Three decimals from the table, better than 1e-4 beyond it."""
    assert t975(freedom) == pytest.approx(point, abs=1e-4)


def test_student_t_falls_with_every_degree_of_freedom() -> None:
    """No step up where the table ends."""
    points = [t975(freedom) for freedom in range(1, 200)]
    assert all(later < earlier for earlier, later in pairwise(points))
