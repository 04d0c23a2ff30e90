"""Percentiles: printed only with enough samples, by a stated estimator."""

import math
import random
from itertools import pairwise

import pytest

from bench.metrics.percentiles import TooFew, percentile, samples_needed


@pytest.mark.parametrize(
    ("confidence", "counts"), [(0.95, (8, 46, 93, 473)), (0.99, (11, 64, 130, 662))], ids=["95%", "99%"]
)
def test_the_number_of_samples_agrees_with_the_binomial(confidence: float, counts: tuple[int, ...]) -> None:
    """Published counts for p50, p90, p95, p99; one sample fewer is not enough."""
    for p, count in zip((50, 90, 95, 99), counts, strict=True):
        assert samples_needed(p, confidence) == count
        q = 1 - p / 100
        fewer = sum(math.comb(count - 1, k) * q**k * (1 - q) ** (count - 1 - k) for k in (0, 1))
        assert 1 - fewer < confidence


def test_the_thinner_side_counts() -> None:
    """A tenth percentile needs as many samples below it as a ninetieth above it."""
    assert samples_needed(10) == samples_needed(90)


def test_counts_rise_with_the_percentile() -> None:
    counts = [samples_needed(p) for p in (50, 75, 90, 95, 99, 99.9)]
    assert all(later > earlier for earlier, later in pairwise(counts))


@pytest.mark.parametrize(("p", "confidence"), [(0, 0.95), (100, 0.95), (101, 0.95), (50, 0.0), (50, 1.0)])
def test_nonsense_is_refused(p: float, confidence: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        samples_needed(p, confidence)


def test_too_few_samples_say_how_many_are_needed() -> None:
    found = percentile([1.0] * 12, 90)
    assert found == TooFew(12, 46)
    assert str(found) == "n too small (12 of 46)"


def test_type_8_by_hand() -> None:
    """1 to 100 in any order: h = 100⅓·0.5 + ⅓ = 50.5 for p50, 100⅓·0.9 + ⅓ = 90.6333 for p90."""
    values = [float(value) for value in range(1, 101)]
    random.Random(1).shuffle(values)
    assert percentile(values, 50) == pytest.approx(50.5)
    assert percentile(values, 90) == pytest.approx(90 + 0.3 + 1 / 3)


def test_it_is_nearly_unbiased_for_the_median_of_the_quantile() -> None:
    """p90 of 46 exponential samples lies above the true one as often as below it."""
    draw, true = random.Random(2), math.log(10)
    above = 0
    for _ in range(2000):
        found = percentile([draw.expovariate(1) for _ in range(46)], 90)
        assert isinstance(found, float)
        above += found > true
    assert above / 2000 == pytest.approx(0.5, abs=0.04)
