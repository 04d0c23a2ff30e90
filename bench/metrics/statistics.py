"""Intervals over replicates.

The unit is the replicate (a new process), never the round: rounds in one process agree with each other far better than
two processes minutes apart do. Times are positive and their noise is multiplicative, so the interval is of the mean
logarithm: the estimate is the geometric mean, the interval is a factor up and down, and a rate (the reciprocal) has
exactly the mirrored interval.

Replicates of a drifting machine resemble their neighbours in time, and Student's t, which takes them for independent,
is then too sure. So the interval is the wider of two: Student's t over all replicates, and the same over their slowest
waves alone, where drift shows (the equal-weighted cosine estimator of Müller, J. Econometrics 122, 2004, and Lazarus,
Lewis, Stock and Watson, J. Business & Economic Statistics 36, 2018). `scripts/coverage.py` shows what that covers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

# 97.5 % points of Student's t by degrees of freedom: NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2.
_T975 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip

WAVES = 5
"""Cosines over the whole series whose power stands for the slow noise: fewer see less of it, more see faster noise."""


@dataclass(frozen=True)
class Estimate:
    """A positive quantity with a 95 % interval; `low` and `high` are None for a single replicate."""

    value: float
    low: float | None
    high: float | None
    n: int

    def times(self, factor: float) -> "Estimate":
        """The same estimate in another unit; `factor` is positive."""
        low = None if self.low is None else self.low * factor
        high = None if self.high is None else self.high * factor
        return Estimate(self.value * factor, low, high, self.n)

    def into(self, amount: float) -> "Estimate":
        """`amount` divided by this estimate, such as tokens by seconds: the interval turns around."""
        low = None if self.high is None else amount / self.high
        high = None if self.low is None else amount / self.low
        return Estimate(amount / self.value, low, high, self.n)

    def spread(self) -> float | None:
        """Half-width of the interval as a factor minus one: 0.03 is ±3 %. None for a single replicate.

        >>> round(Estimate(10.0, 9.5, 10.526, 3).spread(), 3)
        0.053
        """
        if self.low is None or self.high is None:
            return None
        return math.sqrt(self.high / self.low) - 1


def estimate(values: Sequence[float]) -> Estimate | None:
    """Geometric mean and 95 % interval of positive values, one a replicate in order of time; None when there is none.

    >>> e = estimate([1.0, 1.1, 1.21])
    >>> round(e.value, 3), round(e.low, 3), round(e.high, 3)
    (1.1, 0.868, 1.394)
    """
    if not values or min(values) <= 0:
        return None
    logs = [math.log(value) for value in values]
    middle = mean(logs)
    if len(logs) == 1:
        return Estimate(values[0], None, None, 1)
    half = max(_half_of_all(logs), _half_of_waves(logs))
    return Estimate(math.exp(middle), math.exp(middle - half), math.exp(middle + half), len(logs))


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean; of logarithms, the logarithm of the geometric one."""
    return sum(values) / len(values)


def squared_error(values: Sequence[float]) -> float:
    """The squared standard error of the mean of independent values: s²/n with the sample variance s² (n − 1)."""
    middle = mean(values)
    return sum((one - middle) ** 2 for one in values) / (len(values) - 1) / len(values)


def _half_of_all(values: Sequence[float]) -> float:
    """Student's t: t(n − 1)·s/√n."""
    return t975(len(values) - 1) * math.sqrt(squared_error(values))


def _half_of_waves(values: Sequence[float]) -> float:
    """The same with the mean power of the K slowest cosines for s² and K degrees of freedom.

    The cosines (those of the DCT-II) are orthonormal, so K = n − 1 of them hold exactly (n − 1)·s²: with few
    replicates this is Student's t itself, and for independent values it is exact with any K.
    """
    n = len(values)
    waves = min(WAVES, n - 1)
    power = 0.0
    for wave in range(1, waves + 1):
        part = sum(one * math.cos(math.pi * wave * (at + 0.5) / n) for at, one in enumerate(values))
        power += 2 / n * part * part
    return t975(waves) * math.sqrt(power / waves / n)


def t975(freedom: float) -> float:
    """The 97.5 % point of Student's t for any degrees of freedom from 1 on; error below 1e-3 up to 30, 1e-4 beyond.

    Whole numbers come from the table, others below 30 from the distribution itself, larger ones from the Cornish-Fisher
    expansion.

    >>> t975(2), round(t975(60), 3)
    (4.303, 2.0)
    """
    if freedom < 1:
        raise ValueError(f"{freedom} degrees of freedom: at least 1")
    if freedom <= len(_T975):
        return _T975[round(freedom) - 1] if freedom == round(freedom) else _t975_between(freedom)
    z = 1.959963985
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


@cache
def _t975_between(freedom: float) -> float:
    """By bisection. With t = √ν·tan θ the density of θ is c·cos(θ)^(ν−1), c = Γ((ν+1)/2) / (√π·Γ(ν/2))."""
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)
    steps = 128

    def upper_half_up_to(angle: float) -> float:
        weights = (1 if at in (0, steps) else 4 if at % 2 else 2 for at in range(steps + 1))
        parts = (weight * math.pow(math.cos(angle * at / steps), freedom - 1) for at, weight in enumerate(weights))
        return scale * sum(parts) * angle / (3 * steps)

    low, high = 0.0, math.pi / 2
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if upper_half_up_to(middle) < 0.475 else (low, middle)
    return math.sqrt(freedom) * math.tan(low)
