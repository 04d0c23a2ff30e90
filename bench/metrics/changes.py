"""Where a series of measurements changes its level: optimal partitioning with a penalty of known false alarms.

Each point is a run: a value (as a rule a logarithm, so that a step is a ratio) and the squared standard error over its
replicates. Runs differ by more than their replicates do, so the noise is never taken from the replicates alone: it is
what is left around the levels, unknown and estimated with them.

The best division into m + 1 levels has the least weighted sum of squares RSS(m), found exactly by dynamic programming
(Jackson et al., IEEE Signal Processing Letters 12, 2005). The m is taken that minimises n·ln RSS(m) + m·β(n). For
independent Gaussian noise the share of changeless series in which any m > 0 wins depends on n alone, not on the size of
the noise; β(n) was chosen by simulation such that it is 3 % with equal weights; with weights that are estimated, and
lone runs set aside, it stays within 5 % (`scripts/change_power.py` prints it).

E-divisive (Matteson and James, JASA 109, 2014) is what MongoDB's CI and Apache Otava (once DataStax's Hunter) build on.
Alike: both ask of a series whether it changed at all, at a stated rate of false alarms, and believe nothing before.
Different: E-divisive compares all pairs of values by their distance, splits where that is largest, tests the split by
permuting the values, and goes on in both parts. It needs no distribution, but of six runs, three on either side, no
permutation test can fall below 10 %, so it needs many runs (Hunter tests by Student's t, in windows, for that reason);
and a search that splits once at a time can miss a dip that comes back. Here the division is the best of all, the
uncertainty of each run counts, each change comes with an interval, and where there are too few runs that is said. The
price is the assumption of noise that is about Gaussian in logarithms; single runs far off are set aside, and said.

A machine whose level wanders from run to run has no noise of independent runs, and alarms more often: measure in turn.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from bench.metrics.statistics import t975

FEWEST_POINTS = 5
"""With four, two on either side, the noise would be known from two differences alone."""

SEGMENT = 2
"""Points of a level at least: one run that is off may be the machine's bad day."""

MOST_POINTS = 200
"""The newest so many are looked at: the time grows with the square."""

FLOOR = 5e-4
"""Noise is never taken to be smaller, so that what repeats to the last digit has no changes of a millionth."""

LONELY = 5.0
"""A single run is set aside if it is further from both neighbours than this many standard deviations of the noise."""

SUSPECT_P = 0.01
WITHIN = 7.35
"""Rise of RSS / noise² up to which another place of a change is as likely: 95 % (Hansen, Econometrica 68, 2000)."""

_TAILS = (0.03, 0.01, 0.001)
"""The first is what a division has to reach. It is below 5 %, because weights that are estimated, and lone runs that
are set aside, cost some of it."""

_CRITICAL: dict[int, tuple[float, float, float]] = {
    5: (11.31, 14.90, 22.70),
    6: (10.98, 14.20, 21.06),
    7: (10.88, 13.97, 20.47),
    8: (10.93, 13.79, 19.81),
    9: (10.77, 13.52, 19.38),
    10: (10.70, 13.42, 19.16),
    12: (10.60, 13.17, 18.68),
    14: (10.49, 13.01, 18.43),
    16: (10.50, 13.03, 18.29),
    20: (10.46, 12.91, 17.99),
    25: (10.47, 12.81, 17.80),
    30: (10.51, 12.84, 17.79),
    40: (10.60, 12.84, 17.53),
    50: (10.62, 12.90, 17.48),
    70: (10.89, 13.13, 17.32),
    100: (10.98, 13.11, 18.17),
    140: (11.27, 13.42, 17.70),
    200: (11.49, 13.65, 19.14),
}
"""n → what max over m of n·ln(RSS(0)/RSS(m))/m exceeds in these shares of changeless series with equal weights."""


@dataclass(frozen=True)
class Run:
    """One point: a value, and the squared standard error of it over `n` replicates; None where there is but one."""

    value: float
    variance: float | None = None
    n: int = 1


@dataclass(frozen=True)
class Segment:
    """Runs `start` to `end` (exclusive) on one level: their weighted mean and the half-width of its 95 % interval."""

    start: int
    end: int
    level: float
    half: float


@dataclass(frozen=True)
class Change:
    """From run `at` on. `step`: new level less old, `half` its 95 % half-width.

    `p`: how often a changeless series would show as clear a one; never below the least that was simulated, 0.001.
    `earliest` and `latest`: runs between which the new level began, with 95 % confidence.
    """

    at: int
    step: float
    half: float
    p: float
    earliest: int
    latest: int


@dataclass(frozen=True)
class Found:
    """What a series shows. `noise`: standard deviation of a run around its level; None where it is not known.

    `suspect`: the last run is far off the level before, which one run alone does not prove. `lonely`: runs further
    back that were set aside. `why_not`: why nobody can tell. `skipped`: older runs that were not looked at.
    """

    segments: tuple[Segment, ...] = ()
    changes: tuple[Change, ...] = ()
    noise: float | None = None
    suspect: bool = False
    lonely: tuple[int, ...] = ()
    why_not: str | None = None
    skipped: int = 0


def find(runs: Sequence[Run], floor: float = FLOOR) -> Found:
    """Levels and changes of runs in the order of their time. `floor`: the least noise, in the unit of the values."""
    skipped = max(0, len(runs) - MOST_POINTS)
    seen = list(range(skipped, len(runs)))
    lonely = _lonely([runs[at].value for at in seen], floor)
    kept = [at for place, at in enumerate(seen) if place not in lonely]
    aside = tuple(seen[place] for place in sorted(lonely))
    if len(kept) < FEWEST_POINTS:
        why = f"too few runs to tell: {len(kept)}, of at least {FEWEST_POINTS}"
        return Found(lonely=aside, why_not=why, skipped=skipped)
    series = _Series([runs[at] for at in kept], floor)
    ends, suspect = series.best(), False
    if kept[-1] == len(runs) - 1 and len(kept) > FEWEST_POINTS:
        before = _Series([runs[at] for at in kept[:-1]], floor)
        division = before.best()
        suspect = _is_lone_end(series, ends, before, division)
        if suspect:
            series, ends, kept = before, division, kept[:-1]
    segments, changes, noise = _told(series, ends, kept)
    while unclear := [place for place, one in enumerate(changes) if abs(one.step) <= one.half]:
        # The runs differ in what they hold themselves for: their replicates allow for as much.
        least = min(unclear, key=lambda place: abs(changes[place].step) / changes[place].half)
        ends = (*ends[:least], *ends[least + 1 :])
        segments, changes, noise = _told(series, ends, kept)
    return Found(tuple(segments), tuple(changes), noise, suspect, aside, None, skipped)


def _lonely(values: Sequence[float], floor: float) -> set[int]:
    """Places of single runs, not the last, that lie outside both neighbours and far from them.

    The noise is that of the median step between neighbours, which neither a change nor a lone run moves.
    """
    steps = [abs(after - before) for before, after in pairwise(values)]
    if len(values) < FEWEST_POINTS + 1:
        return set()
    far = LONELY * max(floor, median(steps) / (0.6745 * math.sqrt(2)))
    found: set[int] = set()
    for at, value in enumerate(values[:-1]):
        beside = [values[other] - value for other in (at - 1, at + 1) if other >= 0]
        if all(gap > far for gap in beside) or all(gap < -far for gap in beside):
            found.add(at)
    return found


class _Series:
    """Runs with their weights, and sums from which the squares of any stretch follow at once."""

    def __init__(self, runs: Sequence[Run], floor: float) -> None:
        self.n = len(runs)
        middle = median(run.value for run in runs)
        self.values = [run.value - middle for run in runs]
        self.middle, self.floor = middle, floor
        self.variances = _variances(runs)
        self.weights = _weights(self.values, self.variances)
        self._w, self._wy, self._wyy = [0.0], [0.0], [0.0]
        for weight, value in zip(self.weights, self.values, strict=True):
            self._w.append(self._w[-1] + weight)
            self._wy.append(self._wy[-1] + weight * value)
            self._wyy.append(self._wyy[-1] + weight * value * value)

    def weight(self, start: int, end: int) -> float:
        return self._w[end] - self._w[start]

    def level(self, start: int, end: int) -> float:
        """The weighted mean, from the middle of the series."""
        return (self._wy[end] - self._wy[start]) / self.weight(start, end)

    def own_error(self, start: int, end: int) -> float:
        """Standard error of the level that the replicates within its runs alone give it."""
        own = sum(self.weights[at] ** 2 * self.variances[at] for at in range(start, end))
        return math.sqrt(own) / self.weight(start, end)

    def squares(self, start: int, end: int) -> float:
        """The weighted sum of squares around the stretch's own mean."""
        sums = self._wy[end] - self._wy[start]
        return max(0.0, self._wyy[end] - self._wyy[start] - sums * sums / self.weight(start, end))

    def total(self, ends: Sequence[int]) -> float:
        """RSS of a division, with the floor of the noise."""
        starts = (0, *ends[:-1])
        found = sum(self.squares(start, end) for start, end in zip(starts, ends, strict=True))
        return found + self.n * self.floor**2

    def best(self) -> tuple[int, ...]:
        """Ends of the stretches of the best division: exact, over all of them."""
        most = min(8, max(1, self.n // 4))
        least = [math.inf if end < SEGMENT else self.squares(0, end) for end in range(self.n + 1)]
        chosen: tuple[int, ...] = (self.n,)
        lowest = self._score(least[self.n], 0)
        came: list[list[int]] = []
        for changes in range(1, most + 1):
            least, origin = self._one_more(least, changes)
            came.append(origin)
            score = self._score(least[self.n], changes)
            if score < lowest:
                lowest, chosen = score, _traced(came, self.n)
        return chosen

    def _score(self, squares: float, changes: int) -> float:
        return self.n * math.log(squares + self.n * self.floor**2) + changes * critical(self.n)

    def _one_more(self, least: Sequence[float], changes: int) -> tuple[list[float], list[int]]:
        found, origin = [math.inf] * (self.n + 1), [0] * (self.n + 1)
        for end in range(SEGMENT * (changes + 1), self.n + 1):
            for start in range(SEGMENT * changes, end - SEGMENT + 1):
                squares = least[start] + self.squares(start, end)
                if squares < found[end]:
                    found[end], origin[end] = squares, start
        return found, origin


def _traced(came: Sequence[Sequence[int]], end: int) -> tuple[int, ...]:
    ends = [end]
    for origin in reversed(came):
        ends.append(origin[ends[-1]])
    return tuple(reversed(ends))


def _variances(runs: Sequence[Run]) -> list[float]:
    """Of each run's value, over its replicates. One of few replicates says little of its own scatter, so it is drawn
    to that of all runs (as Smyth, Stat. Appl. Genet. Mol. Biol. 3, 2004, does with a fixed weight of four replicates).
    """
    known = [(run.variance * run.n, run.n - 1) for run in runs if run.variance is not None and run.n > 1]
    freedom = sum(weight for _, weight in known)
    shared = sum(scatter * weight for scatter, weight in known) / freedom if freedom else 0.0
    found = []
    for run in runs:
        own = 0.0 if run.variance is None else run.variance * run.n
        mine = run.n - 1 if run.variance is not None else 0
        found.append((own * mine + shared * 4) / (mine + 4) / max(1, run.n))
    return found


def _weights(values: Sequence[float], variances: Sequence[float]) -> list[float]:
    """1 / (own variance + that between runs), scaled to a mean of one. Between runs there is at least as much as the
    median run has within: no run counts for much more than the others, however much its replicates agree."""
    steps = [abs(after - before) for before, after in pairwise(values)]
    whole = (median(steps) / 0.6745) ** 2 / 2
    own = median(variances)
    between = max(whole - own, own)
    if between <= 0:
        return [1.0] * len(values)
    found = [1 / (one + between) for one in variances]
    scale = len(found) / sum(found)
    return [one * scale for one in found]


def critical(n: int, tail: int = 0) -> float:
    """β(n) for the share `_TAILS[tail]` of false alarms; between the table's n on a line over ln n."""
    sizes = sorted(_CRITICAL)
    n = min(max(n, sizes[0]), sizes[-1])
    above = next(size for size in sizes if size >= n)
    below = max(size for size in sizes if size <= n)
    if above == below:
        return _CRITICAL[n][tail]
    share = math.log(n / below) / math.log(above / below)
    return _CRITICAL[below][tail] * (1 - share) + _CRITICAL[above][tail] * share


def _chance(statistic: float, n: int) -> float:
    """How often a changeless series exceeds it; between the table's tails on a line over the logarithm."""
    points = [(critical(n, tail), math.log(_TAILS[tail])) for tail in range(len(_TAILS))]
    if statistic <= points[0][0]:
        return _TAILS[0]
    for (low, first), (high, second) in pairwise(points):
        if statistic <= high:
            return math.exp(first + (second - first) * (statistic - low) / (high - low))
    return _TAILS[-1]


def _is_lone_end(series: _Series, ends: tuple[int, ...], before: _Series, division: tuple[int, ...]) -> bool:
    """Whether the last run alone is off the level that the runs before it (`before`, its `division`) end on.

    It is not alone where the runs that the division of all (`ends`) puts on one level with it are nearer to it.
    """
    start = division[-2] if len(division) > 1 else 0
    last = series.values[-1] + series.middle
    off = abs(last - before.level(start, before.n) - before.middle)
    others = series.level(ends[-2] if len(ends) > 1 else 0, series.n - 1) + series.middle
    if abs(last - others) < off / 2:
        return False
    freedom = before.n - len(division)
    noise = math.sqrt(before.total(division) / freedom)
    score = off / (noise * math.sqrt(1 / before.weight(start, before.n) + 1 / series.weights[-1]))
    return two_sided(score, freedom) < SUSPECT_P


def two_sided(t: float, freedom: float) -> float:
    """The share of Student's t beyond ±t.

    With t = √ν·tan θ the density of θ is c·cos(θ)^(ν−1), c = Γ((ν+1)/2) / (√π·Γ(ν/2)); by Simpson's rule.

    >>> round(two_sided(2.228, 10), 4), round(two_sided(4.303, 2), 4)
    (0.05, 0.05)
    """
    angle, steps = math.atan(abs(t) / math.sqrt(freedom)), 200
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)
    weights = (1 if at in (0, steps) else 4 if at % 2 else 2 for at in range(steps + 1))
    inside = sum(weight * math.pow(math.cos(angle * at / steps), freedom - 1) for at, weight in enumerate(weights))
    return max(0.0, 1 - 2 * scale * inside * angle / (3 * steps))


def _told(series: _Series, ends: tuple[int, ...], kept: Sequence[int]) -> tuple[list[Segment], list[Change], float]:
    """Levels, changes and noise, in the numbering of the runs as they were given (`kept`)."""
    total, freedom = series.total(ends), series.n - len(ends)
    noise, t = math.sqrt(total / freedom), t975(freedom)
    bounds = list(zip((0, *ends[:-1]), ends, strict=True))
    errors = [max(noise / math.sqrt(series.weight(*each)), series.own_error(*each)) for each in bounds]
    levels = [series.level(*each) for each in bounds]
    segments = [
        Segment(kept[start], kept[end - 1] + 1, level + series.middle, t * error)
        for (start, end), level, error in zip(bounds, levels, errors, strict=True)
    ]
    changes = []
    for place, at in enumerate(ends[:-1]):
        joined = series.total((*ends[:place], *ends[place + 1 :]))
        p = _chance(series.n * math.log(joined / total), series.n)
        first, last = _span(series, bounds[place][0], at, bounds[place + 1][1], noise)
        half = t * math.hypot(errors[place], errors[place + 1])
        changes.append(Change(kept[at], levels[place + 1] - levels[place], half, p, kept[first], kept[last]))
    return segments, changes, noise


def _span(series: _Series, start: int, at: int, end: int, noise: float) -> tuple[int, int]:
    """First and last place at which the squares of the two stretches rise by no more than `WITHIN` noises."""
    least = series.squares(start, at) + series.squares(at, end)
    likely = [
        place
        for place in range(start + 1, end)
        if series.squares(start, place) + series.squares(place, end) - least <= WITHIN * noise * noise
    ]
    return min(likely), max(likely)
