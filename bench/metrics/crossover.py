"""At which batch size one level stops being better than another: where the ratio of the two passes 1.

Ratios are known at a few batch sizes alone. Between two of them the logarithm of the ratio is taken as linear in the
logarithm of the batch size: both are scaled by factors, and powers of two are what people measure.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Outcome = Literal["wins", "loses", "equal", "crosses", "unknown"]


@dataclass(frozen=True)
class At:
    """The ratio at one batch size; above 1 the level wins. `low` and `high`: its 95 % interval, None without one."""

    batch_size: int
    ratio: float
    low: float | None = None
    high: float | None = None

    def is_sure(self) -> bool:
        """Whether the interval lies wholly on one side of 1."""
        return self.low is not None and self.high is not None and not self.low <= 1.0 <= self.high


@dataclass(frozen=True)
class Crossing:
    """A batch size where the ratio passes 1. It need not be whole.

    `between`: the two measured sizes around it. `surely_between`: the nearest ones whose intervals are on their side of
    1 with certainty; None on a side where no size is.
    """

    batch_size: float
    between: tuple[int, int]
    surely_between: tuple[int | None, int | None]
    wins_above: bool

    @property
    def in_doubt(self) -> bool:
        return self.surely_between != self.between


@dataclass(frozen=True)
class Crossover:
    """How a level stands over all measured sizes. `doubtful`: those whose interval includes 1, or that have none."""

    outcome: Outcome
    sizes: tuple[int, ...]
    crossings: tuple[Crossing, ...] = ()
    doubtful: tuple[int, ...] = ()


def crossover(points: Sequence[At]) -> Crossover:
    """All crossings, by batch size. Raises ValueError for ratios that are not positive and for a size given twice.

    >>> found = crossover([At(1, 2.0), At(4, 0.5)])
    >>> found.outcome, found.crossings[0].batch_size, found.crossings[0].wins_above
    ('crosses', 2.0, False)
    """
    ordered = sorted(points, key=lambda one: one.batch_size)
    sizes = tuple(one.batch_size for one in ordered)
    if len(set(sizes)) != len(sizes):
        raise ValueError("a batch size stands there twice")
    if any(not 0 < one.ratio < math.inf or one.batch_size < 1 for one in ordered):
        raise ValueError("a crossover needs positive ratios and batch sizes")
    if not ordered:
        return Crossover("unknown", ())
    doubtful = tuple(one.batch_size for one in ordered if not one.is_sure())
    off = [index for index, one in enumerate(ordered) if one.ratio != 1.0]
    if not off:
        return Crossover("equal", sizes, (), doubtful)
    crossings = tuple(
        _crossing(ordered, here, there)
        for here, there in pairwise(off)
        if (ordered[here].ratio > 1) != (ordered[there].ratio > 1)
    )
    if crossings:
        return Crossover("crosses", sizes, crossings, doubtful)
    return Crossover("wins" if ordered[off[0]].ratio > 1 else "loses", sizes, (), doubtful)


def _crossing(points: Sequence[At], here: int, there: int) -> Crossing:
    """Between two sizes on either side of 1; those between them, if any, have a ratio of exactly 1."""
    before, after = points[here], points[there]
    if there - here > 1:
        place = math.sqrt(points[here + 1].batch_size * points[there - 1].batch_size)
    else:
        down, up = math.log(before.ratio), math.log(after.ratio)
        left, right = math.log2(before.batch_size), math.log2(after.batch_size)
        place = 2 ** (left + (right - left) * down / (down - up))
    # Rounding may put a crossing next to a measured size a hair outside.
    place = min(max(place, float(before.batch_size)), float(after.batch_size))
    below = next((one for one in reversed(points[: here + 1]) if _surely(one, before.ratio > 1)), None)
    above = next((one for one in points[there:] if _surely(one, after.ratio > 1)), None)
    return Crossing(
        place,
        (before.batch_size, after.batch_size),
        (None if below is None else below.batch_size, None if above is None else above.batch_size),
        wins_above=after.ratio > 1,
    )


def _surely(one: At, wins: bool) -> bool:
    return one.is_sure() and (one.ratio > 1) == wins
