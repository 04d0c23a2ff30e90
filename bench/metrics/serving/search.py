"""The highest load within the objectives: which level to measure next, and what is known by then.

A level is *met* only where the whole interval of the share that met the objectives lies above what they ask for, and
*not met* where it lies below; between them it is undecided, measured again, and after so many times the boundary
itself. Levels double until one is not met, then the gap is halved on the logarithm until it is small enough.

Luck can still call a low level not met and a higher one met. More load cannot help, so such levels are pooled until
they fall (isotonic regression by pooling adjacent violators: Ayer and others, Annals of Mathematical Statistics 26,
1955) and measured again where that leaves them undecided.

What was told decides what comes next, and nothing else does: stored results may be told again, in any order.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

SearchEnded = Literal["tolerance", "budget", "never-met", "always-met"]

AGAIN = 3
"""Times that an undecided level is measured before it counts as the boundary."""

FACTOR = 2.0
CEILING = 1e6
MOST_RUNS = 40


@dataclass(frozen=True, slots=True)
class Told:
    """One measurement of a level: its verdict, and the interval of the share that met the objectives."""

    met: bool | None
    low: float
    high: float


@dataclass(frozen=True)
class Found:
    """What a search has shown. The truth lies between `met` and `not_met`, the interval; either may not be known."""

    met: float | None
    """The highest level that met the objectives: what may be promised."""
    not_met: float | None
    """The lowest that did not."""
    boundary: tuple[float, ...]
    """Levels between them whose share is what the objectives ask for, as far as can be told."""
    runs: int
    ended: SearchEnded | None
    """None: there is more to measure."""


@dataclass
class Search:
    """Levels are requests per second or streams; `highest` None: as far as it goes. `tolerance` 0.05: within 5 %."""

    lowest: float
    highest: float | None = None
    start: float | None = None
    tolerance: float = 0.05
    integer: bool = False
    again: int = AGAIN
    most_runs: int = MOST_RUNS
    told: dict[float, list[Told]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises ValueError for a range without levels."""
        top = math.inf if self.highest is None else self.highest
        if not 0 < self.lowest <= top or not self.tolerance > 0:
            raise ValueError("0 < lowest <= highest and a tolerance above 0 are needed")
        self.lowest = self._level(self.lowest, math.ceil)
        if self.highest is not None:
            self.highest = self._level(self.highest, math.floor)
            if self.highest < self.lowest:
                raise ValueError("no whole number lies between lowest and highest")

    def tell(self, level: float, met: bool | None, low: float = 0.0, high: float = 1.0) -> None:
        """What one measurement of a level showed; None where the interval [low, high] of its share says neither."""
        self.told.setdefault(level, []).append(Told(met, low, high))

    def next(self) -> float | None:
        """The level to measure next; None when the search has ended."""
        if self._runs() >= self.most_runs:
            return None
        return self._next()

    def found(self) -> Found:
        """What is known so far."""
        verdicts = self._verdicts()
        met, not_met = _edges(verdicts)
        boundary = tuple(
            level
            for level, verdict in verdicts.items()
            if verdict is None and (met is None or level > met) and (not_met is None or level < not_met)
        )
        return Found(met, not_met, boundary, self._runs(), self._ended(met, verdicts))

    def _ended(self, met: float | None, verdicts: Mapping[float, bool | None]) -> SearchEnded | None:
        if self._next() is not None:
            return "budget" if self._runs() >= self.most_runs else None
        if met is None:
            return "never-met"
        return "always-met" if all(level <= met for level in verdicts) else "tolerance"

    def _next(self) -> float | None:
        verdicts = self._verdicts()
        for level, verdict in sorted(verdicts.items(), key=lambda each: (len(self.told[each[0]]), each[0])):
            if verdict is None and len(self.told[level]) < self.again and self._matters(level, verdicts):
                return level
        met, _ = _edges(verdicts)
        # An undecided level that was measured often enough is the boundary: nothing above it is worth a try.
        upper = min((level for level, verdict in verdicts.items() if not verdict and level > (met or 0)), default=None)
        if met is None:
            return self._below(upper)
        if upper is None:
            return self._above(met)
        middle = self._level(math.sqrt(met * upper))
        return None if upper / met <= 1 + self.tolerance or not met < middle < upper else middle

    def _below(self, upper: float | None) -> float | None:
        """Where nothing was met: the start, then half of the lowest level tried, down to the lowest there is."""
        if upper is None:
            wanted = self.lowest if self.start is None else self.start
            return min(max(self._level(wanted), self.lowest), self.highest or math.inf)
        if upper <= self.lowest:
            return None
        lower = max(self._level(upper / FACTOR, math.floor), self.lowest)
        return lower if lower < upper else None

    def _above(self, met: float) -> float | None:
        """Where all was met: the double, up to the highest there is."""
        top = CEILING if self.highest is None else self.highest
        return None if met >= top else min(self._level(met * FACTOR), top)

    def _matters(self, level: float, verdicts: Mapping[float, bool | None]) -> bool:
        """Whether deciding it could move an edge: it lies above what was met and below what was not."""
        met, not_met = _edges(verdicts)
        return (met is None or level > met) and (not_met is None or level < not_met)

    def _verdicts(self) -> dict[float, bool | None]:
        """Of each level, ascending, after pooling: by the sign of the mean vote, which never rises with the level."""
        blocks: list[tuple[list[float], float, int]] = []
        for level in sorted(self.told):
            votes = [0 if one.met is None else 1 if one.met else -1 for one in self.told[level]]
            blocks.append(([level], float(sum(votes)), len(votes)))
            while len(blocks) > 1 and blocks[-2][1] / blocks[-2][2] < blocks[-1][1] / blocks[-1][2]:
                upper, lower = blocks.pop(), blocks.pop()
                blocks.append((lower[0] + upper[0], lower[1] + upper[1], lower[2] + upper[2]))
        return {
            level: None if votes == 0 else votes > 0 for levels, votes, _ in blocks for level in levels
        }  # fmt: skip

    def _level(self, wanted: float, whole: object = round) -> float:
        """A level that can be asked for: whole numbers where streams are counted, else three digits."""
        if self.integer:
            return float(max(1, whole(wanted)))  # type: ignore[operator]
        digits = 3 - math.ceil(math.log10(wanted))
        return wanted if wanted in (self.lowest, self.highest) else round(wanted, digits)

    def _runs(self) -> int:
        return sum(len(each) for each in self.told.values())


def _edges(verdicts: Mapping[float, bool | None]) -> tuple[float | None, float | None]:
    met = [level for level, verdict in verdicts.items() if verdict is True]
    missed = [level for level, verdict in verdicts.items() if verdict is False]
    return max(met, default=None), min(missed, default=None)
