"""Percentiles over requests that stand in one queue, and of which some were still waiting at the end.

**Independence.** Requests that meet in a queue, or belong to one conversation, resemble each other, and so say less
than their number. What they are worth is n / (1 + 2·Σρₖ), the sum over the leading significant autocorrelations of
their ranks in order of time (Bayley and Hammersley, J. Royal Statistical Society 8, 1946; ranks because tails are
heavy), and in order of conversations where there are some.

**Censoring.** A request that was cut at the end took longer than it was waited for. Leaving it out would favour the
short ones; the product-limit estimator (Kaplan and Meier, J. American Statistical Association 53, 1958) takes it for
what it is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.metrics.percentiles import TooFew, samples_needed
from bench.metrics.serving import PERCENTILES, Spread

KEPT = 20_000
"""Values kept of a longer sample, evenly by rank: a percentile of theirs is off by 0.005 points."""

CHUNK = 1 << 16
SAME = 0.01
SAME_S = 1e-6

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """What one run shows of one time. `values` and `waited` ascend; each stands for `weight` requests."""

    values: Floats
    waited: Floats
    """How long requests were waited for that were then cut."""
    n: int
    """Requests that have the time."""
    independent: float
    """What they are worth."""

    @property
    def weight(self) -> float:
        return self.n / len(self.values) if len(self.values) else 1.0


def sample(values: Floats, waited: Floats, sessions: NDArray[np.int64] | None = None) -> Sample:
    """Of values in order of time (no NaN among them), and of the ages of what was cut. `sessions`: of conversations."""
    independent = independent_samples(values)
    if sessions is not None:
        independent = min(independent, independent_samples(values[np.argsort(sessions, kind="stable")]))
    ordered, ages = np.sort(values), np.sort(waited)
    if len(ordered) > KEPT:
        at = (np.arange(KEPT) + 0.5) * len(ordered) / KEPT
        step = len(ordered) / KEPT
        ordered, ages = ordered[at.astype(np.int64)], ages[(np.arange(int(len(ages) / step)) * step).astype(np.int64)]
    return Sample(ordered, ages, len(values), independent)


def spread(samples: Sequence[Sample]) -> Spread:
    """The usual percentiles over the requests of all these runs."""
    return {p: percentile(samples, p) for p in PERCENTILES}


def percentile(samples: Sequence[Sample], p: float) -> float | TooFew:
    """One of them, or how many independent requests it takes; TooFew too where so many were cut that it is not seen."""
    independent, needed = math.floor(sum(one.independent for one in samples)), samples_needed(p)
    if independent < needed:
        return TooFew(independent, needed)
    found = quantile(samples, p / 100)
    return TooFew(independent, max(needed, independent + 1)) if found is None else found


def quantile(samples: Sequence[Sample], share: float) -> float | None:
    """By Hyndman and Fan's type 8 where all was seen and kept; None where it is not seen, or nothing was."""
    values = np.concatenate([one.values for one in samples]) if samples else np.zeros(0)
    if not len(values):
        return None
    waited = np.concatenate([one.waited for one in samples])
    weights = np.concatenate([np.full(len(one.values), one.weight) for one in samples])
    if not len(waited) and float(np.ptp(weights)) == 0:
        return float(np.quantile(values, share, method="median_unbiased"))
    ages = np.concatenate([np.full(len(one.waited), one.weight) for one in samples])
    return _product_limit(values, weights, waited, ages, share)


def _product_limit(values: Floats, weights: Floats, waited: Floats, ages: Floats, share: float) -> float | None:
    """The least time by which `share` were over, by Kaplan and Meier, with weights."""
    stamps = np.concatenate([values, waited])
    counts = np.concatenate([weights, ages])
    ended = np.concatenate([np.ones(len(values), bool), np.zeros(len(waited), bool)])
    order = np.lexsort((~ended, stamps))  # what ended at a moment ended before what was cut at it
    stamps, counts, ended = stamps[order], counts[order], ended[order]
    at_risk = np.cumsum(counts[::-1])[::-1]
    lived = np.cumprod(np.where(ended, 1 - counts / at_risk, 1.0))
    reached = np.flatnonzero((1 - lived >= share - 1e-12) & ended)
    return float(stamps[reached[0]]) if len(reached) else None


def independent_samples(values: Floats) -> float:
    """How many independent ones values in order of time are worth: between 1 and n.

    Values that differ by less than 1 % of their median are equal: a server that is the same to the microsecond but
    drifts by nanoseconds has not been seen once only.

    >>> independent_samples(np.arange(100.0)) < 5, independent_samples(np.ones(30))
    (True, 30.0)
    """
    n = len(values)
    if n < 3:
        return float(n)
    coarse = np.round(values / max(SAME_S, SAME * abs(float(np.median(values)))))
    if float(np.ptp(coarse)) == 0:
        return float(n)
    _, which, counts = np.unique(coarse, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - counts / 2)[which]  # equal values share a rank, or their order would be a trend
    ranks -= ranks.mean()
    size = min(n, CHUNK)
    chunks = n // size
    power = np.zeros(size)
    for at in range(chunks):
        power += _autocovariance(ranks[at * size : (at + 1) * size])
    correlation = power / power[0]
    limit = 1.96 / math.sqrt(n)
    chance = np.flatnonzero(correlation[1:] <= limit)
    leading = correlation[1 : 1 + int(chance[0])] if len(chance) else correlation[1:]
    return float(min(n, max(1.0, n / (1 + 2 * float(leading.sum())))))


def _autocovariance(values: Floats) -> Floats:
    size = 1 << (2 * len(values) - 1).bit_length()
    spectrum = np.fft.rfft(values, size)
    return np.asarray(np.fft.irfft(spectrum * spectrum.conj(), size)[: len(values)])
