"""Shares and tail probabilities, exactly: the incomplete beta function and what follows from it."""

import math

_TINY = 1e-300
_LEVEL = 0.05


def beta_cdf(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b), by Lentz's continued fraction (Numerical Recipes, 6.4).

    >>> round(beta_cdf(0.5, 2, 2), 6)
    0.5
    """
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_cdf(1 - x, b, a)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x) - math.log(a)
    )
    c, d = 1.0, 1 / _not_zero(1 - (a + b) * x / (a + 1))
    fraction = d
    for step in range(1, 2000):
        even = step * (b - step) * x / ((a + 2 * step - 1) * (a + 2 * step))
        odd = -(a + step) * (a + b + step) * x / ((a + 2 * step) * (a + 2 * step + 1))
        for part in (even, odd):
            d = 1 / _not_zero(1 + part * d)
            c = _not_zero(1 + part / c)
            fraction *= c * d
        if abs(c * d - 1) < 1e-14:
            break
    return front * fraction


def clopper_pearson(met: float, n: float) -> tuple[float, float]:
    """The exact 95 % interval of a share (Clopper and Pearson, Biometrika 26, 1934), as beta quantiles.

    `met` of `n` may be fractions: with an effective number of samples in place of n this is the interval of Korn and
    Graubard (Survey Methodology 24, 1998). (0, 1) where there is nothing.

    >>> tuple(round(end, 4) for end in clopper_pearson(0, 10)), tuple(round(end, 4) for end in clopper_pearson(8, 10))
    ((0.0, 0.3085), (0.4439, 0.9748))
    """
    if n <= 0:
        return 0.0, 1.0
    low = 0.0 if met <= 0 else _beta_quantile(_LEVEL / 2, met, n - met + 1)
    high = 1.0 if met >= n else _beta_quantile(1 - _LEVEL / 2, met + 1, n - met)
    return low, high


def student_p(t: float, freedom: float) -> float:
    """Two-sided p-value of Student's t.

    >>> round(student_p(2.228, 10), 4)
    0.05
    """
    return beta_cdf(freedom / (freedom + t * t), freedom / 2, 0.5)


def _beta_quantile(share: float, a: float, b: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if beta_cdf(middle, a, b) < share else (low, middle)
    return (low + high) / 2


def _not_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
