"""Service level objectives, held against requests.

A request is met, not met, or not to be judged. It is not met when it failed, or took longer than the limit, or was
already waited for longer than that when we cut it. It cannot be judged where it has no such time (one token has no
TPOT): it then counts neither way, and how many there were is said. Where requests were cut, those that began too late
to be decided are left out whether they came back or not, because only the short ones of them did.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.metrics.percentiles import TooFew, samples_needed
from bench.metrics.serving import Objective
from bench.metrics.serving.columns import Flags, Floats, Ints
from bench.metrics.serving.samples import independent_samples
from bench.metrics.serving.shares import clopper_pearson
from bench.metrics.serving.times import Times
from bench.schema import Slo


@dataclass(frozen=True)
class Judged:
    """Of each request of a trace and one objective, or all of them together. At most one of the two is true."""

    met: Flags
    missed: Flags
    decidable: Flags
    """It began early enough to be decided, whatever became of it."""

    @property
    def counted(self) -> Flags:
        return self.decidable & (self.met | self.missed)


def value(times: Times, metric: str) -> Floats:
    """The time that an objective is about: from the schedule where there was one; of ITL the longest gap."""
    if metric == "itl_s":
        return times.values["longest_gap_s"]
    return from_schedule(times.values, metric)


def from_schedule(of: dict[str, Floats], metric: str) -> Floats:
    """A time from when the request was due, else from when it was sent."""
    due = metric.replace("_s", "_due_s")
    return np.where(np.isnan(of[due]), of[metric], of[due]) if due in of else of[metric]


def judge(times: Times, starts: Floats, inside: Flags, slo: Slo) -> Judged:
    """Hold one objective against the requests `inside` the window, which began at `starts`."""
    took = value(times, slo.metric)
    missed = times.failed | (took > slo.at_most_s)
    met = (took <= slo.at_most_s) & ~missed
    decidable = inside.copy()
    if slo.metric in ("ttft_s", "e2el_s"):
        age = from_schedule(times.age, slo.metric)
        missed |= times.cut & np.isnan(took) & (age > slo.at_most_s)
        waiting = inside & times.cut & ~met & ~missed
        if waiting.any():
            decidable &= starts < starts[waiting].min()
    return Judged(met & inside, missed & inside, decidable)


def all_of(judged: Sequence[Judged], times: Times) -> Judged:
    """Requests that met every objective. One that some objective cannot judge is left out, failures excepted."""
    met = np.logical_and.reduce([each.met for each in judged])
    decidable = np.logical_and.reduce([each.decidable for each in judged])
    judgeable = np.logical_and.reduce([each.met | each.missed for each in judged]) | times.failed | times.cut
    missed = np.logical_or.reduce([each.missed for each in judged]) & judgeable
    return Judged(met, missed, decidable)


def objective(times: Times, judged: Judged, inside: Flags, order: Ints, slo: Slo) -> Objective:
    """How an objective fared in one run. `order`: positions of all requests in order of time."""
    counted = judged.counted[order]
    met = judged.met[order][counted]
    n = len(met)
    independent = independent_samples(met.astype(np.float64))
    unjudged = int((inside & times.answered & ~judged.met & ~judged.missed).sum())
    found = _objective(slo, float(met.sum()), n, independent, unjudged)
    took = value(times, slo.metric)[order][counted]
    ordered = np.sort(np.where(np.isnan(took) | times.failed[order][counted], np.inf, took))
    return replace(found, value_s=_value(ordered, independent, slo.percentile))


def pooled(objectives: Sequence[Objective]) -> Objective:
    """The same objective over replicates. Its value is the median of theirs, where each has one."""
    first = objectives[0]
    n = sum(one.n for one in objectives)
    met = sum(one.share * one.n for one in objectives)
    independent = sum(one.independent for one in objectives)
    found = _objective(first.slo, met, n, independent, sum(one.unjudged for one in objectives))
    values = [one.value_s for one in objectives if one.n]
    seen = [one for one in values if isinstance(one, float)]
    if values and len(seen) == len(values):
        return replace(found, value_s=float(np.median(seen)))
    if None in values or not values:
        return found
    return replace(
        found, value_s=TooFew(int(independent), max(samples_needed(first.slo.percentile), int(independent) + 1))
    )


def _objective(slo: Slo, met: float, n: int, independent: float, unjudged: int) -> Objective:
    share = met / n if n else 0.0
    low, high = clopper_pearson(share * independent, independent)
    return Objective(slo, share, low, high, None, n, independent, unjudged)


def _value(ordered: Floats, independent: float, percentile: float) -> float | TooFew | None:
    needed = samples_needed(percentile)
    if not len(ordered):
        return None
    if independent < needed:
        return TooFew(int(independent), needed)
    # Lower of two neighbours where the upper one is infinite would be kind; interpolation makes it infinite instead.
    with np.errstate(invalid="ignore"):
        found = float(np.quantile(ordered, percentile / 100, method="median_unbiased"))
    return found if np.isfinite(found) else None
