"""What a series says of its newest runs: a regression, an improvement, nothing, or that nobody can tell yet."""

from dataclasses import dataclass
from typing import Literal

from bench.history.series import Series, at_change, moment
from bench.metrics.changes import Change

Outcome = Literal["regression", "improvement", "changed", "small change", "steady", "suspect", "stopped", "too few"]

THRESHOLD = 0.02


@dataclass(frozen=True)
class Judgement:
    """`change` is the newest one, where there is one; `causes` what else changed then."""

    series: Series
    outcome: Outcome
    change: Change | None = None
    causes: tuple[str, ...] = ()

    @property
    def fails(self) -> bool:
        """Whether a pipeline that guards against regressions should stop."""
        return self.outcome in ("regression", "stopped")

    @property
    def since(self) -> str | None:
        """The run from which on the newest level holds."""
        return None if self.change is None else self.series.points[self.change.at].name


def judged(of: Series, threshold: float = THRESHOLD) -> Judgement:
    """The newest level against the one before. `threshold`: a ratio of up to 1 + threshold, or back, is no regression.

    A regression is a change for the worse whose whole 95 % interval lies beyond the threshold; an improvement is one
    for the better. A cell that failed in the newest run has stopped, whatever it was before.
    """
    change = of.found.changes[-1] if of.found.changes else None
    causes = () if change is None else at_change(of, change)
    return Judgement(of, _outcome(of, change, threshold), change, causes)


def _outcome(of: Series, change: Change | None, threshold: float) -> Outcome:
    if of.broken is not None:
        return "stopped"
    if of.why_none is not None:
        return "too few"
    counted: Outcome = "steady" if change is None else _of_change(of, change, threshold)
    return "suspect" if of.found.suspect and counted != "regression" else counted


def _of_change(of: Series, change: Change, threshold: float) -> Outcome:
    low, high = ends(of, change)
    most = 1 + threshold if of.metric.is_log else of.metric.least
    least = 1 / most if of.metric.is_log else -most
    if not (low > most or high < least):
        return "small change"
    if of.metric.worse == 0:
        return "changed"
    return "regression" if (1 if low > most else -1) == of.metric.worse else "improvement"


def ends(of: Series, change: Change) -> tuple[float, float]:
    """Of the change's 95 % interval: ratios, or differences in the figure's own unit."""
    return of.metric.back(change.step - change.half), of.metric.back(change.step + change.half)


def is_since(one: Judgement, day: str) -> bool:
    """Whether what is wrong began on that day or later. A failure of the newest run always is."""
    if one.outcome == "stopped" or one.change is None:
        return True
    began = moment(one.series.points[one.change.at].when)
    return began is None or began.date().isoformat() >= day
