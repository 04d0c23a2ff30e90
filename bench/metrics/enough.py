"""Whether a cell has been measured often enough.

A cell goes on until the 95 % intervals of its headline rates (prefill, decode and output tokens per second) are all
within the target, or its time budget or its number of replicates ends. An interval may be narrow by chance, and a rule
that looks after every replicate would stop on just those: the width must therefore be within the target at three
successive looks, and keep a margin of √(1 + 6/n) to it with n replicates. Sequential fixed-width intervals are due to
Chow and Robbins (Annals of Mathematical Statistics 36, 1965), a margin that falls as 1/n to Woodroofe (Annals of
Statistics 5, 1977); both numbers are calibrated: `scripts/coverage.py` simulates the whole rule and shows that the
intervals which it leaves cover the truth.
"""

import math
from collections.abc import Sequence

from bench.metrics.latency import Times
from bench.metrics.statistics import estimate
from bench.schema import Ending, Sampling, Stop

HOPELESS = ("unsupported", "invalid")
"""Statuses that another process would meet again, unless one did not."""

MARGIN = 6.0
LOOKS = 3
"""Chosen by simulation: with less, slowly drifting replicates stop where their intervals look narrow."""


def half_width(replicates: Sequence[Times]) -> float | None:
    """The widest 95 % half-width of the headline rates, as a share of them; None with fewer than two replicates."""
    found = []
    for seen in (
        [one.ttft_s for one in replicates],
        [one.tpot_s for one in replicates],
        [one.e2el_s for one in replicates],
    ):
        times = [value for value in seen if value is not None]
        if not times:
            continue  # one output token has no decode rate, and a batch without phases neither of the two
        estimated = estimate(times)
        spread = None if estimated is None else estimated.spread()
        if spread is None:
            return None
        found.append(spread)
    return max(found) if found else None


def stop(
    replicates: Sequence[Times], failures: Sequence[str], spent_s: float, least: int, sampling: Sampling
) -> Stop | None:
    """Why no further replicate is needed, None while one is.

    `replicates`: times of those measured; `failures`: statuses of those that failed, or "tainted"; `spent_s`: seconds
    that all of them took, loading included; `least`: how many are always tried.
    """
    width = half_width(replicates)
    ending = _ending(replicates, failures, spent_s, least, sampling)
    return None if ending is None else Stop(ending=ending, half_width=width, target=sampling.target)


def _ending(
    replicates: Sequence[Times], failures: Sequence[str], spent_s: float, least: int, sampling: Sampling
) -> Ending | None:
    if not replicates and any(status in HOPELESS for status in failures):
        return "hopeless"
    tried = len(replicates) + len(failures)
    least = min(least, sampling.max_replicates)
    if tried < least:
        return None
    if len(failures) >= least:
        return "failures"
    if _is_narrow(replicates, sampling.target):
        return "target"
    if tried >= sampling.max_replicates:
        return "max-replicates"
    if spent_s >= sampling.budget_s:
        return "budget"
    return None


def _is_narrow(replicates: Sequence[Times], target: float) -> bool:
    """Whether the width is within the target, margin included, now and at the looks before, where there were any."""
    n = len(replicates)
    for seen in range(n, max(n - LOOKS, 1), -1):
        width = half_width(replicates[:seen])
        if width is None or width * math.sqrt(1 + MARGIN / seen) > target:
            return False
    return n >= 2
