"""Two measurements of a positive quantity, as a ratio with a 95 % interval.

Paired values were measured beside each other, replicate by replicate: a drift of the machine hits both and cancels in
their ratio. Unpaired ones were measured apart, and a drift between the two counts as a difference.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bench.metrics.statistics import mean, squared_error, t975

Outcome = Literal["higher", "lower", "equal", "no difference seen", "too few replicates"]

THRESHOLD = 0.02


@dataclass(frozen=True)
class Ratio:
    """B over A. `low`, `high` and `freedom` (degrees of freedom of Student's t) are None with too few replicates."""

    value: float
    low: float | None
    high: float | None
    freedom: float | None
    n_a: int
    n_b: int
    paired: bool
    outcome: Outcome

    def excludes(self, ratio: float) -> bool:
        """Whether the interval lies wholly on one side of `ratio`."""
        return self.low is not None and self.high is not None and not self.low <= ratio <= self.high


def compare(a: Sequence[float], b: Sequence[float], paired: bool, threshold: float = THRESHOLD) -> Ratio:
    """The ratio b/a of geometric means. `threshold`: changes of up to this share are noise, such as 0.02.

    Paired: Student's t on the differences of the logarithms, n − 1 degrees of freedom; a and b are equally long.
    Unpaired: Welch's t on the logarithms (Biometrika 34, 1947) with Satterthwaite's degrees of freedom. The outcome is
    "higher" or "lower" where the whole interval lies beyond the threshold and "equal" where it lies within. Raises
    ValueError for an empty side, values that are not positive, and pairs of unequal number.
    """
    if not a or not b or min(*a, *b) <= 0:
        raise ValueError("a ratio needs positive values on both sides")
    if paired and len(a) != len(b):
        raise ValueError(f"pairs of {len(a)} and {len(b)} values")
    logs_a, logs_b = [math.log(value) for value in a], [math.log(value) for value in b]
    middle = mean(logs_b) - mean(logs_a)
    if min(len(a), len(b)) < 2:
        return Ratio(math.exp(middle), None, None, None, len(a), len(b), paired, "too few replicates")
    if paired:
        error = squared_error([after - before for before, after in zip(logs_a, logs_b, strict=True)])
        freedom = len(a) - 1.0
    else:
        error, freedom = _welch(squared_error(logs_a), len(a), squared_error(logs_b), len(b))
    half = t975(freedom) * math.sqrt(error)
    low, high = math.exp(middle - half), math.exp(middle + half)
    outcome = _outcome(low, high, threshold)
    return Ratio(math.exp(middle), low, high, freedom, len(a), len(b), paired, outcome)


def _welch(error_a: float, n_a: int, error_b: float, n_b: int) -> tuple[float, float]:
    """The squared standard error of the difference, and its degrees of freedom; the lesser n − 1 without scatter."""
    error = error_a + error_b
    divisor = error_a**2 / (n_a - 1) + error_b**2 / (n_b - 1)
    # Rounding may put the quotient a hair below its least value.
    return error, max(error**2 / divisor, min(n_a, n_b) - 1.0) if divisor > 0 else min(n_a, n_b) - 1.0


def _outcome(low: float, high: float, threshold: float) -> Outcome:
    """Below, 1/(1 + threshold) mirrors 1 + threshold, so that A against B says the reverse of B against A."""
    if low > 1 + threshold:
        return "higher"
    if high < 1 / (1 + threshold):
        return "lower"
    if 1 / (1 + threshold) <= low and high <= 1 + threshold:
        return "equal"
    return "no difference seen"
