"""Which rows nothing beats: cheaper and better at once."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from bench.metrics.statistics import Estimate

MOST = 300
"""Marks in a chart: the front whole, of the others the cheapest."""
NEAR_X, NEAR_Y = 0.3, 0.07
"""Shares of the axes within which a second label would lie on the first."""


@dataclass(frozen=True)
class Ends:
    """A value of which less is better, and the ends of its interval; both are the value where there is none."""

    value: float
    low: float
    high: float

    @staticmethod
    def of(one: Estimate) -> "Ends":
        """Of a figure of which less is better."""
        low, high = one.low, one.high
        return Ends(one.value, one.value if low is None else low, one.value if high is None else high)

    def turned(self) -> "Ends":
        """Of a figure of which more is better."""
        return Ends(-self.value, -self.high, -self.low)


def standing(rows: Sequence[tuple[Ends, Ends]]) -> list[str]:
    """For each row "yes" (by the values no other is at least as good in both), "perhaps" or "no".

    "perhaps": another row is better by the values, but none is surely: better in one by whole intervals, and in the
    other too or exactly equal, as levels of one precision are in quality. Sorted, so that 10,000 rows take no time.
    """
    found = ["perhaps"] * len(rows)
    least, holder = math.inf, (math.inf, math.inf)
    for place in sorted(range(len(rows)), key=lambda one: (rows[one][0].value, rows[one][1].value)):
        both = rows[place][0].value, rows[place][1].value
        if both[1] < least or both == holder:  # twins in both figures do not beat each other
            found[place], least, holder = "yes", both[1], both
    by_high = sorted(range(len(rows)), key=lambda one: rows[one][0].high)
    highs = [rows[one][0].high for one in by_high]
    lowest = [math.inf]
    for one in by_high:
        lowest.append(min(lowest[-1], rows[one][1].high))
    same_x, same_y = _least(rows, 0), _least(rows, 1)
    for place, (x, y) in enumerate(rows):
        beaten = lowest[bisect_left(highs, x.low)] < y.low or same_x[x.value] < y.low or same_y[y.value] < x.low
        if beaten and found[place] != "yes":
            found[place] = "no"
    return found


def _least(rows: Sequence[tuple[Ends, Ends]], axis: int) -> dict[float, float]:
    """By exactly equal values on one axis, the least high end on the other."""
    found: dict[float, float] = {}
    for row in rows:
        one, other = row[axis].value, row[1 - axis].high
        found[one] = min(found.get(one, math.inf), other)
    return found


def labelled(places: Sequence[tuple[float, float]]) -> list[bool]:
    """Which of these marks get a label: those that no label of an earlier one is too near to. `places` in shares of
    the axes."""
    kept: list[tuple[float, float]] = []
    found = []
    for x, y in places:
        free = all(abs(x - a) >= NEAR_X or abs(y - b) >= NEAR_Y for a, b in kept)
        found.append(free)
        if free:
            kept.append((x, y))
    return found


def shares(values: Sequence[float], log: bool) -> list[float]:
    """Where values stand between the least and the largest, 0 to 1."""
    seen = [math.log(one) for one in values] if log else list(values)
    low, high = min(seen), max(seen)
    return [(one - low) / (high - low) if high > low else 0.0 for one in seen]
