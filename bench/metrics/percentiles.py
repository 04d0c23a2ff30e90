"""Percentiles, and how many samples they need.

The estimator is Hyndman and Fan's type 8 (The American Statistician 50, 1996), which they recommend: linear between
order statistics at h = (n + 1/3)·p + 1/3, approximately unbiased for the median of the quantile whatever the
distribution. Samples must be independent: requests, not tokens of one generation.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class TooFew:
    """Stands in the place of a percentile that these samples cannot show."""

    n: int
    needed: int

    def __str__(self) -> str:
        return f"n too small ({self.n} of {self.needed})"


@cache
def samples_needed(percentile: float, confidence: float = 0.95) -> int:
    """The least n with which at least two samples lie beyond the percentile, with this confidence: exact binomial.

    P(Binomial(n, q) ≥ 2) = 1 − (1 − q)ⁿ − n·q·(1 − q)ⁿ⁻¹ with q = 1 − percentile/100, or percentile/100 below 50: the
    thinner side counts. Raises ValueError unless 0 < percentile < 100 and 0 < confidence < 1.

    >>> [samples_needed(p) for p in (50, 90, 95, 99)]
    [8, 46, 93, 473]
    """
    if not 0 < percentile < 100 or not 0 < confidence < 1:
        raise ValueError(f"p{percentile:g} with confidence {confidence:g}: a percentile lies between 0 and 100")
    beyond = min(percentile, 100 - percentile) / 100
    n = 2
    while _at_least_two(n, beyond) < confidence:
        n *= 2
    low, high = n // 2, n
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _at_least_two(middle, beyond) < confidence else (low, middle)
    return high


def percentile(values: Sequence[float], p: float, confidence: float = 0.95) -> float | TooFew:
    """The p-th percentile (0 < p < 100) of independent samples, or how many it would need.

    >>> str(percentile([1.0] * 12, 90))
    'n too small (12 of 46)'
    """
    needed = samples_needed(p, confidence)
    n = len(values)
    if n < needed:
        return TooFew(n, needed)
    ordered = sorted(values)
    at = (n + 1 / 3) * p / 100 + 1 / 3
    below = min(max(math.floor(at), 1), n)
    above = min(below + 1, n)
    share = min(max(at - below, 0.0), 1.0)
    return ordered[below - 1] + share * (ordered[above - 1] - ordered[below - 1])


def _at_least_two(n: int, beyond: float) -> float:
    return 1 - (1 - beyond) ** n - n * beyond * (1 - beyond) ** (n - 1)
