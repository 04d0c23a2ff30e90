"""How long prompts and answers are: a number, or draws from a distribution.

Draws are rounded to whole tokens and *clipped* to [least, most], not drawn again: a clipped distribution has a few
requests exactly at its limits, as real traffic has at a context or answer limit, and its mean moves little. What is
left of the mean is known in closed form (`mean_of`): for X clipped to [a, b], a + E min(X, b) − E min(X, a).
"""

import math

from bench.schema import Lengths

LONGEST = 10_000_000
"""Tokens of a prompt or an answer: more is a mistake in a file, and would fill the memory."""


def problems(lengths: Lengths) -> str | None:
    """What contradicts itself in a distribution, with the remedy; None where nothing does.

    >>> problems(Lengths(shape="normal", least=8, most=64))
    'normal needs its mean, such as mean: 128'
    """
    shape, mean = lengths.shape, lengths.mean
    if lengths.least > lengths.most:
        return f"least ({lengths.least:,}) is more than most ({lengths.most:,}); exchange them"
    if lengths.most > LONGEST:
        return f"most is over {LONGEST:,} tokens; no context is so long"
    if shape == "uniform":
        if mean is not None:
            return "uniform takes least and most, and its mean lies between them; leave mean out"
        if lengths.most == _default("most"):
            return "uniform needs most, such as most: 512"
    elif mean is None:
        return f"{shape} needs its mean, such as mean: 128"
    elif not lengths.least <= mean <= lengths.most:
        return f"mean ({mean:g}) lies outside of least to most ({lengths.least:,} to {lengths.most:,}); move the limits"
    if shape in ("uniform", "exponential") and lengths.cv != _default("cv"):
        return f"{shape} has a cv of its own; leave cv out, or take shape: lognormal"
    return None


def _default(name: str) -> object:
    """By values and not by what was said: between processes a load says everything, its defaults too."""
    return Lengths.model_fields[name].default


def mean_of(lengths: int | Lengths) -> float:
    """Tokens that a draw has on average, after clipping.

    >>> mean_of(128), mean_of(Lengths(shape="uniform", least=100, most=300))
    (128.0, 200.0)
    >>> round(mean_of(Lengths(shape="exponential", mean=100, most=100)), 1)
    63.2
    """
    if isinstance(lengths, int):
        return float(lengths)
    if lengths.shape == "uniform":
        return (lengths.least + lengths.most) / 2
    return lengths.least + _below(lengths, lengths.most) - _below(lengths, lengths.least)


def _below(lengths: Lengths, limit: float) -> float:
    """E min(X, limit) of the uncut distribution."""
    mean = _mean(lengths)
    if lengths.shape == "exponential":
        return mean * -math.expm1(-limit / mean)
    if lengths.cv < 1e-9:
        return min(mean, limit)
    if lengths.shape == "normal":
        sd = mean * lengths.cv
        z = (limit - mean) / sd
        density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
        return mean * _phi(z) - sd * density + limit * _phi(-z)
    mu, sigma = lognormal(mean, lengths.cv)
    z = (math.log(limit) - mu) / sigma
    return mean * _phi(z - sigma) + limit * _phi(-z)


def _mean(lengths: Lengths) -> float:
    assert lengths.mean is not None, "said by problems()"
    return lengths.mean


def lognormal(mean: float, cv: float) -> tuple[float, float]:
    """Parameters of the logarithm, for which the distribution has this mean and cv."""
    variance = math.log1p(cv * cv)
    return math.log(mean) - variance / 2, math.sqrt(variance)


def _phi(z: float) -> float:
    return math.erfc(-z / math.sqrt(2)) / 2
