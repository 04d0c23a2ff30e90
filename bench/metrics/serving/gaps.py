"""Gaps between tokens or events: how many of which length in each second, in bounded memory.

A bin is 1 % wide, so a percentile is within 0.5 % of that of the gaps themselves. Gaps under a microsecond (events of
one read) are zero.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

LEAST_S = 1e-6
STEP = 1.01
BINS = 2090
"""Bin 0: under a microsecond; the last one: over a thousand seconds."""

SLICES = 2048
"""More of them are halved in number, by doubling their length."""

_LOG_STEP = float(np.log(STEP))

Floats = NDArray[np.float64]


class Gaps:
    """Counts by time slice and length. Slices begin as a second each."""

    def __init__(self) -> None:
        self.slice_s = 1.0
        self.counts = np.zeros((64, BINS), dtype=np.uint32)

    def add(self, at_s: Floats, gap_s: Floats, weights: Floats) -> None:
        """Gaps that ended at `at_s`, each counted `weights` times (whole numbers)."""
        if not len(at_s):
            return
        while float(at_s.max()) >= SLICES * self.slice_s:
            self._halve()
        slices = np.maximum(at_s / self.slice_s, 0).astype(np.int64)
        first, last = int(slices.min()), int(slices.max())
        if last >= len(self.counts):
            grown = np.zeros((min(SLICES, 2 * last + 1), BINS), dtype=np.uint32)
            grown[: len(self.counts)] = self.counts
            self.counts = grown
        with np.errstate(divide="ignore"):
            bins = np.log(np.maximum(gap_s, 0) / LEAST_S) / _LOG_STEP + 1
        bins = np.clip(np.where(gap_s < LEAST_S, 0, bins), 0, BINS - 1).astype(np.int64)
        flat = np.bincount((slices - first) * BINS + bins, weights, minlength=(last - first + 1) * BINS)
        self.counts[first : last + 1] += flat.reshape(-1, BINS).astype(np.uint32)

    def between(self, start_s: float, end_s: float) -> Floats:
        """Counts by length over the slices that lie inside; over those that are touched, where none does."""
        first, last = int(np.ceil(start_s / self.slice_s - 1e-9)), int(end_s / self.slice_s + 1e-9)
        if last <= first:
            first, last = int(start_s / self.slice_s), int(np.ceil(end_s / self.slice_s))
        return np.asarray(self.counts[first:last].sum(axis=0, dtype=np.float64))

    def _halve(self) -> None:
        rows = self.counts
        if len(rows) % 2:
            rows = np.concatenate([rows, np.zeros((1, BINS), dtype=np.uint32)])
        self.counts = rows[0::2] + rows[1::2]
        self.slice_s *= 2


def pooled(counts: Iterable[Floats]) -> Floats:
    """Histograms of several replicates as one."""
    return np.asarray(sum(counts, np.zeros(BINS)))


def quantile(counts: Floats, share: float) -> float | None:
    """The length (seconds) that `share` of the gaps do not exceed: the middle of its bin. None without gaps.

    >>> gaps = Gaps()
    >>> gaps.add(np.array([0.5, 0.6, 0.7]), np.array([0.01, 0.01, 0.02]), np.ones(3))
    >>> round(quantile(gaps.between(0, 1), 0.5), 3)
    0.01
    """
    total = counts.sum()
    if not total:
        return None
    at = int(np.searchsorted(np.cumsum(counts), share * total - 1e-9))
    return 0.0 if at == 0 else float(LEAST_S * STEP ** (min(at, BINS - 1) - 0.5))
