"""How many independent samples some values are worth when they come in groups that resemble themselves.

Tokens of one generation and rows of one batch share their fate, and rounds of one process resemble each other.
"""

import math
from collections.abc import Sequence

from bench.metrics.percentiles import TooFew, percentile, samples_needed

ONE_SIDED = 1.645
FEWEST_GROUPS = 2


def effective_samples(values: Sequence[float], sizes: Sequence[int]) -> float:
    """How many independent samples `values` are worth at least, in groups of these `sizes`, one after another.

    n / (1 + (m − 1)·ρ) with m = Σmᵢ²/n and the intra-class correlation ρ (Kish, Survey Sampling, 5.4 and 8.2). ρ is the
    upper end of a one-sided 95 % interval around that of a one-way analysis of variance, on Fisher's scale (Statistical
    Methods for Research Workers, 40), because a few groups may look alike by chance. Never fewer than the groups.

    >>> effective_samples([1.0, 1.0, 2.0, 2.0, 3.0, 3.0], [2, 2, 2])
    3.0
    """
    n, groups = len(values), len(sizes)
    if groups <= FEWEST_GROUPS or n <= groups:
        return float(min(n, groups))  # so few processes say nothing about others
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
    seen = (between - within) / whole if whole > 0 else 1.0
    if seen >= 1:
        return float(groups)
    if 1 + (usual - 1) * seen <= 0:
        return float(n)  # the groups' means are all the same: their members differ as much as they can
    scale = 0.5 * math.log((1 + (usual - 1) * seen) / (1 - seen))
    error = math.sqrt(usual / (2 * (usual - 1) * (groups - 2)))
    ratio = math.exp(2 * (scale + ONE_SIDED * error))
    correlation = min(1.0, max(0.0, (ratio - 1) / (ratio + usual - 1)))
    weighted = sum(count * count for count in sizes) / n
    return max(float(groups), n / (1 + (weighted - 1) * correlation))


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
