"""Intervals from inside one run: batch means.

Neighbouring moments of a run under load resemble each other, so the run is cut into batches in order of time, long
enough that neighbouring batches hardly do: as many as there can be while their lag-1 autocorrelation stays within what
independent batches show by chance (Law and Carson, Operations Research 27, 1979; Fishman, Management Science 24, 1978).
The interval over them is that of replicates (`statistics.estimate`): on the logarithm, and the wider of Student's t
and the slowest waves. What correlation r is left widens it by √((1 + r)/(1 − r)), as a first-order process asks for.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bench.metrics.statistics import Estimate, estimate

NUMBERS = (40, 32, 25, 20, 16, 12, 10)
CHANCE = 0.84
"""Standard deviations of the lag-1 autocorrelation of independent batches, 1/√b: four in five stay below."""

MOST_LEFT = 0.8
LEAST_IN_BATCH = 5

Floats = NDArray[np.float64]


def of_rate(amounts: Floats, bin_s: float) -> Estimate | None:
    """A rate per second, from the amounts (such as tokens) in bins of `bin_s` in order of time.

    The value is the whole amount over the whole time; the interval is None where ten batches cannot be made, and the
    whole is None where nothing came.
    """
    total = float(amounts.sum())
    if total <= 0:
        return None
    return _around(total / (len(amounts) * bin_s), amounts, 1, np.mean)


def of_median(values: Floats) -> Estimate | None:
    """The median of positive values in order of time, with an interval over medians of batches."""
    if not len(values):
        return None
    middle = float(np.median(values))
    return None if middle <= 0 else _around(middle, values, LEAST_IN_BATCH, np.median)


def _around(value: float, series: Floats, least: int, summary: Callable[[Floats], object]) -> Estimate:
    spread, wider = None, 1.0
    for number in NUMBERS:
        if len(series) < number * least:
            continue
        parts = np.array([float(summary(part)) for part in np.array_split(series, number)])  # type: ignore[arg-type]
        if parts.min() <= 0:
            continue
        spread, seen = estimate(parts.tolist()), lag_one(parts)
        left = min(max(seen + 1 / number, 0.0), MOST_LEFT)  # that of few batches is too low by 1/b
        wider = math.sqrt((1 + left) / (1 - left))
        if seen <= CHANCE / math.sqrt(number):
            break
    half = spread.spread() if spread is not None else None
    if half is None:
        return Estimate(value, None, None, 1)
    factor = math.exp(math.log1p(half) * wider)
    return Estimate(value, value / factor, value * factor, 1)


def lag_one(values: Floats) -> float:
    """Autocorrelation of neighbours; 0 for a constant.

    >>> lag_one(np.array([1.0, -1.0, 1.0, -1.0]))
    -0.75
    """
    off = values - values.mean()
    power = float(off @ off)
    return float(off[1:] @ off[:-1]) / power if power > 0 else 0.0
