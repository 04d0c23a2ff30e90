"""How many independent samples some values are worth when they come in groups that resemble themselves.

Tokens of one generation and rows of one batch share their fate, and rounds of one process resemble each other.
"""

import math
from collections.abc import Sequence

from bench.metrics.percentiles import TooFew, percentile, samples_needed


def effective_samples(values: Sequence[float], sizes: Sequence[int]) -> float:
    """How many independent samples `values` are worth, when they come in groups of these `sizes`, one after another.

    n / (1 + (m − 1)·ρ) with the mean group size m and the intra-class correlation ρ from a one-way analysis of
    variance (Kish, Survey Sampling, 5.4): groups that differ by no more than their members count fully, groups whose
    members are all alike count once each.

    >>> effective_samples([1.0, 1.0, 2.0, 2.0, 3.0, 3.0], [2, 2, 2])
    3.0
    >>> effective_samples([1.0, 3.0, 3.0, 1.0, 1.0, 3.0], [2, 2, 2])
    6.0
    """
    n, groups = len(values), len(sizes)
    if groups < 2 or n <= groups:
        return float(min(n, groups))  # one process says nothing about others
    parts: list[Sequence[float]] = []
    start = 0
    for size in sizes:
        parts.append(values[start : start + size])
        start += size
    mean = sum(values) / n
    means = [sum(part) / len(part) for part in parts]
    between = sum(len(part) * (own - mean) ** 2 for part, own in zip(parts, means, strict=True)) / (groups - 1)
    within = sum((value - own) ** 2 for part, own in zip(parts, means, strict=True) for value in part) / (n - groups)
    usual = (n - sum(count * count for count in sizes) / n) / (groups - 1)
    whole = between + (usual - 1) * within
    correlation = max(0.0, (between - within) / whole) if whole > 0 else 1.0
    return n / (1 + (n / groups - 1) * correlation)


def grouped_percentiles(
    values: Sequence[float], sizes: Sequence[int], which: Sequence[float]
) -> dict[float, float | TooFew]:
    """The percentiles `which` (0 to 100) of values in groups, where they are worth enough independent samples."""
    needed = {one: samples_needed(one) for one in which}
    fewest = min(needed.values())
    # Groups are worth no more than their members: where those are too few, nothing need be computed.
    independent = len(values) if len(values) < fewest else math.floor(effective_samples(values, sizes))
    return {
        one: percentile(values, one) if independent >= enough else TooFew(independent, enough)
        for one, enough in needed.items()
    }
