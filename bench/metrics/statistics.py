"""Intervals over replicates.

The unit is the replicate (a new process), never the round: rounds in one process agree with each other far better than
two processes minutes apart do. Times are positive and their noise is multiplicative, so the interval is Student's t on
the logarithm: the estimate is the geometric mean, the interval is a factor up and down, and a rate (the reciprocal) has
exactly the mirrored interval.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

# 97.5 % points of Student's t by degrees of freedom: NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2.
_T975 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


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
    """Geometric mean and 95 % interval of positive values, one a replicate; None when there is none.

    >>> e = estimate([1.0, 1.1, 1.21])
    >>> round(e.value, 3), round(e.low, 3), round(e.high, 3)
    (1.1, 0.868, 1.394)
    """
    if not values or min(values) <= 0:
        return None
    n = len(values)
    logs = [math.log(value) for value in values]
    mean = sum(logs) / n
    if n == 1:
        return Estimate(values[0], None, None, 1)
    deviation = math.sqrt(sum((one - mean) ** 2 for one in logs) / (n - 1))
    half = t975(n - 1) * deviation / math.sqrt(n)
    return Estimate(math.exp(mean), math.exp(mean - half), math.exp(mean + half), n)


def t975(freedom: int) -> float:
    """The 97.5 % point of Student's t: a table up to 30, then the Cornish-Fisher expansion (error below 1e-4).

    >>> t975(2), round(t975(60), 3)
    (4.303, 2.0)
    """
    if freedom <= len(_T975):
        return _T975[freedom - 1]
    z = 1.959963985
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
